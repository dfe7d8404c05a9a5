"""What is kept of a column of numbers: how many, their sum, the sum of their squares.

Means and their sequences need no more, totals of two windows add up, and no value of anybody rests here.
"""

from __future__ import annotations

import math

import msgspec

from fairlead.errors import InvalidInput
from fairlead.stats.arguments import check_at_least

__all__ = ["Totals"]

_ROUNDING = 1e-12
"""A spread below this share of the mean square is what the rounding of the sums leaves of none."""


class Totals(msgspec.Struct, frozen=True):
    """The sufficient statistics of one arm's numbers.

    Sums lose the spread of numbers far from zero (times since 1970, say): take a constant near their mean off first.

    Raises:
        InvalidInput: The count is negative, a sum is not finite, or the squares are too small for the sum.
    """

    count: int
    total: float = 0.0
    squares: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("count", self.count, 0)
        check_at_least("squares", self.squares, 0.0)
        # Cauchy-Schwarz: no numbers have such sums. A little below is rounding.
        if not self.total * self.total <= self.count * self.squares * (1 + 1e-9):
            raise InvalidInput(
                f"{self.count} numbers cannot have the sum {self.total} and the sum of squares {self.squares}.",
                hint="Give the sums of the same numbers.",
                field="squares",
                got=self.squares,
            )

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The arithmetic mean; nan where there are no numbers."""
        return self.total / self.count if self.count else math.nan

    @property
    def variance(self) -> float:
        """The population variance, 0 where the sums show no spread; nan where there are no numbers."""
        if not self.count:
            return math.nan
        square = self.squares / self.count
        spread = square - self.mean**2
        return spread if spread > _ROUNDING * square else 0.0
