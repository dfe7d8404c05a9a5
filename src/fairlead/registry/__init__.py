"""Versions, aliases, audit: what exists and who changed it."""
