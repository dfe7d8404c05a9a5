"""Counts a batch of rows in bins that were chosen before.

```
reference batch ─▶ shape ─▶ Profile of zeros ─┐
any batch ────────────────────────────────────┴▶ count ─▶ Profile
```

Nothing odd about data stops a count: an entry that is not of its column's kind is missing to a column of numbers and a new level to
one of names. A column is sorted once; its bins, extremes, infinities and missing entries are then read off at their places, which is
several times quicker than to look for the bin of each entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from fairlead.columns import Names, Numbers
from fairlead.profiles.binning import grid, moments, upper_ends
from fairlead.profiles.levels import named, sayable, tally
from fairlead.profiles.profile import Calibration, Feature, Grid, Moments, NameCounts, NumberCounts, Profile, Relation
from fairlead.profiles.truth import empty_calibration, empty_relation, met, outcome, product, related, scaled
from fairlead.schema import Column, Schema, label_text

__all__ = ["MOST_LEVELS", "MOST_NEW", "Batch", "count", "profile_of", "shape"]

MOST_LEVELS: Final = 1_000
"""Levels of a column that are counted by name."""

MOST_NEW: Final = 1_000
"""New levels that are counted by name: the first of them in the order of text, so that parts add up to the whole exactly."""

MOST_SCORES: Final = 100
"""Classes whose scores are counted."""

MOST_AGAINST: Final = 10
"""Classes that columns are related with."""

_FREE_TEXT: Final = 5
"""A level of free text is named where it occurs so often in the reference; what is rare may be somebody's."""

_Array = np.ndarray[Any, np.dtype[np.float64]]


class Batch(NamedTuple):
    """Rows as columns, with what the model said and what proved true.

    Attributes:
        rows: How many.
        inputs: By name; a column that was not looked at may be left out.
        prediction: What the model said: numbers for regression, else names.
        scores: By class, as `label_text` writes it; NaN where there is none.
        target: What proved true, as `prediction`; missing where no label came.
    """

    rows: int
    inputs: Mapping[str, Numbers | Names]
    prediction: Numbers | Names | None = None
    scores: Mapping[str, _Array] = {}
    target: Numbers | Names | None = None


def profile_of(batch: Batch, schema: Schema) -> Profile:
    """The profile of a reference: its own shape, filled by itself.

    What stands for a level in a correlation is the mean of the target there. On the rows that made these means it fits too well;
    therefore such columns are related on the other rows alone.
    """
    made = count(shape(batch, schema), batch)
    if not any(one.levels for one in made.relations):
        return made
    others = count(made, _every_second(batch))
    honest = zip(made.relations, others.relations, strict=True)
    return msgspec.structs.replace(made, relations=tuple(other if own.levels else own for own, other in honest))


def shape(batch: Batch, schema: Schema) -> Profile:
    """Choose bins and levels by a reference; nothing is counted yet.

    Args:
        batch: The reference.
        schema: What its columns are; of a sensitive one only missing entries will be counted.
    """
    features = [_input(column, batch.inputs.get(column.name)) for column in schema.columns]
    features += _outputs(batch, schema)
    empty = Profile(0, tuple(features))
    if batch.target is None:
        return empty
    fitted = _fitted(empty, batch)
    relations = _relations(empty, fitted, schema)
    return msgspec.structs.replace(empty, relations=relations, calibrations=_calibrations(empty, fitted))


def count(shape: Profile, batch: Batch) -> Profile:
    """Count a batch in the bins and levels of another profile.

    Args:
        shape: Any profile with the bins wanted; its counts do not matter.
        batch: The rows. What it has beyond the shape is left out; what it lacks is counted as no entries at all.

    Returns:
        The profile of these rows alone.
    """
    fitted = _fitted(shape, batch)
    features = tuple(_counted(one, fitted.get((one.role, one.name))) for one in shape.features)
    target = _target(fitted)
    labels = 0 if target is None else int(_labelled(target).sum())
    return Profile(
        batch.rows,
        features,
        tuple(_related(one, fitted) for one in shape.relations),
        tuple(_met(one, fitted) for one in shape.calibrations),
        labels,
    )


_Fitted = dict[tuple[str, str], Numbers | Names]
"""The columns of a batch by role and name, each of its feature's kind."""


def _fitted(shape: Profile, batch: Batch) -> _Fitted:
    found = {(one.role, one.name): (one, _column(one, batch)) for one in shape.features}
    return {key: _fit(one, column) for key, (one, column) in found.items() if column is not None}


def _column(one: Feature, batch: Batch) -> Numbers | Names | None:
    if one.role == "input":
        return batch.inputs.get(one.name)
    if one.role == "score":
        scores = batch.scores.get(one.name)
        return None if scores is None else Numbers(scores, None)
    return batch.prediction if one.role == "prediction" else batch.target


def _fit(one: Feature, column: Numbers | Names) -> Numbers | Names:
    """The column as its feature counts it: text is no number, and a number is a name where names are counted."""
    if isinstance(one, NameCounts):
        return column if isinstance(column, Names) else named(_doubles(column), one.counts)
    if isinstance(column, Names):
        return Numbers(np.full(len(column.codes), np.nan), None)
    return _doubles(column)


def _doubles(column: Numbers) -> Numbers:
    """The column as doubles with NaN where the entry is missing, also where only the mask says so."""
    values = column.values.astype(np.float64, copy=False)
    return Numbers(values if column.missing is None else np.where(column.missing, np.nan, values), None)


def _target(fitted: _Fitted) -> Numbers | Names | None:
    return next((column for (role, _), column in fitted.items() if role == "target"), None)


def _labelled(target: Numbers | Names) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.isfinite(target.values) if isinstance(target, Numbers) else target.codes >= 0


def _every_second(batch: Batch) -> Batch:
    """The rows that gave no level its mean."""

    def part(column: Numbers | Names) -> Numbers | Names:
        if isinstance(column, Names):
            return Names(column.codes[1::2], column.values)
        return Numbers(_doubles(column).values[1::2], None)

    assert batch.target is not None
    inputs = {name: part(column) for name, column in batch.inputs.items()}
    return Batch(batch.rows // 2, inputs, target=part(batch.target))


def _input(column: Column, found: Numbers | Names | None) -> Feature:
    """The empty feature of an input."""
    is_name = column.type in ("string", "boolean") or bool(column.categories)
    if column.sensitive:
        return (
            NameCounts(column.name, "input", {}, complete=False, withheld=True) if is_name else _withheld(column.name)
        )
    if not is_name:
        return _numbers(column.name, "input", found)
    known = [label_text(one) for one in column.categories]
    if column.type == "boolean":
        known = known or ["false", "true"]
    if found is None:
        return NameCounts(
            column.name, "input", dict.fromkeys(known[:MOST_LEVELS], 0), complete=len(known) <= MOST_LEVELS
        )
    levels, _ = tally(found if isinstance(found, Names) else named(_doubles(found), known))
    return _names(column.name, levels, known)


def _withheld(name: str) -> NumberCounts:
    return NumberCounts(name, "input", Grid(()), (0,), Moments(0.0, 1.0), withheld=True)


def _names(name: str, levels: dict[str, int], known: list[str]) -> NameCounts:
    """An empty column of names: the levels of the reference, most frequent first, then those that only the model knows."""
    if not known and _is_free(levels):
        levels_named = {level: often for level, often in levels.items() if often >= _FREE_TEXT}
    else:
        levels_named = levels
    ranked = sorted(levels_named, key=lambda level: (-levels_named[level], level))
    every = dict.fromkeys([*ranked, *known])
    kept = [level for level in every if sayable(level)][:MOST_LEVELS]
    complete = len(kept) == len(every) and len(levels_named) == len(levels)
    return NameCounts(name, "input", dict.fromkeys(kept, 0), complete=complete)


def _is_free(levels: dict[str, int]) -> bool:
    """Whether texts are each one's own rather than names of groups: half of them occur once, or there are too many to list."""
    single = sum(often == 1 for often in levels.values())
    return len(levels) > MOST_LEVELS or 2 * single > sum(levels.values())


def _numbers(name: str, role: Any, found: Numbers | Names | None) -> NumberCounts:
    """An empty column of numbers."""
    values = _doubles(found).values if isinstance(found, Numbers) else np.zeros(0)
    bins = grid(values)
    return NumberCounts(name, role, bins, (0,) * (len(upper_ends(bins)) + 1), moments(values[np.isfinite(values)]))


def _outputs(batch: Batch, schema: Schema) -> list[Feature]:
    """Prediction, scores and target, as far as there are any."""
    output = schema.output
    if output.task == "regression":
        made = [("prediction", batch.prediction), ("target", batch.target)]
        return [_numbers(output.target or role, role, one) for role, one in made if one is not None]
    classes = [label_text(one) for one in output.classes]
    levels = dict.fromkeys(classes[:MOST_LEVELS], 0)
    whole = len(classes) <= MOST_LEVELS
    features: list[Feature] = []
    if batch.prediction is not None:
        features.append(NameCounts(output.target or "prediction", "prediction", levels, complete=whole))
    # Of two classes, the score of one tells that of the other.
    scored = [one for one in (classes[1:] if len(classes) == 2 else classes) if one in batch.scores]
    features += [_numbers(one, "score", Numbers(batch.scores[one], None)) for one in scored[:MOST_SCORES]]
    if batch.target is not None:
        features.append(NameCounts(output.target or "target", "target", levels, complete=whole))
    return features


def _relations(empty: Profile, fitted: _Fitted, schema: Schema) -> tuple[Relation, ...]:
    """Each input with the target; with each of several classes by itself, with one of two."""
    target = _target(fitted)
    if target is None:
        return ()
    classes = [label_text(one) for one in schema.output.classes]
    against = [""] if schema.output.task == "regression" else classes[1:2] if len(classes) == 2 else classes
    truths = [(one, outcome(target, one)) for one in against[:MOST_AGAINST]]
    return tuple(
        empty_relation(one.name, said, column, truth, frozenset(one.counts if isinstance(one, NameCounts) else ()))
        for one in empty.features
        if one.role == "input" and not one.withheld and (column := fitted.get(("input", one.name))) is not None
        for said, truth in truths
    )


def _calibrations(empty: Profile, fitted: _Fitted) -> tuple[Calibration, ...]:
    """Empty knots for each score; for regression, for the predicted number."""
    found = {
        one.name if one.role == "score" else "": column.values
        for one in empty.features
        if (one.role == "score" or (one.role == "prediction" and isinstance(one, NumberCounts)))
        and isinstance(column := fitted.get((one.role, one.name)), Numbers)
    }
    return tuple(empty_calibration(of, scores) for of, scores in found.items())


def _related(one: Relation, fitted: _Fitted) -> Relation:
    target = _target(fitted)
    if target is None:
        return related(one, None, np.zeros(0))
    return related(one, fitted.get(("input", one.name)), outcome(target, one.against))


def _met(one: Calibration, fitted: _Fitted) -> Calibration:
    target = _target(fitted)
    scores = (
        fitted.get(("score", one.of))
        if one.of
        else next((column for (role, _), column in fitted.items() if role == "prediction"), None)
    )
    if target is None or not isinstance(scores, Numbers):
        return met(one, np.zeros(0), np.zeros(0))
    return met(one, scores.values, outcome(target, one.of))


def _counted(one: Feature, column: Numbers | Names | None) -> Feature:
    if isinstance(one, NumberCounts):
        values = column.values if isinstance(column, Numbers) else np.zeros(0)
        return _counted_numbers(one, values)
    return _counted_names(one, column if isinstance(column, Names) else Names(np.zeros(0, np.int64), ()))


def _counted_numbers(one: NumberCounts, values: _Array) -> NumberCounts:
    ordered = np.sort(values)  # NaN comes last
    low = int(np.searchsorted(ordered, -np.inf, "right"))
    high, present = np.searchsorted(ordered, np.inf, "left"), np.searchsorted(ordered, np.inf, "right")
    finite = ordered[low:high]
    up_to = np.searchsorted(finite, upper_ends(one.grid), "right")
    counts = np.diff(up_to, prepend=0, append=len(finite)).tolist()
    return NumberCounts(
        one.name,
        one.role,
        one.grid,
        tuple(counts),
        _summed(Moments(one.moments.centre, one.moments.scale), finite, withheld=one.withheld),
        missing=0 if one.role == "target" else len(ordered) - int(present),
        negative_infinite=low,
        positive_infinite=int(present - high),
        withheld=one.withheld,
    )


def _summed(empty: Moments, finite: _Array, *, withheld: bool) -> Moments:
    """The sums of sorted finite values."""
    if withheld or not len(finite):
        return empty
    z = scaled(finite, empty.centre, empty.scale)
    ends = float(finite[0]), float(finite[-1])
    return Moments(empty.centre, empty.scale, len(finite), float(z.sum()), product(z, z), *ends)


def _counted_names(one: NameCounts, column: Names) -> NameCounts:
    found, missing = tally(column)
    counts = {level: found.pop(level, 0) for level in one.counts}
    strange = sum(found.values())
    if not one.complete:
        new, other = {}, strange
    else:
        first = sorted(level for level in found if sayable(level))[:MOST_NEW]
        new, other = {level: found[level] for level in first}, 0
    return NameCounts(
        one.name,
        one.role,
        counts,
        other=other,
        new=new,
        unnamed=strange - other - sum(new.values()),
        missing=0 if one.role == "target" else missing,
        complete=one.complete,
        withheld=one.withheld,
    )
