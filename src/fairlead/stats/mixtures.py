"""Mixture supermartingales: the one idea below the confidence sequences.

For each fixed λ the process exp(λS − ψ(λ)V) is a nonnegative supermartingale when the sum S of centred increments has the variance
process V and the ψ of its family. Averaging over λ keeps that, needs no guess of λ, and by Ville's inequality exceeds 1/α ever with
probability at most α. The mixtures are named after the family of ψ and the law of λ. `sequences` and `quantiles` turn them into intervals.

Source: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49
(2021), arXiv 1810.08240. "One-sided" mixtures hold λ ≥ 0 and give an upper bound of S, "two-sided" ones a bound of |S|.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
from scipy.optimize import brentq
from scipy.special import betainc, betaln, log_ndtr

from fairlead.stats.arguments import check_at_least, check_between

__all__ = [
    "Increments",
    "Sides",
    "best_rho",
    "beta_binomial_bound",
    "beta_binomial_log_mixture",
    "normal_bound",
    "normal_log_mixture",
    "tuned_rho",
]

Sides = Literal[1, 2]
"""1: the mixture grows only with S upwards; 2: both ways."""


class Increments(msgspec.Struct, frozen=True):
    """The range of one centred increment, from −`below` to `above`: for a Bernoulli of mean p, p and 1 − p."""

    below: float
    above: float


def best_rho(variance: float, alpha: float) -> float:
    """The mixing precision that makes the two-sided normal mixture's bound about the tightest at an intrinsic time.

    Section 3.5 of the paper, with the logarithm that stands for its Lambert function: ρ = v / (2 log(1/α) + log(1 + 2 log(1/α))).

    Args:
        variance: The intrinsic time v at which the bound shall be tightest.
        alpha: The error that is allowed, 0 to 1.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("variance", variance, 0.0, math.inf)
    check_between("alpha", alpha, 0.0, 1.0)
    nats = 2 * math.log(1 / alpha)
    return variance / (nats + math.log1p(nats))


def tuned_rho(variance: float, alpha: float, sides: Sides = 2) -> float:
    """`best_rho` for a mixture of one side or of two: one side may spend all of α, as each of two spends half.

    Raises:
        InvalidInput: An argument is out of range; with one side, α must be below one half.
    """
    return best_rho(variance, alpha if sides == 2 else 2 * alpha)


def normal_log_mixture(deviation: float, variance: float, rho: float, sides: Sides = 2) -> float:
    """Log of the normal mixture of exp(λs − λ²v/2), λ normal with variance 1/ρ.

    Proposition 4 of the paper, ½ log(ρ/(v+ρ)) + s²/(2(v+ρ)); with λ half-normal, Proposition 5, plus log 2Φ(s/√(v+ρ)).

    Args:
        deviation: s, the sum of the centred increments.
        variance: v ≥ 0, its intrinsic time.
        rho: The mixing precision, from `tuned_rho`.
        sides: See `Sides`.
    """
    time = variance + rho
    both = 0.5 * math.log(rho / time) + deviation * deviation / (2 * time)
    if sides == 2:
        return both
    return both + math.log(2) + float(log_ndtr(deviation / math.sqrt(time)))


def normal_bound(variance: float, alpha: float, rho: float, sides: Sides = 2) -> float:
    """The smallest deviation at which the normal mixture reaches 1/α.

    Two-sided in closed form: √((v+ρ)(log(1 + v/ρ) + 2 log(1/α))). One-sided by root finding below that bound.

    Args:
        variance: v ≥ 0.
        alpha: The error that is allowed.
        rho: The mixing precision, from `tuned_rho`.
        sides: See `Sides`.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    time = variance + rho
    two_sided = math.sqrt(time * (math.log(time / rho) + 2 * math.log(1 / alpha)))
    if sides == 2:
        return two_sided
    # For s ≥ 0 the one-sided mixture is at least the two-sided one: its bound lies below.
    return float(brentq(lambda s: normal_log_mixture(s, variance, rho, 1) - math.log(1 / alpha), 0.0, two_sided))


def beta_binomial_log_mixture(
    deviation: float, variance: float, increments: Increments, rho: float, sides: Sides = 2
) -> float:
    """Log of the beta-binomial mixture, for sums whose increments lie in a known range (sub-Bernoulli).

    Propositions 6 (two-sided) and 7 of the paper, with g = `increments.below`, h = `increments.above` and r = max(ρ − gh, gh/1000): a conjugate beta law
    over the tilt of the two-point law on {−g, h}; the one-sided mixture cuts it at the null.

    Args:
        deviation: s, between −v/h and v/g.
        variance: v ≥ 0, gh times the number of increments.
        increments: The range of one.
        rho: The mixing precision, from `tuned_rho`.
        sides: See `Sides`.

    Returns:
        -inf where a one-sided mixture is too small for a double.
    """
    g, h = increments.below, increments.above
    check_between("below", g, 0.0, math.inf)
    check_between("above", h, 0.0, math.inf)
    check_at_least("variance", variance, 0.0)
    width = g + h
    precision = max(rho - g * h, 1e-3 * g * h)
    held = precision + variance
    null = (
        variance / (g * h) * math.log(width)
        - (variance + h * deviation) / (h * width) * math.log(g)
        - (variance - g * deviation) / (g * width) * math.log(h)
    )
    cut = 1.0 if sides == 2 else h / width
    after = _log_beta_below((held - g * deviation) / (g * width), (held + h * deviation) / (h * width), cut)
    before = _log_beta_below(precision / (g * width), precision / (h * width), cut)
    return null + after - before


def beta_binomial_bound(variance: float, alpha: float, increments: Increments, rho: float, sides: Sides = 2) -> float:
    """The smallest deviation at which the beta-binomial mixture reaches 1/α; v/g, the largest there is, where none does.

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)

    def lacking(deviation: float) -> float:
        return beta_binomial_log_mixture(deviation, variance, increments, rho, sides) - math.log(1 / alpha)

    largest = variance / increments.below
    if variance == 0 or lacking(largest) <= 0:
        return largest
    return float(brentq(lacking, 0.0, largest))


def _log_beta_below(a: float, b: float, cut: float) -> float:
    """Log of the incomplete beta integral from 0 to `cut`."""
    if cut == 1.0:
        return float(betaln(a, b))
    part = float(betainc(a, b, cut))
    return float(betaln(a, b)) + math.log(part) if part > 0 else -math.inf
