"""The two texts in which metrics are told: Prometheus's own and OpenMetrics 1.0. It knows no counter of ours.

They differ in three things that matter: OpenMetrics names a counter's family without `_total`, knows `info`, and ends with
`# EOF`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, Literal

__all__ = ["OPENMETRICS", "TEXT", "Family", "render"]

TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = b"application/openmetrics-text; version=1.0.0; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram", "info"]
_NO_LABELS: Final[Mapping[str, str]] = {}


class Family:
    """One metric with all its series.

    Args:
        name: Without `_total` or `_info`.
        kind: What it is.
        text: For people.
        unit: The base unit in which the name ends.
    """

    def __init__(self, name: str, kind: Kind, text: str, *, unit: str = "") -> None:
        self.name = name
        self.kind = kind
        self.text = text
        self.unit = unit
        self.samples: dict[tuple[str, str], float] = {}
        """By suffix and rendered labels."""

    def add(self, value: float, labels: Mapping[str, str] = _NO_LABELS, *, once: bool = False) -> None:
        """Add to a series.

        Args:
            value: How much.
            labels: Which series.
            once: Keep what is there already, where two would have the same labels.
        """
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        key = (suffix, _labels(labels))
        if not (once and key in self.samples):
            self.samples[key] = self.samples.get(key, 0) + value

    def add_histogram(
        self, bounds: Sequence[float], buckets: Sequence[int], total: float, labels: Mapping[str, str]
    ) -> None:
        """Add one histogram.

        Args:
            bounds: The upper bound of each bucket but the last, which has none.
            buckets: How many fell into each.
            total: The sum of what was measured.
            labels: Which series.
        """
        counts = list(accumulate(buckets))
        for bound, count in zip([*(repr(float(one)) for one in bounds), "+Inf"], counts, strict=True):
            self.samples["_bucket", _labels({**labels, "le": bound})] = count
        self.samples["_sum", _labels(labels)] = total
        self.samples["_count", _labels(labels)] = counts[-1]


def render(families: Iterable[Family], *, openmetrics: bool) -> bytes:
    """The text of all families that have a series."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += _head(family, openmetrics=openmetrics)
            lines += (
                f"{family.name}{suffix}{labels} {_number(value)}" for (suffix, labels), value in family.samples.items()
            )
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _head(family: Family, *, openmetrics: bool) -> list[str]:
    name, kind = family.name, str(family.kind)
    if not openmetrics:
        name += {"counter": "_total", "info": "_info"}.get(kind, "")
        kind = "gauge" if kind == "info" else kind
    lines = [f"# HELP {name} {_escaped(family.text)}", f"# TYPE {name} {kind}"]
    return [*lines, f"# UNIT {name} {family.unit}"] if openmetrics and family.unit else lines


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
