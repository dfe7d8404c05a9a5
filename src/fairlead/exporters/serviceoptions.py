"""What the files of a service say: what the operator asks for, and what is known of the installation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

__all__ = ["ServiceOptions"]

_USER: Final = r"^[a-z_][a-z0-9_-]{0,31}\Z"
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = rf"^(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z"
_PORT: Final = 65535
_LIMITS: Final = (
    "max_body",
    "header_timeout",
    "body_timeout",
    "write_timeout",
    "idle_timeout",
    "request_deadline",
    "drain",
)


class ServiceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the files say."""

    server_name: Annotated[
        str, Meta(pattern=_HOST, description="The name under which others reach the service, models.example.org.")
    ]
    name: Annotated[str, Meta(description="What unit, program and site are called.")] = "fairlead"
    user: Annotated[str, Meta(pattern=_USER, description="The user that the service runs as.")] = "fairlead"
    tls_cert: Annotated[
        str, Meta(description="The certificate with its chain; by default where certbot puts it for the server's name.")
    ] = ""
    tls_key: Annotated[str, Meta(description="The certificate's key; by default beside it, as certbot does.")] = ""
    https_port: Annotated[int, Meta(ge=1, le=_PORT, description="The port that nginx serves.")] = 443
    http_port: Annotated[
        int, Meta(ge=0, le=_PORT, description="The port from which nginx redirects to HTTPS; 0 for none.")
    ] = 80

    host: str
    port: int
    grpc_port: int | None
    home: Path
    folder: Path
    command: tuple[str, ...]
    allowed_hosts: str
    trusted_proxies: str
    assets: Mapping[str, bytes]
    headers: Mapping[str, str]
    max_body: int
    header_timeout: float
    body_timeout: float
    write_timeout: float
    idle_timeout: float
    request_deadline: float
    drain: float

    @property
    def certificate(self) -> str:
        """The certificate's file."""
        return self.tls_cert or f"/etc/letsencrypt/live/{self.server_name}/fullchain.pem"

    @property
    def key(self) -> str:
        """The key's file."""
        return self.tls_key or f"/etc/letsencrypt/live/{self.server_name}/privkey.pem"

    @property
    def environment(self) -> dict[str, str]:
        """What the service is told, so that it and nginx agree: the limits, its public name, and whom nginx may speak for."""
        limits = {f"FAIRLEAD_{name.upper()}": str(getattr(self, name)) for name in _LIMITS}
        return {
            "FAIRLEAD_ALLOWED_HOSTS": _joined(self.allowed_hosts, self.public_host),
            "FAIRLEAD_TRUSTED_PROXIES": _joined(self.trusted_proxies, self.near_host),
            **limits,
        }

    @property
    def near_host(self) -> str:
        """Where nginx reaches the service, and comes from: on this machine if the service listens everywhere."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound

    @property
    def public_host(self) -> str:
        """What clients say in `Host`, and what the service is told."""
        return self.server_name if self.https_port == 443 else f"{self.server_name}:{self.https_port}"


def _joined(listed: str, further: str) -> str:
    """A setting's list with one more in it, each once."""
    return ",".join(dict.fromkeys([*(found for one in listed.split(",") if (found := one.strip())), further]))
