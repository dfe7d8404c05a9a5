"""Where a quantile lies, at one look: between two ranks, whatever the law of the numbers.

How many of n numbers lie below the p-quantile is binomial, so the sorted numbers at the binomial's own quantiles enclose it (Conover, "Practical
Nonparametric Statistics", 3rd ed. 1999, section 3.2). `quantiles` says it for all looks at once, and wider.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import bdtr, bdtrik

from fairlead.stats.estimates import Numbers

__all__ = ["quantile_ranks", "quantile_with_interval"]


def quantile_ranks(n: int, share: float) -> tuple[int, int]:
    """The ranks, from 1, between which the quantile lies with 95 %; 0 or n + 1 where the numbers do not bound it.

    Args:
        n: How many numbers, at least 1.
        share: Of the quantile, between 0 and 1.
    """
    return _quantile(0.025, n, share), _quantile(0.975, n, share) + 1


def quantile_with_interval(rising: Numbers, share: float) -> tuple[float, tuple[float, float] | None]:
    """A quantile and its 95 % interval; `None` where so few numbers do not bound it on both sides.

    The quantile is the smallest number that has so large a share at or below it.

    Args:
        rising: Sorted, at least one.
        share: Between 0 and 1.
    """
    n = len(rising)
    low, high = quantile_ranks(n, share)
    value = float(rising[max(math.ceil(n * share - 1e-9) - 1, 0)])
    return value, (float(rising[low - 1]), float(rising[high - 1])) if low >= 1 and high <= n else None


def _quantile(chance: float, n: int, share: float) -> int:
    """The smallest k with P(K ≤ k) ≥ chance for K binomial."""
    near = int(np.ceil(bdtrik(chance, n, share)))
    return near - 1 if near > 0 and float(bdtr(near - 1, n, share)) >= chance else max(near, 0)
