"""How large a difference between two distributions is, whatever its p-value: in shares, in bits of history, in the column's own unit.

A p-value grows surer with every row; these do not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chndtrinc

from fairlead.stats.interval import Interval

__all__ = [
    "cramers_v",
    "cramers_v_interval",
    "jensen_shannon",
    "population_stability",
    "total_variation",
    "wasserstein_from_edges",
    "wasserstein_from_sorted",
]

_Array = NDArray[np.float64]


def total_variation(first: ArrayLike, second: ArrayLike) -> float:
    """½ Σ |p − q|: the share of entries that would have to be something else.

    Args:
        first: Counts or shares of each level.
        second: Of the same levels.
    """
    p, q = _shares(first), _shares(second)
    return float(np.abs(p - q).sum() / 2)


def cramers_v(statistic: float, degrees: int, n: int) -> float:
    """Cramér's V of a table with two rows, without the bias that makes it large in small samples.

    φ² = max(0, χ²/n − df/(n − 1)); columns c̃ = c − (c − 1)²/(n − 1) and rows r̃ likewise; V = sqrt(φ²/min(c̃ − 1, r̃ − 1)).
    Source: Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", J. Korean Statistical Society 42 (2013), 323-328.

    Args:
        statistic: χ².
        degrees: The columns less one.
        n: Entries in all.
    """
    if degrees < 1 or n < 2:
        return 0.0
    phi = max(0.0, statistic / n - degrees / (n - 1))
    narrow = min(degrees - degrees**2 / (n - 1), 1 - 1 / (n - 1))
    return math.sqrt(phi / narrow) if narrow > 0 else 0.0


def cramers_v_interval(statistic: float, degrees: int, n: int, alpha: float = 0.05) -> Interval:
    """Where V of a table with two rows lies: sqrt(λ/n) for the λ at whose noncentral χ² the statistic is no surprise.

    Source: Smithson, "Confidence Intervals" (2003), chapter 4.

    Args:
        statistic: χ².
        degrees: The columns less one, at least 1.
        n: Entries in all.
        alpha: The chance of missing it.
    """
    low = _noncentral(statistic, degrees, 1 - alpha / 2)
    high = _noncentral(max(statistic, degrees), degrees, alpha / 2)  # a χ² below its mean promises no precision
    return Interval(min(1.0, math.sqrt(low / n)), min(1.0, math.sqrt(high / n)))


def _noncentral(statistic: float, degrees: int, p: float) -> float:
    found = float(chndtrinc(statistic, degrees, p))
    return found if math.isfinite(found) and found > 1e-9 else 0.0


def population_stability(first: ArrayLike, second: ArrayLike) -> float:
    """PSI = Σ (q − p) ln(q/p), the symmetric divergence of Kullback and Leibler (1951), by which credit scoring goes.

    Half an entry is added to each count, so that an empty bin is large and not infinite.

    Args:
        first: Counts of each bin; ten of equal share in the reference are usual.
        second: In the same bins.
    """
    p, q = _shares(np.asarray(first, np.float64) + 0.5), _shares(np.asarray(second, np.float64) + 0.5)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(first: ArrayLike, second: ArrayLike) -> float:
    """Jensen-Shannon distance: sqrt(½ KL(p‖m) + ½ KL(q‖m)), m = (p + q)/2, natural logarithm; 0 to sqrt(ln 2) = 0.83.

    Source: Endres, Schindelin, "A new metric for probability distributions", IEEE Trans. Information Theory 49 (2003), 1858-1860.

    Args:
        first: Counts or shares of each level.
        second: Of the same levels.
    """
    p, q = _shares(first), _shares(second)
    middle = (p + q) / 2
    return math.sqrt(max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2))


def _divergence(p: _Array, q: _Array) -> float:
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())


def wasserstein_from_sorted(first: _Array, second: _Array) -> float:
    """How far values move on average, in their unit: ∫ |F(x) − G(x)| dx.

    Source: Vallender, "Calculation of the Wasserstein distance between probability distributions on the line", Theory of
    Probability and its Applications 18 (1974), 784-786.

    Args:
        first: Finite, rising, at least one.
        second: The same.
    """
    if len(first) == len(second):  # then it is the mean distance of the values of equal rank
        return float(np.abs(first - second).mean())
    both = np.concatenate((first, second))
    both.sort(kind="stable")
    f = np.searchsorted(first, both[:-1], side="right") / len(first)
    g = np.searchsorted(second, both[:-1], side="right") / len(second)
    return float((np.abs(f - g) * np.diff(both)).sum())


def wasserstein_from_edges(edges: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    """The same from counts in bins, as if values lay evenly within each bin.

    Args:
        edges: Rising ends of the bins, one more than there are bins.
        first: Counts.
        second: In the same bins.
    """
    ends = np.asarray(edges, np.float64)
    gap = np.concatenate(([0.0], np.cumsum(_shares(first) - _shares(second))))
    left, right = gap[:-1], gap[1:]
    # Between two edges F − G is a line; where it crosses zero its two triangles do not cancel.
    crossing = left * right < 0
    size = (np.abs(left) + np.abs(right)) / 2
    size[crossing] = (left[crossing] ** 2 + right[crossing] ** 2) / (2 * np.abs(left - right)[crossing])
    return float((size * np.diff(ends)).sum())


def _shares(counts: ArrayLike) -> _Array:
    values = np.asarray(counts, np.float64)
    total = values.sum()
    return values / total if total else values
