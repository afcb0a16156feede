"""Lines of results -> pages of the documentation, figures, and the numbers of other documents."""
