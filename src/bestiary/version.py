"""The version of bestiary."""

VERSION = "0.1.0"
