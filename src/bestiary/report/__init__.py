"""Results -> self-contained HTML pages that open offline."""
