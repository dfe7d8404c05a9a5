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
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Final, NamedTuple

import msgspec

from fairlead.errors import NotFound
from fairlead.events import OUTSIDE, PINNED, Exposure
from fairlead.routing.slots import SLOTS, expand, unit_of
from fairlead.routing.table import Audience, Endpoint
from fairlead.schema import Row

__all__ = ["NOBODY", "PIN", "Caller", "Choice", "Chooser"]

PIN: Final = b"fairlead-variant"
"""The header by which a request names the variant that shall answer it."""

_Header = Callable[[bytes], bytes | None]


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


class Choice(NamedTuple):
    """Which variant answers, and in which way the request came to it.

    Attributes:
        variant: Its place among the endpoint's variants.
        unit: What stands for the key in the records; `None` where the request stands for itself.
        exposure: "" where it was assigned; other ways stay out of every analysis.
    """

    variant: int
    unit: str | None
    exposure: Exposure


_STABLE: Final = Choice(0, None, "")
_OUTSIDE: Final = Choice(0, None, OUTSIDE)


class Chooser:
    """Chooses among an endpoint's variants.

    Args:
        endpoint: Its variants, their slots, and by what requests are assigned.
        columns: The names of the columns, in the order of a row.
    """

    def __init__(self, endpoint: Endpoint, columns: Sequence[str]) -> None:
        places = {variant.name: place for place, variant in enumerate(endpoint.variants)}
        self._endpoint = endpoint.name
        self._places = places
        self._slots = bytes(places.get(name, 0) for name in expand(endpoint.division)) or bytes(SLOTS)
        self._undivided = not any(self._slots)
        self._salt = bytes.fromhex(endpoint.salt)
        self._by = endpoint.assignment.by
        self._name = endpoint.assignment.name.encode("latin-1", "replace").lower()
        self._cookie = endpoint.assignment.name
        self._fallback = endpoint.assignment.fallback
        self._key_column = _place(columns, endpoint.assignment.name) if self._by == "column" else -1
        self._audience = endpoint.audience
        asked = endpoint.audience.name if endpoint.audience and endpoint.audience.by == "column" else ""
        self._audience_column = _place(columns, asked) if asked else -1
        self.by_row = self._key_column >= 0 or self._audience_column >= 0
        """Whether the rows of one request may come to different variants."""

    def caller(self, header: _Header) -> Caller:
        """What a request's header says of who asks.

        Args:
            header: The value of the header of a lower-case name.
        """
        pinned = header(PIN)
        inside = self._inside(header)
        if self._by == "header":
            key = header(self._name) or None
        elif self._by == "cookie":
            key = _cookie(header(b"cookie"), self._cookie)
        else:
            key = None
        if pinned is None and key is None and inside:
            return NOBODY
        return Caller(key, pinned.decode("latin-1") if pinned else "", inside)

    def choose(self, caller: Caller, row: Row) -> Choice:
        """The variant for one row.

        Raises:
            NotFound: The request names a variant that there is not.
        """
        if caller.pinned:
            return self._pinned(caller.pinned)
        if self._undivided:
            return _STABLE
        if not caller.inside or (self._audience_column >= 0 and not self._welcome(row)):
            return _OUTSIDE
        key = caller.key if self._key_column < 0 else _key_of(row[self._key_column])
        if key is not None:
            unit = unit_of(self._salt, key)
            return Choice(self._slots[unit % SLOTS], f"{unit:016x}", "")
        if self._by != "request" and self._fallback == "stable":
            return _OUTSIDE
        return Choice(self._slots[int(random.random() * SLOTS)], None, "")  # noqa: S311 - nothing to guess

    def _pinned(self, name: str) -> Choice:
        place = self._places.get(name)
        if place is None:
            known = ", ".join(self._places)
            raise NotFound(
                f"The endpoint {self._endpoint!r} has no variant {name[:64]!r}.",
                hint=f"It has {known}; leave {PIN.decode()} out to be assigned.",
            )
        return Choice(place, None, PINNED)

    def _inside(self, header: _Header) -> bool:
        audience = self._audience
        if audience is None or audience.by != "header":
            return True
        found = header(audience.name.lower().encode("latin-1", "replace"))
        return found is not None and found.decode("latin-1") in audience.values

    def _welcome(self, row: Row) -> bool:
        audience: Audience | None = self._audience
        return audience is None or row[self._audience_column] in audience.values


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
