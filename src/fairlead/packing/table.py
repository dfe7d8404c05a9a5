"""The user's table, whatever it came as: frame, array, list of dicts or file.

Everything later in packing sees one `Table`: a pandas frame with the dtypes the user gave, because the original model may be
asked nothing else. Files are read by pandas too, as the model's author most likely read them: polars keeps "True" as
text and a date as a date, and the original would then be asked other questions than in training. Only JSON lines, where
the values carry their types, and polars frames pass through polars.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from fairlead.errors import InvalidInput, NotFound, SchemaMismatch

if TYPE_CHECKING:
    import pandas as pd

    from fairlead.schema import Column, ColumnType, Row, Value

__all__ = ["Table", "column_type", "order_columns", "plain_value", "rows_of", "spread", "take_reference", "take_table"]

READ_FROM = (".parquet", ".csv", ".csv.gz", ".jsonl")
"""The endings of table files that are read."""

_TYPES: dict[str, ColumnType] = {
    "string": "string",
    "empty": "string",
    "boolean": "boolean",
    "integer": "integer",
    "floating": "number",
    "mixed-integer-float": "number",
}
_ADVICE = {
    "datetime": "Give what the model was trained on, for example hour, weekday and month as numbers.",
    "mixed": "Give each column one kind of entry: all text, all numbers or all true/false.",
    "decimal": "Convert it with `.astype(float)`.",
}


class Table(msgspec.Struct, frozen=True):
    """A table of features and, where given, what was true.

    Attributes:
        frame: pandas DataFrame of the features, index 0, 1, 2, …
        target: pandas Series of labels or values, one for each row; `None` where none was given.
        target_name: The target's name; empty where it has none.
        named: Whether the columns had names; a bare array's are called x0, x1, …
        source: What the table came as, for people: a file's name or "DataFrame".
        digest: SHA-256 in hex, of the file's bytes or of the entries with the column names and dtypes.
    """

    frame: Any
    target: Any
    target_name: str
    named: bool
    source: str
    digest: str


def take_table(data: Any, target: Any = None, *, names: Sequence[str] | None = None) -> Table:
    """Take what the user calls a table.

    Args:
        data: pandas or polars DataFrame, two-dimensional numpy array, list of dicts, dict of lists, or the path of a
            .parquet, .csv, .csv.gz or .jsonl file.
        target: The name of a column of `data`, or one label or value for each row; `None` where there is none.
        names: Of the columns of an array.

    Raises:
        InvalidInput: The table is empty, has two columns of one name, has a column of a kind that no model here takes, or
            the target is missing, incomplete or of another length.
        NotFound: There is no such file.
    """
    import pandas as pd

    frame, named, source = _frame(data, names)
    _check_names(frame)
    digest = _file_digest(Path(data)) if isinstance(data, str | Path) else _frame_digest(frame)
    frame, series, name = _split_target(frame, target)
    if frame.shape[0] == 0:
        raise InvalidInput(
            "The table has no rows.", hint="Give the rows the model was trained on, or a few hundred of them."
        )
    if frame.shape[1] == 0:
        raise InvalidInput(
            "The table has no columns besides the target.", hint="Give the columns the model was trained on."
        )
    for column in frame.columns:
        column_type(frame[column])
    if series is not None:
        _check_target(series, frame.shape[0], name)
        series = pd.Series(series.to_numpy(), name=name)
    return Table(frame.reset_index(drop=True), series, name, named, source, digest)


def take_reference(reference: Any, target: Any) -> Table:
    """A held-out table, for a profile that the model's own training rows do not flatter.

    Args:
        reference: As the training table; or a pair of table and target, where the training table's target was given as entries.
        target: What was given for the training table.

    Raises:
        InvalidInput: As `take_table`; a target that has a name must be among the table's columns.
        NotFound: There is no such file.
    """
    if isinstance(reference, tuple) and len(reference) == 2:
        return take_table(*reference)
    return take_table(reference, target if isinstance(target, str) else None)


def column_type(series: pd.Series[Any]) -> ColumnType:
    """What the entries of a column are, missing ones left aside.

    An integer column with missing entries arrives from pandas as float64 and is a number; nullable `Int64` stays integer.

    Raises:
        InvalidInput: They are dates, nested, mixed, complex or infinite.
    """
    from pandas.api.types import infer_dtype, is_bool_dtype, is_float_dtype, is_integer_dtype

    values = series.cat.categories if series.dtype.name == "category" else series
    if is_bool_dtype(values.dtype):
        return "boolean"
    if is_integer_dtype(values.dtype):
        return "integer"
    kind = "floating" if is_float_dtype(values.dtype) else infer_dtype(values, skipna=True)
    if kind not in _TYPES:
        raise _unfit(series, kind)
    if kind in ("floating", "mixed-integer-float"):
        _check_finite(series)
    return _TYPES[kind]


def order_columns(table: Table, names: Sequence[str] | None, width: int | None = None) -> Table:
    """The table with the columns in the order the model was trained on.

    Args:
        table: What the user gave.
        names: The model's features in order; `None` where it was trained without names.
        width: How many features the model takes, where it is known.

    Raises:
        SchemaMismatch: The model knows a column that the table lacks, or the other way round.
    """
    given = list(table.frame.columns)
    if names is None:
        if width is not None and width != len(given):
            raise SchemaMismatch(
                f"The model takes {width} columns and the table has {len(given)}: {_listed(given)}.",
                hint="Give the table the model was trained on, its target by name.",
            )
        return table
    if not table.named and len(given) == len(names):
        frame = table.frame.set_axis(list(names), axis=1)
        return msgspec.structs.replace(table, frame=frame, named=True)
    _check_same(given, list(names))
    return msgspec.structs.replace(table, frame=table.frame[list(names)])


def rows_of(frame: pd.DataFrame, columns: Sequence[Column]) -> list[Row]:
    """The frame's rows as plain values in the order of `columns`; every kind of missing entry becomes `None`."""
    lists = [_plain_column(frame[column.name], column.type) for column in columns]
    return list(zip(*lists, strict=True))


def spread(rows: int, most: int) -> list[int]:
    """Positions of at most `most` of `rows` rows, evenly spread, so that a sorted table is seen from end to end."""
    if rows <= most:
        return list(range(rows))
    return [position * rows // most for position in range(most)]


def plain_value(value: Any) -> Value:
    """A numpy or pandas scalar as a plain Python value; a missing one, and what is no scalar, as `None`."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, str):
        return str(plain)  # numpy's own text type is a subclass
    if isinstance(plain, float) and math.isnan(plain):
        return None
    return plain if isinstance(plain, bool | int | float) else None


def _plain_column(series: pd.Series[Any], kind: ColumnType) -> list[Value]:
    """One column's entries as Python values of its type."""
    make: type = {"number": float, "integer": int, "boolean": bool, "string": str}[kind]
    missing = series.isna().to_numpy()
    values = series.astype(object).tolist()
    return [None if gone else make(value) for value, gone in zip(values, missing, strict=True)]


def _frame(data: Any, names: Sequence[str] | None) -> tuple[pd.DataFrame, bool, str]:
    """The frame, whether its columns have names of the user's, and what it came as."""
    import pandas as pd

    if isinstance(data, str | Path):
        return _read(Path(data)), True, Path(data).name
    if isinstance(data, pd.DataFrame):
        plain = all(isinstance(name, str) for name in data.columns)
        return (data if plain else _unnamed(data)), plain, "DataFrame"
    if type(data).__module__.partition(".")[0] == "polars" and type(data).__name__ in ("DataFrame", "LazyFrame"):
        return _collected(data).to_pandas(), True, "polars DataFrame"
    if isinstance(data, np.ndarray):
        return *_array_frame(data, names), "array"
    if isinstance(data, Mapping):
        return pd.DataFrame(dict(data)), True, "dict"
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        return pd.DataFrame.from_records(list(data)), True, "list of dicts"
    raise InvalidInput(
        f"A table cannot be made of {type(data).__module__}.{type(data).__qualname__}.",
        hint="Give a pandas or polars DataFrame, a numpy array, a list of dicts, or the path of a table file.",
    )


def _collected(frame: Any) -> Any:
    """A polars frame; a lazy one is computed."""
    return frame.collect() if hasattr(frame, "collect") else frame


def _unnamed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with columns x0, x1, … in place of numbers, which scikit-learn does not take for names either."""
    if any(isinstance(name, str) for name in frame.columns):
        raise InvalidInput(
            "Some column names of the table are text and some are not.",
            hint="Name all columns by text: `data.columns = data.columns.astype(str)`.",
        )
    return frame.set_axis([f"x{position}" for position in range(frame.shape[1])], axis=1)


def _array_frame(array: np.ndarray[Any, Any], names: Sequence[str] | None) -> tuple[pd.DataFrame, bool]:
    """An array as a frame, and whether the user named its columns."""
    import pandas as pd

    if array.ndim != 2:
        raise InvalidInput(
            f"The array has {array.ndim} dimensions; a table has 2.",
            hint="Reshape it to (rows, columns).",
            shape=array.shape,
        )
    if names is not None and len(names) != array.shape[1]:
        raise InvalidInput(
            f"There are {len(names)} names for {array.shape[1]} columns.", hint="Give one name a column."
        )
    columns = [f"x{position}" for position in range(array.shape[1])] if names is None else list(names)
    return pd.DataFrame(array, columns=columns), names is not None


def _read(path: Path) -> pd.DataFrame:
    """A table file as a frame."""
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.", hint="Give the path of the training table.", path=str(path))
    name = path.name.lower()
    if not name.endswith(READ_FROM):
        raise InvalidInput(
            f"{path.name!r} is no kind of table that is read.", hint=f"Give one of {', '.join(READ_FROM)}."
        )
    try:
        return _read_as(path, name)
    except (OSError, ValueError, ArithmeticError, MemoryError) as err:
        raise InvalidInput(
            f"{path.name!r} cannot be read as a table: {_first_line(err)}", hint="Write the file anew."
        ) from err


def _read_as(path: Path, name: str) -> pd.DataFrame:
    """Read by the file's ending; what the readers raise passes through as ValueError or OSError."""
    import pandas as pd

    if name.endswith(".parquet"):
        return pd.read_parquet(path)
    if name.endswith((".csv", ".csv.gz")):
        return pd.read_csv(path, low_memory=False)
    import polars as pl

    try:
        return pl.read_ndjson(path, infer_schema_length=None).to_pandas()
    except pl.exceptions.PolarsError as err:
        raise ValueError(str(err)) from err


def _check_names(frame: pd.DataFrame) -> None:
    """Refuse two columns of one name, and a name that files and databases would end before its end."""
    duplicates = frame.columns[frame.columns.duplicated()]
    if len(duplicates):
        name = str(duplicates[0])
        raise InvalidInput(
            f"Two columns of the table are called {name!r}.", hint="Rename or drop one of them.", field=name
        )
    for name in map(str, frame.columns):
        if "\0" in name:
            raise InvalidInput(f"The name of the column {name!r} holds a zero byte.", hint="Rename it.", field=name)


def _split_target(frame: pd.DataFrame, target: Any) -> tuple[pd.DataFrame, pd.Series[Any] | None, str]:
    """Features, target and its name."""
    import pandas as pd

    if target is None:
        return frame, None, ""
    if isinstance(target, str):
        if target not in frame.columns:
            near = get_close_matches(target, [str(name) for name in frame.columns], 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Its columns are {_listed(list(frame.columns))}."
            raise InvalidInput(f"The table has no column {target!r} to be the target.", hint=hint, field=target)
        return frame.drop(columns=target), frame[target], target
    values = _collected(target).to_pandas() if type(target).__module__.startswith("polars") else target
    if isinstance(values, pd.DataFrame) or np.ndim(values) > 1:
        values = _single_column(values)
    series = values if isinstance(values, pd.Series) else pd.Series(list(values))
    name = series.name if isinstance(series.name, str) else ""
    return frame, series, name


def _single_column(values: Any) -> Any:
    """The only column of a two-dimensional target."""
    if np.shape(values)[1] != 1:
        raise InvalidInput(
            f"The target has {np.shape(values)[1]} columns; it has to have one.", hint="Give one of them."
        )
    return values.iloc[:, 0] if hasattr(values, "iloc") else np.asarray(values)[:, 0]


def _check_target(series: pd.Series[Any], rows: int, name: str) -> None:
    """Refuse a target of another length, or with missing entries."""
    called = f"The target {name!r}" if name else "The target"
    if len(series) != rows:
        raise InvalidInput(
            f"{called} has {len(series)} entries and the table has {rows} rows.", hint="Give one entry for each row."
        )
    missing = np.flatnonzero(series.isna().to_numpy())
    if len(missing):
        raise InvalidInput(
            f"{called} is missing in {len(missing)} rows, first in row {missing[0]}.",
            hint="Drop the rows without a target.",
            row=int(missing[0]),
            field=name,
        )


def _check_finite(series: pd.Series[Any]) -> None:
    """Refuse a column that holds an infinity: no request can carry one."""
    infinite = np.flatnonzero(np.isinf(series.to_numpy(dtype=np.float64, na_value=np.nan)))
    if len(infinite):
        raise InvalidInput(
            f"Column {series.name!r} is infinite in row {infinite[0]}.",
            hint="Replace infinities by a number, or by a missing entry where the model takes one.",
            row=int(infinite[0]),
            field=str(series.name),
        )


def _unfit(series: pd.Series[Any], kind: str) -> InvalidInput:
    """The error for a column of a kind that no model here takes."""
    first = next(iter(series.dropna().tolist()), None)
    family = "datetime" if kind.startswith(("date", "time", "period")) else kind
    advice = _ADVICE.get(family, _ADVICE["mixed"])
    return InvalidInput(
        f"Column {series.name!r} holds {kind} entries ({str(first)[:60]!r} …), which no model here takes.",
        hint=advice,
        field=str(series.name),
    )


def _check_same(given: list[str], wanted: list[str]) -> None:
    """Refuse a table that lacks a column of the model's, or has one more."""
    lacking = [name for name in wanted if name not in set(given)]
    if lacking:
        near = get_close_matches(lacking[0], given, 1)
        hint = f"The table has {near[0]!r}; rename it." if near else f"The table's columns are {_listed(given)}."
        raise SchemaMismatch(f"The table lacks the model's column {lacking[0]!r}.", hint=hint, field=lacking[0])
    extra = [name for name in given if name not in set(wanted)]
    if extra:
        raise SchemaMismatch(
            f"The model was not trained on column {extra[0]!r} of the table.",
            hint=f"Drop it, or name it as the target. The model takes {_listed(wanted)}.",
            field=extra[0],
        )


def _listed(names: Sequence[object]) -> str:
    """Up to ten names for a message."""
    shown = ", ".join(repr(name) for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _first_line(err: BaseException) -> str:
    """The start of an error's text."""
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:200]


def _file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _frame_digest(frame: pd.DataFrame) -> str:
    """SHA-256 over names, dtypes and entries; equal frames have equal digests on every machine."""
    import pandas as pd

    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(f"{name!r}:{frame[name].dtype}\n".encode())
        try:
            hashes = pd.util.hash_pandas_object(frame[name], index=False)
        except TypeError as err:
            raise InvalidInput(
                f"Column {name!r} holds nested entries.",
                hint="Give one column for each of their parts.",
                field=str(name),
            ) from err
        digest.update(hashes.to_numpy().astype("<u8").tobytes())
    return digest.hexdigest()
