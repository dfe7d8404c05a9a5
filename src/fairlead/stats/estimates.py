"""A measured number with what is not known of it: its standard error and a 95 % interval. For one look, not for many.

Model quality is measured so. Each row enters with its *truth*, a probability: 1 or 0 where the label is known, in between where it is
only expected (a calibrated score, the share of a bin). One formula then serves measured quality, estimated quality and quality that is
read from counts. `Influence` says how the measured number would move with one more row; the mean of its square is the variance, by
the delta method for functionals of the empirical law (von Mises; van der Vaart, "Asymptotic Statistics", 1998, chapter 20).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from fairlead.stats.interval import Interval

__all__ = [
    "NORMAL",
    "Estimate",
    "Influence",
    "averaged",
    "exactly",
    "from_influence",
    "mean_influence",
    "proportion",
    "summed",
    "wilson",
]

NORMAL: Final = 1.959963984540054
"""The 97.5 % quantile of the normal law: intervals are 95 %."""

Scale = Literal["plain", "logit", "log"]
"""On which the interval is symmetric: as it is; for numbers from 0 to 1; for numbers above 0."""

Numbers = NDArray[np.float64]


class Estimate(msgspec.Struct, frozen=True):
    """A measured number.

    Attributes:
        value: In its unit.
        error: Its standard error, in the same unit; 0 where it is taken as exact.
        interval: 95 %.
        n: How many rows it rests on; 0 where nobody knows.
    """

    value: float
    error: float
    interval: Interval
    n: int = 0


class Influence(msgspec.Struct, frozen=True):
    """A number that is measured on rows with two outcomes, and how each row moves it.

    Attributes:
        value: The number.
        one: For each row, the influence of its outcome being 1.
        zero: For each row, of its outcome being 0.
    """

    value: float
    one: Numbers
    zero: Numbers

    def variance(self, truth: Numbers, weights: Numbers) -> float:
        """Of the value: Σ w (t·one² + (1−t)·zero²) / (Σw)²."""
        squares = truth * self.one**2 + (1 - truth) * self.zero**2
        return summed(weights, squares) / float(weights.sum()) ** 2


def summed(weights: Numbers, values: Numbers) -> float:
    """Σ w·x, without BLAS: its threads wait for each other on busy cores."""
    return float((weights * values).sum())


def exactly(value: float) -> Estimate:
    """A number that is taken as it was given."""
    return Estimate(value, 0.0, Interval(value, value))


def wilson(successes: float, trials: float) -> Interval:
    """Where a rate lies, 95 %: the score interval of Wilson, JASA 22 (1927), 209-212.

    Args:
        successes: Of the trials; expected counts may be fractions.
        trials: Above 0; 0 gives all from 0 to 1.
    """
    if trials <= 0:
        return Interval(0.0, 1.0)
    square, rate = NORMAL**2, successes / trials
    middle = (rate + square / (2 * trials)) / (1 + square / trials)
    spread = math.sqrt(max(rate * (1 - rate), 0.0) / trials + square / (4 * trials**2))
    radius = NORMAL / (1 + square / trials) * spread
    # At both ends rounding would leave the rate itself outside.
    return Interval(min(max(middle - radius, 0.0), rate), max(min(middle + radius, 1.0), rate))


def proportion(successes: float, trials: float) -> Estimate | None:
    """A rate with Wilson's interval, whose half-width tells the error, so that 0 of n is not known exactly.

    Returns:
        `None` without trials.
    """
    if trials <= 0:
        return None
    found = wilson(successes, trials)
    return Estimate(successes / trials, found.width / (2 * NORMAL), found, round(trials))


def averaged(first: Numbers, weights: Numbers | None = None, second: Numbers | None = None) -> Estimate | None:
    """A mean with Student's interval.

    Args:
        first: What each row is worth, or is expected to be worth.
        weights: How many rows each stands for; 1 where it is `None`.
        second: The expected square of what each row is worth; that of `first` where it is `None`.

    Returns:
        `None` below two rows.
    """
    w = np.ones(len(first)) if weights is None else weights
    n = float(w.sum())
    if n < 2:
        return None
    mean = summed(w, first) / n
    # Around the mean, so that no digits are lost; E(x − m)² = E x² − 2m·Ex + m².
    squares = (first - mean) ** 2 if second is None else second - 2 * mean * first + mean**2
    error = math.sqrt(max(summed(w, squares), 0.0) / (n - 1) / n)
    radius = float(stdtrit(n - 1, 0.975)) * error
    return Estimate(mean, error, Interval(mean - radius, mean + radius), round(n))


def from_influence(value: float, variance: float, n: float, scale: Scale = "plain") -> Estimate:
    """A number with the interval of its influence, symmetric on a scale on which it is more nearly normal.

    Args:
        value: The number.
        variance: Of the number.
        n: How many rows it rests on.
        scale: For "logit" the number must lie between 0 and 1, for "log" above 0; at the ends the interval is Wilson's of n, and
            the number itself.
    """
    error = math.sqrt(max(variance, 0.0))
    if scale == "logit" and not 0 < value < 1:
        ends = wilson(round(value) * n, n)
        return Estimate(value, ends.width / (2 * NORMAL), ends, round(n))
    if scale == "logit":
        radius, middle = NORMAL * error / (value * (1 - value)), math.log(value / (1 - value))
        return Estimate(value, error, Interval(_expit(middle - radius), _expit(middle + radius)), round(n))
    if scale == "log" and value > 0:
        factor = math.exp(min(NORMAL * error / value, 700.0))
        return Estimate(value, error, Interval(value / factor, value * factor), round(n))
    return Estimate(value, error, Interval(value - NORMAL * error, value + NORMAL * error), round(n))


def mean_influence(parts: Sequence[Influence], truths: Sequence[Numbers], weights: Numbers) -> tuple[float, float]:
    """Value and variance of the plain mean of numbers, one for each class, that rest on the same rows.

    A row of class k moves its own class's number by `one` and all the others by `zero`.

    Args:
        parts: For each class.
        truths: For each class, the probability of each row to be of it.
        weights: How many rows each stands for.
    """
    count = len(parts)
    nowhere: Any = sum(part.zero for part in parts)
    squares, left = np.zeros(len(weights)), np.ones(len(weights))
    for part, truth in zip(parts, truths, strict=True):
        squares += truth * ((nowhere + part.one - part.zero) / count) ** 2
        left -= truth
    squares += np.clip(left, 0.0, 1.0) * (nowhere / count) ** 2
    return sum(part.value for part in parts) / count, summed(weights, squares) / float(weights.sum()) ** 2


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(max(x, -700.0)) / (1 + math.exp(max(x, -700.0)))
