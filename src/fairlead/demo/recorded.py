"""A year of answers in some seconds: flights that are long past are answered by a version, and written to an event log as if they were asked then.

The answers are the predictor's, the records the gateway's, the file the event log's own; only the clock is another: each answer bears the moment
at which its flight was to leave, in 2013. What became of the flights is feedback, handed in a month at a time.

```
flights of a month ─▶ LocalModel ─▶ Prediction ─▶ EventLog          later: outcomes ─▶ Feedback ─▶ EventLog
```
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from fairlead.demo.flights import COLUMNS, TARGET, rows
from fairlead.demo.versions import NAME
from fairlead.errors import StorageError
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Feedback, Prediction
from fairlead.monitor.report import Window

if TYPE_CHECKING:
    import pandas as pd

    from fairlead.predictor.local import LocalModel

__all__ = ["answered", "append", "outcomes", "within", "written"]

_STORY: Final = "story"
_ZONE: Final = "America/New_York"
_AT_ONCE: Final = 5000


def within(flights: pd.DataFrame, window: Window) -> tuple[pd.DataFrame, list[float]]:
    """The flights that were to leave in a window, and when: in seconds since 1970 (UTC), where the table has New York's clock.

    Of the hour that comes twice in the night in which summer time ends the first is meant; nothing leaves then.
    """
    first = np.ones(len(flights), np.bool_)
    leaving = flights["departure"].dt.tz_localize(_ZONE, ambiguous=first, nonexistent="shift_forward")
    seconds = leaving.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[s]").astype(np.int64)
    here = (seconds >= window.start) & (seconds < window.end)
    return flights[here], [float(one) for one in seconds[here]]


def answered(model: LocalModel, flights: pd.DataFrame, times: Sequence[float]) -> list[Prediction]:
    """What a version answers for flights, as the gateway would record it.

    Args:
        model: Who answers.
        flights: At least one.
        times: When each is asked, in seconds since 1970 (UTC). The latency of each is its share of the time that all took.

    Raises:
        PredictionFailed: The model failed.
    """
    asked = rows(flights)
    began = time.perf_counter()
    found = model.outcomes(asked)
    each = (time.perf_counter() - began) / len(found)
    # An id begins with when its maker did, as `serving.ids` has it: from there on a label's prediction is looked for.
    maker = f"{round(min(times) * 1000):x}-{_STORY}"
    return [
        Prediction(
            id=f"{maker}-{number:x}",
            time=moment,
            endpoint=NAME,
            model=model.ref,
            variant="stable",
            key=None,
            status="ok",
            latency=each,
            inputs=tuple(row[name] for name in COLUMNS),
            prediction=one.prediction,
            probabilities=one.probabilities,
            flags=one.flags,
        )
        for number, (moment, row, one) in enumerate(zip(times, asked, found, strict=True), start=1)
    ]


def outcomes(predictions: Sequence[Prediction], flights: pd.DataFrame, when: float) -> list[Feedback]:
    """What proved true of the flights that were asked about, all told at one moment (seconds since 1970, UTC)."""
    proved = zip(predictions, flights[TARGET].tolist(), strict=True)
    return [Feedback(one.id, when, NAME, label=label, source=_STORY) for one, label in proved]


@contextlib.contextmanager
def written(folder: Path, writer: str) -> Iterator[EventLog]:
    """An event log to write to, closed in the end.

    Args:
        folder: Of the events.
        writer: Another each time: segments are named by it and by the second in which they are begun.

    Raises:
        StorageError: Something could not be written.
    """
    log = EventLog(folder, writer)
    try:
        yield log
    finally:
        log.close()
    if log.dropped:
        raise StorageError(f"{log.dropped:,} events could not be written.", hint="Is the disk full?")


def append(log: EventLog, model: LocalModel, predictions: Sequence[Prediction]) -> None:
    """Write answers of one version down, some thousands at a time."""
    columns = Columns(model.ref, model.digest, tuple(model.schema.names), tuple(model.schema.output.classes))
    for start in range(0, len(predictions), _AT_ONCE):
        log.append(columns, predictions[start : start + _AT_ONCE])
