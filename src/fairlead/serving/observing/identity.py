"""Who a request is: its id, and its place in a trace (W3C Trace Context), continued from its headers or made.

Set before a request is answered, so that the answer can say the id; the access log and the traces tell the same one.
"""

from __future__ import annotations

import random
import re
from typing import Final

from fairlead.serving.http.request import Request

__all__ = ["Identity", "identify"]

_SANE: Final = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}").fullmatch
_PARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
).fullmatch


class Identity:
    """Who a request is.

    Attributes:
        request: Its id: the caller's, where that is sane.
        trace: The trace it belongs to, 32 hexadecimal digits.
        span: Its own place there, 16 digits.
        parent: The caller's place; "" where the trace begins here.
        sampled: Whether the caller records the trace; `None` where the trace begins here.
    """

    __slots__ = ("parent", "request", "sampled", "span", "trace")

    def __init__(self, request: str, trace: str, span: str, parent: str, *, sampled: bool | None) -> None:
        self.request = request
        self.trace = trace
        self.span = span
        self.parent = parent
        self.sampled = sampled


def identify(request: Request) -> bytes:
    """Set the request's identity (a `Lane.identify`).

    Returns:
        The header that tells the caller its request's id.
    """
    said = parent = None
    for name, value in request.headers:
        if len(name) == 12 and name.lower() == b"x-request-id":
            said = value
        elif len(name) == 11 and name.lower() == b"traceparent":
            parent = _continued(value)
    made = "%048x" % random.getrandbits(192)  # noqa: UP031 - a name, no secret; twice as quick
    trace, before, sampled = parent or (made[:32], "", None)
    own = said.decode() if said is not None and _SANE(said) else made[:32]
    request.identity = Identity(own, trace, made[32:], before, sampled=sampled)
    return b"x-request-id: %b\r\n" % own.encode()


def _continued(value: bytes) -> tuple[str, str, bool] | None:
    """The trace, the caller's span and whether it is recorded; `None` where the header is not as the standard has it."""
    found = _PARENT(value)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return found[2].decode(), found[3].decode(), bool(int(found[4], 16) & 1)
