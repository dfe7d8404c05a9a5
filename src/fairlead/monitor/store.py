"""Reports at rest, and what belongs to them. Statements about the monitor's tables stand here and nowhere else.

A report is written once. One that stands instead of another, because labels came, is a new one that names it (`Report.amends`). What is to
happen together, such as a report, its panes and what people are told of it, is written in one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from fairlead.errors import NotFound
from fairlead.monitor.report import Labels, Report, Verdict, Window
from fairlead.monitor.tables import monitor_alerts, monitor_leads, monitor_panes, monitor_reports, monitor_settings
from fairlead.registry.audit import append_entry
from fairlead.schema import Value

__all__ = [
    "Brief",
    "Origin",
    "Pane",
    "Told",
    "find_report",
    "insert_report",
    "lead",
    "leader",
    "list_reports",
    "newest_window",
    "read_panes",
    "read_settings",
    "read_told",
    "recent_reports",
    "write_panes",
    "write_settings",
    "write_told",
]

Origin = Literal["schedule", "asked"]
"""Whether a report was due, or a person wanted it. Only those that were due are amended, and alerted of."""

_KEPT_SECONDS: Final = 70 * 86_400.0
"""Panes are kept for so long: a reference reaches back four weeks, and each can be counted again from the events."""

_encode = msgspec.json.Encoder().encode


class Brief(msgspec.Struct, frozen=True):
    """A report in a list.

    Attributes:
        number: Its number.
        endpoint: Whose.
        origin: Why it was made.
        window: Which.
        made: When, in seconds since 1970 (UTC).
        amends: The report that it stands instead of; 0 for the first.
        verdict: Of all.
        rows: Predictions in the window.
        labels: How far their labels were known.
        worst: What is worst, in a sentence; empty where nothing is to be said.
    """

    number: int
    endpoint: str
    origin: Origin
    window: Window | None
    made: float
    amends: int
    verdict: Verdict
    rows: int
    labels: Labels
    worst: str


class Pane(msgspec.Struct, frozen=True):
    """The counts of a piece of time.

    Attributes:
        segment: Of which part of the traffic; empty for all.
        window: The piece.
        labels: How many labels were known when it was counted.
        content: The profile, as `profiles.codec` writes it.
    """

    segment: str
    window: Window
    labels: int
    content: bytes


class Told(msgspec.Struct, frozen=True):
    """What people were told last, of one kind at one endpoint.

    Attributes:
        kind: "drift", "quality", "model_quality", "process", "slo_burn", "monitor_failed".
        subjects: What it was about; empty when all was well again.
        time: When, in seconds since 1970 (UTC).
    """

    kind: str
    subjects: tuple[str, ...]
    time: float


# -- reports -----------------------------------------------------------------------------------------------------------


def insert_report(connection: sa.Connection, report: Report, origin: Origin) -> Report | None:
    """Write a report under the next number.

    Args:
        connection: Of a `database.write()`, which makes it serial.
        report: Which.
        origin: Why it was made.

    Returns:
        The report with its number; `None` where one that was due is there already, made by whoever was faster.
    """
    row = monitor_reports.c
    window = report.window or Window(0.0, 0.0)
    if origin == "schedule":
        same = sa.select(row.number).where(
            row.endpoint == report.endpoint,
            row.origin == origin,
            row.start == window.start,
            row.end == window.end,
            row.amends == report.amends,
        )
        if connection.execute(same).first() is not None:
            return None
    last = connection.execute(sa.select(sa.func.max(row.number))).scalar()
    numbered = msgspec.structs.replace(report, number=(last or 0) + 1)
    connection.execute(
        sa.insert(monitor_reports).values(
            number=numbered.number,
            endpoint=numbered.endpoint,
            origin=origin,
            start=window.start,
            end=window.end,
            made=numbered.made,
            amends=numbered.amends,
            verdict=numbered.verdict,
            content=_encode(numbered).decode(),
        )
    )
    return numbered


def find_report(connection: sa.Connection, number: int, endpoint: str | None = None) -> Report:
    """The report of this number.

    Raises:
        NotFound: There is none, or it is another endpoint's.
    """
    row = monitor_reports.c
    query = sa.select(row.content).where(row.number == number)
    if endpoint is not None:
        query = query.where(row.endpoint == endpoint)
    content = connection.execute(query).scalar()
    if content is None:
        whose = f" of {endpoint!r}" if endpoint is not None else ""
        raise NotFound(f"There is no report {number}{whose}.", hint="`fairlead monitor list ENDPOINT` lists them.")
    return _decode(content)


def list_reports(connection: sa.Connection, endpoint: str, limit: int = 50) -> list[Brief]:
    """The newest reports of an endpoint, newest first."""
    row = monitor_reports.c
    query = sa.select(monitor_reports).where(row.endpoint == endpoint).order_by(row.number.desc()).limit(limit)
    return [_brief(_decode(found.content), found.origin) for found in connection.execute(query)]


def newest_window(connection: sa.Connection, endpoint: str) -> Window | None:
    """The window of the newest report that was due; `None` before the first."""
    row = monitor_reports.c
    query = (
        sa.select(row.start, row.end)
        .where(row.endpoint == endpoint, row.origin == "schedule")
        .order_by(row.end.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    return None if found is None else Window(found.start, found.end)


def recent_reports(connection: sa.Connection, endpoint: str, limit: int, since: float = 0.0) -> list[Report]:
    """The reports of the newest windows that were due, oldest first; of one that was amended, what counts now.

    Args:
        connection: To read.
        endpoint: Whose.
        limit: So many windows.
        since: Only windows that end after this time, in seconds since 1970 (UTC).
    """
    row = monitor_reports.c
    newest = (
        sa.select(sa.func.max(row.number).label("number"))
        .where(row.endpoint == endpoint, row.origin == "schedule", row.end > since)
        .group_by(row.start, row.end)
        .order_by(row.end.desc())
        .limit(limit)
        .subquery()
    )
    query = sa.select(row.content).join(newest, row.number == newest.c.number).order_by(row.end)
    return [_decode(content) for content in connection.execute(query).scalars()]


def _brief(report: Report, origin: Origin) -> Brief:
    worst = report.findings[0] if report.findings else None
    told = worst.because if worst is not None and worst.verdict != "stable" else ""
    return Brief(
        number=report.number,
        endpoint=report.endpoint,
        origin=origin,
        window=report.window,
        made=report.made,
        amends=report.amends,
        verdict=report.verdict,
        rows=report.rows,
        labels=report.labels,
        worst=told,
    )


def _decode(content: str) -> Report:
    return msgspec.json.decode(content, type=Report)


# -- panes -------------------------------------------------------------------------------------------------------------


def read_panes(
    connection: sa.Connection, endpoint: str, shape: str, windows: Sequence[Window]
) -> dict[tuple[str, Window], Pane]:
    """The panes that are known, by segment and piece.

    Args:
        connection: To read.
        endpoint: Whose.
        shape: Whose bins they are counted in: a digest.
        windows: The pieces.
    """
    if not windows:
        return {}
    row = monitor_panes.c
    query = sa.select(monitor_panes).where(
        row.endpoint == endpoint,
        row.shape == shape,
        row.start >= min(one.start for one in windows),
        row.end <= max(one.end for one in windows),
    )
    wanted = set(windows)
    found = {}
    for one in connection.execute(query):
        window = Window(one.start, one.end)
        if window in wanted:
            found[one.segment, window] = Pane(one.segment, window, one.labels, one.content)
    return found


def write_panes(connection: sa.Connection, endpoint: str, shape: str, panes: Iterable[Pane], now: float) -> None:
    """Keep panes in place of those of the same pieces, and let go of those that nobody will ask for."""
    row = monitor_panes.c
    for one in panes:
        same = (row.endpoint == endpoint, row.shape == shape, row.segment == one.segment)
        there = (*same, row.start == one.window.start, row.end == one.window.end)
        connection.execute(sa.delete(monitor_panes).where(*there))
        connection.execute(
            sa.insert(monitor_panes).values(
                endpoint=endpoint,
                shape=shape,
                segment=one.segment,
                start=one.window.start,
                end=one.window.end,
                labels=one.labels,
                content=one.content,
            )
        )
    connection.execute(sa.delete(monitor_panes).where(row.endpoint == endpoint, row.end < now - _KEPT_SECONDS))


# -- settings ----------------------------------------------------------------------------------------------------------


def read_settings(connection: sa.Connection, endpoint: str) -> dict[str, Any]:
    """What the operator has set for an endpoint, as a table; empty where that is nothing."""
    content = connection.execute(
        sa.select(monitor_settings.c.content).where(monitor_settings.c.endpoint == endpoint)
    ).scalar()
    found: dict[str, Any] = {} if content is None else msgspec.json.decode(content)
    return found


def write_settings(connection: sa.Connection, endpoint: str, table: Mapping[str, Any], actor: str) -> None:
    """Set what the operator wants for an endpoint, instead of what was set before, with its entry in the audit."""
    former = read_settings(connection, endpoint)
    if former == table:
        return
    connection.execute(sa.delete(monitor_settings).where(monitor_settings.c.endpoint == endpoint))
    if table:
        connection.execute(sa.insert(monitor_settings).values(endpoint=endpoint, content=_encode(dict(table)).decode()))
    detail: dict[str, Value] = {"settings": _encode(dict(table)).decode(), "former": _encode(former).decode()}
    append_entry(connection, actor, "set monitoring", endpoint, detail)


# -- what people were told ---------------------------------------------------------------------------------------------


def read_told(connection: sa.Connection, endpoint: str) -> dict[str, Told]:
    """What people were told last, by kind."""
    query = sa.select(monitor_alerts).where(monitor_alerts.c.endpoint == endpoint)
    return {
        one.kind: Told(one.kind, tuple(msgspec.json.decode(one.content, type=list[str])), one.time)
        for one in connection.execute(query)
    }


def write_told(connection: sa.Connection, endpoint: str, told: Told) -> None:
    """Remember what people are told."""
    row = monitor_alerts.c
    connection.execute(sa.delete(monitor_alerts).where(row.endpoint == endpoint, row.kind == told.kind))
    content = _encode(told.subjects).decode()
    connection.execute(
        sa.insert(monitor_alerts).values(endpoint=endpoint, kind=told.kind, time=told.time, content=content)
    )


# -- who watches -------------------------------------------------------------------------------------------------------


def leader(connection: sa.Connection, endpoint: str, now: float) -> str:
    """Who makes the reports of an endpoint; empty where anybody may."""
    found = connection.execute(sa.select(monitor_leads).where(monitor_leads.c.endpoint == endpoint)).first()
    return found.holder if found is not None and found.expires > now else ""


def lead(connection: sa.Connection, endpoint: str, holder: str, now: float, seconds: float) -> bool:
    """Go on making the reports of an endpoint, or take that over from one who has been silent for too long.

    Args:
        connection: Of a `database.write()`.
        endpoint: Whose.
        holder: Who asks; the same after a restart on the same machine.
        now: Seconds since 1970 (UTC).
        seconds: For how long nobody else shall.

    Returns:
        Whether `holder` leads; otherwise nothing is changed.
    """
    if leader(connection, endpoint, now) not in {"", holder}:
        return False
    connection.execute(sa.delete(monitor_leads).where(monitor_leads.c.endpoint == endpoint))
    connection.execute(sa.insert(monitor_leads).values(endpoint=endpoint, holder=holder, expires=now + seconds))
    return True
