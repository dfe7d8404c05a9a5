"""Means of a rollout's numbers: the candidate's against stable's, within steps, and the candidate's alone.

Weights grow while the days go by, so the pooled means of the arms would compare Monday with Friday. Each step is compared in itself, and
the differences are averaged with the weights n_c·n_s/(n_c+n_s), which are the best ones if the spread is the same everywhere; they depend
on counts and not on what was measured.
"""

from __future__ import annotations

import math

from fairlead.rollout.evidence import Evidence, Tally
from fairlead.rollout.plan import Metric
from fairlead.stats.covariate import CovariateTotals, adjusted
from fairlead.stats.interval import EVERYTHING, Interval
from fairlead.stats.sequences import MINIMUM_COUNT, asymptotic_radius, mean_sequence
from fairlead.stats.totals import Totals

__all__ = ["mean_of", "step_difference"]

_OPTIMAL_COUNT = 5000.0
"""After so many numbers the sequences are about the tightest."""
_LEAST_IN_STEP = 10
"""A step with fewer numbers in an arm shows no spread to go by."""


def step_difference(metric: Metric, evidence: Evidence, alpha: float) -> tuple[float | None, Interval]:
    """Candidate's mean minus stable's, and where it lies at all times at once.

    The asymptotic confidence sequence (Waudby-Smith et al., arXiv 2103.06476, Theorem 2.2) on the stratified estimate Σ w_i d_i / Σ w_i with
    the standard error √(Σ w_i² (s²_c/n_c + s²_s/n_s)) / Σ w_i; with a covariate, after `stats.covariate.adjusted` in each step.
    """
    weights = shift = square = count = 0.0
    least = [0, 0]
    for ours, theirs in _by_step(metric, evidence):
        size = ours.count + theirs.count
        weight = ours.count * theirs.count / size
        weights += weight
        shift += weight * (ours.mean - theirs.mean)
        square += weight * weight * (ours.variance / ours.count + theirs.variance / theirs.count)
        count += size
        least = [least[0] + ours.count, least[1] + theirs.count]
    if not weights:
        return None, EVERYTHING
    effect, error = shift / weights, math.sqrt(square) / weights
    if min(least) < MINIMUM_COUNT or error == 0:
        return effect, EVERYTHING
    radius = asymptotic_radius(error, count, alpha, _OPTIMAL_COUNT)
    return effect, Interval(effect - radius, effect + radius)


def mean_of(metric: Metric, evidence: Evidence, alpha: float) -> tuple[float | None, Interval]:
    """The candidate's mean, and where it lies at all times at once."""
    totals = _totals(evidence.total(metric.name).candidate)
    if not totals.count:
        return None, EVERYTHING
    return totals.mean, mean_sequence(totals, alpha, _OPTIMAL_COUNT)


def _by_step(metric: Metric, evidence: Evidence) -> list[tuple[Totals, Totals]]:
    """Candidate and stable of each step in which both were measured."""
    found = []
    for step in evidence.steps:
        arms = step.metrics.get(metric.name)
        if arms is None or step.mirrored or min(arms.candidate.units, arms.stable.units) < _LEAST_IN_STEP:
            continue
        if metric.covariate is None:
            found.append((_totals(arms.candidate), _totals(arms.stable)))
        else:
            found.append(adjusted(_with_covariate(arms.candidate), _with_covariate(arms.stable)))
    return found


def _totals(tally: Tally) -> Totals:
    # A key's mean moves its sums by taking away and adding, and rounding may leave less than any numbers can have.
    return Totals(tally.units, tally.total, max(tally.squares, _least(tally.units, tally.total)))


def _with_covariate(tally: Tally) -> CovariateTotals:
    squares = max(tally.squares, _least(tally.units, tally.total))
    xx = max(tally.xx, _least(tally.units, tally.x))
    most = math.sqrt(xx * squares)
    return CovariateTotals(tally.units, tally.total, squares, tally.x, xx, min(max(tally.xy, -most), most))


def _least(count: int, total: float) -> float:
    """The smallest sum of squares that so many numbers with this sum can have."""
    return total * total / count if count else 0.0
