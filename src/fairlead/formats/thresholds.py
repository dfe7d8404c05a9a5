"""Thresholds pulled back to raw units by bisection over the doubles themselves.

A tree asks `float32((x - mean) / scale) <= t`. The question is monotone in `x`, so there is a largest double for which the answer
is yes, and `x <= that` asks the same of every double: scaler, imputer and cast are gone and nothing is approximated. The
doubles are ordered like integers, so 64 halvings find it, for all thresholds of a feature at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["REACH", "largest_passing", "order_key", "value_of_key"]

REACH = 1e300
"""Bisection looks between -REACH and REACH; beyond them scalers overflow, and no unit of measurement reaches them."""

_LOWEST = np.iinfo(np.int64).min


def order_key(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Integers in the same order as the doubles, neighbours next to each other; 0.0 and -0.0 share 0."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    return np.where(bits < 0, _LOWEST - bits, bits)


def value_of_key(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """The doubles whose `order_key` is given."""
    return np.where(keys < 0, _LOWEST - keys, keys).view(np.float64)


def largest_passing(
    passes: Callable[[NDArray[np.float64]], NDArray[np.bool_]], count: int, reach: float = REACH
) -> NDArray[np.float64]:
    """The largest double that passes, for `count` questions at once.

    Args:
        passes: Takes one double a question, gives the answers; each answer never turns from no to yes as its double grows.
        count: How many questions.
        reach: Doubles beyond ±reach are taken to be answered like ±reach.

    Returns:
        `[count]` doubles; -inf where none passes, inf where all pass.
    """
    if count == 0:
        return np.empty(0)
    low = np.full(count, -reach)
    high = np.full(count, reach)
    none, every = ~passes(low), passes(high)
    low_key, high_key = order_key(low), order_key(high)
    for _ in range(64):
        # The floor of the mean, without the overflow of a sum.
        middle = (low_key & high_key) + ((low_key ^ high_key) >> 1)
        passed = passes(value_of_key(middle))
        low_key = np.where(passed, middle, low_key)
        high_key = np.where(passed, high_key, middle)
    found = value_of_key(low_key)
    return np.where(none, -np.inf, np.where(every, np.inf, found))
