"""Which windows there are, which are due, and what each is held against. Pure: times and settings in, windows out.

```
        slide                          a window is merged from its panes, so a long one that slides
    ├───────┤                          is counted once and not again for each step
    ┌───────┬───────┬───────┐
    │ pane  │ pane  │ pane  │  window
    └───────┴───────┴───────┘
            ┌───────┬───────┬───────┐
            │ pane  │ pane  │ pane  │  the next
```

Windows by the clock lie on a grid that begins on a Monday at midnight UTC: an hour begins at the full hour, a day at midnight UTC, a week on
Monday. A day of a window has always 24 hours, also where clocks are put forward that night. Windows by count begin where the one before ended.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from fairlead.durations import parse_duration, write_duration
from fairlead.errors import InvalidInput
from fairlead.monitor.report import Window
from fairlead.monitor.settings import Settings

__all__ = [
    "SETTLE_SECONDS",
    "Rhythm",
    "clock_panes",
    "count_panes",
    "due",
    "reference_windows",
    "rhythm_of",
    "skew",
    "window_of",
]

SETTLE_SECONDS: Final = 1.0
"""A window by the clock is closed so long after its end: gateways write an answer down before they send it, but not at its very moment."""

CATCH_UP: Final = 50
"""After a standstill so many windows are made up for, the newest; who was away for a year wants no nine thousand reports."""

_MONDAY: Final = 4 * 86_400.0
"""1970-01-05, the first Monday of the clock's count."""

_WEEK: Final = 7 * 86_400.0
_WEEKS: Final = 4
_ROWS: Final = re.compile(r"([1-9][0-9]{0,9}) rows")
_SHORTEST: Final = 1.0
_MOST_PANES: Final = 1000


class Rhythm(msgspec.Struct, frozen=True):
    """How windows follow each other.

    Attributes:
        by: The clock, or the count of rows.
        length: Of a window, in seconds or rows.
        slide: From one window's beginning to the next's; `length` is a multiple of it.
    """

    by: Literal["clock", "count"]
    length: float
    slide: float

    @property
    def panes(self) -> int:
        """How many panes a window has."""
        return round(self.length / self.slide)


def rhythm_of(settings: Settings) -> Rhythm:
    """The rhythm of an endpoint's windows.

    Raises:
        InvalidInput: `window` or `slide` is no length, or they do not go together.
    """
    by, length = _length(settings.window, "window")
    if settings.slide is None:
        return Rhythm(by, length, length)
    slid, slide = _length(settings.slide, "slide")
    count = length / slide
    if slid != by or abs(count - round(count)) > 1e-9 or not 1 <= round(count) <= _MOST_PANES:
        raise InvalidInput(
            f"The slide {settings.slide!r} does not divide the window {settings.window!r}.",
            hint=f"Both are times or both are rows, and the window is 1 to {_MOST_PANES:,} slides long: 7d and 1d.",
            setting="slide",
        )
    return Rhythm(by, length, slide)


def window_of(text: str) -> Rhythm:
    """The rhythm of windows as long as `text` says, "1h" or "10000 rows".

    Raises:
        InvalidInput: It is neither.
    """
    return rhythm_of(Settings(window=text))


def due(rhythm: Rhythm, last: float | None, first: float, now: float) -> list[Window]:
    """The windows by the clock that have closed and have no report yet, oldest first, at most `CATCH_UP`.

    Args:
        rhythm: By the clock.
        last: The end of the newest window with a report; `None` before the first.
        first: The time of the first event, in seconds since 1970 (UTC); nothing before it is due.
        now: Likewise.
    """
    newest = _floor(now - SETTLE_SECONDS, rhythm.slide)
    oldest = _floor(first, rhythm.slide) + rhythm.slide
    if last is not None:
        oldest = max(oldest, _floor(last, rhythm.slide) + rhythm.slide)
    count = min(math.floor((newest - oldest) / rhythm.slide + 1e-6) + 1, CATCH_UP)
    return [Window(end - rhythm.length, end) for end in (newest - rhythm.slide * back for back in range(count))][::-1]


def skew(last: float | None, now: float) -> str:
    """What is odd about the clock, in a sentence; empty where nothing is."""
    if last is None or last <= now:
        return ""
    return (
        f"The clock stands {write_duration(round(last - now, 3))} before the end of the newest report: it was put back. "
        "Nothing is due until it has caught up."
    )


def clock_panes(rhythm: Rhythm, window: Window) -> list[Window]:
    """The panes of a window, oldest first."""
    count = max(1, round(window.seconds / rhythm.slide)) if rhythm.by == "clock" else 1
    step = window.seconds / count
    ends = [window.start + step * place for place in range(1, count)] + [window.end]
    return [Window(start, end) for start, end in zip([window.start, *ends], ends, strict=False)]


def count_panes(times: Sequence[float], rhythm: Rhythm) -> list[Window]:
    """The whole panes among events by their times, oldest first; what is left over belongs to the next.

    Rows of one request have one time and are not torn apart, so a pane may be some rows longer.

    Args:
        times: Rising, of the events since the last pane.
        rhythm: By count.
    """
    panes, place, size = [], 0, round(rhythm.slide)
    while place + size <= len(times):
        last = place + size - 1
        while last + 1 < len(times) and times[last + 1] == times[last]:
            last += 1
        panes.append(Window(times[place], math.nextafter(times[last], math.inf)))
        place = last + 1
    return panes


def reference_windows(reference: str, window: Window) -> list[Window]:
    """The windows of the past that a reference is merged from; none for "training".

    Args:
        reference: "past", "past 7d" or "week", as `Settings.reference` says.
        window: What is held against them.

    Raises:
        InvalidInput: It is none of these.
    """
    if reference == "training":
        return []
    if reference == "week":
        return [_back(window, _WEEK * weeks) for weeks in range(_WEEKS, 0, -1)]
    if reference == "past":
        return [_back(window, window.seconds)]
    if reference.startswith("past "):
        seconds = parse_duration(reference.removeprefix("past "))
        if seconds >= window.seconds:
            return [_back(window, seconds)]
    raise InvalidInput(
        f"The reference {reference[:40]!r} is none.",
        hint='Use "training", "past", "past 7d" (at least a window ago) or "week".',
        setting="reference",
    )


def _back(window: Window, seconds: float) -> Window:
    return Window(window.start - seconds, window.end - seconds)


def _floor(moment: float, step: float) -> float:
    """The last point of the grid at or before a moment."""
    return _MONDAY + math.floor((moment - _MONDAY) / step + 1e-9) * step


def _length(text: str, setting: str) -> tuple[Literal["clock", "count"], float]:
    rows = _ROWS.fullmatch(text)
    if rows is not None:
        return "count", float(rows[1])
    try:
        seconds = parse_duration(text)
    except InvalidInput:
        seconds = 0.0
    if seconds < _SHORTEST:
        raise InvalidInput(
            f"The {setting} {text[:40]!r} is no length of a window.",
            hint='Use a time such as "1h", "1d" or "7d", at least 1s, or a number of rows: "10000 rows".',
            setting=setting,
        )
    return "clock", seconds
