"""How much data will a question need? Said before the rollout begins, by the same functions that will decide it.

A dry run says "a 1 % error limit needs at least 389 failure-free answers" or "a rise from 1 % to 5 % shows after about 1,900 requests"
and divides by the traffic. Nothing here is a bound of its own: each answer is found by asking `sequences` or `share`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from fairlead.errors import InvalidInput
from fairlead.stats.arguments import check_at_least, check_between, check_rate
from fairlead.stats.sequences import MINIMUM_COUNT, asymptotic_radius, rate_sequence
from fairlead.stats.share import Question, log_e_paths

__all__ = [
    "PlannedStep",
    "Rates",
    "clean_answers_needed",
    "counts_for_mean_difference",
    "optimal_trials",
    "requests_to_decide",
]

_MOST = 10**12
"""No plan waits for so many requests."""


class PlannedStep(msgspec.Struct, frozen=True):
    """So many requests in all with this share for the candidate."""

    share: float
    requests: int

    def __post_init__(self) -> None:
        check_between("share", self.share, 0.0, 1.0)
        check_at_least("requests", self.requests, 1)


class Rates(msgspec.Struct, frozen=True):
    """How often a request has the event, 0 to 1: answered by the candidate, and by the stable version."""

    candidate: float
    stable: float

    def __post_init__(self) -> None:
        check_rate("candidate", self.candidate)
        check_rate("stable", self.stable)


def optimal_trials(limit: float) -> float:
    """For which number of trials a `rate_sequence` is tuned that will be held against a limit: 3 / limit.

    By the rule of three so many trials without a failure are about the fewest that can show a rate to be below the limit.

    Raises:
        InvalidInput: The limit is not between 0 and 1.
    """
    check_between("limit", limit, 0.0, 1.0)
    return 3 / limit


def clean_answers_needed(limit: float, alpha: float) -> int:
    """After how many answers without a failure a rate is provably below the limit: 389 for 1 % at α = 5 %.

    Args:
        limit: Of the rate, between 0 and 1.
        alpha: The error that is allowed, between 0 and 1.

    Raises:
        InvalidInput: An argument is out of range.
    """
    tuned = optimal_trials(limit)
    return _first(lambda trials: rate_sequence(0, trials, alpha, tuned).high < limit)


def requests_to_decide(
    steps: Sequence[PlannedStep], rates: Rates, margin: float, alpha: float, question: Question = "harm"
) -> int | None:
    """After about how many requests in all a candidate is found to be worse than the margin, or not worse.

    The first request at which the *expected* counts of events give the evidence. As evidence that has once sufficed does so for good,
    more than half of the rollouts are decided by then; chance makes the others later.

    Args:
        steps: In their order; the last one goes on as long as it must.
        rates: What is supposed to be true.
        margin: As for `share.log_e`.
        alpha: The error that is allowed.
        question: `harm` for worse, `safety` for not worse.

    Returns:
        None where the expected evidence never suffices: the rates answer the question with no, or hardly with yes.

    Raises:
        InvalidInput: There is no step, or an argument is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    if not steps:
        raise InvalidInput("The plan has no step.", hint="Give at least one.", field="steps")
    shares = np.array([step.share for step in steps])
    ends = np.cumsum([step.requests for step in steps])
    starts = np.concatenate([[0], ends[:-1]])
    # The last step has no end.
    lengths = np.concatenate([np.diff(ends[:-1], prepend=0), [_MOST]])

    def decided(requests: int) -> bool:
        inside = np.clip(requests - starts, 0, lengths)
        ours, theirs = inside * shares * rates.candidate, inside * (1 - shares) * rates.stable
        return bool(log_e_paths(shares, ours, theirs, margin, question) >= math.log(1 / alpha))

    return _first(decided) if decided(_MOST) else None


def counts_for_mean_difference(
    difference: float, deviation: float, share: float, alpha: float, optimal_count: float = 5000
) -> int:
    """How many numbers both arms together need until a `sequences.mean_difference` is as narrow as ± a difference.

    Args:
        difference: What shall be told from none, in the goal's unit, above 0.
        deviation: The goal's standard deviation, after CUPED where that is used.
        share: The candidate's share of the units.
        alpha: The error that is allowed.
        optimal_count: As for `mean_difference`.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("difference", difference, 0.0, math.inf)
    check_at_least("deviation", deviation, 0.0)
    check_between("share", share, 0.0, 1.0)
    least = math.ceil(MINIMUM_COUNT / min(share, 1 - share))

    def narrow(count: int) -> bool:
        error = deviation / math.sqrt(count * share * (1 - share))
        return count >= least and asymptotic_radius(error, count, alpha, optimal_count) <= difference

    return _first(narrow)


def _first(enough: Callable[[int], bool]) -> int:
    """The smallest count that is enough, for a claim that stays true: doubling, then halving.

    Raises:
        InvalidInput: No count below a million millions is.
    """
    high = 1
    while not enough(high):
        high *= 2
        if high > 2 * _MOST:
            raise InvalidInput("No amount of data answers this.", hint="Ask for a wider limit or a larger difference.")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
