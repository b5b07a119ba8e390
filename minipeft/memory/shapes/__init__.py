"""Architectures that are here for planning memory only: true sizes and true layers, and never any weights."""
