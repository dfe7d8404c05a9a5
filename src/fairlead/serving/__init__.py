"""The doors of the request half, and the processes that keep them open."""
