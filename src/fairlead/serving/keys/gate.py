"""The gate: asked before any handler, for every request of a port. What it does not know to be allowed is refused.

```
 addressed to us? ──▶ from another site's page? ──▶ public? ──▶ a token that may ──▶ handler
      421                      403                                401 403 429
```

The first two look at every path, health too: a browser that was led here under a foreign name (DNS rebinding) learns nothing,
and changes nothing in its visitor's name. `X-Forwarded-Host` is never believed, since everybody can send it.

As long as there is no token, this machine alone may ask. A proxy on this machine also comes from loopback, and with it the
world; so a request that a proxy left its mark on, or that is addressed to another name than loopback's, is the world's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from fairlead.errors import FairleadError, Forbidden, InvalidInput
from fairlead.serving.http.lane import Connection
from fairlead.serving.http.problems import MisdirectedRequest
from fairlead.serving.http.request import Request
from fairlead.serving.keys.keyring import Keyring, Need
from fairlead.serving.keys.proxies import FORWARDED
from fairlead.tokens import Scope

__all__ = ["PUBLIC", "Gate", "Hosts", "is_loopback", "public_need"]

PUBLIC: Final = frozenset(
    {"/livez", "/readyz", "/health", "/ping", "/v2/health/live", "/v2/health/ready", "/favicon.ico"}
)
"""Open to everybody who addresses us: whether we live, and an icon. Below `/assets/` lie files of ours, no data."""

_WHOLE: Final = {
    "/metrics": Need("read"),
    "/invocations": Need("predict", reach="meant"),
    "/version": Need("predict", reach="service"),
    "/v2": Need("predict", reach="service"),
}
"""Paths that are looked up as a whole."""

_ASSETS: Final = "/assets/"
_SAFE: Final = frozenset({b"GET", b"HEAD"})
_READ: Final = frozenset({b"host", b"origin", b"authorization", b"sec-fetch-site"}) | FORWARDED
_SIZES: Final = frozenset(map(len, _READ))
_REMEMBERED: Final = 4096

Needs = Callable[[bytes, str], Need | None]
"""What a request needs, by its method and its path as it reads without percent signs; `None` is public."""

Meant = Callable[[Request], str | None]
"""The endpoint that a request means whose address names none."""


def _meant_nowhere(_: Request) -> None:
    """Where no address leaves the endpoint open."""


class Gate:
    """One port's gate (a `lane.gate`).

    Args:
        keyring: Who may what.
        hosts: What the port is called.
        needs: What each path needs.
        meant: Which endpoint a request means whose address names none.
    """

    def __init__(self, keyring: Keyring, hosts: Hosts, needs: Needs, *, meant: Meant = _meant_nowhere) -> None:
        self._keyring = keyring
        self._hosts = hosts
        self._needs = needs
        self._meant = meant
        self._found: dict[tuple[bytes, bytes], Need | None] = {}

    def __call__(self, connection: Connection, request: Request) -> FairleadError | None:
        """The error to answer instead of the request, `None` where it may pass."""
        told: dict[bytes, bytes] = {}
        for name, value in request.headers:
            if len(name) in _SIZES and (low := name.lower()) in _READ:
                if low in told and low not in FORWARDED:
                    return _twice(low)
                told[low] = value
        host = told.get(b"host")
        if host is None or not self._hosts.hold(host, connection):
            return _misdirected()
        if len(told) > 1 and request.method not in _SAFE and _foreign(told, host):
            return Forbidden("This was sent by another site's page.", hint="Ask from a program, or from our own page.")
        key = (request.method, request.url)
        need = self._found.get(key, _UNKNOWN)
        if need is _UNKNOWN:
            if not request.url.startswith(b"/"):
                return _misdirected()
            need = self._remember(key)
        if need is None:
            return None
        if need.reach == "meant":
            need = Need(need.scope, self._meant(request), "meant")
        local = self._keyring.is_open and (len(told) == 1 or FORWARDED.isdisjoint(told)) and self._hosts.is_here(host)
        return self._keyring.admit(told.get(b"authorization"), need, local=local)

    def _remember(self, key: tuple[bytes, bytes]) -> Need | None:
        if len(self._found) >= _REMEMBERED:
            self._found.clear()
        path = unquote_to_bytes(key[1].partition(b"?")[0]).decode("utf-8", "replace")
        need = self._found[key] = self._needs(key[0], path)
        return need


_UNKNOWN: Final = Need("admin")
"""Not looked up yet; compared by identity."""


class Hosts:
    """What a port is called: the address that a client reached, on loopback `localhost` too, and what the operator allows.

    The comparison is exact, port and all. A port that is open on all addresses compares with the one that this very connection
    came to: it answers a probe by IP, and to no name.

    Args:
        host: The address that is listened on.
        port: The port.
        allowed: Further hosts, as they stand in a request: "models.example.org", "models.example.org:8443".
    """

    def __init__(self, host: str, port: int, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(one.strip().lower().encode() for one in allowed)
        self._everywhere = host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        self._here: frozenset[bytes] = frozenset()
        if not self._everywhere:
            names = _names("127.0.0.1" if host == "localhost" else host, port)
            self._allowed |= names
            self._here = names if is_loopback(host) else self._here

    def hold(self, host: bytes, connection: Connection) -> bool:
        """Whether a request with this `Host` is addressed to us."""
        if host in self._allowed or host.lower() in self._allowed:
            return True
        return self._everywhere and (server := connection.server) is not None and host.lower() in _names(*server)

    def is_here(self, host: bytes) -> bool:
        """Whether this `Host` is a name by which nobody but this machine can reach us."""
        return host in self._here or host.lower() in self._here


def public_need(method: bytes, path: str) -> Need | None:
    """What a path of the public port needs. Pure.

    Whatever changes what is served needs `deploy`, and what stands in no line here needs `admin`, unless it only reads.
    """
    if path in PUBLIC or (path.startswith(_ASSETS) and method in _SAFE):
        return None
    if (whole := _WHOLE.get(path)) is not None:
        return whole
    parts = path[1:].split("/")
    first, second = parts[0], parts[1] if len(parts) > 1 else ""
    match first:
        case "predict" | "cases":
            return Need("predict", second)
        case "feedback":
            return Need("feedback", second)
        case "v1" | "v2" if second == "models":
            return Need("predict", _model_of(parts[2:]))
        case "v2" if second == "repository":
            return _repository_need(parts[2:])
        case "v1" | "v2" | "invocations" | "version" | "docs" | "openapi.json" | "":
            return Need("predict")
    if len(parts) == 1 or (len(parts) == 2 and second in {"answers.csv", "template.csv", "feedback"}):
        return Need("predict", first)
    return Need("predict" if method in _SAFE else "admin")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Raises:
        InvalidInput: It is no IP address.
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as err:
        raise InvalidInput(
            f"{host!r} is not an IP address.", hint="Use 127.0.0.1, or an address of this machine."
        ) from err


def _model_of(parts: list[str]) -> str | None:
    """The endpoint in `flights`, `flights:predict`, `flights/versions/3/infer`; none in a list or in everybody's counts."""
    name = parts[0].partition(":")[0] if parts else ""
    return None if not name or (name == "stats" and len(parts) == 1) else name


def _repository_need(parts: list[str]) -> Need:
    if parts == ["index"]:
        return Need("predict")
    scope: Scope = "deploy"
    return Need(scope, parts[1] if len(parts) > 1 and parts[0] == "models" else None)


def _names(host: str, port: int) -> frozenset[bytes]:
    """What a service at an address is called in a request."""
    address = ipaddress.ip_address(host.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    names = ["127.0.0.1", "localhost", "[::1]"] if address.is_loopback else []
    names.append(f"[{address}]" if address.version == 6 else str(address))
    told = {f"{name}:{port}" for name in names} | ({*names} if port == 80 else set())
    return frozenset(name.encode() for name in told)


def _foreign(told: Mapping[bytes, bytes], host: bytes) -> bool:
    """Whether a browser says that this comes from elsewhere; programs say nothing and may pass."""
    if (site := told.get(b"sec-fetch-site")) is not None:
        return site not in {b"same-origin", b"none"}
    origin = told.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != host


def _twice(name: bytes) -> FairleadError:
    if name == b"host":
        return _misdirected()
    return InvalidInput(f"The header {name.decode()!r} stands twice in the request.", hint="Send it once.")


def _misdirected() -> MisdirectedRequest:
    return MisdirectedRequest(
        "The request is not addressed to this service.",
        hint="Use the address it listens on; the operator adds names to the setting `allowed_hosts`.",
    )
