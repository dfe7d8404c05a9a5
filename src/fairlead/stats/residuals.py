"""How far predicted numbers lie from the true ones.

Means of errors have Student's interval. The root of a mean, and R², are functions of means; their intervals are the delta method's, on the log
scale, where they are more nearly normal (van der Vaart, "Asymptotic Statistics", 1998, chapter 3).
"""

from __future__ import annotations

import numpy as np

from fairlead.stats.estimates import Estimate, Numbers, averaged, from_influence
from fairlead.stats.interval import Interval

__all__ = ["mean_absolute_error", "mean_absolute_percentage_error", "mean_error", "r_squared", "root_mean_square"]


def mean_error(truth: Numbers, said: Numbers) -> Estimate | None:
    """The mean of said − true: above 0 where too much is said. `None` below two rows."""
    return averaged(said - truth)


def mean_absolute_error(truth: Numbers, said: Numbers) -> Estimate | None:
    """The mean of |said − true|, in the target's unit."""
    return averaged(np.abs(said - truth))


def mean_absolute_percentage_error(truth: Numbers, said: Numbers) -> tuple[Estimate | None, int]:
    """The mean of |said − true|/|true| as a share, and how many rows were left out because the truth is 0."""
    kept = truth != 0
    found = averaged(np.abs(said[kept] - truth[kept]) / np.abs(truth[kept]))
    return found, int(len(truth) - kept.sum())


def root_mean_square(squares: Estimate | None) -> Estimate | None:
    """The root of a mean of squares: its error is that of the mean over twice the root."""
    if squares is None:
        return None
    root = float(np.sqrt(max(squares.value, 0.0)))
    error = squares.error / (2 * root) if root > 0 else 0.0
    return from_influence(root, error**2, squares.n, "log")


def r_squared(truth: Numbers, said: Numbers) -> Estimate | None:
    """1 − Σ(said − true)²/Σ(true − mean)²; `None` where the truth does not vary.

    Influence of the ratio q of both means: (e² − q·d²)/σ², with the error e and the distance d from the mean. That the mean is itself estimated
    does not matter: the sum of squares is least there, so its derivative is 0.
    """
    if len(truth) < 2:
        return None
    errors, distances = (said - truth) ** 2, (truth - truth.mean()) ** 2
    spread = float(distances.mean())
    if spread <= 0:
        return None
    ratio = float(errors.mean()) / spread
    influence = (errors - ratio * distances) / spread
    found = from_influence(ratio, float((influence**2).mean()) / len(truth), len(truth), "log")
    return Estimate(1 - ratio, found.error, Interval(1 - found.interval.high, 1 - found.interval.low), len(truth))
