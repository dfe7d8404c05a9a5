"""What a mounted endpoint is asked and what it says, before ASGI or WSGI dress it: both speak the same words.

A request's path is what is left of it after the mount: `/` is asked with rows, `/schema` tells what a row looks like, `/metrics`
what was counted.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, cast

import msgspec

from fairlead.answer import Answer
from fairlead.errors import FairleadError, NotFound, TooLarge
from fairlead.serving.http import problems
from fairlead.serving.live import LiveEndpoint

__all__ = ["LARGE", "Asked", "Gone", "Reply", "answered", "asked", "check_length", "described", "refused"]

LARGE: Final = 64 * 1024
"""A longer body is read away from the event loop, and counted."""

_SHOWN: Final = 80
_PLACES: Final[dict[str, Asked]] = {"": "predict", "/": "predict", "/schema": "schema", "/metrics": "metrics"}
_encode = msgspec.json.Encoder().encode

Asked = Literal["predict", "schema", "metrics"]


class Gone(Exception):
    """The client left before its request was whole."""


class Reply(NamedTuple):
    """An answer, whole."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Every header, with those of the body."""
        return [("content-type", self.content_type), ("content-length", str(len(self.body))), *self.headers]


def asked(method: str, path: str) -> Asked:
    """What a request wants.

    Args:
        method: Of the request.
        path: Its path below the mount.

    Raises:
        NotFound: There is nothing at this path.
        MethodNotAllowed: It is not asked this way.
    """
    wanted = _PLACES.get(path)
    if wanted is None:
        raise NotFound(f"There is nothing at {path[:_SHOWN]!r}.", hint="POST rows to '/', or GET '/schema'.")
    if wanted == "predict":
        hint = "POST a row, an array of rows or CSV; GET schema, beside it, tells the columns."
        _check_method(method, ("POST",), hint)
    else:
        _check_method(method, ("GET", "HEAD"), "This is asked with GET.")
    return wanted


def _check_method(method: str, allowed: tuple[str, ...], hint: str) -> None:
    if method not in allowed:
        raise problems.method_not_allowed(method[:20].encode("ascii", "replace"), ", ".join(allowed), hint)


def check_length(length: int, limit: int) -> None:
    """Refuse a body that is too long.

    Raises:
        TooLarge: It is.
    """
    if length > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.", hint="Send the rows in parts.", limit=limit)


def answered(found: list[Answer], *, single: bool) -> Reply:
    """The answers; a single row's is not in a list."""
    return Reply(200, _encode(found[0] if single else found))


def described(live: LiveEndpoint) -> Reply:
    """What a row looks like, with one of the model's own samples."""
    example = dict(zip(live.schema.names, live.samples.rows[0], strict=True))
    told = {"endpoint": live.name, "model": live.model, "schema": live.schema, "example": example}
    return Reply(200, _encode(told), headers=(("cache-control", "no-store"),))


def refused(error: FairleadError) -> Reply:
    """An error as problem details; when to come again, or how else to ask, stands in a header."""
    status, body, content_type = problems.told(error)
    headers: tuple[tuple[str, str], ...] = ()
    if (retry := error.values.get("retry_after")) is not None:
        headers = (("retry-after", str(max(1, round(cast("float", retry))))),)
    elif (allow := error.values.get("allow")) is not None:
        headers = (("allow", str(allow)),)
    elif (challenge := error.values.get("authenticate")) is not None:
        headers = (("www-authenticate", str(challenge)),)
    return Reply(status, body, content_type.decode(), headers)
