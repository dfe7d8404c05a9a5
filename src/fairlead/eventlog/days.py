"""The days of the event log: its folders, and the archive's, are named by the UTC day of what is in them."""

from __future__ import annotations

import calendar
import time
from typing import Final

__all__ = ["DAY", "day_begins", "day_of"]

DAY: Final = 86_400.0
"""In seconds."""

_NAMED: Final = "%Y-%m-%d"


def day_of(seconds: float) -> str:
    """The day of a moment, in seconds since 1970 (UTC): "2026-11-22"."""
    return time.strftime(_NAMED, time.gmtime(seconds))


def day_begins(name: str) -> float:
    """When the day of this name begins, in seconds since 1970 (UTC).

    Raises:
        ValueError: It is no day's name.
    """
    return float(calendar.timegm(time.strptime(name, _NAMED)))
