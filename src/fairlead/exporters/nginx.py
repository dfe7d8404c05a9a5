"""The nginx site: TLS, one name, the service's own limits, connections that are kept, static files without the service.

nginx's limits are the service's or a little tighter, so that what is refused is refused at the edge, and so that of two
that keep a connection nginx is the one that closes it: a request is never sent into a connection that is just being closed.

Where the service speaks gRPC, nginx does so on the same port: HTTP/2 with TLS, each call passed on by its path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fairlead.exporters.grammar import nginx_text
from fairlead.exporters.serviceoptions import ServiceOptions

__all__ = ["site"]

_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_EDGE_SECONDS: Final = 5.0
"""How much longer than the service nginx waits for an answer: the service's own refusal says more than a 504 of nginx."""

_STREAM_SECONDS: Final = 3600.0
"""How long a stream may be silent: one that watches our health says nothing as long as nothing changes."""

_CALLS: Final = ("/inference.GRPCInferenceService/", "/grpc.health.v1.Health/")
_STREAMS: Final = (
    "= /inference.GRPCInferenceService/ModelStreamInfer",
    "= /grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)


def site(options: ServiceOptions, static: Path) -> str:
    """The site's file.

    Args:
        options: What it says.
        static: The folder whose `assets` nginx serves.

    Raises:
        InvalidInput: A value cannot stand in it.
    """
    return f"""# Made by `fairlead export service`; copy it to /etc/nginx/conf.d/.

upstream {options.name} {{
    # The only server is never held for dead: a moment after a restart it is back.
    server {_address(options.near_host)}:{options.port} max_fails=0;
    keepalive 64;
    keepalive_requests 100000;
    keepalive_timeout {_milliseconds(options.idle_timeout * 0.8)};
}}
{_grpc_upstream(options)}{_redirect(options)}
server {{
    listen {options.https_port} ssl{_http2(options)};
    listen [::]:{options.https_port} ssl{_http2(options)};
    server_name {options.server_name};
    server_tokens off;

    ssl_certificate {nginx_text(options.certificate)};
    ssl_certificate_key {nginx_text(options.key)};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:{options.name}:2m;
    ssl_session_timeout 1d;
    ssl_session_tickets off;

    # The service's own limits.
    client_max_body_size {options.max_body};
    client_header_timeout {_milliseconds(options.header_timeout)};
    client_body_timeout {_milliseconds(options.body_timeout)};
    send_timeout {_milliseconds(options.write_timeout)};
    keepalive_timeout {_milliseconds(options.idle_timeout)};
    large_client_header_buffers 4 8k;

    # Another name is somebody who was led here.
    if ($host != {options.server_name}) {{
        return 421;
    }}

    location / {{
        proxy_pass http://{options.name};
        {_PROXY.strip()}
        proxy_set_header Host {options.public_host};
        proxy_read_timeout {_milliseconds(options.request_deadline + _EDGE_SECONDS)};
    }}
{_grpc_locations(options)}
    # Their names hold their digests, so a browser may keep them for ever; what is not here yet is the service's.
    location /assets/ {{
        root {nginx_text(str(static))};
        try_files $uri @{options.name};
        add_header Cache-Control {nginx_text(_IMMUTABLE)};
{_headers(options)}    }}

    location @{options.name} {{
        proxy_pass http://{options.name};
        {_PROXY.strip()}
        proxy_set_header Host {options.public_host};
    }}
}}
"""


_PROXY: Final = """
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_connect_timeout 2s;"""


def _http2(options: ServiceOptions) -> str:
    """As a parameter every nginx understands it; from 1.25.1 on it is rather a directive of its own, and this gets a warning."""
    return "" if options.grpc_port is None else " http2"


def _grpc_upstream(options: ServiceOptions) -> str:
    if options.grpc_port is None:
        return ""
    return f"""
upstream {options.name}_grpc {{
    server {_address(options.near_host)}:{options.grpc_port} max_fails=0;
    keepalive 64;
    keepalive_requests 100000;
    keepalive_timeout {_milliseconds(options.idle_timeout * 0.8)};
}}
"""


def _grpc_locations(options: ServiceOptions) -> str:
    """The calls. How large a message may be is the service's to say: a stream has no end, and a refusal of nginx no status."""
    if options.grpc_port is None:
        return ""
    deadline = options.request_deadline + _EDGE_SECONDS
    return "".join(
        f"""
    location {path} {{
        grpc_pass grpc://{options.name}_grpc;
        grpc_set_header Host {options.public_host};
        grpc_set_header X-Forwarded-For $remote_addr;
        grpc_set_header X-Forwarded-Proto $scheme;
        grpc_connect_timeout 2s;
        grpc_read_timeout {_milliseconds(_STREAM_SECONDS if stream else deadline)};
        client_max_body_size 0;
        client_body_timeout {_milliseconds(_STREAM_SECONDS if stream else options.body_timeout)};
    }}
"""
        for paths, stream in ((_CALLS, False), (_STREAMS, True))
        for path in paths
    )


def _redirect(options: ServiceOptions) -> str:
    if not options.http_port:
        return ""
    return f"""
server {{
    listen {options.http_port};
    listen [::]:{options.http_port};
    server_name {options.server_name};
    server_tokens off;
    return 301 https://{options.public_host}$request_uri;
}}
"""


def _headers(options: ServiceOptions) -> str:
    return "".join(
        f"        add_header {name} {nginx_text(value)} always;\n" for name, value in options.headers.items()
    )


def _address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
