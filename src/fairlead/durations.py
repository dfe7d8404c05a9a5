"""Time as people write it: lengths such as `15m` and `30d`, and moments such as `2026-11-22T14:30`, in UTC unless they say otherwise.

A bare number is refused, because nobody knows its unit; so is YAML's `1:30`, which some readers take for ninety.
"""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime

from fairlead.errors import InvalidInput

__all__ = ["parse_between", "parse_duration", "parse_moment", "parse_since", "tell_duration", "write_duration"]

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d{1,6})?)?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
_DURATION = re.compile(r"([1-9][0-9]{0,5})(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_WORDS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


def parse_duration(text: str) -> float:
    """Seconds, from "200ms", "90s", "15m", "12h", "30d" or "4w".

    Raises:
        InvalidInput: It is none of these.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidInput(
            f"{text[:40]!r} is no length of time.", hint="Use a number and ms, s, m, h, d or w, such as 30d."
        )
    return int(found[1]) * _SECONDS[found[2]]


def parse_moment(text: str) -> float:
    """Seconds since 1970 (UTC), from "2026-11-22", "2026-11-22T14:30" or "2026-11-22T14:30+01:00"; UTC where no zone is said.

    Raises:
        InvalidInput: It is no such date, or there is none.
    """
    with contextlib.suppress(ValueError, OverflowError):
        if _MOMENT.fullmatch(text):
            found = datetime.fromisoformat(text)
            return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    raise InvalidInput(
        f"{text[:40]!r} is no moment.", hint="Say 2026-11-01, 2026-11-01T14:30 (UTC) or 2026-11-01T14:30+01:00."
    )


def parse_since(text: str, now: float) -> float:
    """Seconds since 1970 (UTC), from a length of time before `now` ("7d") or a moment ("2026-11-22").

    Raises:
        InvalidInput: It is neither.
    """
    if _DURATION.fullmatch(text):
        return now - parse_duration(text)
    try:
        return parse_moment(text)
    except InvalidInput:
        raise InvalidInput(
            f"{text[:40]!r} is no length of time, and no moment.", hint="Say 7d or 12h, or 2026-11-01T14:30 (UTC)."
        ) from None


def parse_between(text: str) -> tuple[float, float]:
    """Two moments in seconds since 1970 (UTC), the earlier one first, from "2026-11-01..2026-11-08".

    Raises:
        InvalidInput: One is no moment, or the second is not after the first.
    """
    first, _, last = text.partition("..")
    start, end = parse_moment(first.strip()), parse_moment(last.strip())
    if start >= end:
        raise InvalidInput(
            f"{text[:80]!r} is no stretch of time: it ends before it begins.",
            hint="Say START..END, the earlier one first.",
        )
    return start, end


def write_duration(seconds: float) -> str:
    """The shortest text from which `parse_duration` reads these seconds, to the millisecond; "0s" for none."""
    if seconds == 0:
        return "0s"
    for unit, length in reversed(_SECONDS.items()):
        count = seconds / length
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return f"{round(count)}{unit}"
    return f"{round(seconds * 1000)}ms"


def tell_duration(seconds: float) -> str:
    """About how long that is, for a sentence: "12 minutes", "1.5 hours"."""
    for word, length in _WORDS:
        count = seconds / length
        if count >= 1 or length == 1:
            rounded = round(count) if count >= 10 else round(count, 1)
            return f"{rounded:g} {word}{'' if rounded == 1 else 's'}"
    raise AssertionError
