"""From when to when: what a person says of a window, as two times. All are UTC, unless the person says otherwise."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from fairlead.durations import parse_duration
from fairlead.errors import InvalidInput

__all__ = ["Span", "past_of", "span_of"]

_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?")


class Span(NamedTuple):
    """A stretch of time.

    Attributes:
        start: In seconds since 1970 (UTC); the first moment in it.
        end: In seconds since 1970 (UTC); the first moment after it.
    """

    start: float
    end: float

    def __str__(self) -> str:
        return f"{_told(self.start)} to {_told(self.end)} (UTC)"


def span_of(text: str, now: float) -> Span:
    """The stretch that "2026-11-01..2026-11-08" or "1d", the last day, means.

    Args:
        text: As a person says it.
        now: In seconds since 1970 (UTC).

    Raises:
        InvalidInput: It means none, or one without any moment in it.
    """
    first, dots, last = text.partition("..")
    start, end = (_moment(first.strip()), _moment(last.strip())) if dots else (now - parse_duration(text), now)
    return _span(start, end, text)


def past_of(text: str, span: Span, now: float) -> Span:
    """The stretch that a window is held against: "past", "past 7d", or as `span_of` reads it.

    Args:
        text: As a person says it.
        span: The window.
        now: In seconds since 1970 (UTC).

    Raises:
        InvalidInput: It means none.
    """
    word, _, length = text.partition(" ")
    if word != "past":
        return span_of(text, now)
    back = parse_duration(length) if length else span.end - span.start
    return _span(span.start - back, span.end - back, text)


def _span(start: float, end: float, text: str) -> Span:
    """The stretch from 1970 on."""
    start = max(start, 0.0)
    if start >= end:
        raise InvalidInput(
            f"{text[:80]!r} is no stretch of time: it ends before it begins, or before 1970.",
            hint="Say START..END, the earlier one first.",
        )
    return Span(start, end)


def _moment(text: str) -> float:
    """Seconds since 1970 of a date or a date with a time."""
    if _MOMENT.fullmatch(text) is None:
        raise _none(text)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _none(text) from None


def _none(text: str) -> InvalidInput:
    return InvalidInput(
        f"{text[:40]!r} is no moment.", hint="Say 2026-11-01, 2026-11-01T14:30 (UTC) or 2026-11-01T14:30+01:00."
    )


def _told(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")
