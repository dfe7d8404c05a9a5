"""What `fairlead.pack` gives back: the version in a few words, for a prompt and for a notebook."""

from __future__ import annotations

from html import escape

import msgspec

from fairlead.bundle.manifest import Attempt, ParityReport, Road

__all__ = ["Packed", "evidence", "road_in_words"]

_ROADS: dict[Road, str] = {
    "ir": "compiled to one node, answered in the gateway",
    "graph": "converted to an ONNX graph, answered in the gateway",
    "worker": "the original as it is, in a process of its own",
}


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """A published version, or what would be one.

    Attributes:
        model: The model's name.
        number: Of the version; `None` where nothing was published.
        digest: Of the bundle.
        road: How it answers.
        parity: Which roads were tried, and the evidence.
        metrics: How good it is.
        alias: The alias that points at it since; empty where none was asked for.
    """

    model: str
    number: int | None
    digest: str
    road: Road
    parity: ParityReport
    metrics: dict[str, float]
    alias: str = ""

    @property
    def ref(self) -> str:
        """The version's name, "flights:3"; the model's where nothing was published."""
        return self.model if self.number is None else f"{self.model}:{self.number}"

    def facts(self) -> list[tuple[str, str]]:
        """What a person wants to know, in pairs of a name and a text."""
        refused = [(f"road {one.road} refused", one.reason) for one in self.parity.attempts if not one.proven]
        return [
            ("version", self.ref if self.number is not None else f"{self.model}, not published"),
            ("alias", f"{self.model}:{self.alias}" if self.alias else ""),
            ("road", f"{self.road}: {road_in_words(self.road)}"),
            *refused,
            *evidence(self.parity),
            *((name, f"{value:.6g}") for name, value in self.metrics.items()),
            ("digest", self.digest),
        ]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {text}" for name, text in evidence(self.parity))
        return f"<fairlead version {self.ref}, road {self.road!r}, {shown}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in self.facts()
            if text
        )
        return f"<table>{rows}</table>"


def road_in_words(road: Road) -> str:
    """What a road means."""
    return _ROADS[road]


def evidence(parity: ParityReport) -> list[tuple[str, str]]:
    """How far the served road is from the original, in pairs of a name and a text."""
    served = next((one for one in reversed(parity.attempts) if one.road == parity.road), None)
    if served is None:
        return []
    difference = "" if served.largest_difference is None else f"{served.largest_difference:.3g}"
    agreement = "" if served.label_agreement is None else f"{served.label_agreement:.6%}"
    return [
        ("compared", _compared(served)),
        *([("largest difference", difference)] if difference else []),
        *([("label agreement", agreement)] if agreement else []),
    ]


def _compared(attempt: Attempt) -> str:
    hard = f" and {attempt.hard_rows:,} hard rows" if attempt.hard_rows else ""
    return f"{attempt.real_rows:,} real{hard or ' rows'}"
