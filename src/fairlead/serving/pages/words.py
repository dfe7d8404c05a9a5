"""How names, numbers and answers are said on a page.

The model speaks in column names, doubles and class labels; people read words. Every page takes its words from here, so that a
probability looks the same in a card and in a table. Nothing here is HTML: templates escape what they are given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from fairlead.schema import Output, Value

__all__ = ["clock", "count", "exact", "label_of", "labels_of", "number", "percent", "size", "target_of", "tidy", "word"]

_YES_NO = {"0": "No", "1": "Yes", "false": "No", "true": "Yes"}


def label_of(name: str) -> str:
    """A column's name as people write it: `wind_speed` becomes "Wind speed"."""
    words = " ".join(name.replace("_", " ").split())
    return words[:1].upper() + words[1:] if words else name


def labels_of(names: Iterable[str]) -> dict[str, str]:
    """A label for each name; names whose labels would be the same (`a_b`, `a b`) keep their own spelling."""
    labels = {name: label_of(name) for name in names}
    taken = list(labels.values())
    return {name: label if taken.count(label) == 1 else name for name, label in labels.items()}


def target_of(output: Output) -> str:
    """What is predicted, for a heading."""
    return label_of(output.target) if output.target else "Prediction"


def exact(value: Value) -> str:
    """A value as text that reads back as itself; a missing one is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)


def tidy(value: Value) -> str:
    """A value as text to start from: a number without the noise behind its twelfth digit (12.658579999999999)."""
    return exact(float(f"{value:.12g}")) if isinstance(value, float) else exact(value)


def number(value: float) -> str:
    """A number to read: five significant digits, whole numbers whole; one that is not finite as Python names it."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e9 else f"{value:.5g}"


def count(amount: int, noun: str) -> str:
    """An amount with its noun: "1 row", "10,000 rows"."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def percent(share: float) -> str:
    """A share from 0 to 1 as a percentage; a chance that is not nil never reads as nil."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def size(amount: int) -> str:
    """Bytes as people read them: "16 MB" (1 MB is 1,048,576 bytes)."""
    return f"{amount / 2**20:.4g} MB" if amount >= 2**20 else f"{amount / 2**10:.4g} KB"


def word(value: Value, classes: tuple[Value, ...] = ()) -> str:
    """A label or a number in words; the labels of a yes-or-no question are "Yes" and "No"."""
    if isinstance(value, int | float) and not isinstance(value, bool) and not classes:
        return number(value)
    if classes and all(exact(one).casefold() in _YES_NO for one in classes):
        return _YES_NO.get(exact(value).casefold(), exact(value))
    return exact(value)


def clock(moment: datetime) -> str:
    """A time in words, in UTC."""
    return moment.astimezone(UTC).strftime("%-d %B %Y, %H:%M:%S UTC")
