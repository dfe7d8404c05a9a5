"""Where the mean of a bounded number lies, exact at any size: a gambler who bets against each mean.

For a mean m two gamblers bet that the next number is larger, or smaller. If m is the truth neither can expect to win; a mean against which
one of them becomes rich is ruled out. It needs no normal law, so it is for goals with known ends (a rating, a share) and few numbers;
`sequences.mean_sequence` is for many. It needs the numbers in the order in which they came.

Source: Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86 (2024), arXiv 2010.09686.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from fairlead.errors import InvalidInput
from fairlead.stats.arguments import check_between
from fairlead.stats.interval import UNIT, Interval

__all__ = ["bounded_mean_sequence"]

_LARGEST_STAKE = 0.5
"""c of the paper: a gambler never stakes more than this share of what they have."""

_EDGE = 1e-9
"""Means closer than this to an end are not told from it."""


def bounded_mean_sequence(
    values: Sequence[float] | NDArray[np.float64], alpha: float, ends: Interval = UNIT
) -> Interval:
    """The hedged capital confidence sequence, after all the values.

    Theorem 3 of the paper with θ = ½: means for which neither gambler ever had 2/α, so the sequence only shrinks. Each capital is
    monotone in m, thus the set is an interval and its ends are found by bisection.

    Args:
        values: In the order of their coming.
        alpha: The chance, 0 to 1, with which any interval of the sequence may miss the mean.
        ends: The least and the greatest value there can be.

    Raises:
        InvalidInput: A value lies outside of the ends, the ends are not in order, or alpha is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    check_between("width", ends.width, 0.0, math.inf)
    scaled = _scaled(values, ends)
    if not len(scaled):
        return ends
    bets = _bets(scaled, alpha)
    # The mean is looked for from above in the values, and from below in their mirror.
    low = _lower_end(scaled, bets, alpha)
    high = 1 - _lower_end(1 - scaled, bets, alpha)
    # If the numbers drifted the two may have passed each other: then no constant mean explains them, and what they agree on is a point.
    low, high = min(low, high), max(low, high)
    return Interval(ends.low + low * ends.width, ends.low + high * ends.width)


def _scaled(values: Sequence[float] | NDArray[np.float64], ends: Interval) -> NDArray[np.float64]:
    """The values between 0 and 1."""
    scaled = (np.asarray(values, dtype=np.float64) - ends.low) / ends.width
    outside = ~((scaled >= 0) & (scaled <= 1))
    if outside.any():
        row = int(np.argmax(outside))
        raise InvalidInput(
            f"Value {row} is {values[row]}.",
            hint=f"It must lie between {ends.low} and {ends.high}.",
            row=row,
            field="values",
            got=float(values[row]),
        )
    return scaled


def _bets(values: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """What is staked on each value, knowing only those before it: the predictable plug-in of the paper.

    λ_t = √( 2 log(2/α) / (σ̂²_{t−1} · t log(1+t)) ), with mean and variance shrunk towards ½ and ¼ by one imagined value.
    """
    number = np.arange(1, len(values) + 1)
    mean = (0.5 + np.cumsum(values)) / (number + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2)) / (number + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.asarray(np.sqrt(2 * math.log(2 / alpha) / (before * number * np.log1p(number))))


def _lower_end(values: NDArray[np.float64], bets: NDArray[np.float64], alpha: float) -> float:
    """The smallest mean against which betting on larger values never brought 2/α."""
    goal = math.log(2 / alpha)

    def riches(mean: float) -> float:
        staked = np.minimum(bets, _LARGEST_STAKE / mean)
        return float(np.max(np.cumsum(np.log1p(staked * (values - mean))))) - goal

    if riches(_EDGE) <= 0:
        return 0.0
    if riches(1 - _EDGE) > 0:
        return 1.0
    # brentq needs no more than the change of sign; its lower bracket keeps the end on the safe side by its tolerance.
    return max(float(brentq(riches, _EDGE, 1 - _EDGE, xtol=1e-9)) - 1e-9, 0.0)
