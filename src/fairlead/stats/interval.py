"""A range that holds the truth: what the confidence sequences give, and what a decision compares with its limit."""

from __future__ import annotations

import math

import msgspec

__all__ = ["EVERYTHING", "UNIT", "Interval"]


class Interval(msgspec.Struct, frozen=True):
    """From `low` to `high`, both included; infinite where nothing is known on that side."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """How much is left open."""
        return self.high - self.low


EVERYTHING = Interval(-math.inf, math.inf)
"""Nothing is known."""

UNIT = Interval(0.0, 1.0)
"""Where a rate or a share can lie."""
