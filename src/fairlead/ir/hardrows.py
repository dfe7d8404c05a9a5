"""Rows on which a wrong translation shows: on and beside every threshold, missing, every category, unseen.

Each is a real row with one entry changed, and where the model has trees it is a row that *reaches* the test in question, so
that the changed entry decides. Deterministic: the same model and rows give the same hard rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from fairlead.ir.evaluate import visits
from fairlead.ir.model import ALWAYS, Category, Column, Model
from fairlead.schema import Column as SchemaColumn
from fairlead.schema import ColumnType, Row, Schema, Value

__all__ = ["hard_rows", "hard_rows_of_schema", "unseen_value"]

_BASE_ROWS = 1_000
_PER_CATEGORY = 2
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_LARGEST_WHOLE = 2.0**53


def hard_rows(model: Model, base_rows: Sequence[Row], limit: int) -> list[Row]:
    """Hard rows for a model in the intermediate representation.

    Args:
        model: Whose thresholds and categories are tried.
        base_rows: Real rows in the order of `model.columns`; the first thousand are used.
        limit: At most so many rows; where there are more, they are thinned evenly.
    """
    base = list(base_rows[:_BASE_ROWS])
    if not base or limit < 1:
        return []
    plain = [
        (row, position, value)
        for position, column in enumerate(model.columns)
        if column.used
        for value in _plain_values(column)
        for row in _some(base, position + len(column.categories))
    ]
    rows = [_changed(base[row], position, value) for row, position, value in plain]
    rows += [_changed(base[row], position, value) for row, position, value in _decisive(model, base)]
    return _thinned(list(dict.fromkeys(rows)), limit)


def hard_rows_of_schema(schema: Schema, base_rows: Sequence[Row], limit: int, closed: Iterable[str] = ()) -> list[Row]:
    """Hard rows where there is no intermediate representation: the bounds, missing, every category, unseen.

    Args:
        schema: The columns.
        base_rows: Real rows in the order of the schema.
        limit: At most so many rows; where there are more, they are thinned evenly.
        closed: Columns in which the original refuses an unseen category.
    """
    base = list(base_rows[:_BASE_ROWS])
    refused = frozenset(closed)
    if not base or limit < 1:
        return []
    rows = [
        _changed(base[row], position, value)
        for position, column in enumerate(schema.columns)
        for value in _schema_values(column, closed=column.name in refused)
        for row in _some(base, position)
    ]
    return _thinned(list(dict.fromkeys(rows)), limit)


def unseen_value(categories: Sequence[Category]) -> Category:
    """A value of the same type that is not among the categories."""
    numbers = [value for value in categories if isinstance(value, int | float)]
    if numbers and len(numbers) == len(categories):
        return int(max(numbers)) + 1
    text = "unseen"
    while text in categories:
        text += "?"
    return text


def neighbours(threshold: float, kind: ColumnType) -> list[Value]:
    """A threshold, and the numbers next to it in double and in float32; whole numbers where only those occur."""
    if kind == "boolean":
        return [False, True]
    if kind == "integer":
        if abs(threshold) > _LARGEST_WHOLE:
            return []
        low = math.floor(threshold)
        return [low, low + 1] if low != threshold else [low - 1, low, low + 1]
    if abs(threshold) >= _LARGEST_FLOAT32:
        return []
    single = np.float32(threshold)
    found = [
        threshold,
        math.nextafter(threshold, -math.inf),
        math.nextafter(threshold, math.inf),
        float(single),
        float(np.nextafter(single, np.float32(-np.inf))),
        float(np.nextafter(single, np.float32(np.inf))),
    ]
    return [value for value in dict.fromkeys(found) if abs(value) < _LARGEST_FLOAT32]


def _plain_values(column: Column) -> list[Value]:
    found: list[Value] = [None] if column.nullable else []
    return [*found, *column.categories, *_unseen(column.categories, closed=column.closed)]


def _unseen(categories: Sequence[Category], *, closed: bool) -> list[Value]:
    """Booleans have no third value that a row could hold."""
    if closed or not categories or all(isinstance(value, bool) for value in categories):
        return []
    return [unseen_value(categories)]


def _schema_values(column: SchemaColumn, *, closed: bool) -> list[Value]:
    found: list[Value] = [None] if column.nullable else []
    if column.type == "boolean":
        return [*found, False, True]
    bounds = [bound for bound in (column.minimum, column.maximum) if bound is not None]
    found += map(int, bounds) if column.type == "integer" else bounds
    return [*found, *column.categories, *_unseen(column.categories, closed=closed)]


def _decisive(model: Model, base: Sequence[Row]) -> Iterator[tuple[int, int, Value]]:
    """For every test of the trees: a row that reaches it, the column, and the entries that decide it."""
    seen: set[tuple[int, float] | int] = set()
    for tree, node, row in visits(model, base):
        column, subset = model.trees[tree].column[node], model.trees[tree].subset[node]
        key: tuple[int, float] | int = subset if subset >= 0 else (column, model.trees[tree].threshold[node])
        if key in seen:
            continue
        seen.add(key)
        if subset >= 0:
            yield from ((row, model.subsets[subset].column, value) for value in _sides(model, subset))
            continue
        threshold = model.trees[tree].threshold[node]
        if model.columns[column].nullable:
            yield row, column, None
        if threshold < ALWAYS:
            yield from ((row, column, value) for value in neighbours(threshold, model.columns[column].type))


def _sides(model: Model, subset: int) -> list[Value]:
    """One category that passes, one that does not, an unseen one, a missing one."""
    test = model.subsets[subset]
    column = model.columns[test.column]
    members = set(test.members)
    passing = [code for code in range(len(column.categories)) if code in members]
    failing = [code for code in range(len(column.categories)) if code not in members]
    found: list[Value] = [column.categories[codes[0]] for codes in (passing, failing) if codes]
    found += _unseen(column.categories, closed=column.closed)
    return [*found, None] if column.nullable else found


def _some(base: Sequence[Row], start: int) -> list[int]:
    """A few positions, other ones for each column."""
    return sorted({(start * 7919 + k * 104729) % len(base) for k in range(_PER_CATEGORY)})


def _changed(row: Row, position: int, value: Value) -> Row:
    return (*row[:position], value, *row[position + 1 :])


def _thinned(rows: list[Row], limit: int) -> list[Row]:
    if len(rows) <= limit:
        return rows
    return [rows[k * len(rows) // limit] for k in range(limit)]
