"""Two tables compared without a service: `fairlead.drift(reference, current)`.

```
what fits: Table, Table ─▶ Batch, Batch ─▶ exact_tests ────────────────────────┐
too large: sample ─▶ shape ─▶ count, merge, piece by piece ─▶ Profile, Profile ─┼─▶ verdicts ─▶ Report
a version: its profile ───────▶ count, merge ─▶ Profile, Profile ───────────────┘
```

The large reference is read twice, first for the bins, the current table once; neither is ever in memory as a whole. Bins come from a
sample of rows at equal distances, which costs nothing: a test in bins promises the less the coarser they are, and never more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from fairlead.columns import Names, Numbers
from fairlead.errors import InvalidInput
from fairlead.monitor.given import Given, Table, given
from fairlead.monitor.measures.drift import drift_tests, exact_tests
from fairlead.monitor.measures.evidently import evidently_tests
from fairlead.monitor.report import Labels, Reference, Report
from fairlead.monitor.settings import DEFAULTS, Settings
from fairlead.monitor.verdicts import Test, overall, ranked, verdicts
from fairlead.profiles.counting import Batch, count, shape
from fairlead.profiles.levels import named
from fairlead.profiles.merging import merge
from fairlead.profiles.profile import NumberCounts, Profile
from fairlead.schema import Column, Output, Schema, label_text

__all__ = ["Parts", "Trained", "against_profile", "compare", "parts_of"]

_SAMPLE: Final = 200_000
"""Rows by which the bins of a large table are chosen."""

_CLASSES: Final = 10
"""A target or prediction of so few whole numbers is one of classes."""

_Column = Numbers | Names


class Parts(msgspec.Struct, frozen=True):
    """What the columns of both tables are.

    Attributes:
        columns: The inputs that are compared; all that are nothing else where it is `None`.
        target: The column of what proved true.
        prediction: The column of what the model said.
        scores: The columns of its probabilities, by class.
    """

    columns: tuple[str, ...] | None = None
    target: str | None = None
    prediction: str | None = None
    scores: dict[str, str] = {}

    @property
    def taken(self) -> set[str]:
        """The columns that are no inputs."""
        return {one for one in (self.target, self.prediction, *self.scores.values()) if one is not None}

    def inputs(self, found: Iterable[str]) -> list[str]:
        """Those of a table's columns that are compared as inputs."""
        return [one for one in found if one not in self.taken and (self.columns is None or one in self.columns)]


def parts_of(
    columns: Sequence[str] | None,
    target: str | None,
    prediction: str | None,
    scores: str | Sequence[str] | Mapping[Any, str] | None,
) -> Parts:
    """What the caller said of the columns.

    Raises:
        InvalidInput: A column is said to be two things.
    """
    if isinstance(scores, Mapping):
        by_class = {label_text(one): column for one, column in scores.items()}
    else:
        by_class = {one: one for one in ([scores] if isinstance(scores, str) else scores or ())}
    named_twice = [*(one for one in (target, prediction) if one is not None), *by_class.values()]
    if len(set(named_twice)) < len(named_twice):
        raise InvalidInput(
            "One column is said to be two of target, prediction and scores.", hint="Name each once.", field="target"
        )
    return Parts(None if columns is None else tuple(columns), target, prediction, by_class)


def compare(reference: Any, current: Any, parts: Parts, settings: Settings = DEFAULTS) -> Report:
    """Compare two tables.

    Args:
        reference: What is normal; see `given.given` for what a table may be.
        current: What is held against it.
        parts: What their columns are.
        settings: When a difference counts.

    Raises:
        InvalidInput: A table cannot be taken, or a column that was named is in neither.
        NotFound: There is no such file.
    """
    ours, theirs = given(reference, "reference"), given(current, "current")
    if ours.large or theirs.large:
        return _compared_in_pieces(ours, theirs, parts, settings)
    first, second = ours.whole(), theirs.whole()
    _check_named(parts, [*first.columns, *second.columns])
    as_classes = _as_classes(parts, (first, second))
    before, now = (_batch(one, parts, as_classes=as_classes) for one in (first, second))
    tests = (
        evidently_tests(before, now, second.whole)
        if settings.preset == "evidently"
        else exact_tests(before, now, settings, parts.target or "")
    )
    told = _Told(second.rows, Reference("given", ours.text, first.rows), _labels(now), _odd(first, second))
    return _report(tests, told, settings)


class Trained(NamedTuple):
    """What a version was trained on.

    Attributes:
        profile: Its table, in counts.
        schema: What its columns are.
        text: For people: "the training data of flights:1".
    """

    profile: Profile
    schema: Schema
    text: str


def against_profile(trained: Trained, current: Any, parts: Parts, settings: Settings = DEFAULTS) -> Report:
    """Compare a table with what a version was trained on.

    Args:
        trained: Of the version; where the caller named no target, the version's own is looked for.
        current: The table.
        parts: What its columns are.
        settings: When a difference counts.

    Raises:
        InvalidInput: The table cannot be taken, a column that was named is not there, or the preset needs values.
        NotFound: There is no such file.
    """
    profile, schema = _named_of(trained.profile, parts), trained.schema
    _refuse_preset(settings)
    theirs = given(current, "current")
    asked = sorted(parts.taken)
    if parts.target is None and schema.output.target:
        parts = msgspec.structs.replace(parts, target=schema.output.target)
    found = _Pieces(theirs, parts, as_classes=bool(schema.output.classes))
    window = found.counted(profile)
    _check_there(asked, found.names)
    odd = (*found.odd, *_further(found.names, schema.names, parts))
    told = _Told(window.rows, Reference("training", trained.text, profile.rows), _labels_of(window), odd)
    return _report(drift_tests(profile, window, _watching(settings, parts)), told, settings)


def _named_of(profile: Profile, parts: Parts) -> Profile:
    """A profile without the version's answers where the caller named no such columns: a table of rows alone lacks none of them."""
    answers = (("prediction", parts.prediction), ("score", parts.scores))
    unnamed = {role for role, named in answers if not named}
    kept = tuple(one for one in profile.features if one.role not in unnamed)
    return msgspec.structs.replace(profile, features=kept)


def _watching(settings: Settings, parts: Parts) -> Settings:
    return settings if parts.columns is None else msgspec.structs.replace(settings, columns=parts.columns)


def _labels_of(window: Profile) -> Labels:
    return Labels(window.labels, window.labels / window.rows) if window.rows else Labels()


def _further(found: Iterable[str], known: Iterable[str], parts: Parts) -> list[str]:
    """What is said of columns that the reference has not."""
    more = [one for one in found if one not in {*known, *parts.taken}]
    return [f"The reference has no column {one}; it was left out." for one in more]


# Whole tables


def _check_named(parts: Parts, found: Sequence[str]) -> None:
    _check_there([*(parts.columns or ()), *sorted(parts.taken)], found)


def _check_there(wanted: Sequence[str], found: Iterable[str]) -> None:
    there = set(found)
    gone = next((one for one in wanted if one not in there), None)
    if gone is not None:
        told = ", ".join(sorted(there))[:500]
        raise InvalidInput(f"There is no column {gone!r}.", hint=f"The columns are {told}.", field=gone)


def _as_classes(parts: Parts, tables: Sequence[Table]) -> bool:
    """Whether target and prediction are classes: text, or a few whole numbers."""
    found = [table.columns[one] for table in tables for one in (parts.target, parts.prediction) if one in table.columns]
    if any(isinstance(one, Names) for one in found):
        return True
    numbers = [np.unique(one.values[~np.isnan(one.values)]) for one in found if isinstance(one, Numbers)]
    distinct = np.unique(np.concatenate(numbers)) if numbers else np.zeros(0)
    return 0 < len(distinct) <= _CLASSES and bool((distinct == np.rint(distinct)).all())


def _batch(table: Table, parts: Parts, *, as_classes: bool) -> Batch:
    def said(name: str | None) -> _Column | None:
        one = table.columns.get(name) if name else None
        return named(one, ()) if as_classes and isinstance(one, Numbers) else one

    scores = {one: table.columns.get(column) for one, column in parts.scores.items()}
    return Batch(
        table.rows,
        {name: table.columns[name] for name in parts.inputs(table.columns)},
        said(parts.prediction),
        {one: found.values for one, found in scores.items() if isinstance(found, Numbers)},
        said(parts.target),
    )


def _odd(*tables: Table) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for table in tables for one in table.odd))


def _labels(batch: Batch) -> Labels:
    if batch.target is None or not batch.rows:
        return Labels()
    target = batch.target
    count = int((target.codes >= 0).sum() if isinstance(target, Names) else (~np.isnan(target.values)).sum())
    return Labels(count, count / batch.rows)


# Tables in pieces


class _Pieces:
    """A table that is read piece by piece, and what was seen of it on the way."""

    def __init__(self, source: Given, parts: Parts, *, as_classes: bool) -> None:
        self._source, self._parts, self._as_classes = source, parts, as_classes
        self.names: tuple[str, ...] = ()
        self.odd: tuple[str, ...] = ()
        self._texts: set[str] = set()

    def batches(self) -> Iterator[Batch]:
        for table in self._source.pieces():
            self.names, self.odd = tuple(table.columns), table.odd
            self._texts |= {name for name, one in table.columns.items() if isinstance(one, Names) and len(one.values)}
            yield _batch(table, self._parts, as_classes=self._as_classes)

    def counted(self, empty: Profile) -> Profile:
        """All of it, in the bins of another profile."""
        nothing = count(empty, Batch(0, {}))
        found = reduce(merge, (count(empty, one) for one in self.batches()), nothing)
        there = tuple(one for one in found.features if self._has(one.role, one.name))
        torn = [one.name for one in there if isinstance(one, NumberCounts) and one.name in self._texts]
        self.odd += tuple(f"{name} holds text where the reference has numbers; it counts as missing." for name in torn)
        return msgspec.structs.replace(found, features=there)

    def _has(self, role: str, name: str) -> bool:
        """Whether a feature is in this table; what is not there was not counted as missing, either."""
        if role == "input":
            return name in self.names
        column = {"prediction": self._parts.prediction, "target": self._parts.target}.get(
            role, self._parts.scores.get(name)
        )
        return column in self.names


def _compared_in_pieces(ours: Given, theirs: Given, parts: Parts, settings: Settings) -> Report:
    _refuse_preset(settings)
    sample = _sampled(ours)
    as_classes = _as_classes(parts, [sample])
    _check_named(parts, list(sample.columns))
    batch = _batch(sample, parts, as_classes=as_classes)
    empty = shape(batch, _schema(batch, parts))
    first, second = (_Pieces(one, parts, as_classes=as_classes) for one in (ours, theirs))
    reference, window = first.counted(empty), second.counted(empty)
    odd = (*first.odd, *second.odd, *_further(parts.inputs(second.names), first.names, parts))
    told = _Told(
        window.rows,
        Reference("given", ours.text, reference.rows),
        _labels_of(window),
        tuple(dict.fromkeys(odd)),
    )
    return _report(drift_tests(reference, window, settings), told, settings)


def _refuse_preset(settings: Settings) -> None:
    if settings.preset == "evidently":
        raise InvalidInput(
            "The preset evidently needs the values of both tables, and these are too large or only counted.",
            hint="Give two tables that fit into memory.",
            field="preset",
        )


def _sampled(source: Given) -> Table:
    """Rows at equal distances, by which bins are chosen."""
    stride = max(1, -(-source.rows // _SAMPLE))
    pieces, start = [], 0
    for table in source.pieces():
        pieces.append(_every(table, -start % stride, stride))
        start += table.rows
    names = dict.fromkeys(name for one in pieces for name in one.columns)
    columns = {name: _joined([one.columns[name] for one in pieces if name in one.columns]) for name in names}
    return Table(sum(one.rows for one in pieces), columns)


def _every(table: Table, first: int, stride: int) -> Table:
    columns = {name: _part(one, slice(first, None, stride)) for name, one in table.columns.items()}
    return Table(len(range(first, table.rows, stride)), columns)


def _part(column: _Column, rows: slice) -> _Column:
    if isinstance(column, Numbers):
        return Numbers(column.values[rows].copy(), None)
    return Names(column.codes[rows].copy(), column.values)


def _joined(parts: Sequence[_Column]) -> _Column:
    """Parts of one column, one below the other; where some are text, all are."""
    if all(isinstance(one, Numbers) for one in parts):
        return Numbers(np.concatenate([one[0] for one in parts]), None)
    texts = [named(one, ()) if isinstance(one, Numbers) else one for one in parts]
    places: dict[Any, int] = {}
    codes = []
    for one in texts:
        table = np.array([places.setdefault(value, len(places)) for value in one.values] + [-1], np.int64)
        codes.append(table[one.codes])
    return Names(np.concatenate(codes), list(places))


def _schema(batch: Batch, parts: Parts) -> Schema:
    """What the reference's columns are, to choose bins by."""
    columns = tuple(
        Column(name, "number" if isinstance(one, Numbers) else "string", nullable=True)
        for name, one in batch.inputs.items()
    )
    said = [one for one in (batch.target, batch.prediction) if isinstance(one, Names)]
    if not said and not parts.scores:
        return Schema(columns, Output("regression", parts.target or ""))
    classes = tuple(dict.fromkeys([*(str(one) for each in said for one in each.values), *parts.scores]))
    return Schema(columns, Output("classification", parts.target or "", classes, probabilities=bool(parts.scores)))


# The report


class _Told(NamedTuple):
    """What a report says besides its findings."""

    rows: int
    reference: Reference
    labels: Labels
    odd: tuple[str, ...]


def _report(tests: Sequence[Test], told: _Told, settings: Settings) -> Report:
    found = verdicts(tests, settings.thresholds.q)
    verdict, drifted = overall(found, settings.thresholds.dataset)
    return Report(
        endpoint="",
        window=None,
        models=(),
        rows=told.rows,
        reference=told.reference,
        labels=told.labels,
        findings=ranked(found),
        verdict=verdict,
        drifted=drifted,
        made=time.time(),
        notes=told.odd,
    )
