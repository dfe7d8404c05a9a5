"""Alerts: what a person should hear of, told where they are."""
