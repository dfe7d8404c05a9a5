"""The processes of a running service: gateways, their supervisor, delivery."""
