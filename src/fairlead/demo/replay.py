"""Ask a running service about real flights, in the order in which they left, at a steady rate.

The replay is a caller like any other: it knows the service's public API and nothing of its inside. How it asks, how it waits
and where it shows its line are given to it, so that it is tested without a service, a clock or a terminal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from fairlead.demo.flights import TARGET, TRAINING_MONTHS, rows
from fairlead.errors import FairleadError
from fairlead.schema import Value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Flight", "Progress", "drawn", "line", "replay", "unseen"]

_RECENT = 1000
"""The median latency is that of so many last answers: long enough to be calm, short enough to show a change."""


class Flight(msgspec.Struct, frozen=True):
    """One flight: what is known at the gate, whether it proved late, and when it was to leave."""

    row: dict[str, Value]
    late: bool
    departure: str


class Progress(msgspec.Struct, frozen=True):
    """How the replay stands.

    Attributes:
        asked: Flights that were answered.
        failed: Flights that were not.
        expected: How many of them the model expects to be late: the sum of their probabilities.
        were_late: Answered flights that proved late.
        latency: Median seconds from asking to answer, over the last thousand.
        departure: The last flight's scheduled departure.
        error: What the last failure said; empty while the last flight was answered.
    """

    asked: int = 0
    failed: int = 0
    expected: float = 0.0
    were_late: int = 0
    latency: float = 0.0
    departure: str = ""
    error: str = ""


def unseen(table: pd.DataFrame) -> Iterator[Flight]:
    """The flights that the model was not trained on, in order of departure."""
    yield from _flights(table[~table["month"].isin(TRAINING_MONTHS)])


def drawn(table: pd.DataFrame, month: int) -> Iterator[Flight]:
    """The flights of a month, each once, in an order drawn by lot, the same each time.

    In the order of departure a minute of replay would be a few days, and so a comparison of one spell of weather.
    """
    yield from _flights(table[table["month"] == month].sample(frac=1, random_state=0))


def _flights(later: pd.DataFrame) -> Iterator[Flight]:
    departures = later["departure"].dt.strftime("%-d %B %H:%M")
    for row, label, departure in zip(rows(later), later[TARGET], departures, strict=True):
        yield Flight(row, label == "late", departure)


def replay(
    flights: Iterable[Flight],
    ask: Callable[[Flight], float],
    *,
    rate: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Progress]:
    """Ask about each flight in turn, and yield how things stand after each.

    A failure is counted and the next flight is asked: a service may be restarted under the replay. When the replay falls
    behind it does not hurry to catch up.

    Args:
        flights: In the order in which they are asked.
        ask: Gives the probability that a flight will be late; raises `FairleadError` where there is no answer.
        rate: Flights a second.
        clock: Seconds, from any beginning.
        sleep: Waits for seconds.
    """
    progress = Progress()
    recent: deque[float] = deque(maxlen=_RECENT)
    due = clock()
    for flight in flights:
        sleep(max(0.0, due - clock()))
        began = clock()
        due = max(due, began) + 1 / rate
        try:
            chance = ask(flight)
        except FairleadError as err:
            failed = progress.failed + 1
            progress = msgspec.structs.replace(progress, failed=failed, departure=flight.departure, error=err.detail)
        else:
            recent.append(clock() - began)
            progress = _answered(progress, flight, chance=chance, latency=median(recent))
        yield progress


def _answered(progress: Progress, flight: Flight, *, chance: float, latency: float) -> Progress:
    return msgspec.structs.replace(
        progress,
        asked=progress.asked + 1,
        expected=progress.expected + chance,
        were_late=progress.were_late + flight.late,
        latency=latency,
        departure=flight.departure,
        error="",
    )


def line(progress: Progress) -> str:
    """The replay in one line, for people."""
    asked = max(progress.asked, 1)
    parts = [
        progress.departure,
        f"{progress.asked:,} flight{'' if progress.asked == 1 else 's'} asked",
        f"{progress.expected / asked:.1%} predicted late, {progress.were_late / asked:.1%} were",
        f"p50 {progress.latency * 1000:.1f} ms",
    ]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.error:
        parts.append(progress.error)
    return " · ".join(parts)
