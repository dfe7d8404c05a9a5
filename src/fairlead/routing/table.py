"""The routing table: which versions answer at which endpoint, and how its traffic is divided among them.

It is plain data and moves as a whole: a change is a new table with the next revision. The control half writes it, the
request half obeys it, and neither knows how the other works.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fairlead.errors import BadReference
from fairlead.refs import check_name
from fairlead.routing.slots import SLOTS, Run, counts_of
from fairlead.schema import Value

__all__ = [
    "RESERVED",
    "SLOTS",
    "Assignment",
    "Audience",
    "Endpoint",
    "Mirror",
    "RoutingTable",
    "Variant",
    "check_endpoint",
]

RESERVED = frozenset(
    {"assets", "cases", "console", "docs", "feedback", "health", "invocations", "livez", "metrics", "openapi.json"}
    | {"ping", "predict", "readyz", "status", "v1", "v2", "version"}
)
"""Names that are paths of the service itself."""


class Variant(msgspec.Struct, frozen=True):
    """One arm of an endpoint's traffic.

    Attributes:
        name: "stable", "candidate", or a name of the user's.
        model: The version that answers, "flights:3".
        digest: The digest of its bundle.
        slots: How many of the endpoint's 10,000 slots it has; with 0 it is loaded and warm, and only pinned requests reach it.
    """

    name: str
    model: str
    digest: str
    slots: int = SLOTS


class Mirror(msgspec.Struct, frozen=True):
    """A shadow: it is asked what others have answered, and nobody gets its answers.

    Attributes:
        name: Of the variant that stands in the shadow.
        model: Its version, "flights:4".
        digest: The digest of its bundle.
        percent: How much of the endpoint's traffic it is asked.
    """

    name: str
    model: str
    digest: str
    percent: float = 100.0


class Assignment(msgspec.Struct, frozen=True):
    """By what a request is assigned to a variant.

    Attributes:
        by: A header, a cookie or a column keeps those who share its value with one variant; "request": each for itself.
        name: Of the header, the cookie or the column.
        fallback: What becomes of a request without that value: it is assigned for itself, or it gets the stable variant and
            stays out of the analysis.
    """

    by: Literal["request", "header", "cookie", "column"] = "request"
    name: str = ""
    fallback: Literal["request", "stable"] = "request"


class Audience(msgspec.Struct, frozen=True):
    """Whom a rollout is for. All others get the stable variant and stay out of the analysis.

    Attributes:
        by: What is looked at.
        name: Of the header or the column.
        values: One of them it must be.
    """

    by: Literal["header", "column"]
    name: str
    values: tuple[Value, ...]


class Endpoint(msgspec.Struct, frozen=True):
    """A public name that receives requests, and who answers them.

    Attributes:
        name: The name.
        variants: The stable one first.
        division: Which variant has which slots, where there are several.
        salt: Divides the keys, in hex; each rollout draws its own.
        assignment: By what a request is assigned.
        audience: Whom the variants beside the stable one are for; everybody where it is `None`.
        mirrors: The shadows.
        dark: Whether people decide here: the model answers, and its answers are recorded and not given.
        since: The revision of the routing table in which this endpoint last changed.
    """

    name: str
    variants: tuple[Variant, ...]
    division: tuple[Run, ...] = ()
    salt: str = ""
    assignment: Assignment = Assignment()
    audience: Audience | None = None
    mirrors: tuple[Mirror, ...] = ()
    dark: bool = False
    since: int = 0

    @property
    def stable(self) -> Variant:
        """The variant that answers where nothing else is said."""
        return self.variants[0]

    def variant(self, name: str) -> Variant | None:
        """The variant of this name, `None` where there is none."""
        return next((one for one in self.variants if one.name == name), None)

    def divided(self, division: tuple[Run, ...]) -> Endpoint:
        """The same endpoint with its slots divided like this."""
        counts = counts_of(division)
        variants = tuple(msgspec.structs.replace(one, slots=counts.get(one.name, 0)) for one in self.variants)
        return msgspec.structs.replace(self, variants=variants, division=division)


class RoutingTable(msgspec.Struct, frozen=True):
    """What is served.

    Attributes:
        revision: 1, 2, 3, …; 0 is the empty table of a new installation.
        endpoints: By name.
        secret: Seals the ids of predictions, in hex; drawn when the table is first written, and told to nobody.
    """

    revision: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    secret: str = ""

    def endpoint(self, name: str) -> Endpoint | None:
        """The endpoint of this name, `None` where there is none."""
        return next((endpoint for endpoint in self.endpoints if endpoint.name == name), None)

    def with_endpoint(self, endpoint: Endpoint) -> RoutingTable:
        """The next revision of the table, in which `endpoint` stands new or in place of the one of its name."""
        revision = self.revision + 1
        changed = msgspec.structs.replace(endpoint, since=revision)
        others = tuple(other for other in self.endpoints if other.name != endpoint.name)
        return RoutingTable(revision, tuple(sorted((*others, changed), key=lambda one: one.name)), self.secret)

    def without_endpoint(self, name: str) -> RoutingTable:
        """The next revision of the table, without the endpoint of this name."""
        others = tuple(other for other in self.endpoints if other.name != name)
        return RoutingTable(self.revision + 1, others, self.secret)

    def undivided(self) -> RoutingTable:
        """The same table with the stable variants alone, each with all of its endpoint's traffic."""
        alone = tuple(
            msgspec.structs.replace(
                one, variants=(msgspec.structs.replace(one.stable, slots=SLOTS),), division=(), mirrors=()
            )
            for one in self.endpoints
        )
        return msgspec.structs.replace(self, endpoints=alone)

    def variants(self) -> tuple[Variant, ...]:
        """The variants of all endpoints."""
        return tuple(variant for endpoint in self.endpoints for variant in endpoint.variants)

    def mirrors(self) -> tuple[Mirror, ...]:
        """The shadows of all endpoints."""
        return tuple(mirror for endpoint in self.endpoints for mirror in endpoint.mirrors)

    def digests(self) -> tuple[str, ...]:
        """The bundles that it needs, each once."""
        found = [one.digest for one in self.variants()] + [one.digest for one in self.mirrors()]
        return tuple(dict.fromkeys(found))


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
