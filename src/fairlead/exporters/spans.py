"""From when to when: what a person says of a window, as two times. All are UTC, unless the person says otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from fairlead.durations import parse_between, parse_duration
from fairlead.errors import InvalidInput

__all__ = ["Span", "past_of", "span_of"]


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
    start, end = parse_between(text) if ".." in text else (now - parse_duration(text), now)
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


def _told(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")
