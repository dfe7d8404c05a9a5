"""How the service stands, for each report: its levels in the window, its objectives over their period, its processes now.

```
archive (time, latency, status) ─┬─▶ the window ─▶ levels
                                 └─▶ the period ─▶ tally, grown from report to report ─▶ objectives
run/, /proc ──────────────────────▶ look ─▶ process_findings
```

Of a period only minutes are held, and only what came since the last report is read. What cannot be read is a finding that says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from fairlead.durations import parse_duration
from fairlead.errors import FairleadError
from fairlead.monitor.processes import Machine, look, process_findings
from fairlead.monitor.report import Finding, Window
from fairlead.monitor.service_levels import Tally, Traffic, joined, levels, objectives, tally
from fairlead.monitor.settings import Settings

__all__ = ["Standing", "read_traffic"]

Read = Callable[[str, Window], Iterator[Traffic]]

_MOST: Final = 2_000_000
"""So many rows of a window are held; beyond, every second request, every fourth, …"""

_FRESH_SECONDS: Final = 3600.0
"""Processes are told in reports of windows that closed so lately, or within a window's length: a report that is amended later is about the past."""


class _Known(msgspec.Struct, frozen=True):
    """Requests by the minute, of one endpoint.

    Attributes:
        counted: The minutes.
        since: From which moment on they are complete, in seconds since 1970.
        until: To which.
        slow: The latency that was held against, in seconds.
    """

    counted: Tally
    since: float
    until: float
    slow: float


class Standing:
    """Makes the findings about service and processes of each report.

    Args:
        read: Tells the rows of an endpoint in a window, in pieces.
        home: The home folder, whose disk counts.
        run: The folder of what runs.
        clock: Seconds since 1970 (UTC).
    """

    def __init__(self, read: Read, home: Path, run: Path, clock: Callable[[], float] = time.time) -> None:
        self._read = read
        self._home = home
        self._run = run
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._seen: dict[str, Machine] = {}

    def __call__(self, endpoint: str, settings: Settings, window: Window) -> list[Finding]:
        """The findings for one report. Raises nothing for what cannot be read."""
        try:
            found = self._levels(endpoint, window) + self._objectives(endpoint, settings, window)
        except FairleadError as error:
            because = f"Service levels could not be measured: {error.detail}"
            found = [Finding(area="service", subject="service", measure="all", verdict="error", because=because)]
        return found + self._processes(endpoint, window)

    def _levels(self, endpoint: str, window: Window) -> list[Finding]:
        parts: list[Traffic] = []
        stride = 1
        for part in self._read(endpoint, window):
            parts.append(_every(part, stride))
            while sum(len(one.times) for one in parts) > _MOST:
                stride *= 2
                parts = [_every(_as_one(parts), 2)]
        return levels(_as_one(parts), window, stride)

    def _objectives(self, endpoint: str, settings: Settings, window: Window) -> list[Finding]:
        wanted = settings.objectives
        if wanted.availability is None and wanted.latency is None:
            return []
        since, slow = window.end - parse_duration(wanted.period), wanted.latency_seconds
        known = self._known.get(endpoint)
        if known is None or known.slow != slow or known.since > since or known.until < since:
            known = _Known(joined([]), since, since, slow)
        if known.until < window.end:
            span = Window(known.until, window.end)
            new = joined([known.counted, *(tally(one, slow) for one in self._read(endpoint, span))])
            known = _Known(_from(new, since), since, window.end, slow)
            self._known[endpoint] = known
        return objectives(known.counted, wanted, window.end)

    def _processes(self, endpoint: str, window: Window) -> list[Finding]:
        now = look(self._home, self._run, self._clock())
        before = self._seen.get(endpoint)
        if now.time - window.end > max(window.seconds, _FRESH_SECONDS):
            return process_findings(Machine(now.time, endings=now.endings), window)
        self._seen[endpoint] = now
        return process_findings(now, window, before)


def read_traffic(events: Path) -> Read:
    """Who reads an event log with its archive.

    Args:
        events: The event log's folder.
    """

    def read(endpoint: str, window: Window) -> Iterator[Traffic]:
        from fairlead.archive.snapshot import Snapshot  # polars, which a machine that only serves need not have

        columns = ["time", "latency", "status"]
        for piece in Snapshot(events).pieces("prediction", endpoint, window.start, window.end, columns=columns):
            times, latencies = (piece.frame[name].cast(float).to_numpy() for name in columns[:2])
            yield Traffic(times, latencies, piece.frame["status"].to_numpy().astype(object))

    return read


def _every(rows: Traffic, step: int) -> Traffic:
    """The rows of every so manieth request, by its time and latency, so that rows of one request stay together."""
    if step == 1:
        return rows
    order = np.lexsort((rows.latencies, rows.times))
    times, latencies, statuses = rows.times[order], rows.latencies[order], rows.statuses[order]
    number = np.cumsum(np.concatenate([[False], (np.diff(times) != 0) | (np.diff(latencies) != 0)]))
    kept = number % step == 0
    return Traffic(times[kept], latencies[kept], statuses[kept])


def _as_one(parts: list[Traffic]) -> Traffic:
    if not parts:
        return Traffic(np.zeros(0), np.zeros(0), np.zeros(0, object))
    return Traffic(
        np.concatenate([one.times for one in parts]),
        np.concatenate([one.latencies for one in parts]),
        np.concatenate([one.statuses for one in parts]),
    )


def _from(counted: Tally, since: float) -> Tally:
    """The minutes from a moment on."""
    kept = counted.starts >= since - 60
    return Tally(counted.starts[kept], counted.total[kept], counted.failed[kept], counted.slow[kept])
