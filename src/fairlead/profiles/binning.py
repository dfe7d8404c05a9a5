"""Chooses bins once, from the reference, so that whatever is counted later falls into the same ones.

```
values ─▶ few distinct: one bin each ─────────────────────────▶ Grid
       └▶ many: frequent values one bin each, the rest by quantiles ─▶ Grid
```

A profile travels with its bundle, so cuts are written with as few digits as keep them apart: a cut between 12.1 and 13.4 is 13.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fairlead.profiles.profile import Grid, Moments

__all__ = ["MOST_BINS", "grid", "moments", "upper_ends"]

MOST_BINS: Final = 256
"""As many quantile bins as hold equal shares of the reference; a Kolmogorov-Smirnov distance read from them is short by at most 1/256."""

_POINT_TEXT: Final = 1_500
"""Point masses are written exactly; their decimals may take so many characters together, the most frequent first."""

_SWAY: Final = 8
"""A cut may move by this part of a bin's share to where it has fewer digits."""

_Array = NDArray[np.float64]


def grid(values: _Array, bins: int = MOST_BINS) -> Grid:
    """The bins for a column.

    Up to `bins` distinct values get a bin each, so that counts are exact. Beyond, a value that alone fills a bin's share is a point
    mass, and what remains is cut at its quantiles.

    Args:
        values: Doubles; those that are not finite are left aside.
        bins: How many bins by quantiles at most.
    """
    distinct, counts = np.unique(values[np.isfinite(values)] + 0.0, return_counts=True)  # -0.0 is 0.0
    if len(distinct) <= bins:
        return _one_each(distinct)
    rows = int(counts.sum())
    heavy = np.flatnonzero(counts * bins >= rows)
    points = _written(distinct[heavy], counts[heavy])
    light = ~np.isin(distinct, points)
    rest = np.repeat(distinct[light], counts[light])
    cuts = _quantiles(rest, math.ceil(bins * len(rest) / rows))
    return Grid(_enclosed(cuts, distinct), tuple(points))


@functools.lru_cache(maxsize=4096)
def upper_ends(one: Grid) -> _Array:
    """`Grid.edges`, remembered: windows are counted in the same bins again and again."""
    ends = one.edges()
    ends.flags.writeable = False
    return ends


def moments(values: _Array) -> Moments:
    """Where the sums of a column are taken from: near the mean, in about its standard deviation, both in few digits.

    Args:
        values: Finite doubles.
    """
    if not len(values):
        return Moments(0.0, 1.0)
    largest = float(np.abs(values).max())
    if float(values.min()) == float(values.max()):
        return Moments(float(values[0]) + 0.0, largest or 1.0)
    shares = values / largest  # between -1 and 1, so that no sum overflows
    spread = largest * float(shares.std()) or largest
    centre = largest * float(shares.mean())
    return Moments(
        _shortest(centre - spread / _SWAY, centre + spread / _SWAY), _shortest(spread * 0.9, spread) or spread
    )


def _one_each(distinct: _Array) -> Grid:
    """Every value its own bin: as points, which are exact; where those are long, by cuts between them."""
    points = [float(one) for one in distinct]
    if sum(map(_width, points)) <= _POINT_TEXT:
        return Grid((), tuple(points))
    between = [_shortest(low, high) for low, high in itertools.pairwise(points)]
    return Grid(_enclosed(between, distinct))


def _written(points: _Array, counts: NDArray[np.int64]) -> list[float]:
    """As many point masses as may be written, the most frequent first; rising."""
    kept, room = [], _POINT_TEXT
    for at in np.argsort(-counts, kind="stable"):
        point = float(points[at])
        room -= _width(point)
        if room < 0:
            break
        kept.append(point)
    return sorted(kept)


def _quantiles(rest: _Array, bins: int) -> list[float]:
    """Cuts that divide sorted values into bins of about equal shares."""
    rows = len(rest)
    sway = rows // (_SWAY * bins) if bins else 0
    ranks = [number * rows // bins for number in range(1, bins)]
    cuts = (_shortest(float(rest[at - 1 - sway]), float(rest[min(at + sway, rows - 1)])) for at in ranks)
    return sorted(set(cuts))


def _enclosed(cuts: list[float], distinct: _Array) -> tuple[float, ...]:
    """The cuts with one just below the least value and one at the greatest, beyond which nothing was seen."""
    below, greatest = math.nextafter(float(distinct[0]), -math.inf), float(distinct[-1])
    inner = [one for one in cuts if below < one < greatest]
    return (*([below] if math.isfinite(below) else []), *inner, greatest)


def _shortest(low: float, high: float) -> float:
    """A number from `low` to below `high` with few significant decimals; `low` where there is none between."""
    middle = low / 2 + high / 2
    for digits in range(1, 17):
        short = float(f"{middle:.{digits}g}") + 0.0
        if low <= short < high:
            return short
    return low


def _width(number: float) -> int:
    return len(repr(number)) + 1
