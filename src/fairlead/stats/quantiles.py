"""Where a quantile lies, of a latency say, whatever the law of the numbers: it may be skewed, with gaps, without a mean.

If Q is the p-quantile then "a number is at most Q" is a Bernoulli trial of rate p, whatever the numbers are. So the beta-binomial mixture of
`sequences` says which ranks the quantile may have, at all times at once, and the sorted numbers say where these ranks stand.

Source: Howard, Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm identification", Bernoulli 28
(2022), arXiv 1906.09712.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

from fairlead.errors import InvalidInput
from fairlead.stats.arguments import check_at_least, check_between
from fairlead.stats.interval import EVERYTHING, Interval
from fairlead.stats.sequences import rate_log_evidence

__all__ = ["empirical_process_lil_bound", "quantile_difference", "quantile_sequence"]

_Numbers = Sequence[float] | NDArray[np.float64]


def quantile_sequence(values: _Numbers, quantile: float, alpha: float, optimal_count: float) -> Interval:
    """Where one quantile lies, at all times at once: Theorem 1 of the paper, with the beta-binomial mixture.

    Args:
        values: In any order.
        quantile: p, between 0 and 1: 0.99 for the p99.
        alpha: The chance, 0 to 1, with which any interval of the sequence may miss it.
        optimal_count: After so many values the interval shall be about the tightest.

    Returns:
        Ends that are values; infinite where the values do not reach that far yet.

    Raises:
        InvalidInput: An argument is out of range, or a value is not a number.
    """
    check_between("quantile", quantile, 0.0, 1.0)
    check_between("alpha", alpha, 0.0, 1.0)
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    if not count:
        return EVERYTHING
    if math.isnan(ordered[-1]):
        raise InvalidInput("A value is not a number.", hint="Leave out what was not measured.", field="values")
    fewest, most = _ranks(count, quantile, alpha, optimal_count)
    # More than `fewest` values are at most the quantile, and fewer than `most` lie below it.
    low = float(ordered[math.floor(fewest)]) if fewest >= 0 else -math.inf
    high = float(ordered[math.ceil(most) - 1]) if most <= count else math.inf
    return Interval(low, high)


def quantile_difference(
    candidate: _Numbers, stable: _Numbers, quantile: float, alpha: float, optimal_count: float
) -> Interval:
    """Where the candidate's quantile minus the stable version's lies, at all times at once.

    Each arm has a sequence of its own with half of α: by the union bound both hold, and so does what follows from them. Arguments as
    for `quantile_sequence`; `optimal_count` is that of one arm.

    Raises:
        InvalidInput: As `quantile_sequence`.
    """
    ours = quantile_sequence(candidate, quantile, alpha / 2, optimal_count)
    theirs = quantile_sequence(stable, quantile, alpha / 2, optimal_count)
    return Interval(ours.low - theirs.high, ours.high - theirs.low)


def empirical_process_lil_bound(count: float, alpha: float, least_count: float, amplitude: float = 0.85) -> float:
    """How far the empirical distribution function is from the true one, anywhere, at all times from `least_count` on.

    Theorem 2 of the paper: A √( (log(1 + log(t/m)) + C) / t ), where C is the smallest for which some η > 1 gives
    4 exp(−gC) (1 + 1/((g − 1) log η)) ≤ α with g = (2/η)(A − √(2(η−1)/C))², the paper's squared gamma.

    Args:
        count: t, how many values there are.
        alpha: 0 to 1.
        least_count: m; before it nothing is promised.
        amplitude: A, above 1/√2; 0.85 is the paper's.

    Returns:
        A distance between distribution functions; infinite where `count` is below `least_count`.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    check_at_least("least_count", least_count, 1.0)
    check_between("amplitude", amplitude, math.sqrt(0.5), math.inf)
    if count < least_count:
        return math.inf
    constant = _lil_constant(alpha, amplitude)
    return amplitude * math.sqrt((math.log1p(math.log(count / least_count)) + constant) / count)


def _lil_constant(alpha: float, amplitude: float) -> float:
    """C: as small as α allows."""
    goal = math.log(alpha)
    high = 8.0
    while _log_lil_error(high, amplitude) > goal:
        high *= 2
    low = high / 2
    while _log_lil_error(low, amplitude) < goal:
        low /= 2
    return float(brentq(lambda constant: _log_lil_error(constant, amplitude) - goal, low, high))


def _log_lil_error(constant: float, amplitude: float) -> float:
    """Log of the least error that some η gives with this C."""

    def speed(eta: float) -> float:
        return 2 / eta * (amplitude - math.sqrt(2 * (eta - 1) / constant)) ** 2

    def log_error(eta: float) -> float:
        gamma = speed(eta)
        return math.log(4) - gamma * constant + math.log1p(1 / ((gamma - 1) * math.log(eta)))

    # Where g falls to 1 the bound ends; it does so before η reaches 2A².
    last = brentq(lambda eta: math.sqrt(eta / 2) + math.sqrt(2 * (eta - 1) / constant) - amplitude, 1, 2 * amplitude**2)
    width = last - 1
    found = minimize_scalar(
        log_error, bounds=(1 + 1e-9 * width, last - 1e-9 * width), method="bounded", options={"xatol": 1e-10 * width}
    )
    return float(found.fun)


def _ranks(count: int, quantile: float, alpha: float, optimal_count: float) -> tuple[float, float]:
    """Between which counts "at most the quantile" may stand, exclusive; -1 and count + 1 where all do.

    The log evidence is convex in the count and lowest near count·quantile, so that it crosses log(1/α) once on each side.
    """
    threshold = math.log(1 / alpha)

    def lacking(at_most: float) -> float:
        return rate_log_evidence(at_most, count, quantile, alpha, optimal_count) - threshold

    return _crossing(lacking, count * quantile, 0.0, -1.0), _crossing(lacking, count * quantile, count, count + 1.0)


def _crossing(lacking: Callable[[float], float], middle: float, end: float, beyond: float) -> float:
    """Where the evidence suffices between the middle and an end; `beyond` where it never does."""
    if lacking(end) <= 0:
        return beyond
    return float(brentq(lacking, min(middle, end), max(middle, end)))
