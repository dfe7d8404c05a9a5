"""What a plan will need, said before it begins: how many answers, and how long that is at the present traffic.

The figures come from the functions that will judge, so a dry run promises what the rollout will hold. They are the least that can
suffice: answers without a failure, keys that come once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from fairlead.durations import tell_duration
from fairlead.rollout.plan import DAY, Metric, Plan, PlannedStep, steps_of
from fairlead.stats import planning
from fairlead.stats.sequences import MINIMUM_COUNT

__all__ = ["Needs", "StepNeeds", "Traffic", "needs"]

_RISE = 5.0
"""The example of a dry run: a rate that rises so many times."""


class Traffic(msgspec.Struct, frozen=True):
    """What the endpoint is asked now.

    Attributes:
        per_second: Requests a second, over the last hour or so.
        error_rate: The part of them that failed, 0 to 1; `None` where it is not known.
    """

    per_second: float
    error_rate: float | None = None


class StepNeeds(msgspec.Struct, frozen=True):
    """One step's needs.

    Attributes:
        step: Its number.
        answers: How many answers of the candidate it needs at least.
        requests: How many requests bring them.
        seconds: How long that is; `None` where no end can be seen: there is no traffic, or somebody must approve.
    """

    step: int
    answers: int
    requests: int
    seconds: float | None


class Needs(msgspec.Struct, frozen=True):
    """A plan's needs.

    Attributes:
        steps: Step by step.
        seconds: Of all steps; `None` where one of them has no end in sight.
        sentences: All of it for people.
    """

    steps: tuple[StepNeeds, ...]
    seconds: float | None
    sentences: tuple[str, ...]


def needs(plan: Plan, traffic: Traffic) -> Needs:
    """What a complete plan needs at the present traffic."""
    limits = [(metric, _clean_answers(plan, metric)) for metric in plan.guardrails]
    enough = max((count for _, count in limits if count is not None), default=0)
    steps = tuple(_steps(plan, traffic, enough))
    ends = [step.seconds for step in steps]
    seconds = sum(end for end in ends if end is not None) if None not in ends else None
    sentences = [
        *(_limit_told(plan, metric, count) for metric, count in limits if count is not None),
        *_finding_told(plan, steps, traffic),
        *_feedback_told(plan),
        *(_step_told(one, step, traffic) for one, step in zip(steps, steps_of(plan), strict=True)),
        *_whole_told(plan, seconds, traffic),
    ]
    return Needs(steps, seconds, tuple(sentences))


def _clean_answers(plan: Plan, metric: Metric) -> int | None:
    """How many answers with nothing bad show that a guardrail is kept; `None` where no number can be said.

    As `measures` divides α: over the guardrails, over the limits of each, and over both arms where they are compared.
    """
    if metric.kind != "rate":
        return None
    most = metric.max if metric.name != "accuracy" or metric.min is None else 100 - metric.min
    compared = metric.margin is not None
    alpha = (
        plan.analysis.alpha
        / len(plan.guardrails)
        / max(1, compared + (metric.max is not None) + (metric.min is not None))
    )
    found = []
    if most is not None and 0 < most < 100:
        found.append(planning.clean_answers_needed(most / 100, alpha))
    if compared and metric.tolerance:
        found.append(planning.clean_answers_needed(min(metric.tolerance, 99) / 100, alpha / 2))
    return max(found, default=None)


def _steps(plan: Plan, traffic: Traffic, enough: int) -> Iterator[StepNeeds]:
    """Evidence adds up over the steps, so what one has shown the next need not show again."""
    shown = 0
    every = steps_of(plan)
    for step in every:
        share = _share(step)
        if step.approve or not share:
            yield StepNeeds(step.number, 0, 0, None if step.approve else 0.0)
            continue
        must_pass = step is every[-1] or step.mirror or plan.analysis.advance_on == "pass"
        wanted = max(enough - shown, 0) if must_pass else 0
        answers = max(step.bake.samples, wanted)
        shown += answers
        requests = math.ceil(answers / share)
        waiting = requests / traffic.per_second if traffic.per_second > 0 else (0.0 if not requests else None)
        yield StepNeeds(step.number, answers, requests, None if waiting is None else max(waiting, step.bake.time))


def _share(step: PlannedStep) -> float:
    return (step.weight or step.mirror) / 100


def _limit_told(plan: Plan, metric: Metric, count: int) -> str:
    limit = f"a limit of {metric.max:g} %" if metric.max is not None else None
    if limit is None and metric.min is not None:
        limit = f"at least {metric.min:g} %"
    if limit is None:
        points = "point" if metric.tolerance == 1 else "points"
        limit = f"to be shown at most {metric.tolerance:g} {points} worse"
    parts = f", with α divided over {len(plan.guardrails)} guardrails" if len(plan.guardrails) > 1 else ""
    return f"{metric.name}: {limit} needs at least {count:,} answers with nothing bad{parts}."


def _finding_told(plan: Plan, steps: tuple[StepNeeds, ...], traffic: Traffic) -> Iterator[str]:
    """After how many requests a candidate that fails more often would be found."""
    metric = next((one for one in plan.guardrails if one.name == "error_rate" and one.margin is not None), None)
    planned = [
        planning.PlannedStep(step.weight / 100, max(one.requests, 1))
        for one, step in zip(steps, steps_of(plan), strict=True)
        if 0 < step.weight < 100 and not step.approve
    ]
    if metric is None or not planned:
        return
    rate = min(max(traffic.error_rate or 0.01, 0.001), 1 / _RISE)
    limits = 1 + (metric.max is not None) + (metric.min is not None)
    alpha = plan.analysis.alpha / len(plan.guardrails) / limits / 2  # half of it looks for later changes
    found = planning.requests_to_decide(planned, planning.Rates(_RISE * rate, rate), metric.margin or 1.0, alpha)
    if found is not None:
        yield f"An error rate that rises from {100 * rate:.2g} % to {100 * _RISE * rate:.2g} % is found after about {found:,} requests."


def _feedback_told(plan: Plan) -> Iterator[str]:
    for metric in plan.metrics:
        if metric.source != "feedback" or metric.role == "info":
            continue
        delay = metric.label_delay or 0.0
        least = f" and each arm has {MINIMUM_COUNT} numbers" if metric.kind == "mean" else ""
        yield f"{metric.name}: nothing is known before feedback is due (after {tell_duration(delay)}){least}."
        most = plan.analysis.max_duration or DAY
        if delay > most:
            yield (
                f"{metric.name}: that is longer than a step may wait ({tell_duration(most)}), so the last step will end as "
                f"`on_inconclusive: {plan.analysis.on_inconclusive}` says."
            )


def _step_told(one: StepNeeds, step: PlannedStep, traffic: Traffic) -> str:
    name = f"Step {one.step + 1}"
    if step.approve:
        return f"{name} waits for approval."
    what = f"{step.weight:g} % of the traffic" if step.weight else f"{step.mirror:g} % of the traffic mirrored"
    if not one.answers:
        return (
            f"{name}, {what}: {tell_duration(one.seconds)}." if one.seconds else f"{name}, {what}: nothing to wait for."
        )
    wanted = f"{one.answers:,} answers of the candidate, which {one.requests:,} requests bring"
    if one.seconds is None:
        return f"{name}, {what}: {wanted}."
    pace = f"at {traffic.per_second:.3g} requests a second"
    return f"{name}, {what}: {wanted}; {pace} it lasts {tell_duration(one.seconds)}."


def _whole_told(plan: Plan, seconds: float | None, traffic: Traffic) -> Iterator[str]:
    if traffic.per_second <= 0:
        yield "The endpoint is not asked at present, so no time can be said."
        return
    if plan.strategy == "ab":
        yield f"The A/B lasts {tell_duration(plan.analysis.min_duration or DAY)} at least, for whole days."
    if seconds and plan.strategy != "ab":
        yield f"In all: {tell_duration(seconds)} at least."
