"""From the training table and what the model says of itself to the schema that types every door.

Pure: the table, the model's description and the categories it knows come in, a `Schema` goes out. Whether the model takes a
missing entry where the table has none is tried by the caller (`examine.py`), which holds the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from fairlead.packing.table import column_type, plain_value
from fairlead.schema import Column, Output, Schema

if TYPE_CHECKING:
    import pandas as pd

    from fairlead.packing.table import Table
    from fairlead.schema import Task

__all__ = ["allow_missing", "infer_schema"]

Category = str | int | float | bool


def infer_schema(
    table: Table,
    *,
    task: Task,
    classes: Sequence[Category] = (),
    probabilities: bool = False,
    categories: Mapping[str, Sequence[Any]] | None = None,
) -> Schema:
    """Describe what the model takes and gives.

    Args:
        table: In the model's column order; its features may have missing entries.
        task: Of the model.
        classes: In the order of the model's probabilities; empty for regression.
        probabilities: Whether the model gives a probability for each class.
        categories: For each column that the model treats as names, the values it knows.

    Raises:
        InvalidInput: A column holds entries that no model here takes.
    """
    known = categories or {}
    columns = tuple(_column(table.frame[name], known.get(name)) for name in table.frame.columns)
    return Schema(columns, Output(task, table.target_name, tuple(classes), probabilities))


def allow_missing(schema: Schema, names: Collection[str]) -> Schema:
    """The schema with the columns of `names` nullable, besides those that are."""
    columns = (
        msgspec.structs.replace(column, nullable=True) if column.name in names else column for column in schema.columns
    )
    return msgspec.structs.replace(schema, columns=tuple(columns))


def _column(series: pd.Series[Any], known: Sequence[Any] | None) -> Column:
    """One column: type, whether entries were missing, observed range, categories."""
    kind = column_type(series)
    present = series.dropna()
    bounded = kind in ("number", "integer") and len(present) > 0
    return Column(
        str(series.name),
        kind,
        nullable=bool(len(present) < len(series)),
        minimum=float(present.min()) if bounded and series.dtype.name != "category" else None,
        maximum=float(present.max()) if bounded and series.dtype.name != "category" else None,
        categories=() if known is None else _by_frequency(present, known),
    )


def _by_frequency(present: pd.Series[Any], known: Sequence[Any]) -> tuple[Category, ...]:
    """All values the model knows, most frequent in the table first, those the table lacks last in the model's order."""
    counts = Counter(plain_value(value) for value in present.tolist())
    values = [value for value in map(plain_value, known) if value is not None]
    return tuple(sorted(dict.fromkeys(values), key=lambda value: -counts[value]))
