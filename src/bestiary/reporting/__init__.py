"""Results -> pages and texts for people."""
