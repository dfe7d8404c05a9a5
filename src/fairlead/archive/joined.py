"""Feedback beside the prediction that it is about, read from a log that may be compacted.

What is joined, and by which rules, stands in `eventlog.joined`; here the log is read twice, as it is told there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fairlead.archive.events import read_events
from fairlead.eventlog.joined import LIMIT, Joined, join, latest_feedback
from fairlead.events import Prediction

__all__ = ["join_log"]


def join_log(folder: Path, endpoint: str, *, since: float = 0.0, limit: int = LIMIT) -> list[Joined]:
    """The latest feedback of an endpoint, oldest first, each with its prediction.

    Args:
        folder: Of the event log.
        endpoint: Its name.
        since: Feedback that came before this time is left out, in seconds since 1970; its prediction may be older.
        limit: How much at most.

    Raises:
        NotFound: The log was compacted, and polars or pyarrow is missing.
        StorageError: The archive's manifest, or a segment, cannot be read.
    """
    told = latest_feedback(read_events(folder, since), endpoint, since=since, limit=limit)
    wanted = {one.id for one in told}
    found = {event.id: event for event in _predictions(folder, wanted)}
    return list(join(told, found))


def _predictions(folder: Path, wanted: set[str]) -> Iterator[Prediction]:
    """The predictions with these ids; reading ends when all are found."""
    missing = set(wanted)
    if not missing:
        return
    for event in read_events(folder):
        if isinstance(event, Prediction) and event.id in missing:
            missing.discard(event.id)
            yield event
            if not missing:
                return
