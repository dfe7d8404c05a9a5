"""Lengths of time as people write them: `90s`, `15m`, `12h`, `30d`.

A bare number is refused, because nobody knows its unit; so is YAML's `1:30`, which some readers take for ninety.
"""

from __future__ import annotations

import re

from fairlead.errors import InvalidInput

__all__ = ["parse_duration", "tell_duration", "write_duration"]

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
