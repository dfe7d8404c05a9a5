"""A model sealed as a folder."""
