"""A rollout as people and programs are shown it: where it stands, what was last seen, and what one can do next.

The command line, the operator's API and the console show the same; what it rests on stays in the history.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from fairlead.rollout.plan import Role, Strategy
from fairlead.rollout.report import Verdict
from fairlead.rollout.rollout import Rollout, State
from fairlead.rollout.store import LogEntry, last_look

__all__ = ["Seen", "Summary", "next_commands", "stands", "summarize", "summary_of"]


class Seen(msgspec.Struct, frozen=True):
    """What the last look found of one metric.

    Attributes:
        metric: Its name.
        role: What it is for.
        verdict: What follows.
        because: Why, with the numbers.
    """

    metric: str
    role: Role
    verdict: Verdict
    because: str


class Summary(msgspec.Struct, frozen=True):
    """Where a rollout stands.

    Attributes:
        number: 1, 2, 3, … over all endpoints.
        endpoint: The endpoint that it changes.
        model: The version that comes, "flights:4".
        stable: The version that answered before; empty where there was none.
        strategy: The pattern.
        state: Where it stands.
        step: Which step is carried out, counted from 1.
        steps: How many there are.
        weight: What the candidate answers now, in percent.
        mirror: What it is asked now without its answers being given, in percent.
        approval: Whether somebody is asked to approve.
        because: Why it is in this state.
        waits: What the last look decided, and why: what it waits for.
        winner: Who won an A/B on its goal; empty while that is open.
        accepted: Whom users prefer, by the ratings of an A/B; empty while that is open.
        actor: Who began it.
        started: When, in seconds since 1970 (UTC).
        stepped: When its step began.
        changed: When its state last changed.
        looked: When it was last looked at in earnest; `None` where it never was.
        verdicts: What that look found.
        revision: Counts its moves, for `Terms`.
        next: The commands that make sense now.
    """

    number: int
    endpoint: str
    model: str
    stable: str
    strategy: Strategy
    state: State
    step: int
    steps: int
    weight: float
    mirror: float
    approval: bool
    because: str
    waits: str
    winner: str
    accepted: str
    actor: str
    started: float
    stepped: float
    changed: float
    looked: float | None
    verdicts: tuple[Seen, ...]
    revision: int
    next: tuple[str, ...]

    @property
    def active(self) -> bool:
        """Whether it is still under way."""
        return self.state not in {"promoted", "aborted", "superseded"}


def summarize(connection: sa.Connection, rollout: Rollout) -> Summary:
    """Where a rollout stands, with what the last look found."""
    return summary_of(rollout, last_look(connection, rollout.number))


def summary_of(rollout: Rollout, look: LogEntry | None) -> Summary:
    """Where a rollout stands. Pure."""
    weight, mirror = _shares(rollout)
    seen = look.content if look is not None else {}
    decision: dict[str, Any] = seen.get("decision") or {}
    of_this_step = look is not None and look.time >= rollout.stepped and seen.get("step", rollout.step) == rollout.step
    return Summary(
        number=rollout.number,
        endpoint=rollout.endpoint,
        model=rollout.model,
        stable=rollout.stable,
        strategy=rollout.plan.strategy,
        state=rollout.state,
        step=rollout.step + 1,
        steps=len(rollout.plan.steps),
        weight=weight,
        mirror=mirror,
        approval=_asks(rollout),
        because=rollout.because,
        waits=look.because if look is not None and of_this_step and rollout.state == "progressing" else "",
        winner=decision.get("winner") or "",
        accepted=decision.get("accepted") or "",
        actor=rollout.actor,
        started=rollout.started,
        stepped=rollout.stepped,
        changed=rollout.changed,
        looked=look.time if look is not None else None,
        verdicts=_verdicts(seen),
        revision=rollout.revision,
        next=next_commands(rollout),
    )


def next_commands(rollout: Rollout) -> tuple[str, ...]:
    """The commands that make sense now, the likeliest first."""
    name = rollout.endpoint
    match rollout.state:
        case "pending" | "warming":
            verbs = ["abort"]
        case "progressing" if _asks(rollout):
            verbs = ["approve", "abort"]
        case "progressing":
            verbs = ["pause", "promote", "abort"]
        case "paused":
            verbs = [*(["approve"] if _asks(rollout) else []), "resume", "promote", "abort"]
        case "promoting" | "promoted" if rollout.stable:
            verbs = ["rollback"]
        case _:
            return (f"fairlead history {name} --rollout {rollout.number}",)
    return tuple(f"fairlead {verb} {name}" for verb in verbs)


def stands(summary: Summary) -> str:
    """Where it stands, in a few words: "progressing, step 2 of 3, 10 % of the traffic"."""
    where = f", step {summary.step} of {summary.steps}" if summary.steps > 1 and summary.active else ""
    share = ""
    if summary.state in {"progressing", "paused"}:
        answered = f", {summary.weight:g} % of the traffic" if summary.weight else ""
        share = answered or (f", {summary.mirror:g} % mirrored" if summary.mirror else "")
    return f"{summary.state}{where}{share}{', waits for approval' if summary.approval else ''}"


def _asks(rollout: Rollout) -> bool:
    asked = rollout.state in {"progressing", "paused"} and rollout.here.approve
    return asked and rollout.approved < rollout.step


def _shares(rollout: Rollout) -> tuple[float, float]:
    match rollout.state:
        case "progressing" | "paused":
            return rollout.here.weight, rollout.here.mirror
        case "promoting" | "promoted":
            return 100.0, 0.0
        case _:
            return 0.0, 0.0


def _verdicts(seen: dict[str, Any]) -> tuple[Seen, ...]:
    report: dict[str, Any] = seen.get("report") or {}
    return msgspec.convert(report.get("measures") or [], tuple[Seen, ...])
