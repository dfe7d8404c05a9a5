"""Confidence sequences: intervals that hold the truth at every look at once, so that looking costs nothing.

With probability 1 − α a rate, a mean or a difference of means lies in *all* the intervals that will ever be computed from the growing
data. A decision may therefore be taken at any moment, for any reason. Rates are exact at any size (`rate_sequence`). Means are
asymptotic, from `MINIMUM_COUNT` on; where a goal has known ends and few numbers, `betting` is exact. `covariate` sharpens a difference.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import betaln, expit, log_expit, logit

from fairlead.stats.arguments import check_between, check_counts
from fairlead.stats.interval import EVERYTHING, Interval
from fairlead.stats.mixtures import best_rho
from fairlead.stats.totals import Totals

__all__ = [
    "MINIMUM_COUNT",
    "asymptotic_radius",
    "mean_difference",
    "mean_sequence",
    "rate_log_evidence",
    "rate_sequence",
]

MINIMUM_COUNT = 100
"""So many numbers an arm must have before the first look at a mean: below, the normal law is no description of it."""

_EDGE = 690.0
"""Rates are searched between e^-690 and 1 - e^-690: the doubles end there."""


def rate_sequence(successes: int, trials: int, alpha: float, optimal_trials: float) -> Interval:
    """Where a rate lies: the beta-binomial mixture confidence sequence of Howard et al. 2021, Proposition 6.

    All rates whose `rate_log_evidence` stays below log(1/α). Exact: it needs no large numbers.

    Args:
        successes: How many of the trials had the event.
        trials: How many there were; 0 gives the interval from 0 to 1.
        alpha: The chance, 0 to 1, with which any interval of the sequence may miss the rate.
        optimal_trials: After so many trials the interval shall be about the tightest; it holds at any number.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    check_counts("successes", successes, "trials", trials)
    if trials == 0:
        return Interval(0.0, 1.0)
    concentration = _concentration(alpha, optimal_trials)
    threshold = math.log(1 / alpha)

    def lacking(position: float) -> float:
        return _log_evidence(successes, trials, position, concentration) - threshold

    middle = min(max(float(logit(successes / trials)), -_EDGE), _EDGE)
    low = high = None
    if successes > 0 and lacking(-_EDGE) > 0:
        low = float(expit(brentq(lacking, -_EDGE, middle)))
    if successes < trials and lacking(_EDGE) > 0:
        high = float(expit(brentq(lacking, middle, _EDGE)))
    return Interval(0.0 if low is None else low, 1.0 if high is None else high)


def rate_log_evidence(successes: float, trials: float, rate: float, alpha: float, optimal_trials: float) -> float:
    """Log of the e-value against the claim that a rate is this one.

    The beta-binomial mixture of Howard et al. 2021 for Bernoulli trials, where g = p, h = 1 − p and it becomes a Bayes factor: with a
    beta law of mean p and concentration κ over the true rate, log B(κp + k, κ(1−p) + n−k) − log B(κp, κ(1−p)) − k log p − (n−k) log(1−p).

    Args:
        successes: k; between two counts the formula goes on smoothly.
        trials: n.
        rate: p, between 0 and 1.
        alpha: The error for which κ is tuned.
        optimal_trials: As for `rate_sequence`.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_counts("successes", successes, "trials", trials)
    check_between("rate", rate, 0.0, 1.0)
    return _log_evidence(successes, trials, float(logit(rate)), _concentration(alpha, optimal_trials))


def mean_sequence(totals: Totals, alpha: float, optimal_count: float = 5000) -> Interval:
    """Where the mean of an unbounded number lies: the asymptotic confidence sequence of Waudby-Smith et al., arXiv 2103.06476.

    Everything, where there are fewer than `MINIMUM_COUNT` numbers or they show no spread: then nothing can be said this way.

    Args:
        totals: Of the numbers.
        alpha: The chance with which any interval may miss, for large counts.
        optimal_count: After so many numbers the interval shall be about the tightest.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    if totals.count < MINIMUM_COUNT or totals.variance == 0:
        return EVERYTHING
    radius = asymptotic_radius(math.sqrt(totals.variance / totals.count), totals.count, alpha, optimal_count)
    return Interval(totals.mean - radius, totals.mean + radius)


def mean_difference(candidate: Totals, stable: Totals, alpha: float, optimal_count: float = 5000) -> Interval:
    """Where the candidate's mean minus the stable version's lies, as `mean_sequence`.

    The standard error is that of two independent arms, √(s²_c/n_c + s²_s/n_s), and the count the sum of both, as for the paper's
    randomised experiments; the shares of the arms should not change meanwhile.

    Args:
        candidate: Totals of its numbers, a number for each unit of assignment.
        stable: Totals of the version it is compared with.
        alpha: The chance with which any interval may miss, for large counts.
        optimal_count: After so many numbers in both arms the interval shall be about the tightest.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    if min(candidate.count, stable.count) < MINIMUM_COUNT:
        return EVERYTHING
    error = math.sqrt(candidate.variance / candidate.count + stable.variance / stable.count)
    if error == 0:
        return EVERYTHING
    middle = candidate.mean - stable.mean
    radius = asymptotic_radius(error, candidate.count + stable.count, alpha, optimal_count)
    return Interval(middle - radius, middle + radius)


def asymptotic_radius(error: float, count: float, alpha: float, optimal_count: float) -> float:
    """Half the width of an asymptotic confidence sequence.

    Theorem 2.2 of arXiv 2103.06476, with σ̂ = se·√n: σ̂ √( 2(nρ²+1)/(n²ρ²) · log(√(nρ²+1)/α) ), with the ρ that is best at n*:
    ρ² = (−2 log α + log(1 − 2 log α)) / n*.

    Args:
        error: The standard error of the estimate, in its unit.
        count: n, how many numbers it is made of.
        alpha: 0 to 1.
        optimal_count: n*.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("count", count, 0.0, math.inf)
    check_between("optimal_count", optimal_count, 0.0, math.inf)
    precision = count / best_rho(optimal_count, alpha)  # nρ²
    inner = 2 * (precision + 1) / precision * math.log(math.sqrt(precision + 1) / alpha)
    return error * math.sqrt(inner)


def _concentration(alpha: float, optimal_trials: float) -> float:
    """κ: r/(gh) of the beta-binomial mixture; for v = n·p(1−p) it does not depend on p."""
    check_between("optimal_trials", optimal_trials, 0.0, math.inf)
    return max(best_rho(optimal_trials, alpha) - 1, 1e-3)


def _log_evidence(successes: float, trials: float, position: float, concentration: float) -> float:
    """`rate_log_evidence` on the logit scale, where a rate of 1e-9 is as exact as one half."""
    failures = trials - successes
    here, there = concentration * float(expit(position)), concentration * float(expit(-position))
    ratio = float(betaln(here + successes, there + failures) - betaln(here, there))
    return ratio - successes * float(log_expit(position)) - failures * float(log_expit(-position))
