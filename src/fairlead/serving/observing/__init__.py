"""What operators see of a gateway: metrics, access log, traces."""
