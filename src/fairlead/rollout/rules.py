"""What makes no sense in a plan, said before anything is changed.

Each rule is a function from a complete plan to sentences; `check` raises the first. A rule that cannot be kept later (a goal nobody
measures, a step that can never end) is refused here rather than found out by a rollout that hangs.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator

from fairlead.durations import write_duration
from fairlead.errors import InvalidInput
from fairlead.refs import ModelRef
from fairlead.rollout.plan import DAY, KNOWN, Metric, Plan, Step
from fairlead.routing.table import check_endpoint

__all__ = ["check"]

_MOST_STEPS = 100
_MOST_METRICS = 50

_Problem = tuple[str, str]
"""What is wrong, and what to do."""


def check(plan: Plan) -> None:
    """Refuse a complete plan that makes no sense.

    Raises:
        InvalidInput: As said; the message names the step or metric, its value, and what to do.
        BadReference: Its endpoint or its candidate has no legal name.
    """
    check_endpoint(plan.endpoint)
    ModelRef.parse(plan.candidate)
    for rule in (_sizes, _numbers, _people, _steps, _strategy, _metrics, _watched, _analysis):
        for detail, hint in rule(plan):
            raise InvalidInput(detail, hint=hint)


def _sizes(plan: Plan) -> Iterator[_Problem]:
    for name, count, most in (("steps", len(plan.steps), _MOST_STEPS), ("metrics", len(plan.metrics), _MOST_METRICS)):
        if count > most:
            yield f"The plan has {count} {name}.", f"It may have {most}."


def _numbers(plan: Plan) -> Iterator[_Problem]:
    """Every number is one: YAML and Python know nan and infinity."""
    for number, step in enumerate(plan.steps, 1):
        for name in ("weight", "mirror"):
            yield from _percent(f"Step {number}, {name}", getattr(step, name))
        yield from _time(f"Step {number}, bake time", step.bake.time)
        if step.bake.samples < 0:
            yield f"Step {number} bakes for {step.bake.samples} samples.", "Give 0 or more."
    for metric in plan.metrics:
        for name in ("margin", "tolerance", "max", "min"):
            value = getattr(metric, name)
            if value is not None and not math.isfinite(value):
                yield f"{metric.name}, {name} is {value}.", "Give a finite number."
        for name in ("over", "label_delay"):
            yield from _time(f"{metric.name}, {name}", getattr(metric, name))
    for name in ("max_duration", "min_duration"):
        yield from _time(f"analysis, {name}", getattr(plan.analysis, name))
    yield from _time("rollback, keep_warm", plan.rollback.keep_warm)


def _percent(name: str, value: float | None) -> Iterator[_Problem]:
    if value is None:
        return
    if not 0 < value <= 100:
        yield f"{name} is {value:g}.", "Give percent: more than 0, at most 100."
    elif abs(value * 100 - round(value * 100)) > 1e-7:
        yield f"{name} is {value!r}.", "Give two decimals at most."


def _time(name: str, value: float | None) -> Iterator[_Problem]:
    if value is not None and not 0 <= value <= 3660 * DAY:
        yield f"{name} is {value:g} seconds.", "Give a length of time of at most ten years, such as 30m."


def _people(plan: Plan) -> Iterator[_Problem]:
    by, colon, name = plan.assignment.key.partition(":")
    if (
        by not in {"request", "header", "cookie", "column"}
        or bool(colon) != (by != "request")
        or bool(name) != bool(colon)
    ):
        yield (
            f"assignment, key is {plan.assignment.key!r}.",
            "Give `request`, `header:NAME`, `cookie:NAME` or `column:NAME`.",
        )
    audience = plan.audience
    if audience is not None:
        if (audience.column is None) == (audience.header is None):
            yield "The audience must name a column or a header.", "Write `{column: origin, is: [JFK]}`."
        if not audience.values:
            yield "The audience is empty.", "Name a value: `is: [JFK]`."


def _steps(plan: Plan) -> Iterator[_Problem]:
    last = 0.0
    before: Step | None = None
    for number, step in enumerate(plan.steps, 1):
        said = (step.weight is not None) + (step.mirror is not None) + step.approve
        if said != 1:
            yield f"Step {number} has {said} of weight, mirror and approve.", "Give one of them."
        if step.approve and step.bake != Step().bake:
            yield f"Step {number} asks for approval and bakes.", "Let the step before it bake."
        if step.approve and before is not None and before.approve:
            yield f"Steps {number - 1} and {number} both ask for approval.", "Remove one."
        if step.mirror is not None and last:
            yield f"Step {number} mirrors after step {number - 1} gave {last:g} %.", "Mirror first."
        if step.weight is not None:
            if step.weight <= last:
                yield (
                    f"Step {number} goes back from {last:g} % to {step.weight:g} %.",
                    "Weights must grow; to go back, abort.",
                )
            last = step.weight
        before = step


def _metrics(plan: Plan) -> Iterator[_Problem]:
    names: set[str] = set()
    for metric in plan.metrics:
        if metric.name in names:
            yield f"The metric {metric.name!r} stands twice.", "Remove one, or give it another name."
        names.add(metric.name)
        yield from _source(metric)
        yield from _fields(metric)
        yield from _limits(metric)
        if metric.source == "pairs" and not any(step.mirror for step in plan.steps):
            yield f"{metric.name} compares mirrored rows, and no step mirrors.", "Begin with `{mirror: 100}`."


def _source(metric: Metric) -> Iterator[_Problem]:
    known = KNOWN.get(metric.name)
    if known is None and metric.source != "feedback":
        close = difflib.get_close_matches(metric.name, KNOWN, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(KNOWN)}."
        yield f"There is no metric {metric.name!r}.", f"{hint} A value of the feedback needs `from: feedback`."
    if known is not None and metric.source != known.source:
        yield f"{metric.name} comes from {known.source}, not from {metric.source}.", "Leave `from` out."
    if known is not None and metric.higher_is != known.higher_is:
        yield f"A higher {metric.name} is {known.higher_is}.", "Leave `higher_is` out."


def _fields(metric: Metric) -> Iterator[_Problem]:
    """Fields that belong to other metrics."""
    if (metric.name == "slow_rate") != (metric.over is not None):
        if metric.over is None:
            yield "slow_rate does not say what is slow.", "Add `over: 200ms`."
        else:
            yield f"{metric.name} has no use for `over`.", "It belongs to slow_rate."
    free = metric.name not in KNOWN
    for name, fits in (
        ("label_delay", metric.source == "feedback"),
        ("label", metric.source == "feedback" and free),
        ("field", metric.source == "feedback" and free and metric.label is None),
        ("covariate", metric.source == "feedback" and metric.kind == "mean"),
        ("margin", metric.kind == "rate" and metric.source != "pairs"),
    ):
        if getattr(metric, name) is not None and not fits:
            yield f"{metric.name} has no use for `{name}`.", "Leave it out."
    if metric.segment and metric.source == "pairs":
        yield f"{metric.name} has no use for `segment`.", "Leave it out."
    if metric.source == "feedback" and not metric.label_delay:
        yield f"{metric.name} does not say when its feedback is due.", "Add `label_delay: 1d`."


def _limits(metric: Metric) -> Iterator[_Problem]:
    if metric.margin is not None and not 1 <= metric.margin <= 100:
        yield f"{metric.name}, margin is {metric.margin:g}.", "Give a factor of 1 to 100: 1.25 allows a quarter more."
    if metric.tolerance is not None and metric.tolerance < 0:
        yield f"{metric.name}, tolerance is {metric.tolerance:g}.", "Give 0 or more."
    for name in ("max", "min"):
        value = getattr(metric, name)
        if value is not None and metric.kind == "rate" and not 0 <= value <= 100:
            yield f"{metric.name}, {name} is {value:g}.", "Give percent, 0 to 100."
    if metric.max is not None and metric.min is not None and metric.min >= metric.max:
        yield f"{metric.name} cannot be above {metric.min:g} and below {metric.max:g}.", "Correct `min` or `max`."
    if metric.role == "guardrail" and metric.margin is metric.max is metric.min is None:
        if metric.kind == "mean" and metric.tolerance is None:
            yield f"The guardrail {metric.name} has no limit.", "Add `tolerance`, `min` or `max`."
        if metric.source == "pairs":
            yield f"The guardrail {metric.name} has no limit.", "Add `max: 3`, in percent."


def _strategy(plan: Plan) -> Iterator[_Problem]:
    weights = [step.weight for step in plan.steps if step.weight is not None]
    if plan.strategy == "shadow" and (weights or any(step.approve for step in plan.steps)):
        yield (
            "A shadow answers nobody, and the plan gives it weight or approval.",
            "Use mirror steps only, or a canary.",
        )
    if plan.strategy == "direct":
        if weights != [100] or len(plan.steps) != 1 or plan.steps[0].bake.time or plan.steps[0].bake.samples:
            yield "A direct deployment has no steps.", "Leave `steps` out, or use a canary."
        if plan.metrics:
            yield "A direct deployment looks at nothing, and the plan names metrics.", "Use a canary."
    if plan.strategy == "canary" and not weights:
        yield "The canary gets no weight.", "Add a weight, or use a shadow."
    if plan.strategy == "blue_green" and weights not in ([], [100]):
        yield f"Blue/green moves everything at once, not {_listed(weights)}.", "Use a canary for weights."
    if plan.strategy == "ab":
        yield from _ab(plan, weights)


def _ab(plan: Plan, weights: list[float]) -> Iterator[_Problem]:
    if len(weights) != 1 or weights[0] == 100:
        yield f"An A/B holds one weight below 100 %, not {_listed(weights)}.", "Give it one, such as 50."
    if plan.steps[-1].weight is None:
        yield "An A/B ends with its weight.", "To be asked before it is promoted, say `promote: false`."
    if not plan.goals:
        yield "The A/B has no goal.", "Give a metric `role: goal`."


def _watched(plan: Plan) -> Iterator[_Problem]:
    if plan.strategy != "direct" and not plan.guardrails:
        yield "The plan has no guardrail: nothing would stop a broken candidate.", "Add `{name: error_rate}`."


def _listed(weights: list[float]) -> str:
    return ", ".join(f"{weight:g} %" for weight in weights) or "none"


def _analysis(plan: Plan) -> Iterator[_Problem]:
    analysis = plan.analysis
    if not 0.0001 <= analysis.alpha <= 0.5:
        yield f"analysis, alpha is {analysis.alpha:g}.", "Give a chance of 0.0001 to 0.5, such as 0.05."
    least, most = analysis.min_duration or 0.0, analysis.max_duration or 0.0
    if not most:
        yield "analysis, max_duration is 0.", "Give a length of time, such as 24h."
    if plan.strategy == "ab":
        if least < DAY or least % DAY:
            yield f"analysis, min_duration is {write_duration(least)}.", "An A/B lasts whole days: 7d."
    elif least:
        yield "min_duration is for an A/B.", "Let the steps bake."
    if most < least:
        yield (
            f"max_duration {write_duration(most)} is shorter than min_duration {write_duration(least)}.",
            "Correct one.",
        )
    for number, step in enumerate(plan.steps, 1):
        if step.bake.time > most:
            yield (
                f"Step {number} bakes {write_duration(step.bake.time)}, and a step may wait {write_duration(most)} only.",
                "Make `max_duration` longer.",
            )
