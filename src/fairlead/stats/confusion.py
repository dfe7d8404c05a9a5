"""What the confusion of two outcomes comes to: precision, recall, specificity, accuracy, F1, each a share of counted rows.

Shares have Wilson's interval. F1 is one in disguise: with J = TP/(TP + FP + FN) it is 2J/(1 + J), so that the interval of J, a share of the rows that
are positive or called so, gives that of F1 (Hand, Christen, Kirielle, "F*: an interpretable transformation of the F-measure", Machine
Learning 110 (2021), 451-456). Means over classes have the delta method's, as Takahashi et al., "Confidence interval for micro-averaged F1 and
macro-averaged F1 scores", Applied Intelligence 52 (2022), 4961-4972.
"""

from __future__ import annotations

import msgspec
import numpy as np

from fairlead.stats.estimates import NORMAL, Estimate, Influence, Numbers, proportion, summed
from fairlead.stats.interval import Interval

__all__ = ["Confusion", "count_confusion", "f1", "f1_influence", "precision_influence", "recall_influence"]


class Confusion(msgspec.Struct, frozen=True):
    """Rows by what was said and what was true; fractions where the truth is expected and not known."""

    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float

    def accuracy(self) -> Estimate | None:
        """The share that was said rightly."""
        right = self.true_positive + self.true_negative
        return proportion(right, right + self.false_positive + self.false_negative)

    def precision(self) -> Estimate | None:
        """The share of those called positive that are; `None` where none was called so."""
        return proportion(self.true_positive, self.true_positive + self.false_positive)

    def recall(self) -> Estimate | None:
        """The share of positives that were found; `None` where there is none."""
        return proportion(self.true_positive, self.true_positive + self.false_negative)

    def specificity(self) -> Estimate | None:
        """The share of negatives that were called so; `None` where there is none."""
        return proportion(self.true_negative, self.true_negative + self.false_positive)

    def f1(self) -> Estimate | None:
        """See `f1`."""
        return f1(self)


def count_confusion(truth: Numbers, said: Numbers, weights: Numbers) -> Confusion:
    """Count.

    Args:
        truth: The probability of each row to be positive.
        said: 1 where it was called positive, else 0.
        weights: How many rows each stands for.
    """
    called, positives, both = (summed(weights, one) for one in (said, truth, said * truth))
    n = float(weights.sum())
    # Expected counts are sums of rounded numbers: what should be 0 may lie a hair below.
    counts = (both, called - both, positives - both, n - called - positives + both)
    return Confusion(*(max(one, 0.0) for one in counts))


def f1(counts: Confusion) -> Estimate | None:
    """The harmonic mean of precision and recall; `None` where no row is positive or called so."""
    concerned = counts.true_positive + counts.false_positive + counts.false_negative
    share = proportion(counts.true_positive, concerned)
    if share is None:
        return None
    low, high = (2 * end / (1 + end) for end in (share.interval.low, share.interval.high))
    value = 2 * share.value / (1 + share.value)
    return Estimate(value, (high - low) / (2 * NORMAL), Interval(low, high), round(concerned + counts.true_negative))


def precision_influence(truth: Numbers, said: Numbers, weights: Numbers) -> Influence:
    """Of precision; 0 where none was called positive, as scikit-learn's `zero_division=0`."""
    return _ratio(truth, weights, said, said, said)


def recall_influence(truth: Numbers, said: Numbers, weights: Numbers) -> Influence:
    """Of recall; 0 where none is positive."""
    return _ratio(truth, weights, said, np.ones_like(said), np.zeros_like(said))


def f1_influence(truth: Numbers, said: Numbers, weights: Numbers) -> Influence:
    """Of F1; 0 where none is positive or called so."""
    return _ratio(truth, weights, 2 * said, said + 1, said)


def _ratio(truth: Numbers, weights: Numbers, top_one: Numbers, bottom_one: Numbers, bottom_zero: Numbers) -> Influence:
    """Σ top / Σ bottom, where a row of outcome 0 adds nothing on top."""
    top = summed(weights, truth * top_one)
    bottom = summed(weights, truth * bottom_one + (1 - truth) * bottom_zero)
    if bottom <= 0:
        return Influence(0.0, np.zeros_like(truth), np.zeros_like(truth))
    value, scale = top / bottom, float(weights.sum()) / bottom
    return Influence(value, scale * (top_one - value * bottom_one), -scale * value * bottom_zero)
