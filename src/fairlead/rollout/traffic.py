"""How much an endpoint was asked in the last hour, from the event log: what a dry run says times with.

An hour of much traffic is long to read, so of each writer only its newest segments are read, up to a number of events; its rate is then that
of the time they span.
"""

from __future__ import annotations

import calendar
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from fairlead.errors import FairleadError, InvalidInput, NotAllowed, NotFound, RateLimited, StorageError
from fairlead.eventlog import segment
from fairlead.events import Prediction
from fairlead.rollout.needs import Traffic

__all__ = ["WINDOW", "recent_traffic"]

WINDOW: Final = 3600.0
"""How far back one looks, in seconds."""

_MOST_EVENTS: Final = 500_000
"""Of all writers together; reading them takes about a second."""


class _Counted(msgspec.Struct):
    """One writer's answers since `start`."""

    start: float
    answered: int = 0
    failed: int = 0


def recent_traffic(events: Path, endpoint: str, now: float, *, most: int = _MOST_EVENTS) -> Traffic | None:
    """The traffic of an endpoint in the last hour; `None` where nothing was recorded of it.

    Args:
        events: The event log's folder.
        endpoint: The endpoint.
        now: Seconds since 1970 (UTC).
        most: About so many events are read.

    Raises:
        StorageError: A segment cannot be read.
    """
    found = sorted(events.glob(f"????-??-??/*{segment.SUFFIX}"))
    if not found:
        return None
    since = max(now - WINDOW, min(_opened(path) for path in found))
    writers = _by_writer(found, since)
    counted = [_count(paths, endpoint, since, most // len(writers)) for paths in writers]
    answered = sum(one.answered for one in counted)
    if not answered:
        return None
    per_second = sum(one.answered / max(1.0, now - one.start) for one in counted)
    return Traffic(per_second, sum(one.failed for one in counted) / answered)


def _by_writer(paths: Sequence[Path], since: float) -> list[list[Path]]:
    """The segments that may hold something newer than `since`: by writer, the newest first."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in reversed(paths):
        if _written(path) >= since:
            found[path.stem.partition("-")[2].rpartition("-")[0]].append(path)
    return list(found.values())


def _count(paths: Sequence[Path], endpoint: str, since: float, most: int) -> _Counted:
    counted, seen = _Counted(since), 0
    for path in paths:
        for event in segment.read(_bytes(path)):
            seen += 1
            if isinstance(event, Prediction) and event.endpoint == endpoint and event.time >= since:
                counted.answered += not _is_nobodys(event.status)
                counted.failed += _is_failure(event.status)
        if seen >= most:
            counted.start = max(since, _opened(path))
            break
    return counted


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # pruned meanwhile
        return b""
    except OSError as error:
        raise StorageError(f"The segment {path.name} cannot be read: {error.strerror}.") from error


def _opened(path: Path) -> float:
    """When a segment was begun, from its name: `2026-11-22/140509-writer-000001.seg`."""
    try:
        return calendar.timegm(time.strptime(f"{path.parent.name} {path.name[:6]}", "%Y-%m-%d %H%M%S"))
    except ValueError:
        return 0.0


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is_nobodys(status: str) -> bool:
    """Whether no version was asked: the caller might not, or asked for something that there is not."""
    return status != "ok" and issubclass(FairleadError.of_code(status), NotAllowed | NotFound | RateLimited)


def _is_failure(status: str) -> bool:
    kind = FairleadError.of_code(status)
    return status != "ok" and not issubclass(kind, NotAllowed | NotFound | RateLimited | InvalidInput)
