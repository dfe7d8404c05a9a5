"""Who gets which variant: a caller and a row in, a variant out.

It is asked for every request of an endpoint with several variants, so what can be worked out beforehand is: the slots stand in
10,000 bytes, and what a caller says of itself is read from the header once.

```
header ──▶ Caller (key, pinned, inside) ──┐
                                          ├──▶ Choice (variant, unit, exposure)
row ───── key or audience by a column ────┘
```
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Final

import msgspec

from fairlead.errors import NotFound
from fairlead.events import OUTSIDE, PINNED, Exposure
from fairlead.routing.slots import SLOTS, Divider, expand
from fairlead.routing.table import Endpoint
from fairlead.schema import Row

__all__ = ["NOBODY", "PIN", "Caller", "Choice", "Chooser", "Headers"]

PIN: Final = b"fairlead-variant"
"""The header by which a request names the variant that shall answer it."""

Headers = Iterable[tuple[bytes, bytes]]
"""The lines of a request's header."""


class Caller(msgspec.Struct, frozen=True, gc=False):
    """What a request says of who asks.

    Attributes:
        key: The value of the header or the cookie that it is assigned by.
        pinned: The variant that it names.
        inside: Whether it belongs to the audience, as far as its header says.
    """

    key: bytes | None = None
    pinned: str = ""
    inside: bool = True


NOBODY: Final = Caller()
"""A caller who says nothing."""


class Choice(msgspec.Struct, frozen=True, gc=False):
    """Which variant answers, and in which way the request came to it.

    Attributes:
        variant: Its place among the endpoint's variants.
        unit: What stands for the key in the records; `None` where the request stands for itself.
        exposure: "" where it was assigned; other ways stay out of every analysis.
    """

    variant: int
    unit: str | None
    exposure: Exposure


_REMEMBERED: Final = 10_000
"""Keys whose choice is remembered; when there are more, all are forgotten, so that no caller can fill the memory."""

_LONGEST_REMEMBERED: Final = 256
"""Bytes of a key that is remembered."""

_STRANGER: Final = Caller(inside=False)
_STABLE: Final = Choice(0, None, "")
_OUTSIDE: Final = Choice(0, None, OUTSIDE)


class Chooser:
    """Chooses among an endpoint's variants.

    Args:
        endpoint: Its variants, their slots, and by what requests are assigned.
        columns: The names of the columns, in the order of a row.
    """

    def __init__(self, endpoint: Endpoint, columns: Sequence[str]) -> None:
        assignment, audience = endpoint.assignment, endpoint.audience
        self._endpoint = endpoint.name
        self._places = {variant.name: place for place, variant in enumerate(endpoint.variants)}
        self._slots = bytes(self._places.get(name, 0) for name in expand(endpoint.division)) or bytes(SLOTS)
        self.divided = any(self._slots)
        """Whether variants beside the first get anything."""
        self._own = tuple(Choice(place, None, "") for place in range(len(endpoint.variants)))
        self._divide = Divider(bytes.fromhex(endpoint.salt)).place
        # Hashing a key costs more than all the rest; who has asked once mostly asks again.
        self._known: dict[bytes, Choice] = {}
        self._by = assignment.by
        self._name = assignment.name
        self._fallback = assignment.fallback
        self._key_column = _place(columns, assignment.name) if assignment.by == "column" else -1
        self._key_header = _header(assignment.name) if assignment.by == "header" else b"cookie"
        self._welcomed = frozenset(audience.values) if audience is not None else frozenset()
        self._inside = _header(audience.name) if audience is not None and audience.by == "header" else None
        self._audience_column = -1
        if audience is not None and audience.by == "column":
            self._audience_column = _place(columns, audience.name)
        told = self._key_header if assignment.by in {"header", "cookie"} else PIN
        self._wanted = frozenset({PIN, told, self._inside or PIN})
        self._lengths = frozenset(len(name) for name in self._wanted)
        self.by_row = self._key_column >= 0 or self._audience_column >= 0
        """Whether the rows of one request may come to different variants."""

    def caller(self, headers: Headers) -> Caller:
        """What a request's header says of who asks."""
        found: dict[bytes, bytes] | None = None
        for name, value in headers:
            if len(name) in self._lengths and (lower := name.lower()) in self._wanted:
                found = found or {}
                found.setdefault(lower, value)
        if found is None:
            return NOBODY if self._inside is None else _STRANGER
        pinned, key = found.get(PIN, b""), None
        if self._by == "header":
            key = found.get(self._key_header) or None
        elif self._by == "cookie":
            key = _cookie(found.get(b"cookie"), self._name)
        inside = self._inside is None or found.get(self._inside, b"").decode("latin-1") in self._welcomed
        return Caller(key, pinned.decode("latin-1"), inside)

    def choose(self, caller: Caller, row: Row) -> Choice:
        """The variant for one row.

        Raises:
            NotFound: The request names a variant that there is not.
        """
        if caller.pinned:
            return self._pinned(caller.pinned)
        if not self.divided:
            return _STABLE
        if not caller.inside or (self._audience_column >= 0 and not self._welcome(row)):
            return _OUTSIDE
        key = caller.key if self._key_column < 0 else _key_of(row[self._key_column])
        if key is not None:
            return self._known.get(key) or self._divided_by(key)
        if self._by != "request" and self._fallback == "stable":
            return _OUTSIDE
        return self._own[self._slots[int(random.random() * SLOTS)]]  # noqa: S311 - nothing to guess

    def _divided_by(self, key: bytes) -> Choice:
        unit, slot = self._divide(key)
        found = Choice(self._slots[slot], unit, "")
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        if len(key) <= _LONGEST_REMEMBERED:
            self._known[key] = found
        return found

    def _pinned(self, name: str) -> Choice:
        place = self._places.get(name)
        if place is None:
            known = ", ".join(self._places)
            raise NotFound(
                f"The endpoint {self._endpoint!r} has no variant {name[:64]!r}.",
                hint=f"It has {known}; leave {PIN.decode()} out to be assigned.",
            )
        return Choice(place, None, PINNED)

    def _welcome(self, row: Row) -> bool:
        return row[self._audience_column] in self._welcomed


def _header(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")


def _place(columns: Sequence[str], name: str) -> int:
    return columns.index(name) if name in columns else -1


def _key_of(value: object) -> bytes | None:
    return None if value is None else str(value).encode("utf-8", "surrogatepass")


def _cookie(header: bytes | None, name: str) -> bytes | None:
    """The value of a cookie; a header that is no list of cookies has none."""
    if header is None:
        return None
    try:
        found = SimpleCookie(header.decode("latin-1")).get(name)
    except CookieError:
        return None
    return found.value.encode("latin-1") or None if found is not None else None
