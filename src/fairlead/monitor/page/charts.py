"""Charts as geometry: a histogram pair, a list of levels, a line through earlier reports. The template draws them as SVG.

Widths are percentages and heights pixels, so that a chart fits a telephone and a sheet of paper without shrinking its letters; the
bars themselves are one path a histogram in a box of 1000 by 1000 that is stretched to the plot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import msgspec

from fairlead.monitor import words
from fairlead.monitor.report import Picture

__all__ = ["Bars", "Level", "Levels", "Spark", "Tick", "bars", "levels", "spark", "ticks"]

_MOST_BARS = 48
_MOST_LEVELS = 10
_TOP, _BASE = 12, 160
"""The plot's upper and lower edge, in pixels of a picture 190 high."""


class Tick(msgspec.Struct, frozen=True):
    """A mark at an axis.

    Attributes:
        at: Along x in percent of the width, along y in pixels.
        text: What stands there.
        anchor: "start", "middle" or "end".
    """

    at: float
    text: str
    anchor: str = "middle"


class Bars(msgspec.Struct, frozen=True):
    """Two histograms over one axis.

    Attributes:
        reference: The path of its bars.
        current: The outline of the window's.
        x: Marks below.
        y: Marks beside.
        even: Whether the axis is to scale; else each bin is as wide as any, whatever it spans.
        unit: Of the numbers.
        rows: The table behind: from, to, share of the reference, share of the window.
    """

    reference: str
    current: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    even: bool
    unit: str
    rows: tuple[tuple[str, str, str, str], ...]


class Level(msgspec.Struct, frozen=True):
    """One level of a column of names: its name, both shares in words, both bars in percent of the width."""

    name: str
    reference: str
    current: str
    reference_width: str
    current_width: str


class Levels(msgspec.Struct, frozen=True):
    """The levels that are shown, and how many are not."""

    shown: tuple[Level, ...]
    others: Level | None = None


class Spark(msgspec.Struct, frozen=True):
    """A line through earlier values, up to now.

    Attributes:
        path: In a box of 1000 by 1000.
        dot: The last point: percent of the width, percent of the height.
        values: From the first to the last: when, how much.
    """

    path: str
    dot: tuple[str, str]
    values: tuple[tuple[str, str], ...]


def bars(picture: Picture) -> Bars | None:
    """A picture of numbers; `None` where it cannot be drawn: fewer edges than bars need, shares that are no numbers."""
    edges = [float(one) for one in picture.labels if isinstance(one, int | float)]
    shares = (list(picture.reference), list(picture.current))
    if not _drawable(shares) or len(edges) != len(picture.labels) or len(edges) != len(shares[0]) + 1:
        return None
    edges, shares = _pooled(edges, shares)
    usual = _usual(edges)
    places = _places(edges, usual)
    top, marks = _axis(max(max(one, default=0.0) for one in shares))
    names = [words.number(one) for one in edges]
    return Bars(
        reference=_filled(places, shares[0], top),
        current=_outline(places, shares[1], top),
        x=_marks_to_scale(edges, places) if usual else _marks_of_bins(edges),
        y=tuple(Tick(_BASE - (_BASE - _TOP) * one / top, _tick_percent(one), "start") for one in marks),
        even=bool(usual),
        unit=words.clean(picture.unit, 20),
        rows=tuple(
            (low, high, words.percent(before), words.percent(now))
            for low, high, before, now in zip(names[:-1], names[1:], *shares, strict=True)
        ),
    )


def levels(picture: Picture) -> Levels | None:
    """A picture of names: the levels with the largest shares on either side, in the picture's order; the others as one."""
    shares = (list(picture.reference), list(picture.current))
    if not _drawable(shares) or len(picture.labels) != len(shares[0]):
        return None
    order = sorted(range(len(picture.labels)), key=lambda one: -max(shares[0][one], shares[1][one]))
    shown = sorted(order[:_MOST_LEVELS])
    rest = order[_MOST_LEVELS:]
    top = max((max(shares[0][one], shares[1][one]) for one in shown), default=0.0)
    before, now = (sum(share[one] for one in rest) for share in shares)
    return Levels(
        tuple(_level(_name(picture.labels[one]), shares[0][one], shares[1][one], top) for one in shown),
        _level(words.plural(len(rest), "other"), before, now, max(top, before, now)) if rest else None,
    )


def spark(values: Sequence[tuple[str, float, str]]) -> Spark | None:
    """A line through values; `None` below two.

    Args:
        values: From the first to the last: when, how much, and the same in words.
    """
    numbers = [value for _, value, _ in values]
    if len(numbers) < 2 or not all(math.isfinite(one) for one in numbers):
        return None
    low, high = min(0.0, *numbers), max(numbers)
    extent = (high - low) or 1.0
    places = [(1000 * one / (len(numbers) - 1), 1000 - 1000 * (v - low) / extent) for one, v in enumerate(numbers)]
    path = "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in places)
    dot = (f"{places[-1][0] / 10:g}%", f"{places[-1][1] / 10:.1f}%")
    return Spark(path, dot, tuple((when, text) for when, _, text in values))


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers within an interval: steps of 1, 2 or 5 times a power of ten, about `wanted` of them."""
    extent = high - low
    if not (math.isfinite(extent) and extent > 0):
        return [low] if math.isfinite(low) else []
    rough = extent / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((one * power for one in (1, 2, 5) if one * power >= rough), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [one * step for one in range(first, min(last, first + 2 * wanted) + 1)]


def _drawable(shares: tuple[list[float], list[float]]) -> bool:
    return len(shares[0]) == len(shares[1]) > 0 and all(math.isfinite(one) for share in shares for one in share)


def _pooled(
    edges: list[float], shares: tuple[list[float], list[float]]
) -> tuple[list[float], tuple[list[float], list[float]]]:
    """Neighbouring bins together, until there are few enough to be seen."""
    each = math.ceil(len(shares[0]) / _MOST_BARS)
    if each == 1:
        return edges, shares
    starts = range(0, len(shares[0]), each)
    before, now = ([sum(share[one : one + each]) for one in starts] for share in shares)
    return [*edges[:-1:each], edges[-1]], (before, now)


def _usual(edges: Sequence[float]) -> float:
    """How wide all bins but the first and the last are; 0 where they differ."""
    widths = [high - low for low, high in pairwise(edges)]
    inner = widths[1:-1] if len(widths) > 4 else widths
    if not all(math.isfinite(one) and one > 0 for one in inner) or max(inner) > 1.02 * min(inner):
        return 0.0
    return inner[0]


def _places(edges: Sequence[float], usual: float) -> list[float]:
    """Where the edges are drawn, 0 to 1000: to scale, but for the outer bins.

    These reach to the least and the greatest value there was, which may be very far; they are drawn at least half and at most twice
    as wide as the others. Where the bins differ anyway, each is as wide as any.
    """
    if not usual:
        return [1000 * one / (len(edges) - 1) for one in range(len(edges))]
    widths = [min(max(high - low, usual / 2), 2 * usual) for low, high in pairwise(edges)]
    total = sum(widths)
    return [0.0, *(1000 * one / total for one in accumulate(widths))]


def _axis(greatest: float) -> tuple[float, list[float]]:
    """Where the y axis ends, and its marks above zero."""
    marks = ticks(0.0, max(greatest, 0.001) * 1.08, 4)
    return max(greatest * 1.08, 0.001), marks[1:] or [greatest]


def _tick_percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _filled(places: Sequence[float], shares: Sequence[float], top: float) -> str:
    """Bars with a gap between them."""
    gap = min(4.0, 200.0 / len(shares))
    return "".join(
        f"M{left + gap:.0f} 1000V{1000 - 1000 * share / top:.0f}H{right - gap:.0f}V1000Z"
        for left, right, share in zip(places[:-1], places[1:], shares, strict=True)
        if share > 0
    )


def _outline(places: Sequence[float], shares: Sequence[float], top: float) -> str:
    steps = "".join(
        f"V{1000 - 1000 * share / top:.0f}H{right:.0f}" for right, share in zip(places[1:], shares, strict=True)
    )
    return f"M{places[0]:.0f} 1000{steps}V1000"


def _anchored(at: float, text: str) -> Tick:
    return Tick(round(at, 1), text, "start" if at < 6 else "end" if at > 94 else "middle")


def _marks_to_scale(edges: Sequence[float], places: Sequence[float]) -> tuple[Tick, ...]:
    """Round numbers where the axis is to scale; an end that is not, such as one far outside, is told by itself."""
    usual = _usual(edges)
    first = 0 if usual / 2 <= edges[1] - edges[0] <= 2 * usual else 1
    last = -1 if usual / 2 <= edges[-1] - edges[-2] <= 2 * usual else -2
    low, high = edges[first], edges[last]
    left, extent = places[first], places[last] - places[first]
    ends = [Tick(0.0, words.compact(edges[0]), "start")] if first else []
    ends += [Tick(100.0, words.compact(edges[-1]), "end")] if last == -2 else []
    made = [
        _anchored((left + extent * (one - low) / (high - low)) / 10, words.compact(one)) for one in ticks(low, high)
    ]
    free = [one for one in made if (not first or one.at > 12) and (last == -1 or one.at < 88)]
    return tuple(sorted([*free, *ends], key=lambda one: one.at))


def _marks_of_bins(edges: Sequence[float]) -> tuple[Tick, ...]:
    """At each end and at a few edges between."""
    last = len(edges) - 1
    chosen = sorted({round(last * part / min(4, last)) for part in range(min(4, last) + 1)})
    finite = [one for one in chosen if math.isfinite(edges[one])]
    return tuple(_anchored(100 * one / last, words.compact(edges[one])) for one in finite)


def _name(label: str | float) -> str:
    return words.clean(label, 40) if isinstance(label, str) else words.number(label)


def _level(name: str, reference: float, current: float, top: float) -> Level:
    before, now = (f"{max(0.0, 100 * share / top if top > 0 else 0.0):.1f}%" for share in (reference, current))
    return Level(name, words.percent(reference), words.percent(current), before, now)
