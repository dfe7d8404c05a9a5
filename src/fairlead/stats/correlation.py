"""Whether two columns go together, and whether they still do: Pearson's r, and the difference of two of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, ndtr, ndtri

from fairlead.stats.interval import Interval

__all__ = [
    "Change",
    "cohens_q",
    "correlation_change",
    "correlation_interval",
    "correlation_p",
    "correlation_reach",
    "pearson",
]


class Change(NamedTuple):
    """Two correlations, compared.

    Attributes:
        statistic: Z, positive where the first is the greater.
        p: Two-sided.
        effect: Cohen's q, signed as Z.
        interval: Of the effect, at 95 %.
    """

    statistic: float
    p: float
    effect: float
    interval: Interval


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's r = Σ (x − x̄)(y − ȳ)/sqrt(Σ (x − x̄)² Σ (y − ȳ)²); NaN where one of both does not vary.

    Args:
        x: Finite numbers.
        y: As many.
    """
    left, right = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(left) < 2:
        return math.nan
    left, right = left - left.mean(), right - right.mean()
    spread = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(np.clip(left @ right / spread, -1.0, 1.0)) if spread else math.nan


def correlation_p(r: float, n: int) -> float:
    """Two-sided p of r = 0: under it (1 + r)/2 is Beta(n/2 − 1, n/2 − 1) (Student, Biometrika 6 (1908), 302-310).

    Args:
        r: Pearson's.
        n: Pairs; with 2 nothing can be said, p is 1.
    """
    if n < 3:
        return 1.0
    half = n / 2 - 1
    return float(min(1.0, 2 * betainc(half, half, (1 - abs(r)) / 2)))


def cohens_q(first: float, second: float) -> float:
    """Cohen's q = atanh r₁ − atanh r₂ ("Statistical Power Analysis for the Behavioral Sciences", 2nd ed. 1988, chapter 4).

    Args:
        first: r₁; ±1 counts as the nearest number within.
        second: r₂.
    """
    return _atanh(first) - _atanh(second)


def correlation_change(first: float, n: int, second: float, m: int) -> Change:
    """Z = (atanh r₁ − atanh r₂)/sqrt(1/(n − 3) + 1/(m − 3)) (Fisher, Metron 1 (1921), 3-32).

    Args:
        first: r₁.
        n: Its pairs, at least 4.
        second: r₂.
        m: Its pairs, at least 4.
    """
    q = cohens_q(first, second)
    spread = _spread(n, m)
    wide = -float(ndtri(0.025)) * spread
    return Change(q / spread, float(2 * ndtr(-abs(q) / spread)), q, Interval(q - wide, q + wide))


def correlation_reach(level: float, n: int, m: int) -> float:
    """The least |q| that is sure at a level, by itself.

    Args:
        level: Of the test, between 0 and 1.
        n: Pairs of the one sample, at least 4.
        m: Of the other.
    """
    return -float(ndtri(level / 2)) * _spread(n, m)


def correlation_interval(r: float, n: int, alpha: float = 0.05) -> Interval:
    """Where a correlation lies: tanh(atanh r ± z/sqrt(n − 3)) (Fisher 1921).

    Args:
        r: Pearson's.
        n: Pairs, at least 4.
        alpha: The chance of missing it.
    """
    wide = -float(ndtri(alpha / 2)) / math.sqrt(n - 3)
    return Interval(math.tanh(_atanh(r) - wide), math.tanh(_atanh(r) + wide))


def _spread(n: int, m: int) -> float:
    return math.sqrt(1 / (n - 3) + 1 / (m - 3))


def _atanh(r: float) -> float:
    within = math.nextafter(1.0, 0.0)
    return math.atanh(min(max(r, -within), within))
