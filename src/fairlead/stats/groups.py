"""Group-sequential boundaries: for a planned comparison with a known end and a few planned looks.

Knowing the end and looking seldom needs less data than a confidence sequence, and buys it with a rule: no look but the planned ones, and none
after the last. The bounds are on |z|, the usual statistic of all data so far, for a two-sided test; a look is placed by its *fraction*
of the information at the end.

Under the null z_k √t_k is a Brownian motion seen at t_k. Its density on the paths that have not stopped is carried from look to look by
Gauss-Legendre integration: Armitage, McPherson, Rowe, "Repeated significance tests on accumulating data", JRSS-A 132 (1969);
Jennison, Turnbull, "Group Sequential Methods", 2000, chapters 2, 7 and 19.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from fairlead.errors import InvalidInput
from fairlead.stats.arguments import check_at_least, check_between

__all__ = ["exit_probabilities", "obrien_fleming", "pocock", "spending_bounds", "spent"]

_WIDEST = 38.0
"""Beyond so many standard deviations a double holds no tail."""

_CLOSEST = 1e-4
"""Looks closer together than this fraction of the information are one look; the grid between them would be too fine."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)


class _Surviving(msgspec.Struct, frozen=True):
    """The law of the Brownian motion on the paths not stopped yet: density times weight at each node."""

    time: float
    nodes: NDArray[np.float64]
    mass: NDArray[np.float64]


def spent(fraction: float, alpha: float, power: float = 2.0) -> float:
    """How much of α may be spent up to a fraction of the information: α·t^power (Lan, DeMets 1983; Kim, DeMets 1987).

    Raises:
        InvalidInput: An argument is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    check_between("power", power, 0.0, math.inf)
    check_at_least("fraction", fraction, 0.0)
    return alpha * math.pow(min(fraction, 1.0), power)


def spending_bounds(fractions: Sequence[float], alpha: float, power: float = 2.0) -> tuple[float, ...]:
    """The bound of |z| at each look, such that the chance to stop up to it is what `spent` allows.

    A look's bound depends on the looks before it only, so a look may be planned anew as long as α is not.

    Args:
        fractions: Of the information, rising, at most 1.
        alpha: The error of all looks together, two-sided.
        power: 2 spends late, 1 evenly.

    Raises:
        InvalidInput: The fractions do not rise from above 0 to at most 1, or an argument is out of range.
    """
    _check_rising(fractions)
    bounds: list[float] = []
    law, before = _start(), 0.0
    for fraction in fractions:
        now = spent(fraction, alpha, power)
        bounds.append(_bound_for(law, fraction, now - before))
        law, before = _continued(law, fraction, bounds[-1]), now
    return tuple(bounds)


def pocock(looks: int, alpha: float) -> float:
    """Pocock's constant: |z| is held against the same bound at each of the equally spaced looks (Biometrika 64, 1977).

    Raises:
        InvalidInput: An argument is out of range.
    """
    return _constant(looks, alpha, 0.0)


def obrien_fleming(looks: int, alpha: float) -> float:
    """O'Brien and Fleming's constant C: |z| is held against C·√(K/k) at look k of K (Biometrics 35, 1979).

    Raises:
        InvalidInput: An argument is out of range.
    """
    return _constant(looks, alpha, 0.5)


def exit_probabilities(fractions: Sequence[float], bounds: Sequence[float]) -> tuple[float, ...]:
    """The chance, under the null, to stop at each look and not before: |z| reaches its bound there for the first time.

    Raises:
        InvalidInput: As `spending_bounds`, or there are not as many bounds as looks.
    """
    _check_rising(fractions)
    if len(bounds) != len(fractions):
        raise InvalidInput(f"{len(fractions)} looks and {len(bounds)} bounds.", hint="Give one bound for every look.")
    law, found = _start(), []
    for fraction, bound in zip(fractions, bounds, strict=True):
        check_between("bound", bound, 0.0, math.inf)
        found.append(_exit(law, fraction, bound))
        law = _continued(law, fraction, bound)
    return tuple(found)


def _check_rising(fractions: Sequence[float]) -> None:
    for before, fraction in zip([0.0, *fractions], fractions, strict=False):
        if not before + (_CLOSEST if before else 0.0) < fraction <= 1:
            raise InvalidInput(
                f"The look at {fraction} comes after {before}.",
                hint=f"Fractions of the information rise by more than {_CLOSEST:g}, from above 0 to at most 1.",
                field="fractions",
                got=fraction,
            )


def _constant(looks: int, alpha: float, slope: float) -> float:
    """The C for which the bounds C·(K/k)^slope spend α."""
    check_at_least("looks", looks, 1)
    check_between("alpha", alpha, 0.0, 1.0)
    fractions = [look / looks for look in range(1, looks + 1)]

    def excess(constant: float) -> float:
        return sum(exit_probabilities(fractions, [constant * fraction**-slope for fraction in fractions])) - alpha

    # One look needs the normal quantile; by Bonferroni no look needs more than α/K.
    low, high = float(-ndtri(alpha / 2)), float(-ndtri(alpha / (2 * looks)))
    return low if looks == 1 else float(brentq(excess, low, high + 1e-9, xtol=1e-9))


def _start() -> _Surviving:
    return _Surviving(0.0, np.zeros(1), np.ones(1))


def _exit(law: _Surviving, fraction: float, bound: float) -> float:
    """The chance to survive up to here and be outside now."""
    edge, step = bound * math.sqrt(fraction), math.sqrt(fraction - law.time)
    return float(law.mass @ (ndtr((law.nodes - edge) / step) + ndtr((-law.nodes - edge) / step)))


def _continued(law: _Surviving, fraction: float, bound: float) -> _Surviving:
    """The law at the next look, on what stays inside."""
    edge, step = min(bound, _WIDEST) * math.sqrt(fraction), math.sqrt(fraction - law.time)
    # The density is as smooth as one step is wide: a panel of six nodes for each standard deviation of it.
    panels = max(8, math.ceil(2 * edge / step))
    half = edge / panels
    middles = np.linspace(-edge + half, edge - half, panels)
    nodes = (middles[:, None] + half * _NODES).ravel()
    kernel = np.exp(-0.5 * ((nodes[:, None] - law.nodes) / step) ** 2) / (step * math.sqrt(2 * math.pi))
    return _Surviving(fraction, nodes, half * np.tile(_WEIGHTS, panels) * (kernel @ law.mass))


def _bound_for(law: _Surviving, fraction: float, chance: float) -> float:
    """The bound outside of which the motion is now with this chance."""
    if _exit(law, fraction, _WIDEST) >= chance:
        return _WIDEST
    return float(brentq(lambda bound: _exit(law, fraction, bound) - chance, 0.0, _WIDEST, xtol=1e-10))
