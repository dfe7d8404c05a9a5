"""The watcher: looks again and again what is due, makes it, and may be killed between any two looks.

```
look ─┬─ compact       what was appended becomes Parquet
      ├─ due           windows that have closed and have no report ─▶ report, panes, alerts in one transaction
      ├─ amend         windows whose labels came ─▶ a new report that stands instead of the old
      └─ gauges        what the newest reports say, where one is new
```

What was made is in the database, so who starts anew goes on where the one before stopped, and a report is never made twice. Events are on this machine's
disk: reports speak of what its gateways have answered. Of several machines with one database one leads for each endpoint, and keeps on as long
as it makes reports; another takes over when it has been silent for some windows.

Where nothing happens a look is a directory listing and one read of the database: no write, and no event is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from loguru import logger

from fairlead.archive.manifest import FOLDER, NAME
from fairlead.durations import parse_duration
from fairlead.errors import Conflict, FairleadError
from fairlead.eventlog.days import day_begins
from fairlead.monitor.burning import Burning
from fairlead.monitor.gauges import gauges, write_gauges
from fairlead.monitor.notices import BURN, FAILED, Notice, burn_notice, failure_notice, notices
from fairlead.monitor.overlay import Tables
from fairlead.monitor.records import Records
from fairlead.monitor.report import Finding, Labels, Report, Window
from fairlead.monitor.settings import Settings
from fairlead.monitor.store import (
    insert_report,
    lead,
    leader,
    newest_window,
    read_settings,
    read_told,
    recent_reports,
    write_panes,
    write_told,
)
from fairlead.monitor.windows import Rhythm, clock_panes, count_panes, due, rhythm_of, skew
from fairlead.routing.store import read_table

if TYPE_CHECKING:
    from fairlead.monitor.reporting import Made

__all__ = ["Stamp", "Watcher", "grown", "stamp_of"]

_LOOK_SECONDS: Final = 10.0
_MINUTE: Final = 60.0
_QUICKEST: Final = 0.5
_COMPACT_SECONDS: Final = 600.0
"""Compaction also prunes what is too old, and removes what it has let go of; so it is done now and then where nothing is new."""

_LEAD_WINDOWS: Final = 3
_LEAD_SECONDS: Final = 600.0
_LEAD_BY_COUNT: Final = 86_400.0
_HISTORY: Final = 60
"""So many windows are looked at for alerts: model quality is known late."""

_REST_SECONDS: Final = 60.0
"""What failed is tried again after so long."""

_AMENDABLE: Final = 100
_NEW_LABELS: Final = 100
_NEW_COVERAGE: Final = 0.01
_REST: Final = 20
"""After looking for labels, or counting rows, the watcher rests from it so many times as long as that took: it takes a twentieth of a core at most."""


class Stamp(msgspec.Struct, frozen=True):
    """What stands on the disk, as a listing tells it.

    Attributes:
        files: How many segments there are.
        bytes: How large they are together.
        newest: When one, or the archive, was last written to, in seconds since 1970 (UTC); 0 where there is none.
        oldest: The beginning of the oldest day of which there is anything; 0 likewise.
    """

    files: int = 0
    bytes: int = 0
    newest: float = 0.0
    oldest: float = 0.0


def stamp_of(events: Path) -> Stamp:
    """List an event log. What vanishes meanwhile is passed over."""
    files = size = 0
    archive = events / FOLDER
    newest = _written(archive / NAME)
    days: list[str] = [path.name for path in archive.glob("*/????-??-??")]
    for path in events.glob("????-??-??/*.seg"):
        try:
            found = path.stat()
        except OSError:
            continue
        files, size, newest = files + 1, size + found.st_size, max(newest, found.st_mtime)
        days.append(path.parent.name)
    return Stamp(files, size, newest, _day(min(days)) if days else 0.0)


def grown(former: Labels, now: Labels) -> bool:
    """Whether so many labels came that a report is worth amending. Pure."""
    more = now.count - former.count
    return more >= _NEW_LABELS or (more > 0 and now.coverage >= former.coverage + _NEW_COVERAGE)


class Watcher:
    """Watches over every endpoint that is served.

    Args:
        records: What reports are made of, and where they rest.
        tables: The settings of `fairlead.toml`.
        run: The folder of what runs; the gauges' file is there.
        holder: Whose reports these are: the same after a restart, and no other machine's.
        tell: Told what people want to hear of; returns at once.
        compact: Makes Parquet of what was appended.
        processes: Looks at the processes of this machine: what is to be said of them, for a window.
        clock: Seconds since 1970 (UTC).
    """

    def __init__(  # noqa: PLR0913 - where from, where to
        self,
        records: Records,
        tables: Tables,
        *,
        run: Path,
        holder: str,
        tell: Callable[[Notice], None] = lambda _: None,
        compact: Callable[[], object] = lambda: None,
        processes: Callable[[Window], Sequence[Finding]] = lambda _: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._tables = tables
        self._run = run
        self._holder = holder
        self._tell = tell
        self._compact = compact
        self._processes = processes
        self._burning = Burning(records)
        self._clock = clock
        self._compacted: tuple[Stamp, float] | None = None
        self._endpoints: dict[str, _Endpoint] = {}
        self._gauged = False

    def step(self) -> float:
        """Look once; return how long to wait before the next look, in seconds.

        Raises:
            StorageError: The database cannot be read.
        """
        now, stamp = self._clock(), stamp_of(self._records.events)
        self._compact_now(stamp, now)
        wait, fresh = _LOOK_SECONDS, False
        for endpoint, settings in self._watched():
            if settings is None or not settings.enabled:
                continue
            fresh |= self._look(endpoint, settings, stamp, now)
            rhythm = rhythm_of(settings)
            if rhythm.by == "clock":
                wait = min(wait, max(_QUICKEST, rhythm.slide / 5))
        if fresh or not self._gauged:
            self._gauge()
        return wait

    def _compact_now(self, stamp: Stamp, now: float) -> None:
        known, at = self._compacted or (None, -_COMPACT_SECONDS)
        if stamp == known and abs(now - at) < _COMPACT_SECONDS:
            return
        self._compacted = stamp, now
        if not stamp.files and not stamp.oldest:
            return
        try:
            self._compact()
        except Conflict:
            return  # somebody compacts by hand
        except (FairleadError, OSError) as error:
            logger.error("Events were not compacted: {error}", error=str(error))

    def _watched(self) -> list[tuple[str, Settings | None]]:
        """Every endpoint with its settings; `None` where what the operator has set does not fit the file any more."""
        found: list[tuple[str, Settings | None]] = []
        with self._records.database.read() as connection:
            for one in read_table(connection).endpoints:
                try:
                    found.append((one.name, self._tables.of(one.name, read_settings(connection, one.name))))
                except FairleadError as error:
                    self._failed(one.name, f"Its settings cannot be used: {error}")
                    found.append((one.name, None))
        return found

    def _look(self, endpoint: str, settings: Settings, stamp: Stamp, now: float) -> bool:
        """Make what is due of one endpoint; whether there was anything."""
        known = self._endpoints.setdefault(endpoint, _Endpoint())
        if now < known.rest_until:
            return False
        try:
            with self._records.database.read() as connection:
                if leader(connection, endpoint, now) not in {"", self._holder}:
                    return False
                last = newest_window(connection, endpoint)
            burnt = self._burn(endpoint, settings, stamp, now)
            made = sum(self._make(endpoint, settings, one) for one in self._due(endpoint, settings, stamp, last))
            if stamp != known.amended_at and now >= known.amend_after:
                made += self._amend(known, endpoint, settings)
                known.amended_at = stamp
        except Exception as error:  # noqa: BLE001 - what fails at one endpoint must not blind the others
            why = str(error) if isinstance(error, FairleadError) else f"{type(error).__name__}."
            if known.failing != why:
                logger.opt(exception=error).error("A report of {endpoint} could not be made.", endpoint=endpoint)
            self._failed(endpoint, why)
            known.rest_until = now + _REST_SECONDS
            return False
        if made:
            self._failed(endpoint, "")
        return made > 0 or burnt

    def _burn(self, endpoint: str, settings: Settings, stamp: Stamp, now: float) -> bool:
        """Look at the objectives, where something is new, and once a minute: what is over is over without a request.

        Returns:
            Whether they are otherwise than before.
        """
        known = self._endpoints[endpoint]
        if now < known.burn_after or (stamp == known.burnt_at and now < known.burn_next):
            return False
        began = time.monotonic()
        former, known.levels = known.levels, self._burning.look(endpoint, settings.objectives, now)
        known.burnt_at, known.burn_next = stamp, now + _MINUTE
        known.burn_after = now + _REST * (time.monotonic() - began)
        crossed = [f"{one.subject}: {one.measure}" for one in known.levels if one.verdict == "breach"]
        if sorted(crossed) != known.crossed and (crossed or known.crossed or known.crossed is None):
            self._tell_of_burning(endpoint, known.levels, now)
        known.crossed = sorted(crossed)
        return former != known.levels

    def _tell_of_burning(self, endpoint: str, levels: Sequence[Finding], now: float) -> None:
        with self._records.database.read() as connection:
            change = burn_notice(endpoint, levels, read_told(connection, endpoint).get(BURN), now)
        if change is None:
            return
        with self._records.database.write() as connection:
            write_told(connection, endpoint, change[0])
        if change[1] is not None:
            self._tell(change[1])

    # -- what is due ---------------------------------------------------------------------------------------------------

    def _due(self, endpoint: str, settings: Settings, stamp: Stamp, last: Window | None) -> Iterator[_Due]:
        """What is to be made now, oldest first."""
        known, rhythm, now = self._endpoints[endpoint], rhythm_of(settings), self._clock()
        odd = skew(last.end if last else None, now)
        if odd and not known.skewed:
            logger.warning("{endpoint}: {odd}", endpoint=endpoint, odd=odd)
        known.skewed = bool(odd)
        if odd:
            return
        if rhythm.by == "count":
            yield from self._counted(endpoint, rhythm, stamp, last)
            return
        ends = [one for one in (last.end if last else None, known.passed) if one is not None]
        for window in due(rhythm, max(ends, default=None), stamp.oldest or now, now):
            # A gateway writes an event down at once: where nothing was written since, nothing happened.
            if stamp.newest >= window.start:
                yield _Due(window, tuple(clock_panes(rhythm, window)))
            known.passed = window.end

    def _counted(self, endpoint: str, rhythm: Rhythm, stamp: Stamp, last: Window | None) -> Iterator[_Due]:
        """Windows by count: the panes since the newest window began, and the windows that they complete."""
        known = self._endpoints[endpoint]
        if stamp == known.counted_at or self._clock() < known.count_after:
            return
        began = time.monotonic()
        times = self._records.times(endpoint, last.start if last else 0.0)
        panes = count_panes(times, rhythm)
        windows = [last] if last else []
        for place in range(len(panes) - rhythm.panes + 1):
            some = tuple(panes[place : place + rhythm.panes])
            window = Window(some[0].start, some[-1].end)
            if last is None or window.end > last.end:
                yield _Due(window, some, next((one for one in reversed(windows) if one.end <= window.start), None))
                windows.append(window)
        known.counted_at, known.count_after = stamp, self._clock() + _REST * (time.monotonic() - began)

    # -- what is made --------------------------------------------------------------------------------------------------

    def _make(self, endpoint: str, settings: Settings, wanted: _Due) -> int:
        """Make a report and all that follows from it in one transaction; how many were made."""
        from fairlead.monitor.reporting import Order, make_report  # polars and SciPy, which are needed from here on

        order = Order(
            endpoint=endpoint,
            window=wanted.window,
            panes=wanted.panes,
            settings=settings,
            now=self._clock(),
            amends=wanted.amends,
            before=wanted.before,
            service=wanted.service
            if wanted.amends
            else (*self._endpoints[endpoint].levels, *self._processes(wanted.window)),
        )
        made = make_report(self._records, order)
        if not made.report.rows:
            return 0  # nobody asked: nothing to report, and nothing to write
        report, told = self._keep(made, settings, order.now)
        if report is None:
            return 0
        facts = {"number": report.number, "endpoint": endpoint, "verdict": report.verdict, "rows": report.rows}
        logger.info("Report {number} of {endpoint}: {verdict}, {rows} predictions.", **facts)
        for one in told:
            self._tell(one)
        return 1

    def _keep(self, made: Made, settings: Settings, now: float) -> tuple[Report | None, list[Notice]]:
        """Write a report with its panes and what is to be told; nothing where another was faster, or leads."""
        endpoint, told = made.report.endpoint, []
        with self._records.database.write() as connection:
            if not lead(connection, endpoint, self._holder, now, _lead_seconds(settings)):
                return None, []
            report = insert_report(connection, made.report, "schedule")
            if report is None:
                return None, []
            if made.shape:
                write_panes(connection, endpoint, made.shape, made.panes, now)
            recent = recent_reports(connection, endpoint, _HISTORY)
            for remembered, notice in notices(recent, read_told(connection, endpoint), settings.alerting, now):
                write_told(connection, endpoint, remembered)
                told += [notice] if notice is not None else []
        return report, told

    def _amend(self, known: _Endpoint, endpoint: str, settings: Settings) -> int:
        """Make reports anew whose labels came."""
        began, rhythm = time.monotonic(), rhythm_of(settings)
        since = self._clock() - parse_duration(settings.labels_within)
        with self._records.database.read() as connection:
            reports = recent_reports(connection, endpoint, _AMENDABLE, since)
        windows = {report.number: report.window for report in reports if report.window is not None}
        labels = self._records.labels(endpoint, list(windows.values())) if windows else {}
        made = 0
        for report in reports:
            window = windows.get(report.number)
            if window is not None and grown(report.labels, labels[window]):
                made += self._make(endpoint, settings, _again(report, window, rhythm))
        known.amend_after = self._clock() + _REST * (time.monotonic() - began)
        return made

    # -- what is told --------------------------------------------------------------------------------------------------

    def _failed(self, endpoint: str, because: str) -> None:
        """Tell that reports cannot be made, once, and that they can again; nothing is written while nothing changes."""
        known = self._endpoints.setdefault(endpoint, _Endpoint())
        if known.failing == because:
            return
        known.failing = because
        try:
            with self._records.database.write() as connection:
                now = self._clock()
                change = failure_notice(endpoint, because, read_told(connection, endpoint).get(FAILED), now)
                if change is not None:
                    write_told(connection, endpoint, change[0])
        except FairleadError as error:
            logger.error("It cannot be written down what failed: {error}", error=str(error))
            return
        if change is not None and change[1] is not None:
            self._tell(change[1])

    def _gauge(self) -> None:
        """Write down what the newest reports say; where labels are still missing, the quality that was known last."""
        told: list[Report] = []
        with self._records.database.read() as connection:
            for one in read_table(connection).endpoints:
                recent = recent_reports(connection, one.name, _HISTORY)
                told += [report for report in recent[:-1] if _has_quality(report)][-1:] + recent[-1:]
        write_gauges(self._run, gauges(told, {name: one.levels for name, one in self._endpoints.items() if one.levels}))
        self._gauged = True


class _Endpoint(msgspec.Struct):
    """What a watcher remembers of an endpoint; all of it may be forgotten.

    Attributes:
        passed: The end of the newest window that was looked at.
        failing: Why its reports cannot be made; empty where they can, `None` before the first look.
        skewed: Whether its clock was put back, which was logged.
        amended_at: What stood on the disk when labels were looked for.
        amend_after: Labels are not looked for before this time.
        counted_at: What stood on the disk when rows were counted.
        count_after: Rows are not counted before this time.
        levels: The objectives, as they were looked at last.
        crossed: Which of them were crossed; `None` before the first look.
        burnt_at: What stood on the disk then.
        burn_next: They are looked at again at this time, whatever stands there.
        burn_after: And not before this.
        rest_until: After a failure, it is not tried again before this time.
    """

    passed: float | None = None
    failing: str | None = None
    skewed: bool = False
    amended_at: Stamp | None = None
    amend_after: float = 0.0
    counted_at: Stamp | None = None
    count_after: float = 0.0
    levels: tuple[Finding, ...] = ()
    crossed: list[str] | None = None
    burnt_at: Stamp | None = None
    burn_next: float = 0.0
    burn_after: float = 0.0
    rest_until: float = 0.0


class _Due(msgspec.Struct, frozen=True):
    """A report that is to be made.

    Attributes:
        window: Of which window.
        panes: Its pieces.
        before: The window before, where windows go by count.
        amends: The report that it stands instead of; 0 for the first.
        service: Of that one, what was said of objectives and processes: they were so at that time.
    """

    window: Window
    panes: tuple[Window, ...]
    before: Window | None = None
    amends: int = 0
    service: tuple[Finding, ...] = ()


def _again(report: Report, window: Window, rhythm: Rhythm) -> _Due:
    """The same window once more; where windows were of another length meanwhile, in one piece."""
    same = rhythm.by == "clock" and abs(window.seconds - rhythm.length) < 1e-6
    panes = tuple(clock_panes(rhythm, window)) if same else (window,)
    before = report.reference.window if rhythm.by == "count" else None
    return _Due(window, panes, before, report.number, tuple(one for one in report.findings if _is_of_then(one)))


def _is_of_then(finding: Finding) -> bool:
    """Whether a finding is not made of a window's rows, so that it cannot be made again."""
    return finding.area == "process" or finding.measure == "error budget" or finding.measure.startswith("burn rate ")


def _lead_seconds(settings: Settings) -> float:
    rhythm = rhythm_of(settings)
    return _LEAD_SECONDS + (_LEAD_WINDOWS * rhythm.slide if rhythm.by == "clock" else _LEAD_BY_COUNT)


def _has_quality(report: Report) -> bool:
    return any(one.area == "model" and one.verdict not in {"insufficient", "error"} for one in report.findings)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _day(name: str) -> float:
    try:
        return day_begins(name)
    except ValueError:
        return 0.0  # somebody else's folder
