"""Results -> charts: each with its finding as title, a note with n and interval, and its rows."""
