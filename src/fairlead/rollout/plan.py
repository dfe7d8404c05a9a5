"""A plan: how one version takes over an endpoint, as its author writes it down.

```yaml
endpoint: flights
candidate: flights:4
strategy: canary                      # direct | shadow | canary | ab | blue_green
assignment: {key: header:x-user-id}
steps:
  - {mirror: 100, bake: {time: 30m, samples: 400}}
  - {weight: 10, bake: {time: 30m}}
  - {approve: true}
  - {weight: 50, bake: {time: 2h}}
metrics:
  - {name: error_rate, margin: 1.25}
  - {name: revenue, from: feedback, role: goal, label_delay: 7d}
```

Plain data: `reading` makes it of text or flags, `rules` refuses what makes no sense, `steps_of` brings every strategy to the same
list of steps, `decide` follows it. Times are in seconds; weights, rates and their limits in percent.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fairlead.schema import Value

__all__ = [
    "DAY",
    "KNOWN",
    "Analysis",
    "Assigned",
    "Audience",
    "Bake",
    "Known",
    "Metric",
    "Plan",
    "PlannedStep",
    "Role",
    "Rollback",
    "Seconds",
    "Source",
    "Step",
    "Strategy",
    "complete",
    "default_plan",
    "steps_of",
]

Strategy = Literal["direct", "shadow", "canary", "ab", "blue_green"]
Role = Literal["guardrail", "goal", "info"]
Source = Literal["requests", "pairs", "feedback"]

DAY = 86_400.0
_MINUTE = 60.0
_HOUR = 3600.0

Seconds = Annotated[float, Meta(ge=0, extra={"written": "as a length of time: 30m"})]
"""A length of time. People write `30m`; here it is seconds."""


class Known(msgspec.Struct, frozen=True):
    """A metric that Fairlead measures by itself.

    Attributes:
        source: Where it comes from: each answer, pairs of answers to one row, or feedback.
        kind: "rate": a share of units, in percent; "mean": the mean of a number.
        higher_is: Whether a higher one is better.
        meaning: For people.
    """

    source: Source
    kind: Literal["rate", "mean"]
    higher_is: Literal["better", "worse"]
    meaning: str


KNOWN: dict[str, Known] = {
    "error_rate": Known("requests", "rate", "worse", "answers that failed"),
    "slow_rate": Known("requests", "rate", "worse", "answers that took longer than `over`"),
    "refusal_rate": Known("requests", "rate", "worse", "rows that the version did not take"),
    "unseen_rate": Known("requests", "rate", "worse", "rows with a category that was unseen in training"),
    "disagreement": Known("pairs", "rate", "worse", "mirrored rows that the candidate answers otherwise"),
    "score_difference": Known("pairs", "rate", "worse", "the largest difference of a probability, over mirrored rows"),
    "accuracy": Known("feedback", "rate", "better", "answers that the label proved right"),
    "rating": Known("feedback", "mean", "better", "what people said of the answer, 1 to 5"),
}
"""The metrics that need no explanation. Any other name needs `from: feedback`."""


class Bake(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a step lasts at least, and how many units the candidate must have answered in it."""

    time: Seconds = 0.0
    samples: Annotated[int, Meta(ge=0, le=10**9)] = 0


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a plan: exactly one of `weight`, `mirror` and `approve`.

    Attributes:
        weight: How much of the traffic the candidate answers, in percent.
        mirror: How much of the traffic the candidate is asked without its answers being given, in percent.
        approve: Somebody must say that it goes on.
        bake: What must have passed before it goes on.
    """

    weight: float | None = None
    mirror: float | None = None
    approve: bool = False
    bake: Bake = Bake()


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured, and what it means for the rollout.

    Attributes:
        name: One of `KNOWN`, or a name of the author's that comes from feedback.
        role: A guardrail must not be harmed; a goal decides an A/B; an info is shown.
        source: Where it comes from; written `from`.
        over: From which latency on an answer is slow (`slow_rate`).
        margin: By which factor the candidate's rate of what is bad may be stable's. 1.25 lets 1.25 % stand beside 1 %.
        tolerance: A difference that nobody cares about: in percentage points for a rate, in its unit for a mean.
        max: The candidate's limit, in percent or in the unit.
        min: The same, downwards.
        higher_is: Whether a higher one is better; known for `KNOWN`.
        label_delay: How long after the answer its feedback counts; exposures younger than that are not looked at.
        field: Which of the feedback's values it is; its name if not said.
        label: The share of feedback with this label, instead of a number.
        covariate: A column, known before the answer, that explains part of the number (CUPED).
        segment: Only rows with these values: `{origin: JFK}`.
    """

    name: str
    role: Role = "guardrail"
    source: Source | None = msgspec.field(name="from", default=None)
    over: Seconds | None = None
    margin: float | None = None
    tolerance: float | None = None
    max: float | None = None
    min: float | None = None
    higher_is: Literal["better", "worse"] | None = None
    label_delay: Seconds | None = None
    field: str | None = None
    label: Value = None
    covariate: str | None = None
    segment: dict[str, Value] = msgspec.field(default_factory=dict)

    @property
    def kind(self) -> Literal["rate", "mean"]:
        """Whether it is a share of units or the mean of a number."""
        known = KNOWN.get(self.name)
        if known is not None:
            return known.kind
        return "mean" if self.label is None else "rate"

    @property
    def good(self) -> bool:
        """Whether more of it is better."""
        return self.higher_is == "better"


class Analysis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the evidence is judged.

    Attributes:
        alpha: The chance that a harmless candidate is aborted, over the whole rollout and however often one looks.
        on_inconclusive: What happens when a step's time is over and its guardrails have neither passed nor failed.
        max_duration: How long a step may wait for its verdicts.
        error_limit: After so many looks without a measurement, a minute apart, the rollout is aborted.
        advance_on: What a step with weight asks of the guardrails before the next one: that none failed, or that they passed. A
            mirror step, which harms nobody, and the promotion always ask that they passed.
        warm_up: So many first answers of the candidate are not measured, nor stable's meanwhile.
        min_duration: How long an A/B lasts at least: whole days, because weekdays differ.
    """

    alpha: float = 0.05
    on_inconclusive: Literal["pause", "abort", "proceed"] = "pause"
    max_duration: Seconds | None = None
    error_limit: Annotated[int, Meta(ge=1, le=1000)] = 4
    advance_on: Literal["no_fail", "pass"] = "no_fail"
    warm_up: Annotated[int, Meta(ge=0, le=10_000)] = 10
    min_duration: Seconds | None = None


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the former version stays loaded after a promotion, so that going back is a matter of a pointer."""

    keep_warm: Seconds = 24 * _HOUR


class Assigned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By what a request is assigned to a version.

    Attributes:
        key: `request`, or `header:NAME`, `cookie:NAME`, `column:NAME`: who shares its value stays with one version.
        fallback: A request without that value is assigned for itself, or gets the stable version and is not analysed.
    """

    key: str = "request"
    fallback: Literal["request", "stable"] = "request"


class Audience(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the rollout is for; all others get the stable version and are not analysed.

    Attributes:
        column: The column that is looked at; or
        header: the header.
        values: One of them it must be; written `is`.
    """

    values: tuple[Value, ...] = msgspec.field(name="is")
    column: str | None = None
    header: str | None = None


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one version takes over an endpoint.

    Attributes:
        endpoint: The endpoint that changes.
        candidate: The version that comes, "flights:4".
        strategy: The pattern.
        assignment: By what requests are assigned.
        audience: Whom it is for; everybody if not said.
        steps: In their order.
        metrics: What is measured.
        analysis: How it is judged.
        rollback: For how long one can go back at once.
        promote: Whether a candidate that passed everything is promoted by itself, or waits for somebody to say so. If not said,
            a shadow waits and the others do not.
    """

    endpoint: str
    candidate: str
    strategy: Strategy = "canary"
    assignment: Assigned = Assigned()
    audience: Audience | None = None
    steps: tuple[Step, ...] = ()
    metrics: tuple[Metric, ...] = ()
    analysis: Analysis = Analysis()
    rollback: Rollback = Rollback()
    promote: bool | None = None

    @property
    def guardrails(self) -> tuple[Metric, ...]:
        """The metrics that must not be harmed."""
        return tuple(metric for metric in self.metrics if metric.role == "guardrail")

    @property
    def goals(self) -> tuple[Metric, ...]:
        """The metrics that decide an A/B."""
        return tuple(metric for metric in self.metrics if metric.role == "goal")


class PlannedStep(msgspec.Struct, frozen=True):
    """One step as it is carried out, whichever strategy it comes from.

    Attributes:
        number: 0, 1, 2, …
        weight: What the candidate answers meanwhile, in percent.
        mirror: What it is asked meanwhile without its answers being given, in percent.
        approve: Whether somebody must say that it goes on.
        bake: What must have passed before it goes on.
    """

    number: int
    weight: float
    mirror: float
    approve: bool
    bake: Bake


def steps_of(plan: Plan) -> tuple[PlannedStep, ...]:
    """The steps in one shape. While somebody is asked to approve, the step before goes on."""
    found: list[PlannedStep] = []
    weight = mirror = 0.0
    for number, step in enumerate(plan.steps):
        if not step.approve:
            weight, mirror = step.weight or 0.0, step.mirror or 0.0
        found.append(PlannedStep(number, weight, mirror, step.approve, step.bake))
    return tuple(found)


def default_plan(strategy: Strategy, endpoint: str, candidate: str) -> Plan:
    """The plan of somebody who names no more than a strategy."""
    return complete(Plan(endpoint, candidate, strategy))


def complete(plan: Plan) -> Plan:
    """The plan with everything said that its author left open. What was said stays; to complete twice changes nothing."""
    promote = plan.strategy != "shadow" if plan.promote is None else plan.promote
    steps = plan.steps or _STEPS[plan.strategy]
    mirrored = any(step.mirror for step in steps)
    usual = (metric for metric in _METRICS[plan.strategy] if mirrored or metric.name != "disagreement")
    return msgspec.structs.replace(
        plan,
        steps=steps,
        metrics=tuple(_complete_metric(metric) for metric in plan.metrics or usual),
        analysis=_complete_analysis(plan),
        promote=promote,
    )


def _complete_analysis(plan: Plan) -> Analysis:
    analysis = plan.analysis
    least = analysis.min_duration
    if least is None:
        least = 7 * DAY if plan.strategy == "ab" else 0.0
    most = analysis.max_duration
    if most is None:
        most = 4 * least if plan.strategy == "ab" else DAY
    return msgspec.structs.replace(analysis, min_duration=least, max_duration=most)


def _complete_metric(metric: Metric) -> Metric:
    known = KNOWN.get(metric.name)
    source = metric.source or (known.source if known else "requests")
    margin, tolerance = metric.margin, metric.tolerance
    if metric.kind == "rate" and source != "pairs":
        if margin is None and metric.max is None and metric.min is None:
            margin = 1.25
        if margin is not None and tolerance is None:
            tolerance = 1.0
    return msgspec.structs.replace(
        metric,
        source=source,
        margin=margin,
        tolerance=tolerance,
        higher_is=metric.higher_is or (known.higher_is if known else "better"),
        label_delay=_HOUR if metric.label_delay is None and source == "feedback" else metric.label_delay,
        field=metric.name if _is_number(metric, source) and metric.field is None else metric.field,
    )


def _is_number(metric: Metric, source: Source) -> bool:
    """Whether it is one of the numbers that feedback may carry."""
    return source == "feedback" and metric.name not in KNOWN and metric.label is None


_STEPS: dict[Strategy, tuple[Step, ...]] = {
    "direct": (Step(weight=100),),
    "shadow": (Step(mirror=100, bake=Bake(30 * _MINUTE, 400)),),
    "canary": tuple(Step(weight=weight, bake=Bake(10 * _MINUTE, 100)) for weight in (1, 10, 50)),
    "ab": (Step(weight=50),),
    "blue_green": (Step(mirror=100, bake=Bake(10 * _MINUTE, 400)), Step(weight=100, bake=Bake(10 * _MINUTE))),
}
_ERRORS = Metric("error_rate")
_METRICS: dict[Strategy, tuple[Metric, ...]] = {
    "direct": (),
    "shadow": (_ERRORS, Metric("disagreement", role="info")),
    "canary": (_ERRORS,),
    "ab": (_ERRORS, Metric("rating", role="goal")),
    "blue_green": (_ERRORS, Metric("disagreement", role="info")),
}
