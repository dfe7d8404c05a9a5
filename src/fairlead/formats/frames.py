"""Rows as the table a Python model was trained on.

A model that was fitted on a pandas frame depends on its column types and on what stood for a missing entry (`None` or NaN).
A `FrameForm` remembers both, as plain data in a bundle, so that a worker builds the same frame from rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from fairlead.errors import SchemaMismatch
from fairlead.schema import Column, Row, Schema, Value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FrameForm", "form", "frame", "plain"]


class FrameForm(msgspec.Struct, frozen=True):
    """How the training table looked.

    Attributes:
        kind: "frame" with named columns, or a nameless "array".
        dtypes: pandas' name of each column's type, in the order of the schema.
        nones: For each column, whether missing entries were `None` rather than NaN.
    """

    kind: Literal["frame", "array"]
    dtypes: tuple[str, ...]
    nones: tuple[bool, ...]


def form(table: Any, schema: Schema) -> FrameForm:
    """Remember how a table looked.

    Args:
        table: A pandas or polars frame, or a two-dimensional array.
        schema: Its columns; those that the table has beside them are left out.

    Raises:
        SchemaMismatch: The table lacks a column.
    """
    if isinstance(table, np.ndarray):
        width = len(schema.columns)
        return FrameForm("array", (table.dtype.name,) * width, (_holds_none(table.reshape(-1)),) * width)
    pandas = table.to_pandas() if hasattr(table, "to_pandas") else table
    lacking = [name for name in schema.names if name not in pandas.columns]
    if lacking:
        raise SchemaMismatch(f"The table has no column {lacking[0]!r}.", field=lacking[0])
    series = [pandas[name] for name in schema.names]
    return FrameForm(
        "frame",
        tuple(str(one.dtype) for one in series),
        tuple(str(one.dtype) == "object" and _holds_none(one.to_numpy()) for one in series),
    )


def frame(rows: Sequence[Row], schema: Schema, form: FrameForm | None = None) -> Any:
    """The table that a model expects, from rows.

    Args:
        rows: In the order of the schema; `None` is a missing entry.
        schema: The columns.
        form: How the training table looked; without it, the types follow from the schema.

    Returns:
        A pandas frame, or a two-dimensional array for a model that was trained on one.
    """
    if form is not None and form.kind == "array":
        return _array(rows, form)
    import pandas as pd

    columns = {
        column.name: _series([row[k] for row in rows], _dtype(column, form, k), none=form is not None and form.nones[k])
        for k, column in enumerate(schema.columns)
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def plain(value: Any) -> Value:
    """An entry of a table as Python's own type; every kind of missing becomes `None`."""
    found: Any = value.item() if isinstance(value, np.generic) else value
    if found is None or type(found).__name__ in {"NAType", "NaTType"} or found != found:  # noqa: PLR0124 -- true of NaN
        return None
    return found if isinstance(found, str | int | float | bool) else str(found)


def _holds_none(entries: np.ndarray) -> bool:
    return any(entry is None for entry in entries)


def _array(rows: Sequence[Row], form: FrameForm) -> np.ndarray:
    dtype = np.dtype(form.dtypes[0]) if form.dtypes else np.dtype(np.float64)
    instead = None if form.nones and form.nones[0] else np.nan
    entries = [[instead if entry is None else entry for entry in row] for row in rows]
    if dtype.kind in "iub" and any(None in row for row in rows):
        dtype = np.dtype(np.float64)
    found = np.empty((len(rows), len(form.dtypes)), dtype=object if dtype.kind in "USO" else dtype)
    for position, row in enumerate(entries):
        found[position] = row
    return found


def _dtype(column: Column, form: FrameForm | None, position: int) -> str:
    if form is not None:
        return form.dtypes[position]
    return {"number": "float64", "integer": "int64", "boolean": "bool", "string": "object"}[column.type]


def _series(entries: list[Value], dtype: str, *, none: bool) -> pd.Series[Any]:
    import pandas as pd

    missing = any(entry is None for entry in entries)
    if dtype.startswith(("int", "uint", "bool")) and missing:
        # pandas itself would have made the column so, had an entry been missing.
        dtype = "object" if dtype == "bool" else "float64"
    if dtype.startswith("category"):
        return pd.Series(pd.Categorical([np.nan if entry is None else entry for entry in entries]))
    instead: Any = None if none else np.nan
    filled = [instead if entry is None else entry for entry in entries]
    return pd.Series(filled, dtype=dtype)
