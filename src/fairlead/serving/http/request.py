"""One HTTP request, whole, and how much of everything a client may use.

The nouns of the fast lane. Whoever looks at a request, a door, the gate or the access log, knows this and no socket; so a call
of gRPC and a request to a mounted application are told in the same words.
"""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

import msgspec

from fairlead.errors import InvalidInput

__all__ = ["DEADLINE_HEADER", "NEVER", "Limits", "Peer", "Request", "allowed_seconds"]

NEVER: Final = float("inf")
"""A time that does not come."""

DEADLINE_HEADER: Final = b"fairlead-deadline-ms"
"""In which a caller says how long it waits."""


class Limits(msgspec.Struct, frozen=True):
    """How long a client may take and how much it may send. Seconds and bytes."""

    max_body: int = 16 * 2**20
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    write_timeout: float = 30.0
    max_connections: int = 10_000
    max_buffered: int = 256 * 2**20


class Request:
    """One HTTP request, whole."""

    __slots__ = (
        "answered_by",
        "body",
        "code",
        "expires",
        "headers",
        "held",
        "identity",
        "keep_alive",
        "live",
        "method",
        "received",
        "rows",
        "size",
        "status",
        "url",
        "version",
    )

    def __init__(  # noqa: PLR0913 - the seven facts of a request, made in one place
        self,
        method: bytes,
        url: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        *,
        keep_alive: bool,
        version: str,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.version = version
        self.received = time.perf_counter()
        self.status = 0
        """Of the answer, once it was sent."""
        self.size = 0
        """Bytes of the answer's body, once it was sent."""
        self.held = 0
        """How much of the body counts as large."""
        self.expires = NEVER
        """When the caller stops waiting, by `time.perf_counter`."""
        self.rows = 0
        """How many it brought, where a door has read them."""
        self.code = ""
        """Of the answer, where the protocol has words of its own (gRPC): "INVALID_ARGUMENT"."""
        self.live: Any = None
        """The endpoint that answers, where a door has found it: the access log and the traces tell it."""
        self.answered_by = ""
        """The version that answered, where one did: with several variants, only the answer tells."""
        self.identity: Any = None
        """What `Lane.identify` made of it."""

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of this lower-case name."""
        for found, value in self.headers:
            if len(found) == len(name) and found.lower() == name:
                return value
        return None


class Peer(Protocol):
    """Who asks, as far as what looks on needs to know: a connection of the lane, a call of gRPC, another's server."""

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's address."""
        ...


def allowed_seconds(value: bytes) -> float:
    """How long the caller waits, of a `fairlead-deadline-ms`.

    Raises:
        InvalidInput: It is no whole number of milliseconds.
    """
    if not value.isdigit() or len(value) > 9:
        shown = value[:20].decode("ascii", "replace")
        raise InvalidInput(f"fairlead-deadline-ms is {shown!r}; it takes whole milliseconds.")
    return int(value) / 1000
