"""How what an endpoint serves is changed."""
