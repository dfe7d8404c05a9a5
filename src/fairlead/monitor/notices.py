"""When a person hears of it: `need` of the last `of` windows, then not again until it changes; that it is well again is told once. Pure.

Each subject ("temp", "roc_auc") is followed by itself, over the windows in which it could be judged: model quality is known only when labels have
come, so its last three windows may be older than those of the drift. What was told stays told while it shows in any of the last windows, so that a
column at the very limit does not knock again and again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from fairlead.alerts.alert import Alert, Severity
from fairlead.monitor.report import Area, Finding, Report
from fairlead.monitor.settings import Alerting
from fairlead.monitor.store import Told
from fairlead.schema import Value

__all__ = ["BURN", "FAILED", "KINDS", "Notice", "burn_notice", "failure_notice", "notice_alert", "notices", "standing"]

KINDS: Final[Mapping[str, frozenset[Area]]] = {
    "drift": frozenset({"predictor", "prediction", "target", "concept"}),
    "quality": frozenset({"quality", "missing"}),
    "model_quality": frozenset({"model", "estimate"}),
    "process": frozenset({"process"}),
}
"""The kinds of notices, and what each is about."""

BURN: Final = "slo_burn"
"""An error budget is spent, or will be soon; told at once, because its two windows have judged already."""

FAILED: Final = "monitor_failed"
"""A report that was due could not be made."""

_TITLES: Final = {
    "drift": ("data drift", "the data are as they were"),
    "quality": ("the quality of the data", "the quality of the data is well again"),
    "model_quality": ("the model does worse", "the model does as well as before"),
    "process": ("the processes need a look", "the processes are well again"),
    BURN: ("a service level is in danger", "the service levels are kept again"),
    FAILED: ("no report could be made", "reports are made again"),
}
_SEVERITY: Final[Mapping[str, Severity]] = {BURN: "critical"}
_NAMED: Final = 5


class Notice(msgspec.Struct, frozen=True):
    """Something that people want to hear of.

    Attributes:
        endpoint: Whose.
        kind: One of `KINDS`, or `FAILED`.
        subjects: What it is about; empty when all is well again.
        new: Those of them that were not told yet.
        because: A sentence for each of `new`, the worst first.
        report: The number of the newest report; 0 where there is none.
    """

    endpoint: str
    kind: str
    subjects: tuple[str, ...]
    new: tuple[str, ...]
    because: tuple[str, ...]
    report: int


_Change = tuple[Told, Notice | None]
"""What is remembered, and what is said; something that only ends in part is not worth a word."""


def standing(reports: Sequence[Report], kind: str, told: Iterable[str], alerting: Alerting) -> tuple[str, ...]:
    """What is to be known by people, by the last windows.

    Args:
        reports: Of the newest windows, oldest first.
        kind: One of `KINDS`.
        told: What they know already.
        alerting: How many windows it takes.
    """
    known, seen = set(told), _seen(reports, kind)
    return tuple(
        sorted(
            subject
            for subject, flags in seen.items()
            if sum(flags[-alerting.of :]) >= (1 if subject in known else alerting.need)
        )
    )


def notices(reports: Sequence[Report], told: Mapping[str, Told], alerting: Alerting, now: float) -> list[_Change]:
    """What changes by the newest window: what is remembered, and what is said.

    Args:
        reports: Of the newest windows, oldest first.
        told: What people were told last, by kind.
        alerting: How many windows it takes.
        now: Seconds since 1970 (UTC).
    """
    if not reports:
        return []
    changes = (_change(reports, kind, told.get(kind), alerting, now) for kind in KINDS)
    return [one for one in changes if one is not None]


def _change(reports: Sequence[Report], kind: str, told: Told | None, alerting: Alerting, now: float) -> _Change | None:
    known = told.subjects if told is not None else ()
    found = standing(reports, kind, known, alerting)
    if found == known:
        return None
    new = tuple(one for one in found if one not in known)
    remembered = Told(kind, found, now)
    if found and not new:
        return remembered, None
    newest = reports[-1]
    because = tuple(_because(reports, kind, subject) for subject in new[:_NAMED])
    return remembered, Notice(newest.endpoint, kind, found, new, because, newest.number)


def failure_notice(endpoint: str, because: str, told: Told | None, now: float) -> _Change | None:
    """That a report could not be made, or can again; nothing where that is known.

    Args:
        endpoint: Whose.
        because: Why; empty where it could be made.
        told: What people were told last of this kind.
        now: Seconds since 1970 (UTC).
    """
    failed, known = bool(because), bool(told is not None and told.subjects)
    if failed == known:
        return None
    subjects = ("report",) if failed else ()
    return Told(FAILED, subjects, now), Notice(endpoint, FAILED, subjects, subjects, (because,) if failed else (), 0)


def burn_notice(endpoint: str, findings: Sequence[Finding], told: Told | None, now: float) -> _Change | None:
    """What is newly too fast, or that nothing is any more; nothing where that is known.

    Args:
        endpoint: Whose.
        findings: Its objectives, as they are.
        told: What people were told last of this kind.
        now: Seconds since 1970 (UTC).
    """
    known = told.subjects if told is not None else ()
    crossed = {f"{one.subject}: {one.measure}": one.because for one in findings if one.verdict == "breach"}
    found = tuple(sorted(crossed))
    if found == known:
        return None
    new = tuple(one for one in found if one not in known)
    remembered = Told(BURN, found, now)
    if found and not new:
        return remembered, None
    return remembered, Notice(endpoint, BURN, found, new, tuple(crossed[one] for one in new[:_NAMED]), 0)


def notice_alert(notice: Notice) -> Alert:
    """The alert of a notice. Pure but for id and time."""
    bad, good = _TITLES[notice.kind]
    if not notice.subjects:
        return Alert(
            kind=notice.kind,
            severity="info",
            subject=notice.endpoint,
            title=f"{notice.endpoint}: {good}",
            text=f"Back to normal.{_where(notice)}",
            facts=_facts(notice),
        )
    named = ", ".join(_column(one) for one in notice.new[:_NAMED]) or "again"
    more = f" and {len(notice.new) - _NAMED} more" if len(notice.new) > _NAMED else ""
    return Alert(
        kind=notice.kind,
        severity=_SEVERITY.get(notice.kind, "warning"),
        subject=notice.endpoint,
        title=f"{notice.endpoint}: {bad}" + ("" if notice.kind == FAILED else f" ({named}{more})"),
        text=" ".join(notice.because) + _where(notice),
        facts=_facts(notice),
    )


def _where(notice: Notice) -> str:
    return f" `fairlead monitor show {notice.report}` shows the report." if notice.report else ""


def _facts(notice: Notice) -> dict[str, Value]:
    return {
        "endpoint": notice.endpoint,
        "report": notice.report or None,
        "subjects": ", ".join(notice.subjects),
        "new": ", ".join(notice.new),
    }


def _seen(reports: Sequence[Report], kind: str) -> dict[str, list[bool]]:
    """By subject, for each window in which it was judged, whether it was found."""
    found: dict[str, list[bool]] = {}
    for report in reports:
        here: dict[str, bool] = {}
        for one in _of_kind(report, kind):
            if one.verdict not in {"insufficient", "error"}:
                name = _name(one)
                here[name] = here.get(name, False) or one.verdict in {"drift", "breach"}
        for name, flag in here.items():
            found.setdefault(name, []).append(flag)
    return found


def _of_kind(report: Report, kind: str) -> list[Finding]:
    return [one for one in report.findings if one.area in KINDS[kind]]


def _because(reports: Sequence[Report], kind: str, subject: str) -> str:
    """Why, by the newest window in which it shows."""
    told = (
        one.because
        for report in reversed(reports)
        for one in _of_kind(report, kind)
        if _name(one) == subject and one.verdict in {"drift", "breach"}
    )
    return next(told, subject)


def _name(finding: Finding) -> str:
    where = f" ({finding.segment})" if finding.segment else ""
    return f"{finding.area}: {finding.subject}{where}"


def _column(name: str) -> str:
    return name.partition(": ")[2]
