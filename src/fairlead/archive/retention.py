"""What is too old, or too much, to be kept: whole days, the oldest first. Pure; compaction does it.

Labels of a day go with that day. A prediction that is gone leaves feedback of later days without one, and that is said where feedback is
joined ("unknown").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from fairlead.archive.manifest import Part
from fairlead.eventlog.days import DAY, day_begins

__all__ = ["Pruned", "expired"]


class Pruned(msgspec.Struct, frozen=True):
    """A day that is kept no longer.

    Attributes:
        day: "2026-11-22".
        rows: How many events.
        bytes: How large they were.
        because: "age" or "size".
    """

    day: str
    rows: int
    bytes: int
    because: str


def expired(parts: Sequence[Part], now: float, *, days: float | None, most_bytes: int | None) -> list[Pruned]:
    """The days to be pruned.

    Args:
        parts: All there are.
        now: In seconds since 1970 (UTC).
        days: A day is kept for so many days after its end; for ever where it is `None`.
        most_bytes: So large all may be together; any size where it is `None`. The last day of all is kept, however large it is.
    """
    by_day: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        by_day[part.day].append(part)
    total = sum(part.bytes for part in parts)
    found = []
    for number, (day, some) in enumerate(sorted(by_day.items()), 1):
        rows, size = sum(part.rows for part in some), sum(part.bytes for part in some)
        old = days is not None and now - (day_begins(day) + DAY) >= days * DAY
        large = most_bytes is not None and total > most_bytes and number < len(by_day)
        if not old and not large:
            continue
        total -= size
        found.append(Pruned(day, rows, size, "age" if old else "size"))
    return found
