"""The routing table: which version answers at which endpoint.

It is plain data and moves as a whole: a change is a new table with the next revision. The control half writes it, the
request half obeys it, and neither knows how the other works.
"""

from __future__ import annotations

import msgspec

from fairlead.errors import BadReference
from fairlead.refs import check_name

__all__ = ["RESERVED", "SLOTS", "Endpoint", "RoutingTable", "Variant", "check_endpoint"]

SLOTS = 10_000
"""An endpoint's traffic is divided in slots; a variant's weight of 1 % is 100 slots."""

RESERVED = frozenset(
    {"assets", "console", "docs", "feedback", "health", "invocations", "livez", "metrics", "openapi.json", "ping"}
    | {"predict", "readyz", "status", "v1", "v2", "version"}
)
"""Names that are paths of the service itself."""


class Variant(msgspec.Struct, frozen=True):
    """One arm of an endpoint's traffic.

    Attributes:
        name: "stable", "candidate", or a name of the user's.
        model: The version that answers, "flights:3".
        digest: The digest of its bundle.
        slots: How many of the endpoint's 10,000 slots it has.
    """

    name: str
    model: str
    digest: str
    slots: int = SLOTS


class Endpoint(msgspec.Struct, frozen=True):
    """A public name that receives requests, and the variants that answer them; their slots add up to `SLOTS`."""

    name: str
    variants: tuple[Variant, ...]


class RoutingTable(msgspec.Struct, frozen=True):
    """What is served. Revision 0 is the empty table of a new installation."""

    revision: int = 0
    endpoints: tuple[Endpoint, ...] = ()

    def endpoint(self, name: str) -> Endpoint | None:
        """The endpoint of this name, `None` where there is none."""
        return next((endpoint for endpoint in self.endpoints if endpoint.name == name), None)

    def with_endpoint(self, endpoint: Endpoint) -> RoutingTable:
        """The next revision of the table, in which `endpoint` stands new or in place of the one of its name."""
        others = tuple(other for other in self.endpoints if other.name != endpoint.name)
        return RoutingTable(self.revision + 1, tuple(sorted((*others, endpoint), key=lambda one: one.name)))

    def variants(self) -> tuple[Variant, ...]:
        """The variants of all endpoints."""
        return tuple(variant for endpoint in self.endpoints for variant in endpoint.variants)


def check_endpoint(name: str) -> str:
    """Return `name` if an endpoint may have it.

    Raises:
        BadReference: It is no legal identifier, or it is a path of the service itself.
    """
    check_name(name, "endpoint")
    if name in RESERVED:
        raise BadReference(
            f"{name!r} cannot be an endpoint: it is a path of the service itself.", hint="Choose another."
        )
    return name
