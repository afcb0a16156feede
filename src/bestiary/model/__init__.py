"""Build networks by name with their weights and preprocessing, and run them."""
