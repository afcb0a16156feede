"""Places that fsspec knows (s3://, gs://, ...), tar shards and local folders, read and written
alike.
"""
