"""HTTP/1.1 on a socket: the lane, its errors, and the bridge to ASGI applications."""
