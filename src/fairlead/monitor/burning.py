"""Objectives looked at all the time: requests by the minute, kept while the monitor runs, so that a look reads only what is new.

```
new events ─▶ tally ─┐
minutes before ──────┴▶ joined ─▶ objectives ─▶ findings ─▶ gauges, notice, the next report
```

A report comes once a window; a budget that burns is to be known within the minute. Whoever starts anew reads the objectives' period once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fairlead.durations import parse_duration
from fairlead.monitor.records import Records
from fairlead.monitor.report import Finding
from fairlead.monitor.settings import Objectives

if TYPE_CHECKING:
    from fairlead.monitor.measures.service_levels import Tally

__all__ = ["Burning"]

_MINUTE: Final = 60.0


class _Kept(msgspec.Struct, frozen=True):
    """What is known of an endpoint.

    Attributes:
        wanted: For these objectives.
        until: All minutes before this are counted for good, in seconds since 1970 (UTC).
        tally: Those minutes.
    """

    wanted: Objectives
    until: float
    tally: Tally


class Burning:
    """Looks at objectives.

    Args:
        records: Where events are.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._kept: dict[str, _Kept] = {}

    def look(self, endpoint: str, wanted: Objectives, now: float) -> tuple[Finding, ...]:
        """Budget and burn rates as they are; nothing where there is no objective.

        Args:
            endpoint: Whose.
            wanted: The objectives.
            now: Seconds since 1970 (UTC).

        Raises:
            StorageError: The events cannot be read.
        """
        if wanted.availability is None and wanted.latency is None:
            return ()
        from fairlead.monitor.measures.service_levels import joined, objectives  # SciPy

        kept = self._kept.get(endpoint)
        if kept is None or kept.wanted != wanted or now < kept.until:
            since, before = now - parse_duration(wanted.period), []
        else:
            since, before = kept.until, [kept.tally]
        fresh = self._records.tallies(endpoint, since, now, wanted.latency_seconds)
        tally = joined([*before, *fresh])
        # A minute counts for good when it is over by more than one: an event may be written a moment after its time.
        until = math.floor(now / _MINUTE - 1) * _MINUTE
        period = now - parse_duration(wanted.period)
        self._kept[endpoint] = _Kept(wanted, until, _within(tally, period, until))
        return tuple(objectives(tally, wanted, now))


def _within(tally: Tally, start: float, end: float) -> Tally:
    inside: np.ndarray = (tally.starts >= start - _MINUTE) & (tally.starts < end)
    return msgspec.structs.replace(
        tally,
        starts=tally.starts[inside],
        total=tally.total[inside],
        failed=tally.failed[inside],
        slow=tally.slow[inside],
    )
