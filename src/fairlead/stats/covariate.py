"""CUPED: a number known before the rollout began explains a part of the goal's spread, and what is explained need not be waited for.

Somebody who spent much last month spends much this month, whichever version answers. Taking that off leaves the difference between the
arms where it was, because a covariate from before cannot depend on the arm, and shrinks its error by the share the covariate
explains. The result is a pair of `Totals` that `sequences.mean_difference` takes like any others.

Source: Deng, Xu, Kohavi, Walker, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM 2013.
"""

from __future__ import annotations

import msgspec

from fairlead.errors import InvalidInput
from fairlead.stats.arguments import check_at_least
from fairlead.stats.totals import Totals

__all__ = ["CovariateTotals", "adjusted"]


class CovariateTotals(msgspec.Struct, frozen=True):
    """The sufficient statistics of pairs: a goal `y`, and a covariate `x` from before the rollout.

    Raises:
        InvalidInput: The sums cannot belong to real numbers.
    """

    count: int
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("count", self.count, 0)
        Totals(self.count, self.x, self.xx)
        Totals(self.count, self.y, self.yy)
        if not self.xy * self.xy <= self.xx * self.yy * (1 + 1e-9):
            raise InvalidInput(
                f"No numbers with the sums of squares {self.xx} and {self.yy} have the sum of products {self.xy}.",
                hint="Give the sums of the same pairs.",
                field="xy",
                got=self.xy,
            )


def adjusted(candidate: CovariateTotals, stable: CovariateTotals) -> tuple[Totals, Totals]:
    """The two arms' totals of y − θ(x − x̄), with θ and x̄ of both arms together.

    Section 3.2 of the paper. θ is the regression within the arms, Σ cov(x, y) / Σ var(x), so that an effect of the version
    does not enter it; 0 where the covariate has no spread.

    Returns:
        Candidate and stable. Without a pair both are what they were.
    """
    count = candidate.count + stable.count
    if not count:
        return Totals(0), Totals(0)
    middle = (candidate.x + stable.x) / count
    spread = _within(candidate, candidate.x, candidate.xx) + _within(stable, stable.x, stable.xx)
    both = _within(candidate, candidate.y, candidate.xy) + _within(stable, stable.y, stable.xy)
    theta = both / spread if spread > 1e-12 * (candidate.xx + stable.xx) else 0.0
    return _without(candidate, theta, middle), _without(stable, theta, middle)


def _within(arm: CovariateTotals, other: float, product: float) -> float:
    """Σ (x − x̄)(other − its mean) of one arm."""
    return product - arm.x * other / arm.count if arm.count else 0.0


def _without(arm: CovariateTotals, theta: float, middle: float) -> Totals:
    """Totals of y − θ(x − middle)."""
    centred = arm.x - arm.count * middle
    cross = arm.xy - middle * arm.y
    square = max(arm.xx - 2 * middle * arm.x + arm.count * middle * middle, 0.0)
    total = arm.y - theta * centred
    squares = arm.yy - 2 * theta * cross + theta * theta * square
    # Rounding may leave less than any numbers with this sum can have.
    return Totals(arm.count, total, max(squares, total * total / arm.count if arm.count else 0.0))
