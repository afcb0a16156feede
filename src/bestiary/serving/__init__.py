"""An ensemble -> an HTTP service with a page for people and an API for programs."""
