"""What a statistic accepts: one sentence for each number that makes no sense, before it becomes a nan.

The functions of this room call these first, so that a wrong number is refused with its name and value and never becomes evidence.
"""

from __future__ import annotations

import math

from fairlead.errors import InvalidInput

__all__ = ["check_at_least", "check_between", "check_counts", "check_rate"]


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside the open range from `low` to `high`.

    Raises:
        InvalidInput: It is `low` or less, `high` or more, or not a number.
    """
    if not low < value < high:
        raise InvalidInput(
            f"{name} is {value}.", hint=f"It must lie between {low:g} and {high:g}.", field=name, got=value
        )


def check_at_least(name: str, value: float, low: float) -> None:
    """Refuse a number below `low`, an infinite one, or one that is none.

    Raises:
        InvalidInput: As said.
    """
    if not low <= value < math.inf:
        raise InvalidInput(
            f"{name} is {value}.", hint=f"It must be finite and at least {low:g}.", field=name, got=value
        )


def check_counts(part_name: str, part: float, whole_name: str, whole: float) -> None:
    """Refuse a part that is negative or larger than its whole.

    Raises:
        InvalidInput: As said.
    """
    check_at_least(whole_name, whole, 0)
    if not 0 <= part <= whole:
        raise InvalidInput(
            f"{part_name} is {part} of {whole} {whole_name}.",
            hint=f"It must lie between 0 and {whole}.",
            field=part_name,
            got=part,
        )


def check_rate(name: str, value: float) -> None:
    """Refuse what is not from 0 to 1, both included.

    Raises:
        InvalidInput: As said.
    """
    if not 0 <= value <= 1:
        raise InvalidInput(f"{name} is {value}.", hint="It must lie between 0 and 1.", field=name, got=value)
