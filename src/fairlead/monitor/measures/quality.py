"""Data quality: what in the rows themselves is odd, whatever the model makes of it.

```
reference Profile ─┐
current Profile ───┼─▶ column by column: gone, out of range, new names, constant ─▶ Test (surely more than chance brings)
expectations ──────┴─▶ what a person said a column must be ─────────────────────▶ breach, or kept
statuses ─────────────▶ refused ;  distinct rows ─▶ repeated
```

Missing and infinite entries have tests of their own (`drift`). What chance alone brings is known: of a thousand fresh rows about two lie outside of the
range of a thousand others, and a rare name is new some day. So each has its p, and a share from which it counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from scipy.special import gammaln, ndtr

from fairlead.monitor.measures.expected import expected_tests
from fairlead.monitor.report import Finding
from fairlead.monitor.settings import Settings
from fairlead.monitor.verdicts import Test
from fairlead.monitor.words import clean, number, percent, plural
from fairlead.profiles.profile import Feature, NameCounts, NumberCounts, Profile
from fairlead.stats.estimates import wilson
from fairlead.stats.two_sample import share_p, shares_differ

__all__ = ["REFUSALS", "new_names_p", "outside_p", "quality", "refused", "repeated"]

REFUSALS: Final = frozenset({"schema_mismatch", "invalid_input", "too_large", "bad_reference"})
"""What rows are answered with that the schema or the limits refuse; all other errors are the service's."""

_NAMED: Final = 5


def quality(
    reference: Profile | None,
    current: Profile,
    settings: Settings,
    *,
    columns: Sequence[str] | None = None,
    segment: str = "",
) -> list[Test]:
    """Look at every input. Raises nothing for what the profiles hold.

    Args:
        reference: What is normal; without it only expectations are looked at.
        current: The window, counted in the reference's bins.
        settings: Expectations, thresholds, and which columns are watched.
        columns: The names of the window's columns, where they are known: a profile does not hold what the reference had not.
        segment: The part of the traffic.
    """
    tests: list[Test] = []
    former = {} if reference is None else {one.name: one for one in reference.features if one.role == "input"}
    now = {one.name: one for one in current.features if one.role == "input"}
    for name in dict.fromkeys([*former, *now]):
        if not settings.columns or name in settings.columns:
            column = _Column(name, settings, segment)
            tests += _guarded(column, partial(_looked_at, column, former.get(name), now.get(name), current.rows))
    tests += [
        _Column(name, settings, segment).new() for name in columns or () if reference is not None and name not in former
    ]
    known = {*former, *now, *(columns or ())}
    tests += [_Column(name, settings, segment).unknown() for name in settings.expectations if name not in known]
    return tests


def refused(statuses: Mapping[str, int], former: Mapping[str, int] | None, settings: Settings) -> list[Test]:
    """Rows that were refused because of what they are.

    Args:
        statuses: Rows by what they were answered with: "ok", or the code of an error.
        former: The same of the reference; told and not judged where it is `None` or empty.
        settings: From which change of the share on it counts.
    """
    n, bad = sum(statuses.values()), _refusals(statuses)
    if not n:
        return []
    n_before, before = (sum(former.values()), _refusals(former)) if former else (0, 0)
    codes = ", ".join(f"{code} {count:,}" for code, count in sorted(statuses.items()) if code in REFUSALS)
    because = f"{plural(bad, 'row')} of {n:,} refused" + (f": {codes}" if codes else "")
    share = wilson(bad, n)
    facts: dict[str, Any] = {"value": bad / n, "unit": "share", "interval": (share.low, share.high), "n": n}
    if n_before:
        found = shares_differ(before, n_before, bad, n)
        facts |= {"reference": before / n_before, "p": found.p if bad or before else None, "n_reference": n_before}
        facts |= {"statistic": found.statistic, "effect": max(bad / n - before / n_before, 0.0), "effect_name": "Δ"}
        because += f" (were {percent(before / n_before)})"
    finding = Finding(
        area="quality", subject="rows", measure="refused share", verdict="stable", because=because, **facts
    )
    limit = settings.thresholds.missing
    more = math.ceil(n * min(1.0, limit + (before / n_before if n_before else 0.0)))
    return [Test(finding, limit, not n_before or share_p(before, n_before, more, n)[0] < settings.thresholds.q)]


def repeated(rows: int, distinct: int, former: tuple[int, int] | None, settings: Settings) -> list[Test]:
    """Rows whose inputs are those of another row, exactly.

    The more rows, the more repeat by chance. So a reference is a measure only for windows that are not larger than it is.

    Args:
        rows: Of the window.
        distinct: How many different ones.
        former: The same of the reference; `None` where nobody counted.
        settings: From which share on more repeats count.
    """
    if not rows:
        return []
    again = rows - distinct
    share = wilson(again, rows)
    because = f"{percent(again / rows)} of {plural(rows, 'row')} repeat another row exactly"
    facts: dict[str, Any] = {"value": again / rows, "unit": "share", "interval": (share.low, share.high), "n": rows}
    if former is not None and former[0] >= rows:
        n_before, before = former[0], former[0] - former[1]
        found = shares_differ(before, n_before, again, rows)
        facts |= {"reference": before / n_before, "p": found.p if again or before else None, "n_reference": n_before}
        facts |= {
            "statistic": found.statistic,
            "effect": max(again / rows - before / n_before, 0.0),
            "effect_name": "Δ",
        }
        because += f" (were {percent(before / n_before)})"
    finding = Finding(
        area="quality", subject="rows", measure="repeated share", verdict="stable", because=because, **facts
    )
    return [Test(finding, settings.thresholds.names)]


def outside_p(outside: int, n: int, n_reference: int) -> float:
    """How probable it is that so many of n fresh values, or more, lie outside of the range of n₀ others of the same law.

    Exact whatever the law, if it is continuous; with ties it is smaller still. The k outermost of all are counted from the ends inwards
    until the second value of the reference: P(K ≥ k) is the hypergeometric chance that of k + 1 values at most one is of the reference (Wilks,
    "Determination of sample sizes for setting tolerance limits", Annals of Mathematical Statistics 12 (1941), 91-96).

    Args:
        outside: k.
        n: Finite values of the window.
        n_reference: n₀, at least 2.
    """
    if outside <= 0:
        return 1.0
    drawn, every = outside + 1, n + n_reference
    total = _log_choose(every, drawn)
    none = math.exp(_log_choose(n, drawn) - total) if drawn <= n else 0.0
    return min(none + math.exp(math.log(n_reference) + _log_choose(n, outside) - total), 1.0)


def new_names_p(new: int, n: int, levels: Iterable[int]) -> float:
    """How probable it is that so many of n entries, or more, have names that the reference had not.

    The reference tells by its names that came once how many more there are: their share is that of unseen names (Good, Biometrika 40 (1953),
    237-264), with the variance (f₁ + 2 f₂)/n₀² of Esty, Annals of Statistics 11 (1983), 905-912. One name is added to f₁, so that a
    reference without rare names does not promise that there are none. Normal.

    Args:
        new: Entries of new names.
        n: Entries of the window.
        levels: How often each name occurred in the reference.
    """
    if new <= 0:
        return 1.0
    counts = [one for one in levels if one]
    once, twice, rows = counts.count(1) + 1, counts.count(2), max(sum(counts), 1)
    share = min(once / rows, 1.0)
    spread = math.sqrt(n * share + n**2 * (once + 2 * twice) / rows**2)
    return float(ndtr(-(new - 0.5 - n * share) / spread))


def _log_choose(n: float, k: float) -> float:
    return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def _refusals(statuses: Mapping[str, int]) -> int:
    return sum(count for code, count in statuses.items() if code in REFUSALS)


class _Column:
    """A column, and how its findings are said."""

    def __init__(self, name: str, settings: Settings, segment: str) -> None:
        self.name = name
        self.told = clean(name)
        self.settings = settings
        self.segment = segment

    def finding(self, measure: str, because: str, **more: Any) -> Finding:
        facts = {"verdict": "stable", "segment": self.segment, **more}
        return Finding(area="quality", subject=self.name, measure=measure, because=because, **facts)

    def new(self) -> Test:
        because = f"{self.told} is a new column: the reference had none of this name."
        return Test(self.finding("column", because, verdict="drift"))

    def unknown(self) -> Test:
        because = f"{self.told} has an expectation in the settings, and there is no such column."
        return Test(self.finding("column", because, verdict="error"))

    def gone(self, rows: int) -> Test:
        because = f"{self.told} is gone: none of {plural(rows, 'row')} has it."
        return Test(self.finding("column", because, verdict="drift", n=rows))

    def retyped(self, *, was_numbers: bool) -> Test:
        was, is_ = ("numbers", "text") if was_numbers else ("text", "numbers")
        because = f"{self.told} changed its type: it was {was} and is {is_}."
        return Test(self.finding("type", because, verdict="drift"))


def _guarded(column: _Column, look: Callable[[], list[Test]]) -> list[Test]:
    """What is found in one column; what goes wrong with it is said of it, and of no other."""
    try:
        return look()
    except (ArithmeticError, ValueError, TypeError, IndexError) as err:
        because = f"{column.told} could not be looked at ({type(err).__name__})."
        return [Test(column.finding("quality", because, verdict="error"))]


def _looked_at(column: _Column, was: Feature | None, now: Feature | None, rows: int) -> list[Test]:
    if now is None or (now.rows == 0 and rows > 0):
        return [column.gone(rows)] if rows else []
    found: list[Test] = []
    if not now.withheld:
        if isinstance(was, NumberCounts) and isinstance(now, NumberCounts):
            found += [*_outside(column, was, now), *_number_that_stays(column, was, now)]
        elif isinstance(was, NameCounts) and isinstance(now, NameCounts):
            found += [*_new_names(column, was, now), *_name_that_stays(column, was, now)]
        elif was is not None:
            found.append(column.retyped(was_numbers=isinstance(was, NumberCounts)))
    expectation = column.settings.expectations.get(column.name)
    return found + (expected_tests(now, expectation, column.segment) if expectation is not None else [])


def _outside(column: _Column, was: NumberCounts, now: NumberCounts) -> Iterator[Test]:
    """Values beyond the reference's range: the first and the last bin."""
    n, n_before = now.finite, was.finite
    if not n or n_before < 2 or len(now.counts) < 3:
        return
    k, before = now.counts[0] + now.counts[-1], was.counts[0] + was.counts[-1]
    edges = was.grid.edges()  # where every value has a bin of its own there are no cuts
    low, high = (was.moments.minimum, was.moments.maximum) if not before else (float(edges[0]), float(edges[-1]))
    p = share_p(before, n_before, k, n)[0] if before else outside_p(k, n, n_before)
    because = f"{column.told}: {percent(k / n)} of the values lie outside of {number(low)} to {number(high)}"
    if k:
        because += f", from {number(now.moments.minimum)} to {number(now.moments.maximum)}"
    limit = column.settings.thresholds.missing
    yield _more(column, "out of range", because, (k, n, before, n_before), p, limit, lambda more: (
        share_p(before, n_before, more, n)[0] if before else outside_p(more, n, n_before)
    ))  # fmt: skip


def _new_names(column: _Column, was: NameCounts, now: NameCounts) -> Iterator[Test]:
    """Names that the reference had not, the most frequent first."""
    n, n_before = now.present, was.present
    if not n or not n_before or not was.complete:
        return
    k, before = sum(now.new.values()) + now.unnamed, sum(was.new.values()) + was.unnamed
    levels = [*was.counts.values(), *was.new.values()]

    def p_of(more: int) -> float:
        return share_p(before, n_before, more, n)[0] if before else new_names_p(more, n, levels)

    because = f"{column.told}: {percent(k / n)} of the entries have names that are new"
    if now.new:
        most = sorted(now.new.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]
        because += f": {', '.join(_share_of(name, count, n) for name, count in most)}"
        left = len(now.new) - len(most)
        because += f" and {left} more" if left else ""
    limit = column.settings.thresholds.missing
    yield _more(column, "new names", because, (k, n, before, n_before), p_of(k), limit, p_of)


def _share_of(name: str, count: int, n: int) -> str:
    return f'"{clean(name)}" ({percent(count / n)})'


def _more(  # noqa: PLR0913, PLR0917 - a test's parts
    column: _Column,
    measure: str,
    because: str,
    counts: tuple[int, int, int, int],
    p: float,
    limit: float,
    p_of: Callable[[int], float],
) -> Test:
    """A test of more of something than the reference had."""
    k, n, before, n_before = counts
    share = wilson(k, n)
    finding = column.finding(
        measure,
        because,
        value=k / n,
        unit="share",
        reference=before / n_before,
        p=p,
        effect=max(k / n - before / n_before, 0.0),
        effect_name="Δ",
        interval=(share.low, share.high),
        n=n,
        n_reference=n_before,
    )
    supposed = min(math.ceil(n * (limit + before / n_before)), n)
    return Test(finding, limit, p_of(supposed) < column.settings.thresholds.q)


def _number_that_stays(column: _Column, was: NumberCounts, now: NumberCounts) -> Iterator[Test]:
    value = now.moments.minimum
    if now.finite < 2 or value != now.moments.maximum or was.moments.minimum >= was.moments.maximum:
        return
    place = int(np.searchsorted(was.grid.edges(), value))
    yield _stays(column, number(value), (was.counts[place], was.finite, now.finite))


def _name_that_stays(column: _Column, was: NameCounts, now: NameCounts) -> Iterator[Test]:
    there = {name: count for name, count in (now.counts | now.new).items() if count}
    varied = sum(count > 0 for count in (was.counts | was.new).values()) + (was.other > 0)
    if now.present < 2 or len(there) != 1 or now.other or now.unnamed or varied < 2:
        return
    (name,) = there
    yield _stays(column, f'"{clean(name)}"', (was.counts.get(name, 0), was.present, now.present))


def _stays(column: _Column, value: str, counts: tuple[int, int, int]) -> Test:
    """A column that varied and does not: (c + 1)/(n₀ + 2) to the power of n is the chance of that."""
    count, n_before, n = counts
    share = (count + 1) / (n_before + 2)
    finding = column.finding(
        "constant",
        f"{column.told} is always {value} ({percent(count / n_before)} of the reference were)",
        value=1.0,
        unit="share",
        reference=count / n_before,
        p=share**n,
        effect=1 - count / n_before,
        effect_name="Δ",
        n=n,
        n_reference=n_before,
    )
    return Test(finding, column.settings.thresholds.names)
