"""What ties columns and scores to what proved true: sums for correlations, and how scores met outcomes.

Arrays in, sums out; `counting` knows which rows have a label and hands over only those.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from fairlead.columns import Names, Numbers
from fairlead.profiles.binning import grid, moments, upper_ends
from fairlead.profiles.levels import level_of
from fairlead.profiles.profile import Calibration, Relation

__all__ = ["empty_calibration", "empty_relation", "met", "outcome", "product", "related", "scaled"]

_FARTHEST: Final = 1e140
"""Scaled values beyond this count as this: their squares must add up to a number."""

_SCORE_BINS: Final = 32
"""Knots of a calibration: 100,000 rows leave 3,000 in each."""

_Array = np.ndarray[Any, np.dtype[np.float64]]


def scaled(values: _Array, centre: float = 0.0, scale: float = 1.0) -> _Array:
    """(x − centre)/scale, within ±1e140; NaN stays."""
    with np.errstate(all="ignore"):
        away = values - centre
        away /= scale
        return np.clip(away, -_FARTHEST, _FARTHEST, out=away)


def product(x: _Array, y: _Array) -> float:
    """Σ xy, by pairs, which loses fewer digits. Without BLAS, whose threads spin for each other on busy cores: 40 ms instead of one."""
    return float((x * y).sum())


def outcome(target: Numbers | Names, against: str) -> _Array:
    """What proved true as numbers: the target itself, or 1 for the class `against` and 0 for the others; NaN without a label."""
    if isinstance(target, Numbers):
        return np.where(np.isfinite(target.values), target.values, np.nan)
    hits = [np.nan if one is None else float(level_of(one) == against) for one in target.values]
    return _looked_up(target, hits)


def empty_relation(name: str, against: str, column: Numbers | Names, truth: _Array, levels: frozenset[str]) -> Relation:
    """Fix what a correlation is summed from: centres, scales, and what stands for each level.

    The levels' means are taken from every second row, so that the others can say without flattery how well they do.

    Args:
        name: The column's.
        against: The class that counts as 1; empty where the target is a number.
        column: Of the reference.
        truth: Of the same rows, as `outcome` gives it.
        levels: Those that are counted by name, for a column of names.
    """
    means = _level_means(column, truth, levels) if isinstance(column, Names) else {}
    empty = Relation(name, against, means)
    x = _entries(empty, column)
    of_x, of_y = moments(x[np.isfinite(x)]), moments(truth[np.isfinite(truth)])
    return msgspec.structs.replace(empty, centres=(of_x.centre, of_y.centre), scales=(of_x.scale, of_y.scale))


def related(empty: Relation, column: Numbers | Names | None, truth: _Array) -> Relation:
    """The sums over rows that have both, in place of those that are there."""
    x = np.zeros(0) if column is None else _entries(empty, column)
    y = truth[: len(x)]
    both = np.isfinite(x) & np.isfinite(y)
    if not both.all():
        x, y = x[both], y[both]
    x, y = (scaled(one, empty.centres[at], empty.scales[at]) for at, one in enumerate((x, y)))
    of_x, of_y, of_xx, of_yy, of_xy = float(x.sum()), float(y.sum()), product(x, x), product(y, y), product(x, y)
    return msgspec.structs.replace(empty, count=len(x), sums=(of_x, of_y, of_xx, of_yy, of_xy))


def empty_calibration(of: str, scores: _Array) -> Calibration:
    """Fix the bins of a score.

    Args:
        of: The class; empty for regression, where the score is the predicted number.
        scores: Of the reference.
    """
    bins = grid(scores, _SCORE_BINS)
    return met(Calibration(of, bins, (), (), ()), np.zeros(0), np.zeros(0))


def met(empty: Calibration, scores: _Array, truth: _Array) -> Calibration:
    """Scores and what proved true, bin by bin, in place of what is there; rows without either are left out."""
    both = np.isfinite(scores) & np.isfinite(truth)
    scores, truth = scaled(scores[both]), scaled(truth[both])
    ends = upper_ends(empty.grid)
    bins = np.searchsorted(ends, scores)

    def added(weights: _Array) -> tuple[float, ...]:
        return tuple(np.bincount(bins, weights, len(ends) + 1).tolist())

    counts = tuple(np.bincount(bins, minlength=len(ends) + 1).tolist())
    if empty.of:
        return Calibration(empty.of, empty.grid, counts, added(scores), added(truth))
    errors = np.abs(truth - scores)
    return Calibration(empty.of, empty.grid, counts, added(scores), added(errors), added(errors**2))


def _level_means(column: Names, truth: _Array, levels: frozenset[str]) -> dict[str, float]:
    """The mean of the truth at each level over every second row, in six digits."""
    codes, known = column.codes[::2], scaled(truth[::2])
    both = (codes >= 0) & np.isfinite(known)
    codes, known = codes[both], known[both]
    counts = np.bincount(codes, minlength=len(column.values))
    sums = np.bincount(codes, known, len(column.values))
    means = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0).tolist()
    named = {level_of(one): mean for one, mean in zip(column.values, means, strict=True)}
    return {name: float(f"{mean:.6g}") for name, mean in named.items() if name in levels and np.isfinite(mean)}


def _entries(relation: Relation, column: Numbers | Names) -> _Array:
    """A column as the numbers that are related; NaN where an entry has none."""
    if isinstance(column, Numbers):
        return column.values
    return _looked_up(column, [relation.levels.get(level_of(one), np.nan) for one in column.values])


def _looked_up(column: Names, numbers: list[float]) -> _Array:
    """For each entry what stands for its value; NaN, the last, where it is missing."""
    table: _Array = np.array([*numbers, np.nan])
    return table[column.codes]
