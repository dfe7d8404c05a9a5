"""What moved: each column of a window against the same column of its reference, as tests that the judge decides.

```
Profile, Profile ─▶ drift_tests ─┐
                                 ├─▶ Test, a few for each column ─▶ verdicts
Batch, Batch ─────▶ exact_tests ─┘
```

Numbers by Kolmogorov and Smirnov (`spread`), names by χ² (`stats.two_sample`), missing and infinite entries by shares, each for
itself, so that a column which is missing more often is not also said to have moved. Inputs, predictions, scores and labels all go
this way. A column that cannot be compared becomes a finding that says why; nothing here raises for what data look like.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairlead.columns import Names, Numbers
from fairlead.monitor.measures.spread import BARS, Spread, comparable, spread_of_counts, spread_of_values
from fairlead.monitor.report import Area, Finding, Picture
from fairlead.monitor.settings import Settings, Thresholds
from fairlead.monitor.verdicts import Test
from fairlead.monitor.words import clean, number, percent
from fairlead.profiles.counting import Batch
from fairlead.profiles.levels import tally
from fairlead.profiles.profile import Feature, NameCounts, NumberCounts, Profile, Role
from fairlead.stats.effects import (
    cramers_v,
    cramers_v_interval,
    jensen_shannon,
    population_stability,
    total_variation,
)
from fairlead.stats.two_sample import (
    ChiSquare,
    chi_square,
    chi_square_reach,
    dvoretzky_interval,
    ks_reach,
    share_difference_interval,
    share_p,
    shares_differ,
)

__all__ = ["AREA_OF", "Levels", "drift_tests", "exact_tests", "side_by_side"]

AREA_OF: Final[dict[Role, Area]] = {
    "input": "predictor",
    "prediction": "prediction",
    "score": "prediction",
    "target": "target",
}

_NAMED: Final = 5
"""A level is shown by its name where either side has so many entries of it: what is rarer may be somebody's own words."""

_Array = NDArray[np.float64]


class _Column(NamedTuple):
    """Where a test belongs.

    Attributes:
        name: The column's.
        role: What it is to the model.
        segment: The part of the traffic.
        thresholds: When a difference counts.
        coverage: For the target, the least share of rows of both sides that have a label.
    """

    name: str
    role: Role
    segment: str
    thresholds: Thresholds
    coverage: float = 1.0

    @property
    def subject(self) -> str:
        return f"score of {self.name}" if self.role == "score" else self.name

    @property
    def told(self) -> str:
        """Its name in a sentence."""
        says = {"prediction": "the prediction", "target": "the label"}
        return says.get(self.role) or clean(self.subject)

    def finding(self, measure: str, because: str, **more: Any) -> Finding:
        facts = {"area": AREA_OF[self.role], "verdict": "stable", "segment": self.segment, **more}
        return Finding(subject=self.subject, measure=measure, because=because, **facts)

    def undecided(self, measure: str, because: str, **more: Any) -> Test:
        """A finding that no data of this window could change."""
        return Test(self.finding(measure, because, verdict="insufficient", **more))

    def failed(self, measure: str, because: str) -> Test:
        return Test(self.finding(measure, because, verdict="error"))


def drift_tests(reference: Profile, current: Profile, settings: Settings, segment: str = "") -> list[Test]:
    """Compare two profiles, column by column.

    Args:
        reference: What is normal.
        current: The window, counted in the reference's bins.
        settings: Thresholds, and which columns are watched.
        segment: The part of the traffic that both stand for; empty for all of it.

    Returns:
        In the reference's order; a column of which the window has nothing at all, and one that only the window has, among them.
    """
    theirs = {(one.role, one.name): one for one in current.features}
    ours = {(one.role, one.name): one for one in reference.features}
    coverage = min(_coverage(reference), _coverage(current))
    tests: list[Test] = []
    for role, name in [*ours, *(key for key in theirs if key not in ours)]:
        if _watched(name, role, settings):
            column = _Column(name, role, segment, settings.thresholds, coverage if role == "target" else 1.0)
            tests += _guarded(column, partial(_compare, column, ours.get((role, name)), theirs.get((role, name))))
    return tests


def exact_tests(reference: Batch, current: Batch, settings: Settings, target: str = "") -> list[Test]:
    """Compare two tables by their values; what fits into memory needs no bins.

    Args:
        reference: What is normal.
        current: The window.
        settings: Thresholds, and which columns are watched.
        target: What labels and predictions are called.

    Returns:
        As `drift_tests`.
    """
    ours, theirs = _columns(reference, target), _columns(current, target)
    tests: list[Test] = []
    for role, name in [*ours, *(key for key in theirs if key not in ours)]:
        if _watched(name, role, settings):
            pair = (ours.get((role, name)), theirs.get((role, name)))
            column = _Column(name, role, "", settings.thresholds, _labelled(pair) if role == "target" else 1.0)
            tests += _guarded(column, partial(_compare_values, column, *pair))
    return tests


def _watched(name: str, role: Role, settings: Settings) -> bool:
    return role != "input" or not settings.columns or name in settings.columns


def _guarded(column: _Column, compare: Callable[[], Iterable[Test]]) -> list[Test]:
    """The tests of one column; what goes wrong with it is said of it, and of no other."""
    try:
        return list(compare())
    except (ArithmeticError, ValueError, TypeError, IndexError) as err:
        return [column.failed("drift", f"{column.told} could not be compared ({type(err).__name__}).")]


def _coverage(profile: Profile) -> float:
    return profile.labels / profile.rows if profile.rows and profile.labels else 1.0


def _compare(column: _Column, ours: Feature | None, theirs: Feature | None) -> Iterator[Test]:
    if ours is None or theirs is None:
        yield _unmatched(column, gone=theirs is None)
    elif isinstance(ours, NumberCounts) and isinstance(theirs, NumberCounts):
        yield from _numbers_counted(column, ours, theirs)
    elif isinstance(ours, NameCounts) and isinstance(theirs, NameCounts):
        yield from _names_counted(column, ours, theirs)
    else:
        yield _changed(column, was_numbers=isinstance(ours, NumberCounts))


def _compare_values(column: _Column, ours: Numbers | Names | None, theirs: Numbers | Names | None) -> Iterator[Test]:
    if ours is None or theirs is None:
        yield _unmatched(column, gone=theirs is None)
    elif isinstance(ours, Numbers) and isinstance(theirs, Numbers):
        yield from _numbers_valued(column, ours, theirs)
    elif isinstance(ours, Names) and isinstance(theirs, Names):
        yield from _names_counted(column, *_tallied(column, ours, theirs))
    else:
        yield _changed(column, was_numbers=isinstance(ours, Numbers))


def _unmatched(column: _Column, *, gone: bool) -> Test:
    if gone:
        return column.failed("column", f"{column.told} is gone: the reference has it, the window has not.")
    return column.undecided("column", f"{column.told} is new: the reference has nothing to hold it against.")


def _changed(column: _Column, *, was_numbers: bool) -> Test:
    was, now = ("numbers", "text") if was_numbers else ("text", "numbers")
    return column.failed(
        "type", f"{column.told} changed its type: it was {was} and is {now}, which cannot be compared."
    )


# Numbers


def _numbers_counted(column: _Column, ours: NumberCounts, theirs: NumberCounts) -> Iterator[Test]:
    if not ours.withheld and not theirs.withheld:
        if not comparable(ours, theirs) and ours.finite and theirs.finite:
            yield column.failed(
                "ks", f"{column.told} was counted in other bins than the reference; nothing can be compared."
            )
        else:
            yield _moved(column, ours.finite, theirs.finite, lambda: spread_of_counts(ours, theirs))
        infinite = [one.negative_infinite + one.positive_infinite for one in (ours, theirs)]
        yield from _shares(column, "infinite share", "infinite", (infinite[0], ours.rows), (infinite[1], theirs.rows))
    yield from _shares(column, "missing share", "missing", (ours.missing, ours.rows), (theirs.missing, theirs.rows))


def _numbers_valued(column: _Column, ours: Numbers, theirs: Numbers) -> Iterator[Test]:
    first, second = _sorted(ours.values), _sorted(theirs.values)
    yield _moved(column, len(first.finite), len(second.finite), lambda: spread_of_values(first.finite, second.finite))
    rows = len(ours.values), len(theirs.values)
    yield from _shares(column, "infinite share", "infinite", (first.infinite, rows[0]), (second.infinite, rows[1]))
    yield from _shares(column, "missing share", "missing", (first.missing, rows[0]), (second.missing, rows[1]))


class _Sorted(NamedTuple):
    """Rising finite values, and how many were none."""

    finite: _Array
    infinite: int
    missing: int


def _sorted(values: Any) -> _Sorted:
    rising = np.sort(np.asarray(values, np.float64))  # NaN comes last
    low, high, present = (
        int(np.searchsorted(rising, -np.inf, "right")),
        int(np.searchsorted(rising, np.inf, "left")),
        int(np.searchsorted(rising, np.inf, "right")),
    )
    return _Sorted(rising[low:high], low + present - high, len(rising) - present)


def _moved(column: _Column, n_reference: int, n: int, compare: Callable[[], Spread]) -> Test:
    """The test of Kolmogorov and Smirnov, where there is anything to test."""
    lacking = _lacking(column, "ks", n_reference, n, "finite numbers")
    if lacking:
        return lacking
    spread, limit = compare(), column.thresholds.ks
    distance = spread.ks.statistic
    interval = dvoretzky_interval(distance, n_reference, n)
    finding = column.finding(
        "ks",
        f"{column.told}: {_said_of_numbers(spread)}",
        value=distance,
        statistic=distance,
        p=spread.ks.p,
        effect=distance,
        effect_name="D",
        interval=(interval.low, interval.high),
        n=n,
        n_reference=n_reference,
        picture=spread.picture,
        further=_further_of_numbers(spread),
    )
    reachable = ks_reach(column.thresholds.q, n_reference, n) <= limit
    return Test(finding, limit, reachable, f"{column.told} {_direction(spread)}: {_said_of_numbers(spread)}")


def _lacking(column: _Column, measure: str, n_reference: int, n: int, what: str) -> Test | None:
    """Why nothing can be tested; `None` where something can."""
    counts = {"n": n, "n_reference": n_reference}
    if not n or not n_reference:
        where = "neither has" if not n and not n_reference else "the window has" if not n else "the reference has"
        none = "any" if not n and not n_reference else "no"
        return column.undecided(measure, f"{column.told}: {where} {none} {what}.", **counts)
    if column.role != "target":
        return None
    least, needed = column.thresholds.labels, column.thresholds.coverage
    if min(n, n_reference) < least:
        return column.undecided(
            measure, f"{column.told}: {min(n, n_reference):,} labels, and {least:,} are needed.", **counts
        )
    if column.coverage < needed:
        told = (
            f"{column.told}: {percent(column.coverage)} of the answers have a label, and {percent(needed)} are needed."
        )
        return column.undecided(measure, told, **counts)
    return None


def _said_of_numbers(spread: Spread) -> str:
    return f"D = {number(spread.ks.statistic)}, mean {number(spread.mean)} (was {number(spread.mean_reference)})"


def _direction(spread: Spread) -> str:
    shift = spread.mean - spread.mean_reference
    if abs(shift) > 0.1 * _scale(spread):
        return "is higher" if shift > 0 else "is lower"
    if spread.deviation > 1.1 * spread.deviation_reference:
        return "is spread wider"
    if spread.deviation < spread.deviation_reference / 1.1:
        return "is spread less"
    return "is spread otherwise"


def _scale(spread: Spread) -> float:
    """The reference's standard deviation; the window's where the reference does not vary."""
    known = [one for one in (spread.deviation_reference, spread.deviation) if one > 0 and math.isfinite(one)]
    return known[0] if known else 0.0


def _further_of_numbers(spread: Spread) -> dict[str, float]:
    scale = _scale(spread)
    found = {"PSI": spread.stability, "mean": spread.mean, "reference mean": spread.mean_reference}
    if scale:
        found = {"Wasserstein/σ": spread.wasserstein / scale, **found}
    return {name: value for name, value in found.items() if math.isfinite(value)}


# Names


class Levels(NamedTuple):
    """Counts of the same levels on both sides; a level that is not by name has an empty one."""

    names: list[str]
    ours: _Array
    theirs: _Array


def _tallied(column: _Column, ours: Names, theirs: Names) -> tuple[NameCounts, NameCounts]:
    """Both columns as counts, each with all of its levels."""
    found = [tally(one) for one in (ours, theirs)]
    first, second = (NameCounts(column.name, column.role, counts, missing=missing) for counts, missing in found)
    return first, second


def _labelled(pair: tuple[Numbers | Names | None, Numbers | Names | None]) -> float:
    """The least share of entries that are there, of both sides."""
    shares = [_present(one) for one in pair if one is not None]
    return min(shares, default=1.0)


def _present(column: Numbers | Names) -> float:
    there = column.codes >= 0 if isinstance(column, Names) else ~np.isnan(column.values)
    return float(there.mean()) if len(there) else 1.0


def _names_counted(column: _Column, ours: NameCounts, theirs: NameCounts) -> Iterator[Test]:
    if not ours.withheld and not theirs.withheld:
        yield _redivided(column, ours, theirs)
    yield from _shares(column, "missing share", "missing", (ours.missing, ours.rows), (theirs.missing, theirs.rows))


def side_by_side(ours: NameCounts, theirs: NameCounts) -> Levels:
    """Two columns of names, level by level; what is not counted by name comes last."""
    counts = [{**one.counts, **one.new} for one in (ours, theirs)]
    names = list(dict.fromkeys([*counts[0], *counts[1]]))
    rows = [
        [*(each.get(name, 0) for name in names), one.other, one.unnamed]
        for each, one in zip(counts, (ours, theirs), strict=True)
    ]
    return Levels([*names, "", ""], np.array(rows[0], np.float64), np.array(rows[1], np.float64))


def _redivided(column: _Column, ours: NameCounts, theirs: NameCounts) -> Test:
    """The χ² test, where there is anything to test."""
    n_reference, n = ours.present, theirs.present
    lacking = _lacking(column, "chi2", n_reference, n, "entries")
    if lacking:
        return lacking
    levels = side_by_side(ours, theirs)
    tested = chi_square(levels.ours, levels.theirs)
    effect, name, interval = _effect_of_names(tested, levels)
    limit = column.thresholds.names
    finding = column.finding(
        "chi2",
        f"{column.told}: {name} = {number(effect)}",
        value=effect,
        statistic=tested.statistic,
        p=tested.p if tested.degrees or tested.rare is not None else None,
        effect=effect,
        effect_name=name,
        interval=interval,
        n=n,
        n_reference=n_reference,
        picture=_picture_of_names(levels),
        further=_further_of_names(tested),
    )
    told = f"{column.told} has moved: {name} = {number(effect)}, {_most_moved(levels, tested)}"
    return Test(finding, limit, _reachable_by_names(column, tested, levels), told)


def _reachable_by_names(column: _Column, tested: ChiSquare, levels: Levels) -> bool:
    """Many levels, all of them rare, cannot be tested; where there is only one, a second is asked for, as any difference would bring it."""
    if not tested.degrees and np.count_nonzero(levels.ours + levels.theirs) > 1:
        return False
    degrees, sizes = max(tested.degrees, 1), (int(levels.ours.sum()), int(levels.theirs.sum()))
    return chi_square_reach(column.thresholds.q, degrees, *sizes) <= column.thresholds.names


def _effect_of_names(tested: ChiSquare, levels: Levels) -> tuple[float, str, tuple[float, float]]:
    """V or TVD, whichever is larger; where a rare level decided, at least that level's own change."""
    n_reference, n = levels.ours.sum(), levels.theirs.sum()
    total = int(n_reference + n)
    v = cramers_v(tested.statistic, tested.degrees, total)
    variation = total_variation(tested.first, tested.second)
    grown = tested.second / n > tested.first / n_reference
    moved = tested.first[grown].sum(), tested.second[grown].sum()
    if tested.rare is not None:
        alone = abs(levels.theirs[tested.rare] / n - levels.ours[tested.rare] / n_reference)
        if alone > variation:
            variation, moved = float(alone), (levels.ours[tested.rare], levels.theirs[tested.rare])
    if v > variation and tested.degrees:
        interval = cramers_v_interval(tested.statistic, tested.degrees, total)
        return v, "V", (interval.low, interval.high)
    interval = share_difference_interval(int(moved[0]), int(n_reference), int(moved[1]), int(n))
    return variation, "TVD", (max(interval.low, 0.0), interval.high)


def _most_moved(levels: Levels, tested: ChiSquare) -> str:
    """The level that says most of what has changed."""
    before, now = levels.ours / levels.ours.sum(), levels.theirs / levels.theirs.sum()
    most = tested.rare if tested.rare is not None else int(np.argmax(np.abs(now - before)))
    sayable = most < len(levels.names) - 2 and max(levels.ours[most], levels.theirs[most]) >= _NAMED
    name = f'"{clean(levels.names[most], 40)}"' if sayable else "another level"
    if not before[most]:
        return f"{name} is new with {percent(float(now[most]))}"
    if not now[most]:
        return f"{name} is gone (was {percent(float(before[most]))})"
    return f"{name} {percent(float(now[most]))} (was {percent(float(before[most]))})"


def _further_of_names(tested: ChiSquare) -> dict[str, float]:
    return {
        "PSI": population_stability(tested.first, tested.second),
        "Jensen-Shannon": jensen_shannon(tested.first, tested.second),
        "TVD": total_variation(tested.first, tested.second),
        "levels tested": float(tested.degrees + 1),
    }


def _picture_of_names(levels: Levels) -> Picture:
    """The levels with the largest shares, and all others as one bar."""
    before, now = levels.ours / levels.ours.sum(), levels.theirs / levels.theirs.sum()
    named = len(levels.names) - 2
    larger = np.maximum(before, now)[:named]
    order = np.argsort(-larger, kind="stable")
    often = np.maximum(levels.ours, levels.theirs)
    shown = [int(place) for place in order[: BARS - 1] if often[place] >= _NAMED]
    labels, first, second = [levels.names[one] for one in shown], before[shown], now[shown]
    rest = 1.0 - float(first.sum()), 1.0 - float(second.sum())
    if max(rest) > 1e-9:
        labels = [*labels, "others"]
        first, second = (np.append(one, max(0.0, more)) for one, more in zip((first, second), rest, strict=True))
    return Picture("names", tuple(labels), tuple(first.tolist()), tuple(second.tolist()))


# Shares


def _shares(column: _Column, measure: str, word: str, ours: tuple[int, int], theirs: tuple[int, int]) -> Iterator[Test]:
    """Whether more entries are missing, or infinite, than were; nothing where that can be no question."""
    (first, n_reference), (second, n) = ours, theirs
    if not n or not n_reference or column.role == "target":
        return
    some = bool(first or second)
    if not some and (word != "missing" or column.role != "input"):
        return
    before, now, limit = first / n_reference, second / n, column.thresholds.missing
    found = shares_differ(first, n_reference, second, n)
    finding = column.finding(
        measure,
        f"{column.told}: {percent(now)} {word} (was {percent(before)})"
        if some
        else f"{column.told}: nothing is {word}",
        area="missing",
        value=now,
        unit="share",
        reference=before,
        statistic=found.statistic if some else None,
        p=found.p if some else None,
        effect=abs(now - before),
        effect_name="Δ",
        interval=(found.interval.low, found.interval.high),
        n=n,
        n_reference=n_reference,
    )
    yield Test(finding, limit, _reachable_by_shares(first, n_reference, n, column.thresholds))


def _reachable_by_shares(first: int, n_reference: int, n: int, thresholds: Thresholds) -> bool:
    """Whether as many more as the limit says, rounded to whole entries, would be sure by themselves."""
    supposed = math.floor(n * min(1.0, first / n_reference + thresholds.missing) + 1e-9)
    return supposed > 0 and share_p(first, n_reference, supposed, n)[0] < thresholds.q


def _columns(batch: Batch, target: str) -> dict[tuple[Role, str], Numbers | Names]:
    """All columns of a table; of two scores the second alone, for it says both."""
    found: dict[tuple[Role, str], Numbers | Names] = {("input", name): one for name, one in batch.inputs.items()}
    scores = list(batch.scores.items())
    if batch.prediction is not None:
        found["prediction", target or "prediction"] = batch.prediction
    for name, values in scores[1:] if len(scores) == 2 else scores:
        found["score", name] = Numbers(values, None)
    if batch.target is not None:
        found["target", target or "target"] = batch.target
    return found
