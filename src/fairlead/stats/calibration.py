"""What a score has meant: from shares of outcomes in bins of the score to a probability for each score.

A logistic curve gives the shape, within bins and beyond the last; isotonic regression says what it misses at each bin. A few dozen bins then do: steps
alone would give all rows of the outermost bin the same chance, and traffic that moves there would be misjudged.

Sources: Platt, "Probabilistic outputs for support vector machines", 1999; Zadrozny, Elkan, KDD 2002; Ayer et al., Annals of Mathematical
Statistics 26 (1955), 641-647, for pooling adjacent violators.
"""

from __future__ import annotations

import msgspec
import numpy as np
from scipy.special import expit, logit

from fairlead.stats.estimates import Numbers

__all__ = ["Curve", "fitted", "rising"]

_LEAST = 1e-4
"""Scores nearer to 0 or 1 count as this far from them: the logit of 0 is no number."""

_STEPS = 50
_RIDGE = 1e-3
"""Holds the curve where outcomes are separated, and a slope would grow without end."""


class Curve(msgspec.Struct, frozen=True):
    """From a score to a probability.

    Attributes:
        slope: Of the logit of the outcome by the logit of the score.
        intercept: Where the score is one half.
        at: Scores, rising.
        missed: What is to be added at each.
    """

    slope: float
    intercept: float
    at: Numbers
    missed: Numbers

    def __call__(self, scores: Numbers) -> Numbers:
        """The probabilities, 0 to 1."""
        found: Numbers = np.clip(self.shape(scores) + np.interp(scores, self.at, self.missed), 0.0, 1.0)
        return found

    def shape(self, scores: Numbers) -> Numbers:
        """The logistic curve alone."""
        found: Numbers = expit(self.intercept + self.slope * _logit(scores))
        return found


def fitted(at: Numbers, shares: Numbers, rows: Numbers) -> Curve:
    """The curve through bins.

    Args:
        at: The mean score of each bin, rising, 0 to 1.
        shares: The share of outcomes in each.
        rows: How many rows each holds, above 0.
    """
    slope, intercept = _logistic(_logit(at), shares, rows)
    curve = Curve(slope, intercept, at, np.zeros_like(at))
    return Curve(slope, intercept, at, rising(shares, rows) - curve.shape(at))


def rising(values: Numbers, weights: Numbers) -> Numbers:
    """The non-decreasing numbers with the least weighted sum of squared distances, by pooling adjacent violators.

    Args:
        values: In the order of what they depend on.
        weights: Above 0.
    """
    means: list[float] = []
    sums: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, length = value, weight, 1
        while means and means[-1] >= mean:
            former, size = means.pop(), sums.pop()
            mean = (former * size + mean * total) / (size + total)
            total, length = total + size, length + lengths.pop()
        means.append(mean)
        sums.append(total)
        lengths.append(length)
    return np.repeat(np.array(means, np.float64), lengths)


def _logistic(x: Numbers, shares: Numbers, rows: Numbers) -> tuple[float, float]:
    """Slope and intercept by Newton's method on the log likelihood of counted outcomes; a falling slope counts as none."""
    table = np.stack([x, np.ones_like(x)], axis=1)
    found = np.array([1.0, 0.0])
    prior = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        chance = expit(table @ found)
        slope = table.T @ (rows * (shares - chance)) - _RIDGE * (found - prior)
        curve = (table.T * (rows * chance * (1 - chance))) @ table + _RIDGE * np.eye(2)
        step = np.clip(np.linalg.solve(curve, slope), -2.0, 2.0)
        found = found + step
        if float(np.abs(step).max()) < 1e-9:
            break
    return (float(found[0]), float(found[1])) if found[0] > 0 else (0.0, 0.0)


def _logit(scores: Numbers) -> Numbers:
    found: Numbers = logit(np.clip(scores, _LEAST, 1 - _LEAST))
    return found
