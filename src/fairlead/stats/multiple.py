"""Many questions at once: how small a p-value must be when it was the smallest of a hundred.

Source: Benjamini, Hochberg, "Controlling the false discovery rate: a practical and powerful approach to multiple testing",
J. R. Statist. Soc. B 57 (1995), 289-300. Where no null hypothesis is false, the chance of any rejection at all is at most q, too:
a whole report without drift is silent with the chance 1 − q.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["benjamini_hochberg"]


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values: those below q are rejected at the false discovery rate q.

    With p sorted, p_(1) ≤ … ≤ p_(m): adjusted p_(i) = min over j ≥ i of p_(j) · m / j, at most 1.

    Args:
        p: Of all tests of one run, 0 to 1, in any order.

    Returns:
        In the order given.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * len(values) / np.arange(1, len(values) + 1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
