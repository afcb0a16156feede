"""Read and write images and runs in local folders, object stores (s3://, gs://) and shards."""
