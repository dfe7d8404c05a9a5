"""Which of two versions do the bad events come from? Evidence on a ratio of rates that may be looked at all the time.

Look at events only: errors, slow answers, wrong labels. While the candidate gets the share ρ of the exposure, and its rate is e^δ times the
stable version's, an event is the candidate's with the chance

    p(δ) = ρ e^δ / (1 − ρ + ρ e^δ)

however often events happen, today or at night, and whatever was observed before. So each event is a coin whose fairness is known under
the null, ρ may change from step to step, and the likelihood ratio of "the ratio is e^g times the margin" against "it is the margin" is
a martingale. Averaged over g (`_GRID`) it is an e-process:

    E = Σ_g π_g Π_i [p_i(δ0+g)/p_i(δ0)]^x_i [(1 − p_i(δ0+g))/(1 − p_i(δ0))]^(1−x_i),   δ0 = log margin

P(E ever ≥ 1/α) ≤ α, for each true ratio up to the margin, because the likelihood ratio of coins is monotone. The product depends on the
events only through their number a `Stretch` of constant ρ. Events must belong to *units of assignment* (a request, or a key's first).

Source: after Lindon, Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022, arXiv 2011.03567 (time-inhomogeneous
Bernoulli and Poisson processes), with a one-sided grid mixture in place of the Dirichlet law; Ville's inequality.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit, logsumexp

from fairlead.errors import InvalidInput
from fairlead.stats.arguments import check_at_least, check_between
from fairlead.stats.interval import Interval

__all__ = ["Question", "Stretch", "log_e", "log_e_of_change", "log_e_paths", "rate_ratio"]

Question = Literal["harm", "safety", "difference"]
"""What is asked, and what large evidence means.

- `harm`: the candidate's rate is more than `margin` times the stable version's.
- `safety`: it is less than that: provably not worse.
- `difference`: it is not that, either way.
"""

_GRID = np.geomspace(0.005, 8.0, 200)
"""Distances g from the margin, on the log scale: from half a percent to a rate three thousand times as high."""

_LOG_WEIGHTS = np.log(_GRID) - _GRID / 3
_LOG_WEIGHTS -= logsumexp(_LOG_WEIGHTS)
"""Log of π, a density of e^(−g/3) (the spacing of the grid is proportional to g). It falls slowly, so that a candidate that fails
everything is caught at its third failure, and costs about 0.3 nats against e^(−g) where a rate rises fivefold; docs/statistics.md."""

_FARTHEST = 40.0
"""Ratios are looked for between e^-40 and e^40."""


class Stretch(msgspec.Struct, frozen=True):
    """Events counted while the candidate had one share of the exposure.

    `share` lies between 0 and 1, ends excluded; `candidate` and `stable` are how many events each had. Labelled pairs, where both versions
    answered the same row, are a stretch of share ½ with the rows that only one of them got wrong (McNemar).

    Raises:
        InvalidInput: A count is negative, or the share is no share.
    """

    share: float
    candidate: int
    stable: int

    def __post_init__(self) -> None:
        check_between("share", self.share, 0.0, 1.0)
        check_at_least("candidate", self.candidate, 0)
        check_at_least("stable", self.stable, 0)


def log_e(stretches: Sequence[Stretch], margin: float = 1.0, question: Question = "harm") -> float:
    """Log of the evidence; at log(1/α) the question is answered with yes. The module says how and why.

    Args:
        stretches: In any order; equal shares may be added up or not.
        margin: The ratio of rates that is still borne, 1.25 for a quarter more.
        question: See `Question`.

    Raises:
        InvalidInput: The margin is not above zero, or the question is unknown.
    """
    shares, candidate, stable = _columns(stretches)
    return float(log_e_paths(shares, candidate, stable, margin, question))


def log_e_of_change(stretches: Sequence[Stretch], margin: float = 1.0, question: Question = "harm") -> float:
    """Log of the evidence, for a candidate that may have changed at the beginning of a stretch: it was fine at 1 % and breaks at 10 %.

    In `log_e` a long good time speaks for the candidate, and it takes long to take that back. This one starts anew with each stretch
    and averages what all starts say: half the weight for the first, 1/(2j(j−1)) for the j-th, and 1 for each start that has not come. An
    average of e-processes is one, so the promise is the same; it costs log 2 nats against a candidate that never changes.

    Args:
        stretches: In the order of time; where one begins must not depend on what comes after.
        margin: As for `log_e`.
        question: As for `log_e`.

    Raises:
        InvalidInput: As `log_e`.
    """
    starts = range(len(stretches))
    begun = [log_e(stretches[start:], margin, question) + math.log(_start_weight(start)) for start in starts]
    to_come = math.log1p(-sum(map(_start_weight, starts)))
    return float(logsumexp([*begun, to_come]))


def log_e_paths(
    shares: ArrayLike, candidate: ArrayLike, stable: ArrayLike, margin: float = 1.0, question: Question = "harm"
) -> NDArray[np.float64]:
    """`log_e` of many histories at once, which is what simulations and plans need.

    Args:
        shares: `[stretches]`, between 0 and 1.
        candidate: `[..., stretches]`, the candidate's events; expected ones may be fractions.
        stable: `[..., stretches]`, the stable version's.
        margin: As for `log_e`.
        question: As for `log_e`.

    Raises:
        InvalidInput: As `log_e`.
    """
    check_between("margin", margin, 0.0, math.inf)
    ours, theirs = np.asarray(candidate, np.float64), np.asarray(stable, np.float64)
    place = np.asarray(logit(np.asarray(shares, np.float64))) + math.log(margin)
    if question == "difference":
        return np.asarray(
            np.logaddexp(_log_mixture(place, ours, theirs, 1), _log_mixture(place, ours, theirs, -1))
        ) - math.log(2)
    if question not in {"harm", "safety"}:
        raise InvalidInput(f"The question is {question!r}.", hint="It is harm, safety or difference.", field="question")
    return _log_mixture(place, ours, theirs, 1 if question == "harm" else -1)


def rate_ratio(stretches: Sequence[Stretch], alpha: float) -> Interval:
    """Where the candidate's rate divided by the stable version's lies, at all times at once.

    The ratios that neither `harm` nor `safety`, each with half of α, has ruled out. Both are monotone in the margin, so the ends
    are found by bisection.

    Args:
        stretches: As for `log_e`.
        alpha: The chance, 0 to 1, with which any interval of the sequence may miss the ratio.

    Returns:
        From 0 or to infinity where the events do not bound that side.

    Raises:
        InvalidInput: Alpha is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    shares, candidate, stable = _columns(stretches)
    place = np.asarray(logit(shares))

    def lacking(delta: float, direction: int) -> float:
        return float(_log_mixture(place + delta, candidate, stable, direction)) - math.log(2 / alpha)

    low = _sign_change(lambda delta: lacking(delta, 1))
    high = _sign_change(lambda delta: lacking(delta, -1))
    return Interval(0.0 if low is None else math.exp(low), math.inf if high is None else math.exp(high))


def _start_weight(start: int) -> float:
    """Half for the first stretch, the other half for all later ones: 1/2 + Σ 1/(2j(j−1)) = 1."""
    return 0.5 if start == 0 else 0.5 / (start * (start + 1))


def _columns(stretches: Sequence[Stretch]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Shares and counts as arrays."""
    rows = [(stretch.share, stretch.candidate, stretch.stable) for stretch in stretches]
    shares, candidate, stable = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return shares, candidate, stable


def _log_mixture(
    place: NDArray[np.float64], candidate: NDArray[np.float64], stable: NDArray[np.float64], direction: int
) -> NDArray[np.float64]:
    """Log Σ_g π_g (likelihood ratio at g); `place` is the logit of p(δ0).

    With p = p(δ0): log p(δ0+g)/p = −log(1 + (1−p)(e^−g − 1)) and log (1−p(δ0+g))/(1−p) = −log(1 + p(e^g − 1)): no difference of large
    numbers, for any share and any number of events.
    """
    g = direction * _GRID
    of_ours = -np.log1p(np.multiply.outer(expit(-place), np.expm1(-g)))
    of_theirs = -np.log1p(np.multiply.outer(expit(place), np.expm1(g)))
    return np.asarray(logsumexp(candidate @ of_ours + stable @ of_theirs + _LOG_WEIGHTS, axis=-1))


def _sign_change(function: Callable[[float], float]) -> float | None:
    """Where a monotone function of log ratio is zero; None where it is so nowhere."""
    if function(-_FARTHEST) * function(_FARTHEST) > 0:
        return None
    return float(brentq(function, -_FARTHEST, _FARTHEST))
