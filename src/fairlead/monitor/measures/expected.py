"""What a person said a column must be, held against a window's counts: a limit that is crossed is a breach, however few rows cross it.

A profile knows extremes and shares exactly, and values by their bins and names; where more rows may be concerned than it can tell, it says "at least".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from fairlead.monitor.report import Finding
from fairlead.monitor.settings import Expectation
from fairlead.monitor.verdicts import Test
from fairlead.monitor.words import clean, number, percent, plural
from fairlead.profiles.levels import level_of
from fairlead.profiles.profile import Feature, NameCounts, NumberCounts

__all__ = ["expected_tests"]

_NAMED = 5


def expected_tests(column: Feature, expectation: Expectation, segment: str = "") -> list[Test]:
    """Each limit that is set: crossed, kept, or not to be told.

    Args:
        column: The window's counts.
        expectation: What it must be.
        segment: The part of the traffic.
    """
    if not column.rows:
        return []
    found: list[Finding] = [*_missing(column, expectation)]
    if column.withheld:
        found += _untold(column, expectation)
    elif isinstance(column, NumberCounts):
        found += [*_range(column, expectation), *_allowed_numbers(column, expectation)]
    else:
        found += [*_allowed_names(column, expectation), *_unseen(column, expectation), *_length(column, expectation)]
    return [Test(msgspec.structs.replace(one, segment=segment)) for one in found]


def _finding(column: Feature, measure: str, because: str, *, crossed: bool, **more: Any) -> Finding:
    facts: dict[str, Any] = {"n": column.rows, "verdict": "breach" if crossed else "stable", **more}
    return Finding(
        area="quality", subject=column.name, measure=measure, because=f"{clean(column.name)}: {because}.", **facts
    )


def _missing(column: Feature, expectation: Expectation) -> Iterator[Finding]:
    limit = expectation.missing
    if limit is not None:
        share = column.missing / column.rows
        because = f"{percent(share)} missing, {percent(limit)} allowed"
        yield _finding(
            column, "missing limit", because, crossed=share > limit, value=share, unit="share", reference=limit
        )


def _range(column: NumberCounts, expectation: Expectation) -> Iterator[Finding]:
    """The least and the greatest value against their limits; −inf and +inf are values, too."""
    edges, counts = column.grid.edges(), np.array(column.counts)
    if expectation.minimum is not None:
        least = float("-inf") if column.negative_infinite else column.moments.minimum
        limit = expectation.minimum
        beyond = int(counts[:-1][edges < limit].sum()) + column.negative_infinite
        yield _extreme(column, "minimum", least, limit, (least < limit, beyond))
    if expectation.maximum is not None:
        greatest = float("inf") if column.positive_infinite else column.moments.maximum
        limit = expectation.maximum
        # A bin holds what is above the edge before it.
        beyond = int(counts[1:][edges >= limit].sum()) + column.positive_infinite
        yield _extreme(column, "maximum", greatest, limit, (greatest > limit, beyond))


def _extreme(column: NumberCounts, measure: str, value: float, limit: float, told: tuple[bool, int]) -> Finding:
    crossed, beyond = told
    word = "lowest" if measure == "minimum" else "highest"
    if not column.finite and not crossed:
        return _finding(column, measure, "it has no values", crossed=False, reference=limit)
    because = f"the {word} is {number(value)}, {number(limit)} is allowed"
    if crossed:
        because += f"; at least {plural(max(beyond, 1), 'row')} beyond"
    return _finding(column, measure, because, crossed=crossed, value=value, reference=limit)


def _allowed_numbers(column: NumberCounts, expectation: Expectation) -> Iterator[Finding]:
    """Bins without an allowed value that have rows."""
    allowed = sorted(float(one) for one in expectation.allowed if isinstance(one, int | float))
    if not expectation.allowed:
        return
    edges, counts = column.grid.edges(), np.array(column.counts)
    fine = np.zeros(len(counts), np.bool_)
    fine[np.searchsorted(edges, allowed)] = True
    wrong = int(counts[~fine].sum()) + column.negative_infinite + column.positive_infinite
    ends = [one for one in (column.moments.minimum, column.moments.maximum) if np.isfinite(one)]
    crossed = wrong > 0 or any(one not in allowed for one in ends)
    because = (
        f"at least {plural(max(wrong, 1), 'row')} with a value that is not allowed"
        if crossed
        else "no value is seen that is not allowed"
    )
    yield _finding(column, "allowed values", because, crossed=crossed, value=wrong / column.rows, unit="share")


def _allowed_names(column: NameCounts, expectation: Expectation) -> Iterator[Finding]:
    if not expectation.allowed:
        return
    allowed = {level_of(one) for one in expectation.allowed}
    seen = {name: count for name, count in (column.counts | column.new).items() if count}
    wrong = {name: count for name, count in seen.items() if name not in allowed}
    rows = sum(wrong.values()) + column.unnamed
    share = rows / column.rows
    if not rows:
        because = "only allowed values"
    else:
        most = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]
        names = ", ".join(f'"{clean(name)}" ({count:,})' for name, count in most)
        because = f"{plural(rows, 'row')} with a value that is not allowed" + (f": {names}" if names else "")
    if column.other:
        because += f"; {plural(column.other, 'row')} with rare values, which are not known by name"
    yield _finding(column, "allowed values", because, crossed=rows > 0, value=share, unit="share")


def _unseen(column: NameCounts, expectation: Expectation) -> Iterator[Finding]:
    limit = expectation.unseen
    if limit is None or not column.present:
        return
    if not column.complete:
        because = "the reference has more names than are counted, so new ones cannot be told from rare ones"
        yield _finding(column, "unseen limit", because, crossed=False, verdict="insufficient")
        return
    share = (sum(column.new.values()) + column.unnamed) / column.present
    because = f"{percent(share)} are names that the reference had not, {percent(limit)} allowed"
    yield _finding(column, "unseen limit", because, crossed=share > limit, value=share, unit="share", reference=limit)


def _length(column: NameCounts, expectation: Expectation) -> Iterator[Finding]:
    limit = expectation.length
    if limit is None:
        return
    seen = {name: count for name, count in (column.counts | column.new).items() if count}
    longest = max(map(len, seen), default=0)
    rows = sum(count for name, count in seen.items() if len(name) > limit)
    because = f"the longest text has {plural(longest, 'character')}, {limit:,} are allowed"
    if rows:
        because += f"; {plural(rows, 'row')} longer"
    if column.other or column.unnamed:
        because += f"; the texts of {plural(column.other + column.unnamed, 'row')} are not known"
    yield _finding(column, "length", because, crossed=rows > 0, value=float(longest), reference=float(limit))


def _untold(column: Feature, expectation: Expectation) -> Iterator[Finding]:
    """A sensitive column: its values are counted nowhere, so nobody can say."""
    set_ = [one for one in ("minimum", "maximum", "unseen", "length") if getattr(expectation, one) is not None]
    if set_ or expectation.allowed:
        because = "it is sensitive and its values are not counted, so its expectations cannot be looked at"
        yield _finding(column, "expectation", because, crossed=False, verdict="insufficient")
