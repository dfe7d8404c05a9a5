"""Two samples of numbers laid beside each other: how far apart they are, by several measures, and how that looks.

From the counts of two profiles, or from the values themselves; both give the same `Spread`, of which `drift` makes a finding.
Counts in bins know the distribution functions at the bins' edges only: D from them is a lower bound, so p is too large rather than
too small; Wasserstein and PSI are approximate.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairlead.monitor.report import Picture
from fairlead.profiles.binning import upper_ends
from fairlead.profiles.profile import NumberCounts
from fairlead.stats.effects import population_stability, wasserstein_from_edges, wasserstein_from_sorted
from fairlead.stats.two_sample import KolmogorovSmirnov, ks_from_counts, ks_from_sorted

__all__ = ["BARS", "Spread", "comparable", "spread_of_counts", "spread_of_values"]

BARS: Final = 24
"""A picture has at most so many."""

_GROUPS: Final = 10
"""PSI is taken over tenths of the reference, as those who use it do."""

_Array = NDArray[np.float64]


class Spread(NamedTuple):
    """Two samples of finite numbers, compared.

    Attributes:
        n: Values of the window.
        n_reference: Values of the reference.
        ks: D and its p.
        mean: Of the window.
        mean_reference: Of the reference.
        deviation: Standard deviation of the window.
        deviation_reference: Of the reference; both are NaN below two values.
        wasserstein: How far values moved on average, in their unit.
        stability: PSI.
        picture: Both histograms.
    """

    n: int
    n_reference: int
    ks: KolmogorovSmirnov
    mean: float
    mean_reference: float
    deviation: float
    deviation_reference: float
    wasserstein: float
    stability: float
    picture: Picture


def comparable(reference: NumberCounts, current: NumberCounts) -> bool:
    """Whether two columns share enough edges of bins to be compared: all of them, as a rule, for bins are fixed by the reference."""
    return reference.grid == current.grid or len(_common_ends(reference, current)) > 0


def spread_of_counts(reference: NumberCounts, current: NumberCounts) -> Spread:
    """Compare two columns that share edges and have at least one finite value each."""
    ends, ours, theirs = _aligned(reference, current)
    outer = (
        min(reference.moments.minimum, current.moments.minimum),
        max(reference.moments.maximum, current.moments.maximum),
    )
    with np.errstate(all="ignore"):  # the widest numbers overflow; what comes of it is no number, and is left out
        edges = _closed(ends, outer)
        return Spread(
            current.finite,
            reference.finite,
            ks_from_counts(ours, theirs),
            current.moments.mean,
            reference.moments.mean,
            current.moments.deviation,
            reference.moments.deviation,
            wasserstein_from_edges(edges, ours, theirs),
            population_stability(*_tenths(ours, theirs)),
            _picture_of_counts(ends, ours, theirs, outer),
        )


def spread_of_values(reference: _Array, current: _Array) -> Spread:
    """Compare two rising samples of finite numbers, at least one value each."""
    with np.errstate(all="ignore"):
        ranks = [len(reference) * place // _GROUPS for place in range(1, _GROUPS)]
        tenths = np.unique(reference[ranks])
        return Spread(
            len(current),
            len(reference),
            ks_from_sorted(reference, current),
            float(current.mean()),
            float(reference.mean()),
            _deviation(current),
            _deviation(reference),
            wasserstein_from_sorted(reference, current),
            population_stability(_up_to(reference, tenths), _up_to(current, tenths)),
            _picture_of_values(reference, current),
        )


def _deviation(values: _Array) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _up_to(rising: _Array, ends: _Array) -> NDArray[np.int64]:
    """How many values lie in each bin between ends, the first and the last open."""
    return np.diff(np.searchsorted(rising, ends, side="right"), prepend=0, append=len(rising))


def _common_ends(reference: NumberCounts, current: NumberCounts) -> _Array:
    return np.intersect1d(upper_ends(reference.grid), upper_ends(current.grid))


def _aligned(reference: NumberCounts, current: NumberCounts) -> tuple[_Array, _Array, _Array]:
    """Ends of bins that both have, and the counts between them."""
    ours, theirs = np.array(reference.counts, np.float64), np.array(current.counts, np.float64)
    if reference.grid == current.grid:
        return upper_ends(reference.grid), ours, theirs
    ends = _common_ends(reference, current)
    return ends, _gathered(reference, ours, ends), _gathered(current, theirs, ends)


def _gathered(one: NumberCounts, counts: _Array, ends: _Array) -> _Array:
    """The counts of a column in wider bins."""
    places = np.searchsorted(upper_ends(one.grid), ends) + 1
    return np.add.reduceat(counts, np.concatenate(([0], places)))


def _closed(ends: _Array, outer: tuple[float, float]) -> _Array:
    """The ends of all bins, the first and the last closed by what was seen."""
    if not len(ends):
        return np.array(outer)
    return np.concatenate(([min(outer[0], ends[0])], ends, [max(outer[1], ends[-1])]))


def _tenths(ours: _Array, theirs: _Array) -> tuple[_Array, _Array]:
    """Both counts in about ten groups of equal share of the reference."""
    reached = np.cumsum(ours) / ours.sum()
    places = np.searchsorted(reached, np.arange(1, _GROUPS) / _GROUPS - 1e-12) + 1
    starts = np.unique(np.concatenate(([0], places[places < len(ours)])))
    return np.add.reduceat(ours, starts), np.add.reduceat(theirs, starts)


def _picture_of_counts(ends: _Array, ours: _Array, theirs: _Array, outer: tuple[float, float]) -> Picture:
    """About equal bars over all but the outermost hundredths, along edges that the bins have."""
    if not len(ends):
        return _drawn(np.zeros(0), ours[:1], theirs[:1], outer)
    reached = np.cumsum(ours / ours.sum() + theirs / theirs.sum()) / 2
    low, high = (ends[min(int(np.searchsorted(reached, share)), len(ends) - 1)] for share in (0.01, 0.99))
    wanted = np.linspace(low, high, BARS - 1)
    places = np.unique(np.minimum(np.searchsorted(ends, wanted), len(ends) - 1))
    apart = np.flatnonzero(np.diff(ends[places], prepend=-np.inf) > (high - low) / (4 * BARS))
    places = places[apart]
    starts = np.concatenate(([0], places + 1))
    return _drawn(ends[places], np.add.reduceat(ours, starts), np.add.reduceat(theirs, starts), outer)


def _picture_of_values(reference: _Array, current: _Array) -> Picture:
    """Equal bars over all but the outermost hundredths."""
    low = min(one[len(one) // 100] for one in (reference, current))
    high = max(one[-1 - len(one) // 100] for one in (reference, current))
    inner = np.unique(np.linspace(low, high, BARS - 1))
    outer = float(min(reference[0], current[0])), float(max(reference[-1], current[-1]))
    return _drawn(inner, _up_to(reference, inner), _up_to(current, inner), outer)


def _drawn(
    inner: _Array, ours: NDArray[np.generic], theirs: NDArray[np.generic], outer: tuple[float, float]
) -> Picture:
    """Bars between inner edges, and one on each side, at most two bars wide: an outlier shall not squeeze the rest."""
    step = float(inner[-1] - inner[0]) / (len(inner) - 1) if len(inner) > 1 else math.inf
    labels = [float(one) for one in inner]
    first = max(outer[0], labels[0] - 2 * step) if labels else outer[0]
    last = min(outer[1], labels[-1] + 2 * step) if labels else outer[1]
    ends = (min(first, *labels[:1]) if labels else first, *labels, max(last, *labels[-1:]) if labels else last)
    shares = [tuple(float(one) for one in counts / counts.sum()) for counts in (ours, theirs)]
    kept = _some(ends, *shares)
    return Picture("numbers", *kept)


def _some(
    ends: tuple[float, ...], ours: tuple[float, ...], theirs: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Without empty bars at the two ends."""
    first, last = 0, len(ours)
    while last - first > 1 and ours[first] == theirs[first] == 0:
        first += 1
    while last - first > 1 and ours[last - 1] == theirs[last - 1] == 0:
        last -= 1
    return ends[first : last + 1], ours[first:last], theirs[first:last]
