"""A report: what one look at a rollout's metrics found. `measures` makes it of evidence, `decide` follows it, people read it."""

from __future__ import annotations

from typing import Literal

import msgspec

from fairlead.rollout.plan import Role
from fairlead.stats.interval import Interval

__all__ = ["Measure", "Report", "Side", "Verdict"]

Verdict = Literal["pass", "fail", "inconclusive", "error"]
"""Provably safe; provably harmed; neither; could not be measured."""


class Side(msgspec.Struct, frozen=True):
    """One arm of a measure.

    Attributes:
        units: How many units.
        value: Its rate in percent, or its mean; `None` without a unit.
    """

    units: int
    value: float | None


class Measure(msgspec.Struct, frozen=True):
    """What is known of one metric.

    Attributes:
        metric: Its name; `working` and `sample_ratio` are measured in every rollout.
        role: Its role.
        verdict: What follows.
        because: Why, with the numbers, as a sentence.
        stable: The stable arm.
        candidate: The candidate's.
        unit: What counts once.
        effect: Candidate minus stable, in percentage points of what is counted (for accuracy, wrong answers) or in the goal's unit. Of
            an absolute limit, the candidate's value.
        interval: Where the effect lies, at all looks at once; `None` where nothing is known.
        e_value: The evidence of harm; at 1/α it is proven. `None` where another method judges.
        pending: Whether no feedback is due yet, so that waiting is all there is to do.
    """

    metric: str
    role: Role
    verdict: Verdict
    because: str
    stable: Side = Side(0, None)
    candidate: Side = Side(0, None)
    unit: str = "answer"
    effect: float | None = None
    interval: Interval | None = None
    e_value: float | None = None
    pending: bool = False


class Report(msgspec.Struct, frozen=True):
    """All measures of one look."""

    measures: tuple[Measure, ...] = ()

    def of(self, role: Role) -> tuple[Measure, ...]:
        """The measures with a role."""
        return tuple(measure for measure in self.measures if measure.role == role)

    def get(self, metric: str) -> Measure | None:
        """The measure of a metric."""
        return next((measure for measure in self.measures if measure.metric == metric), None)
