"""Was the traffic divided as planned? A rollout whose arms got other shares than the table says is broken, whatever its metrics say.

For units assigned independently with known chances the counts are multinomial; against each other law stands a Dirichlet mixture around
the plan. The ratio is an e-value, those of steps with different shares multiply, and it may be looked at all the time. The χ² test
beside it is what people know; it holds for one look.

Source: Lindon, Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022, arXiv 2011.03567.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln

from fairlead.errors import InvalidInput
from fairlead.stats.arguments import check_at_least, check_between

__all__ = ["Division", "chi_square_p", "log_e"]


class Division(msgspec.Struct, frozen=True):
    """How many units each arm got, and which weights it should have, while these did not change.

    Weights need not add up to one. An arm of weight zero should get nothing.

    Raises:
        InvalidInput: Another number of weights than of counts, a negative one, or no weight at all.
    """

    weights: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.counts):
            raise InvalidInput(
                f"{len(self.weights)} weights and {len(self.counts)} counts.", hint="Give one of each for every arm."
            )
        for weight in self.weights:
            check_at_least("weight", weight, 0)
        for count in self.counts:
            check_at_least("count", count, 0)
        check_between("weights", sum(self.weights), 0.0, math.inf)


def log_e(divisions: Sequence[Division], concentration: float = 100.0) -> float:
    """Log of the evidence that the units were not divided by the weights; at log(1/α) they were not.

    The Dirichlet-multinomial Bayes factor of the paper, a step: log B(kθ + n) − log B(kθ) − Σ n_i log θ_i with B the multivariate beta function, summed over the
    steps.

    Args:
        divisions: One a step.
        concentration: k: how close to the plan a mismatch is looked for; 100 sees a few percent.

    Returns:
        Infinity where an arm of weight zero got something.

    Raises:
        InvalidInput: The concentration is not above zero.
    """
    check_between("concentration", concentration, 0.0, math.inf)
    if any(_got_what_it_should_not(division) for division in divisions):
        return math.inf
    return sum(_log_bayes_factor(*_expected(division), concentration) for division in divisions)


def chi_square_p(divisions: Sequence[Division]) -> float:
    """Pearson's p-value over all steps: their statistics and degrees of freedom add up. For one look, not for many.

    Returns:
        1 where there is nothing to compare, 0 where an arm of weight zero got something.
    """
    if any(_got_what_it_should_not(division) for division in divisions):
        return 0.0
    statistic, freedom = 0.0, 0
    for shares, counts in map(_expected, divisions):
        if len(shares) > 1 and counts.sum() > 0:
            expected = shares * counts.sum()
            statistic += float(((counts - expected) ** 2 / expected).sum())
            freedom += len(shares) - 1
    return float(chdtrc(freedom, statistic)) if freedom else 1.0


def _got_what_it_should_not(division: Division) -> bool:
    return any(count and not weight for weight, count in zip(division.weights, division.counts, strict=True))


def _expected(division: Division) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares and counts of the arms that should get something."""
    weights = np.array(division.weights, dtype=np.float64)
    kept = weights > 0
    return weights[kept] / weights.sum(), np.array(division.counts, dtype=np.float64)[kept]


def _log_bayes_factor(shares: NDArray[np.float64], counts: NDArray[np.float64], concentration: float) -> float:
    prior = concentration * shares
    return float(_log_beta(prior + counts) - _log_beta(prior) - counts @ np.log(shares))


def _log_beta(shape: NDArray[np.float64]) -> float:
    return float(gammaln(shape).sum() - gammaln(shape.sum()))
