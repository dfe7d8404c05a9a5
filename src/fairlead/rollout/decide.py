"""What to do next: a plan, where the rollout stands, and a report, in; one decision, out. Pure, so every case can be a test.

In this order, and the first that applies is the answer:

| case | decision |
|---|---|
| a guardrail failed, also while paused | abort |
| the rollout is paused | hold |
| a guardrail or the division of traffic could not be measured, after the bake | hold; abort after `error_limit` such looks, a minute apart |
| the step asks for approval that nobody gave | hold |
| the bake has not passed, in time and in samples | hold |
| a guardrail is inconclusive, in a mirror step, the last step, or each with `advance_on: pass` | hold; `on_inconclusive` after `max_duration` |
| an A/B lasts less than its whole days, or its goal is open | the same |
| the last step is over | promote, or pause for somebody to promote it |
| otherwise | advance |

Nothing is known is never a reason to go on: missing data is an error, and an error never advances. A guardrail from feedback that is not due
yet does not hold a step back, but it holds back the promotion.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from fairlead.durations import tell_duration
from fairlead.rollout.plan import DAY, Plan, PlannedStep, steps_of
from fairlead.rollout.report import Measure, Report

__all__ = ["ERROR_SPACING", "Decision", "Kind", "Standing", "decide"]

Kind = Literal["hold", "advance", "promote", "abort", "pause"]

ERROR_SPACING: Final = 60.0
"""Looks without a measurement count once in so many seconds: how often one looks shall not decide how soon one gives up."""


class Standing(msgspec.Struct, frozen=True):
    """Where a rollout stands.

    Attributes:
        step: The number of the step that is carried out.
        started: When the rollout's first step began, in seconds since 1970.
        stepped: When this step began; a resumed rollout begins its step anew.
        samples: How many units the candidate answered in this step (`Evidence.samples`).
        paused: Whether somebody or a decision paused it.
        approved: The number of the last step that somebody approved; -1 where none was.
        errors: How many looks in a row could not measure something.
        erred: When the last of them was counted.
    """

    step: int
    started: float
    stepped: float
    samples: float = 0
    paused: bool = False
    approved: int = -1
    errors: int = 0
    erred: float = 0.0


class Decision(msgspec.Struct, frozen=True):
    """What to do.

    Attributes:
        kind: The deed. To hold changes nothing but `errors` and `erred`.
        because: Why, for people.
        step: Where to advance to; `None` with another deed.
        winner: Who won an A/B on its goal: "candidate", "stable", or empty while that is open.
        accepted: Whom users preferred, by the ratings of an A/B; the same words.
        errors: To be kept for the next look.
        erred: To be kept for the next look.
    """

    kind: Kind
    because: str
    step: int | None = None
    winner: str = ""
    accepted: str = ""
    errors: int = 0
    erred: float = 0.0


def decide(plan: Plan, standing: Standing, report: Report, now: float) -> Decision:
    """What to do next.

    Args:
        plan: Complete and checked.
        standing: Where the rollout stands.
        report: What was measured, now.
        now: In seconds since 1970.
    """
    here = steps_of(plan)[standing.step]
    failed = [one for one in report.of("guardrail") if one.verdict == "fail"]
    if failed:
        return Decision("abort", _told(failed))
    if standing.paused:
        return Decision("hold", "Paused.")
    waited = now - standing.stepped
    if waited >= here.bake.time:
        unmeasured = _unmeasured(plan, report)
        if unmeasured:
            return _give_up_or_wait(plan, standing, unmeasured, now)
    if here.approve and standing.approved < standing.step:
        return Decision("hold", f"Step {standing.step + 1} waits for approval: `fairlead approve {plan.endpoint}`.")
    return _baked(here, standing, waited) or _judged(plan, standing, report, now)


def _told(measures: list[Measure]) -> str:
    return " ".join(f"{one.metric}: {one.because}" for one in measures)


def _unmeasured(plan: Plan, report: Report) -> list[Measure]:
    """What must be measured and was not; a guardrail of the plan that the report does not know, too."""
    goals = plan.strategy == "ab"
    found = [one for one in (*report.of("guardrail"), *(report.of("goal") if goals else ())) if one.verdict == "error"]
    known = {one.metric for one in report.measures}
    needed = (*plan.guardrails, *(plan.goals if goals else ()))
    missing = [metric for metric in needed if metric.name not in known]
    return found + [Measure(metric.name, metric.role, "error", "It was not measured.") for metric in missing]


def _give_up_or_wait(plan: Plan, standing: Standing, unmeasured: list[Measure], now: float) -> Decision:
    errors, erred = standing.errors, standing.erred
    if not errors or now - erred >= ERROR_SPACING:
        errors, erred = errors + 1, now
    limit = plan.analysis.error_limit
    if errors >= limit:
        return Decision(
            "abort", f"Could not be measured {limit} times in a row. {_told(unmeasured)}", errors=errors, erred=erred
        )
    return Decision(
        "hold", f"Cannot be measured ({errors} of {limit}). {_told(unmeasured)}", errors=errors, erred=erred
    )


def _baked(here: PlannedStep, standing: Standing, waited: float) -> Decision | None:
    """Hold until time and samples have passed. Samples that do not come are looked for as long as verdicts are."""
    if waited < here.bake.time:
        left = tell_duration(here.bake.time - waited)
        return Decision("hold", f"Step {standing.step + 1} bakes for {left} more.")
    return None


def _judged(plan: Plan, standing: Standing, report: Report, now: float) -> Decision:
    """Samples and verdicts are there, or they are waited for as long as the plan says."""
    last = standing.step == len(plan.steps) - 1
    open_questions = [*_lacking(plan, standing), *_open(plan, standing, report, last=last)]
    winner, accepted = _winners(plan, report)
    if plan.strategy == "ab" and last and not open_questions:
        return _ab_ended(plan, standing, winner, accepted, now)
    if not open_questions:
        return _onward(plan, standing, last=last)
    most = plan.analysis.max_duration or DAY
    reason = " ".join(open_questions)
    if now - standing.stepped < most:
        return Decision("hold", reason, winner=winner, accepted=accepted)
    because = f"After {tell_duration(most)} it is still open: {reason}"
    undecided = plan.strategy == "ab" and last  # an A/B without a winner has nobody to promote
    if plan.analysis.on_inconclusive == "proceed" and not undecided and not _lacking(plan, standing):
        onward = _onward(plan, standing, last=last)
        return msgspec.structs.replace(
            onward, because=f"{because} The plan says to proceed.", winner=winner, accepted=accepted
        )
    kind: Kind = "abort" if plan.analysis.on_inconclusive == "abort" else "pause"
    return Decision(kind, because, winner=winner, accepted=accepted)


def _lacking(plan: Plan, standing: Standing) -> list[str]:
    """Samples that the step needs and has not."""
    wanted = steps_of(plan)[standing.step].bake.samples
    if standing.samples >= wanted:
        return []
    return [f"Step {standing.step + 1} has {standing.samples:,.0f} of {wanted:,} samples."]


def _open(plan: Plan, standing: Standing, report: Report, *, last: bool) -> list[str]:
    """The verdicts that are waited for."""
    guardrails = [one for one in report.of("guardrail") if one.verdict == "inconclusive"]
    if not last:
        mirrored = steps_of(plan)[standing.step].mirror
        if plan.analysis.advance_on == "no_fail" and not mirrored:
            return []
        guardrails = [one for one in guardrails if not one.pending]
    goals = (
        [one for one in report.of("goal") if one.verdict == "inconclusive"] if plan.strategy == "ab" and last else []
    )
    return [f"{one.metric}: {one.because}" for one in (*guardrails, *goals)]


def _onward(plan: Plan, standing: Standing, *, last: bool) -> Decision:
    if not last:
        return Decision("advance", f"Step {standing.step + 1} is over.", step=standing.step + 1)
    if plan.promote:
        return Decision("promote", "Every step was passed.")
    return Decision(
        "pause", f"Every step was passed; `fairlead promote {plan.endpoint}` lets {plan.candidate} take over."
    )


def _winners(plan: Plan, report: Report) -> tuple[str, str]:
    """Who won an A/B on its goals, and whom users preferred."""
    if plan.strategy != "ab":
        return "", ""
    goals = report.of("goal")
    rating = report.get("rating")
    return _winner(goals), _winner(() if rating is None else (rating,))


def _winner(measures: tuple[Measure, ...]) -> str:
    """The candidate where all is won or nothing is lost, the stable version where something is lost."""
    verdicts = {one.verdict for one in measures}
    if "fail" in verdicts:
        return "stable"
    return "candidate" if verdicts == {"pass"} else ""


def _ab_ended(plan: Plan, standing: Standing, winner: str, accepted: str, now: float) -> Decision:
    """The goal is decided: after its whole days the A/B ends."""
    least = plan.analysis.min_duration or DAY
    lasted = now - standing.started
    if lasted < least:
        because = f"{winner or 'nobody'} leads; the A/B lasts {tell_duration(least - lasted)} more, for whole days."
        return Decision("hold", because[0].upper() + because[1:], winner=winner, accepted=accepted)
    if winner == "stable":
        return Decision("abort", "The stable version won on the goal and stays.", winner=winner, accepted=accepted)
    if accepted == "stable":
        because = "The candidate won on the goal, and users like the stable version better: somebody must decide."
        return Decision("pause", because, winner=winner, accepted=accepted)
    onward = _onward(plan, standing, last=True)
    users = " and users like it better" if accepted == "candidate" else ""
    because = f"The candidate won on the goal{users}. {onward.because}"
    return msgspec.structs.replace(onward, because=because, winner=winner, accepted=accepted)
