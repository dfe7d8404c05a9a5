"""The preset for those who move over: each column judged as Evidently 0.7 judges it with nothing set.

Its rules, as its `DataDriftPreset` applies them; none of them is corrected for how many columns there are, and the χ² test holds the window
against the reference as if that were the truth. Our own rules exist because of what that does (docs/howto/monitor.md).

| reference, without missing | column | rule: drift where |
|---|---|---|
| ≤ 1,000 | numbers, more than 5 distinct | two-sample Kolmogorov-Smirnov p ≤ 0.05 |
| ≤ 1,000 | names, or few numbers; more than 2 distinct | one-sample χ² p < 0.05 |
| ≤ 1,000 | the same, 2 distinct or fewer | z of two proportions, p < 0.05 |
| > 1,000 | numbers, more than 5 distinct | Wasserstein/max(σ, 0.001) ≥ 0.1 |
| > 1,000 | names, or few numbers | Jensen-Shannon distance (natural logarithm) ≥ 0.1 |

Where only profiles are there, as in a service's reports, the same rules are asked of counts: distances of names are the same, Wasserstein and
D are read from bins, and so are a little smaller.

A column of whole numbers with at most ten distinct ones is one of names; text of which more than half is distinct is judged by a
classifier there, which is not done here, and said.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr

from fairlead.columns import Names, Numbers
from fairlead.monitor.measures.drift import AREA_OF, side_by_side
from fairlead.monitor.measures.spread import comparable, spread_of_counts
from fairlead.monitor.report import Area, Finding
from fairlead.monitor.verdicts import Test
from fairlead.profiles.counting import Batch
from fairlead.profiles.levels import named, tally
from fairlead.profiles.profile import Feature, NameCounts, NumberCounts, Profile
from fairlead.stats.effects import jensen_shannon, wasserstein_from_sorted

__all__ = ["evidently_counted", "evidently_tests"]

_SMALL: Final = 1000
"""Rows of a reference up to which tests are used, and distances beyond."""

_FEW: Final = 5
"""Distinct numbers up to which they are compared as names are."""

_WHOLE: Final = 10
"""Distinct whole numbers up to which a column is one of names."""

_ALPHA: Final = 0.05
_DISTANCE: Final = 0.1

_Array = NDArray[np.float64]
_Column = Numbers | Names


class _Judged(NamedTuple):
    """What a rule says.

    Attributes:
        measure: The rule's name.
        score: A p-value or a distance.
        limit: What it was compared with.
        drifted: What it comes to.
        is_p: Whether the score is a p-value.
    """

    measure: str
    score: float
    limit: float
    drifted: bool
    is_p: bool


def evidently_tests(reference: Batch, current: Batch, whole: Collection[str] = ()) -> list[Test]:
    """Judge every column as Evidently's default does.

    Args:
        reference: What is normal.
        current: The window.
        whole: Inputs that came as whole numbers in both.

    Returns:
        With verdicts that are decided already; without p in the places that a correction looks at.
    """
    pairs: list[tuple[Area, str, _Column, _Column]] = [
        ("predictor", name, one, current.inputs[name])
        for name, one in reference.inputs.items()
        if name in current.inputs
    ]
    if reference.prediction is not None and current.prediction is not None:
        pairs.append(("prediction", "prediction", reference.prediction, current.prediction))
    if reference.target is not None and current.target is not None:
        pairs.append(("target", "target", reference.target, current.target))
    return [Test(_judged(area, name, ours, theirs, name in whole)) for area, name, ours, theirs in pairs]


def evidently_counted(
    reference: Profile, current: Profile, whole: Collection[str] = (), segment: str = ""
) -> list[Test]:
    """Judge every column by counts as nearly as they allow.

    Args:
        reference: What is normal.
        current: The window, counted in the reference's bins.
        whole: Inputs that are whole numbers.
        segment: The part of the traffic that both stand for.

    Returns:
        As `evidently_tests`; of columns that both have, and that are not withheld.
    """
    theirs = {(one.role, one.name): one for one in current.features}
    pairs = [(one, theirs[one.role, one.name]) for one in reference.features if (one.role, one.name) in theirs]
    return [
        Test(_counted(ours, now, ours.name in whole, segment))
        for ours, now in pairs
        if ours.role != "score" and not ours.withheld and not now.withheld
    ]


def _counted(ours: Feature, theirs: Feature, whole: bool, segment: str) -> Finding:  # noqa: FBT001 - of one column
    area, n = AREA_OF[ours.role], [_entries(one) for one in (ours, theirs)]
    if not all(n):
        said = f"{ours.name} is empty on one side, which Evidently refuses."
    elif isinstance(ours, NumberCounts) != isinstance(theirs, NumberCounts):
        said = f"{ours.name} changed its type and cannot be compared."
    elif isinstance(ours, NumberCounts) and isinstance(theirs, NumberCounts) and not comparable(ours, theirs):
        said = f"{ours.name} was counted in other bins than the reference; nothing can be compared."
    else:
        return _told(area, ours.name, _rule_of_counts(ours, theirs, whole), (n[0], n[1]), segment)
    return Finding(area=area, subject=ours.name, measure="evidently", verdict="error", because=said, segment=segment)


def _entries(one: Feature) -> int:
    return one.finite if isinstance(one, NumberCounts) else one.present


def _rule_of_counts(ours: Feature, theirs: Feature, whole: bool) -> _Judged:  # noqa: FBT001 - as `_counted`
    if isinstance(ours, NameCounts) and isinstance(theirs, NameCounts):
        levels = side_by_side(ours, theirs)
        return _by_levels(levels.ours, levels.theirs)
    assert isinstance(ours, NumberCounts)
    assert isinstance(theirs, NumberCounts)
    before, now = np.array(ours.counts, np.float64), np.array(theirs.counts, np.float64)
    # Without cuts, each value of the reference has a bin of its own.
    if (
        ours.grid == theirs.grid
        and not ours.grid.cuts
        and np.count_nonzero(before + now) <= (_WHOLE if whole else _FEW)
    ):
        return _by_levels(before, now)
    spread = spread_of_counts(ours, theirs)
    if ours.finite <= _SMALL:
        return _Judged("Kolmogorov-Smirnov", spread.ks.p, _ALPHA, spread.ks.p <= _ALPHA, is_p=True)
    distance = spread.wasserstein / max(spread.deviation_reference, 0.001)
    return _Judged("Wasserstein/σ", distance, _DISTANCE, distance >= _DISTANCE, is_p=False)


def _judged(area: Area, name: str, ours: _Column, theirs: _Column, whole: bool) -> Finding:  # noqa: FBT001 - of one column
    unjudged = _unjudged(name, ours, theirs)
    if unjudged:
        return Finding(area=area, subject=name, measure="evidently", verdict="error", because=unjudged)
    return _told(area, name, _rule(ours, theirs, whole), (_present(ours), _present(theirs)))


def _told(area: Area, name: str, found: _Judged, n: tuple[int, int], segment: str = "") -> Finding:
    said = f"{name}: {found.measure} {'p' if found.is_p else 'distance'} = {found.score:.3g}"
    judged = "drift" if found.drifted else "no drift"
    return Finding(
        area=area,
        subject=name,
        measure=found.measure,
        verdict="drift" if found.drifted else "stable",
        because=f"{said}, {judged} by Evidently's limit {found.limit:g}.",
        value=found.score if math.isfinite(found.score) else None,
        reference=found.limit,
        n=n[1],
        n_reference=n[0],
        segment=segment,
    )


def _unjudged(name: str, ours: _Column, theirs: _Column) -> str:
    """Why a column is not judged; empty where it is."""
    if isinstance(ours, Numbers) != isinstance(theirs, Numbers):
        return f"{name} changed its type and cannot be compared."
    if not _present(ours) or not _present(theirs):
        return f"{name} is empty on one side, which Evidently refuses."
    if isinstance(theirs, Names) and len(tally(theirs)[0]) > 0.5 * _present(theirs):
        return f"{name} is free text, which Evidently judges by training a classifier; that is not done here."
    return ""


def _present(column: _Column) -> int:
    return int(np.isfinite(column.values).sum() if isinstance(column, Numbers) else (column.codes >= 0).sum())


def _rule(ours: _Column, theirs: _Column, whole: bool) -> _Judged:  # noqa: FBT001 - as `_judged`
    if isinstance(ours, Numbers) and isinstance(theirs, Numbers):
        first, second = (np.sort(one.values[np.isfinite(one.values)]) for one in (ours, theirs))
        distinct = len(np.unique(np.concatenate((first, second))))
        is_number = distinct > _FEW and not (whole and len(np.unique(second)) <= _WHOLE)
        if is_number:
            return _smirnov(first, second) if len(first) <= _SMALL else _wasserstein(first, second)
        ours, theirs = named(Numbers(first, None), ()), named(Numbers(second, None), ())
    assert isinstance(ours, Names)
    assert isinstance(theirs, Names)
    return _by_levels(*_counts(ours, theirs))


def _by_levels(before: _Array, now: _Array) -> _Judged:
    """The rules of names, by the counts of levels that are sorted."""
    there = before + now > 0
    before, now = before[there], now[there]
    if before.sum() > _SMALL:
        distance = jensen_shannon(before, now)
        return _Judged("Jensen-Shannon", distance, _DISTANCE, distance >= _DISTANCE, is_p=False)
    return _one_sample(before, now) if len(before) > 2 else _proportions(before, now)


def _counts(ours: Names, theirs: Names) -> tuple[_Array, _Array]:
    first, second = (tally(one)[0] for one in (ours, theirs))
    levels = sorted({*first, *second})
    before, now = (np.array([each.get(one, 0) for one in levels], np.float64) for each in (first, second))
    return before, now


def _smirnov(first: _Array, second: _Array) -> _Judged:
    from scipy.stats import ks_2samp  # its choice between exact and asymptotic p is part of the rule

    p = float(ks_2samp(first, second).pvalue)
    return _Judged("Kolmogorov-Smirnov", p, _ALPHA, p <= _ALPHA, is_p=True)


def _wasserstein(first: _Array, second: _Array) -> _Judged:
    distance = wasserstein_from_sorted(first, second) / max(float(first.std()), 0.001)
    return _Judged("Wasserstein/σ", distance, _DISTANCE, distance >= _DISTANCE, is_p=False)


def _one_sample(before: _Array, now: _Array) -> _Judged:
    """χ² of the window against the reference's shares, as though these were known; a new level makes it infinite."""
    expected = before * (now.sum() / before.sum())
    with np.errstate(divide="ignore"):
        p = float(chdtrc(len(now) - 1, ((now - expected) ** 2 / expected).sum()))
    return _Judged("χ², one sample", p, _ALPHA, p < _ALPHA, is_p=True)


def _proportions(before: _Array, now: _Array) -> _Judged:
    """The share of the second level, by z with the pooled variance."""
    if len(before) < 2:
        return _Judged("z", 1.0, _ALPHA, drifted=False, is_p=True)
    n, m = before.sum(), now.sum()
    pooled = (before[1] + now[1]) / (n + m)
    z = (before[1] / n - now[1] / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    p = float(2 * ndtr(-abs(z)))
    return _Judged("z", p, _ALPHA, p < _ALPHA, is_p=True)
