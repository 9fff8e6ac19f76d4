"""Plugins: found, kept apart from each other, looked up by name."""
