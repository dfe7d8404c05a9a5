"""Do two samples come from one distribution? Tests of a whole window against a reference, for one look at each.

Counts stand where values need not: numbers enter sorted or in bins, names as counts of levels, missing entries as two shares. All
functions are pure; none asks how large the difference is (`effects` does), nor what it means (`monitor.verdicts` does).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, chdtri, gammaln, kolmogorov, ndtr, ndtri
from scipy.stats import hypergeom, kstwo

from fairlead.stats.interval import Interval

__all__ = [
    "ChiSquare",
    "KolmogorovSmirnov",
    "Shares",
    "chi_square",
    "chi_square_reach",
    "dvoretzky_interval",
    "fisher_p",
    "ks_distance",
    "ks_from_counts",
    "ks_from_sorted",
    "ks_p",
    "ks_reach",
    "share_difference_interval",
    "share_p",
    "shares_differ",
]

_EXACT: Final = 1000
"""Up to so many values in the larger sample, the p-value of D is exact; beyond, it is right to within a few percent of itself."""

_LEAST_EXPECTED: Final = 5.0
"""A cell of a χ² table is expected to hold at least so many (Cochran, Biometrics 10 (1954), 417-451)."""

_LARGE: Final = 2000
"""Beyond so many values, the limit with its first corrections is right to a thousandth of p, and quicker by a thousand times."""

_RARE: Final = 0.1
"""The part of the error that is spent on rare levels, where a table has any; χ² has the rest."""

_Array = NDArray[np.float64]


class KolmogorovSmirnov(NamedTuple):
    """The greatest distance between two distribution functions.

    Attributes:
        statistic: D, 0 to 1.
        p: The chance of such a D or a greater one, were both samples from one distribution.
    """

    statistic: float
    p: float


class ChiSquare(NamedTuple):
    """A two-row table, tested.

    Attributes:
        statistic: χ² of the pooled table; 0 where it has one column.
        degrees: Its columns less one.
        p: Of both parts together; see `chi_square`.
        first: The first row as tested: levels that are common enough, then all others as one.
        second: The second.
        common: Which levels, by position, were common enough to stand for themselves.
        rare: The level whose own count is least likely, where that is what made p small; `None` otherwise.
    """

    statistic: float
    degrees: int
    p: float
    first: _Array
    second: _Array
    common: NDArray[np.bool_]
    rare: int | None


class Shares(NamedTuple):
    """Two shares, compared.

    Attributes:
        statistic: z, positive where the second is the greater; 0 where neither has any.
        p: Two-sided.
        exact: Whether p is Fisher's.
        interval: Of the second less the first, at 95 %.
    """

    statistic: float
    p: float
    exact: bool
    interval: Interval


def ks_from_sorted(first: _Array, second: _Array) -> KolmogorovSmirnov:
    """Two-sample Kolmogorov-Smirnov test, D = sup |F(x) − G(x)|.

    Source: Hodges, "The significance probability of the Smirnov two-sample test", Arkiv för Matematik 3 (1958), 469-486. Ties make
    p too large, never too small.

    Args:
        first: Finite, rising, at least one.
        second: The same.
    """
    return _tested(ks_distance(first, second), len(first), len(second))


def ks_distance(first: _Array, second: _Array) -> float:
    """D of two rising samples, at least one value each.

    F − G is greatest where F has just stepped up, G − F where F is about to; so only values of the first need be looked at.
    """
    up_to = np.searchsorted(second, first, side="right")
    below = up_to
    if np.any(second[np.maximum(up_to - 1, 0)] == first):
        below = np.searchsorted(second, first, side="left")
    last, before = _steps(first)
    above = (last / len(first) - up_to / len(second)).max()
    under = (below / len(second) - before / len(first)).max()
    return float(max(above, under, 0.0))


def _steps(rising: _Array) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """How many values are at most each of them, and how many are below."""
    if np.any(rising[1:] == rising[:-1]):
        return np.searchsorted(rising, rising, side="right"), np.searchsorted(rising, rising, side="left")
    before = np.arange(len(rising))
    return before + 1, before


def ks_from_counts(first: ArrayLike, second: ArrayLike) -> KolmogorovSmirnov:
    """The same from counts in common bins that rise.

    Where each bin holds one value this is D itself. Otherwise the two functions are only known at the bins' edges: D is a lower
    bound of the true one and p an upper bound, so what is sure here is sure.

    Args:
        first: How many values fell into each bin; at least one in all.
        second: The same, in the same bins.
    """
    ours, theirs = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n, m = ours.sum(), theirs.sum()
    distance = np.abs(np.cumsum(ours) / n - np.cumsum(theirs) / m).max()
    return _tested(float(distance), int(n), int(m))


def _tested(distance: float, n: int, m: int) -> KolmogorovSmirnov:
    return KolmogorovSmirnov(distance, ks_p(distance, n, m))


def ks_p(distance: float, n: int, m: int) -> float:
    """P(D ≥ distance) for samples of n and m values of one continuous distribution.

    Exact for small samples, by counting paths. Else by the one-sample distribution at nm/(n + m) values (Simard, L'Ecuyer,
    "Computing the two-sided Kolmogorov-Smirnov distribution", J. Statistical Software 39/11 (2011)), of which in large samples
    Kolmogorov's limit is left, corrected after Vrbik, "Small-sample corrections to Kolmogorov-Smirnov test statistic", Pioneer J.
    Theoretical and Applied Statistics 15 (2018), 15-23.

    Args:
        distance: D, 0 to 1.
        n: How many values the one sample has, at least 1.
        m: The other.
    """
    if max(n, m) <= _EXACT:
        return _paths_outside(distance, min(n, m), max(n, m))
    size = round(n * m / (n + m))
    if size <= _LARGE:
        return float(np.clip(kstwo.sf(distance, size), 0.0, 1.0))
    scaled = distance * math.sqrt(size)
    return float(kolmogorov(scaled + 1 / (6 * math.sqrt(size)) + (scaled - 1) / (4 * size)))


def _paths_outside(distance: float, n: int, m: int) -> float:
    """The share of the lattice paths from (0, 0) to (n, m) that meet a point with |i/n − j/m| ≥ distance.

    Each path is an order in which both samples may lie. With A(i, j) the paths to a point that met one, A(i, j) is all paths to it
    where it is such a point itself and A(i−1, j) + A(i, j−1) otherwise. Rows are kept divided by C(m + i, i), so that no
    number overflows and the result is a sum of positive terms: it is precise however small.
    """
    if distance <= 0:
        return 1.0
    least = math.ceil(
        distance * n * m - 1e-7 * max(1.0, distance * n * m)
    )  # in units of 1/nm; rounding must not lose an equal
    factorial = gammaln(np.arange(1.0, n + m + 2))  # logs
    row = np.zeros(m + 1)
    for i in range(n + 1):
        low, high = _band(i, n, m, least)
        met = np.exp(factorial[i : i + m + 1] - factorial[: m + 1] - factorial[m + i] + factorial[m])
        inside = row[low : high + 1] * (i / (m + i))
        if low > 0:
            inside[:1] += met[low - 1]
        met[low : high + 1] = np.cumsum(inside)
        row = met
    return float(min(row[m], 1.0))


def _band(i: int, n: int, m: int, least: int) -> tuple[int, int]:
    """The first and the last j with |i·m − j·n| < least."""
    return max(0, (i * m - least) // n + 1), min(m, -((-(i * m + least)) // n) - 1)


def ks_reach(level: float, n: int, m: int) -> float:
    """The least D that is sure at a level, by itself: sqrt(−ln(level/2)/2 · (n + m)/(nm)), Smirnov's limit.

    Args:
        level: Of the test, between 0 and 1.
        n: Values in the one sample, at least 1.
        m: In the other.
    """
    return math.sqrt(-math.log(level / 2) / 2 * (n + m) / (n * m))


def dvoretzky_interval(distance: float, n: int, m: int, alpha: float = 0.05) -> Interval:
    """Where the true distance between two distribution functions lies; wide, and right for all distributions.

    Each empirical function is within sqrt(ln(4/α)/(2n)) of its own everywhere, with the chance 1 − α/2 (Massart, Annals of Probability
    18 (1990), 1269-1283), so D is within the sum of both.

    Args:
        distance: D as measured.
        n: Values in the one sample, at least 1.
        m: In the other.
        alpha: The chance of missing it.
    """
    wide = math.sqrt(math.log(4 / alpha) / 2) * (1 / math.sqrt(n) + 1 / math.sqrt(m))
    return Interval(max(0.0, distance - wide), min(1.0, distance + wide))


def chi_square(first: ArrayLike, second: ArrayLike) -> ChiSquare:
    """Pearson's χ² of a two-row table, without Yates' correction; rare levels are tested exactly beside it.

    χ² = Σ (observed − expected)²/expected, expected = row total · column total / total. A level that is expected less than five times in one
    of the rows is rare, and all rare ones are pooled. What a level is, depends on both rows' total only, so choosing costs nothing
    under the null. Pooling would hide a new level: it is rare, because the reference never had it. Therefore each rare level, and
    all of them as one, is also tested for itself by Fisher's exact test, corrected by Bonferroni, and p = min(p_χ²/0.9,
    p_rare/0.1). Without rare levels p is that of χ² alone.

    Args:
        first: Counts of each level; at least one in all.
        second: Of the same levels.
    """
    ours, theirs = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n, m = ours.sum(), theirs.sum()
    total = ours + theirs
    common = total * min(n, m) / (n + m) >= _LEAST_EXPECTED
    rare = ~common & (total > 0)
    one, other = _pooled(ours, common), _pooled(theirs, common)
    tested = _mergeable(one, other, n, m)
    statistic = _pearson(*tested)
    degrees = max(len(tested[0]) - 1, 0)
    p = float(chdtrc(degrees, statistic)) if degrees else 1.0
    if not rare.any():
        return ChiSquare(statistic, degrees, p, one, other, common, None)
    rarest, p_rare = _rarest(ours, theirs, np.flatnonzero(rare))
    together = min(1.0, p / (1 - _RARE), p_rare / _RARE)
    named = rarest if p_rare / _RARE < p / (1 - _RARE) else None
    return ChiSquare(statistic, degrees, together, one, other, common, named)


def _pooled(counts: _Array, common: NDArray[np.bool_]) -> _Array:
    rest = counts[~common].sum()
    return np.append(counts[common], rest) if (~common).any() else counts[common]


def _mergeable(one: _Array, other: _Array, n: float, m: float) -> tuple[_Array, _Array]:
    """Without empty columns; and the last, where it is still rare, joined to the least of the others."""
    total = one + other
    if len(total) > 1 and 0 < total[-1] * min(n, m) / (n + m) < _LEAST_EXPECTED:
        least = int(np.argmin(total[:-1]))
        one, other = (_joined(row, least) for row in (one, other))
    filled = one + other > 0
    return one[filled], other[filled]


def _joined(row: _Array, place: int) -> _Array:
    shorter = row[:-1].copy()
    shorter[place] += row[-1]
    return shorter


def _pearson(one: _Array, other: _Array) -> float:
    n, m = one.sum(), other.sum()
    if len(one) < 2 or not n or not m:
        return 0.0
    expected = (one + other) * n / (n + m)
    gap = (one - expected) ** 2
    return float((gap / expected).sum() + (gap / ((one + other) - expected)).sum())


def _rarest(ours: _Array, theirs: _Array, rare: NDArray[np.intp]) -> tuple[int | None, float]:
    """The rare level that differs most surely, and its p over all of them; `None` where it is all rare levels as one."""
    one = np.append(ours[rare], ours[rare].sum())
    other = np.append(theirs[rare], theirs[rare].sum())
    p = fisher_p(one, other, ours.sum(), theirs.sum())
    place = int(np.argmin(p))
    return (int(rare[place]) if place < len(rare) else None), float(min(1.0, p[place] * len(p)))


def fisher_p(one: ArrayLike, other: ArrayLike, n: float, m: float) -> _Array:
    """Fisher's exact test of many levels, each against all others: twice the smaller tail, at most 1.

    Given a level's total t, its count in the first sample is hypergeometric: t draws from n + m, of which n are the first's.

    Args:
        one: The level's count in the first sample.
        other: In the second.
        n: How many entries the first sample has.
        m: The second.
    """
    ours = np.asarray(one, np.float64)
    total = ours + np.asarray(other, np.float64)
    low = hypergeom.cdf(ours, n + m, n, total)
    high = hypergeom.sf(ours - 1, n + m, n, total)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(low, high)))


def chi_square_reach(level: float, degrees: int, n: int, m: int) -> float:
    """The least total variation distance that is surely sure at a level: ½ sqrt(χ²_{1−level, degrees} (n + m)/(nm)).

    By Cauchy and Schwarz (Σ|d|)² ≤ Σ d²/p · Σ p, so χ² ≥ nm/(n + m) · (2 TVD)².

    Args:
        level: Of the test, between 0 and 1.
        degrees: Levels less one, at least 1.
        n: Entries in the one sample, at least 1.
        m: In the other.
    """
    return 0.5 * math.sqrt(float(chdtri(degrees, level)) * (n + m) / (n * m))


def shares_differ(first: int, n: int, second: int, m: int) -> Shares:
    """Do two shares differ? z = (p₂ − p₁)/sqrt(p̄(1 − p̄)(1/n + 1/m)); Fisher's exact p where one outcome is expected less than five times.

    Args:
        first: How many of the n.
        n: At least 1.
        second: How many of the m.
        m: At least 1.
    """
    pooled = (first + second) / (n + m)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = (second / m - first / n) / spread if spread else 0.0
    p, exact = share_p(first, n, second, m)
    return Shares(z, p, exact, share_difference_interval(first, n, second, m))


def share_p(first: int, n: int, second: int, m: int) -> tuple[float, bool]:
    """The p-value of `shares_differ`, and whether it is Fisher's."""
    pooled = (first + second) / (n + m)
    if pooled in {0.0, 1.0}:
        return 1.0, True
    if min(n, m) * min(pooled, 1 - pooled) < _LEAST_EXPECTED:
        return float(fisher_p([first], [second], n, m)[0]), True
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return float(2 * ndtr(-abs(second / m - first / n) / spread)), False


def share_difference_interval(first: int, n: int, second: int, m: int, alpha: float = 0.05) -> Interval:
    """Where the difference of two shares lies, second less first: Newcombe's hybrid of Wilson's intervals.

    Source: Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17 (1998),
    873-890, method 10: with Wilson's (l, u) of each, d − sqrt((p₂ − l₂)² + (u₁ − p₁)²) and d + sqrt((u₂ − p₂)² + (p₁ − l₁)²).

    Args:
        first: How many of the n.
        n: At least 1.
        second: How many of the m.
        m: At least 1.
        alpha: The chance of missing it.
    """
    p, q = first / n, second / m
    ours, theirs = _wilson(p, n, alpha), _wilson(q, m, alpha)
    low = q - p - math.hypot(q - theirs.low, ours.high - p)
    high = q - p + math.hypot(theirs.high - q, p - ours.low)
    return Interval(max(low, -1.0), min(high, 1.0))


def _wilson(share: float, n: int, alpha: float) -> Interval:
    """(2np + z² ± z sqrt(z² + 4np(1 − p))) / (2(n + z²))."""
    z = -float(ndtri(alpha / 2))
    middle, half = 2 * n * share + z * z, z * math.sqrt(z * z + 4 * n * share * (1 - share))
    return Interval((middle - half) / (2 * (n + z * z)), (middle + half) / (2 * (n + z * z)))
