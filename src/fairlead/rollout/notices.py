"""What people are told of a rollout, wherever they are: a controller's notice as an alert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fairlead.alerts.alert import Alert, Severity
from fairlead.rollout.controller import Notice
from fairlead.rollout.plan import PlannedStep, steps_of
from fairlead.rollout.rollout import Rollout
from fairlead.schema import Value

__all__ = ["notice_alert"]


def notice_alert(notice: Notice) -> Alert:
    """The alert of a notice; a kind that is not known here says what the rollout itself says. Pure but for id and time."""
    rollout = notice.rollout
    severity, tell = _KINDS.get(notice.kind, ("info", _otherwise))
    title, text = tell(rollout)
    return Alert(
        kind=f"rollout_{notice.kind}",
        severity=severity,
        subject=rollout.endpoint,
        title=f"{rollout.endpoint}: {title}",
        text=text,
        facts=_facts(rollout),
    )


_Told = tuple[str, str]


def _began(rollout: Rollout) -> _Told:
    against = f" against {rollout.stable}" if rollout.stable else ", behind people"
    first = steps_of(rollout.plan)[0]
    text = f"{rollout.actor} began rollout {rollout.number}{against}. Its first step: {_share(first)}."
    return f"a rollout of {rollout.model} began ({rollout.plan.strategy})", text


def _stepped(rollout: Rollout) -> _Told:
    steps = len(rollout.plan.steps)
    title = f"{rollout.model} goes on to step {rollout.step + 1} of {steps}"
    return title, f"{rollout.because} Now: {_share(rollout.here)}."


def _paused(rollout: Rollout) -> _Told:
    name = rollout.endpoint
    ways = f"`fairlead resume {name}` goes on, `fairlead promote {name}` ends it well, `fairlead abort {name}` ends it."
    title = f"the rollout of {rollout.model} is paused in step {rollout.step + 1} of {len(rollout.plan.steps)}"
    return title, f"{rollout.because} The weights stay, and guardrails are watched on. {ways}"


def _inconclusive(rollout: Rollout) -> _Told:
    title, text = _paused(rollout)
    return title.replace("is paused", "is not decided"), text


def _promoted(rollout: Rollout) -> _Told:
    former = (
        f" instead of {rollout.stable}; `fairlead rollback {rollout.endpoint}` returns to it" if rollout.stable else ""
    )
    return f"{rollout.model} was promoted", f"{rollout.because} It answers everything from now on{former}."


def _aborted(rollout: Rollout) -> _Told:
    stays = f"{rollout.stable} answers everything" if rollout.stable else "People decide as before"
    return f"{rollout.model} was taken out of the traffic", f"{rollout.because} {stays}."


def _otherwise(rollout: Rollout) -> _Told:
    return f"the rollout of {rollout.model} is {rollout.state}", rollout.because


_KINDS: Final[dict[str, tuple[Severity, Callable[[Rollout], _Told]]]] = {
    "began": ("info", _began),
    "stepped": ("info", _stepped),
    "paused": ("warning", _paused),
    "inconclusive": ("warning", _inconclusive),
    "promoted": ("info", _promoted),
    "aborted": ("critical", _aborted),
}


def _share(step: PlannedStep) -> str:
    if step.approve:
        return "somebody must approve"
    if step.weight:
        return f"{step.weight:g} % of the traffic"
    return f"{step.mirror:g} % of the traffic mirrored"


def _facts(rollout: Rollout) -> dict[str, Value]:
    return {
        "rollout": rollout.number,
        "version": rollout.model,
        "stable": rollout.stable or None,
        "strategy": rollout.plan.strategy,
        "state": rollout.state,
        "step": rollout.step + 1,
        "steps": len(rollout.plan.steps),
        "weight": rollout.here.weight,
        "actor": rollout.actor,
        "because": rollout.because,
    }
