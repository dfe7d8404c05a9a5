"""Isotonic regression by pooling adjacent violators: the rising steps that lie nearest to some shares.

Scores are calibrated by it: `monitor/estimate.py` asks what a score of 0.7 has meant. Source: Ayer et al., Annals of Mathematical Statistics 26
(1955), 641-647; for probabilities Zadrozny, Elkan, KDD 2002.
"""

from __future__ import annotations

import numpy as np

from fairlead.stats.estimates import Numbers

__all__ = ["rising"]


def rising(values: Numbers, weights: Numbers) -> Numbers:
    """The non-decreasing numbers with the least weighted sum of squared distances.

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
