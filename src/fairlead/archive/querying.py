"""Asking the log: which predictions, the latest of them, and all of them into a file that others read."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import polars as pl
import pyarrow.parquet as pq

from fairlead.archive import disk
from fairlead.archive.frames import Frames, frames
from fairlead.archive.labels import Joining
from fairlead.errors import InvalidInput

__all__ = ["FORMS", "Condition", "Exported", "export", "latest", "parse_condition"]

FORMS: Final = (".parquet", ".csv", ".jsonl")
"""What `export` writes, by the file's ending."""

_CONDITION: Final = re.compile(r"\s*(.+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_OPERATORS: Final[dict[str, Callable[[Any, Any], pl.Expr]]] = {
    "=": operator.eq,
    "!=": lambda column, value: column.ne_missing(value),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition(msgspec.Struct, frozen=True):
    """What a prediction must be.

    Attributes:
        name: Of a column of the frames, or of an input.
        operator: How its value compares.
        value: With this.
    """

    name: str
    operator: str
    value: str


class Exported(msgspec.Struct, frozen=True):
    """What was written.

    Attributes:
        rows: How many.
        bytes: How large the file is.
        joining: What became of the labels.
        notes: What could not be read, a sentence each.
    """

    rows: int
    bytes: int
    joining: Joining
    notes: tuple[str, ...]


def parse_condition(text: str) -> Condition:
    """A condition, from "status != ok" or "temp >= 30".

    Raises:
        InvalidInput: It is none.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text[:80]!r} is no condition.", hint="Write NAME, then = != < <= > or >=, then a value.")
    name, how, value = found.groups()
    return Condition(name, how, value.strip("\"'"))


def latest(found: Frames, conditions: Sequence[Condition], limit: int) -> list[dict[str, Any]]:
    """The latest predictions that meet all conditions, newest first, as rows.

    Raises:
        InvalidInput: No prediction has such a column, or its value cannot be compared so.
    """
    seen, missing = False, {one.name for one in conditions}
    kept: list[dict[str, Any]] = []
    for frame in found:
        seen = True
        missing -= {one.name for one in conditions if _column(frame, one.name)}
        kept += _meeting(frame, conditions).sort("time").tail(limit).rows(named=True)
        kept = sorted(kept, key=lambda row: row["time"])[-limit:]
    if seen and missing:
        raise InvalidInput(f"No prediction has {min(missing)!r}.", hint="Name a column or an input.")
    return kept[::-1]


def export(  # noqa: PLR0913 - which events, and where they go
    events: Path, endpoint: str, out: Path, start: float, end: float, *, labelled: bool = False
) -> Exported:
    """Write the predictions of an endpoint with start ≤ time < end as a table, labels beside them.

    The log is read twice, because a table says first what columns it has; memory does not depend on how long it is. A file
    that is not whole never has the name.

    Args:
        events: The event log's folder.
        endpoint: Its name.
        out: A file that ends with one of `FORMS`; replaced if it is there.
        start: In seconds since 1970 (UTC).
        end: In seconds since 1970 (UTC).
        labelled: Only those with a label.

    Raises:
        InvalidInput: The file's ending is none of ours.
        OSError: It cannot be written.
        StorageError: The log cannot be read.
    """
    if out.suffix not in FORMS:
        raise InvalidInput(
            f"{out.name!r} ends with none of {', '.join(FORMS)}.", hint="Name the file with one of them."
        )
    schema = _united(frame.schema for frame in frames(events, endpoint, start, end))
    found = frames(events, endpoint, start, end)
    chosen = (frame.filter(pl.col("label").is_not_null()) if labelled else frame for frame in found)
    rows = 0

    def counted() -> Iterator[pl.DataFrame]:
        nonlocal rows
        for frame in chosen:
            rows += len(frame)
            yield _shaped(frame, schema)

    fresh = out.with_name(f".{out.name}.unfinished")
    fresh.unlink(missing_ok=True)
    try:
        size = disk.create(fresh, lambda file: _WRITERS[out.suffix](file, counted(), schema))
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)
    return Exported(rows, size, found.joining(), tuple(found.notes))


def _column(frame: pl.DataFrame, name: str) -> str:
    """The column of this name, or of the input of this name; empty where there is none."""
    return next((one for one in (name, f"input.{name}") if one in frame.columns), "")


def _meeting(frame: pl.DataFrame, conditions: Sequence[Condition]) -> pl.DataFrame:
    for one in conditions:
        column = _column(frame, one.name)
        if not column:
            return frame.clear()
        frame = frame.filter(_OPERATORS[one.operator](pl.col(column), _value(one, frame.schema[column])))
    return frame


def _value(condition: Condition, kind: pl.DataType) -> Any:
    """What a column of this type is compared with."""
    text = condition.value
    if kind == pl.Boolean:
        if text not in {"true", "false"}:
            raise InvalidInput(f"{condition.name} is true or false, and not {text[:80]!r}.")
        return text == "true"
    if kind.is_numeric():
        try:
            return float(text)
        except ValueError:
            raise InvalidInput(f"{condition.name} is a number, and {text[:80]!r} is none.") from None
    if isinstance(kind, pl.List):
        raise InvalidInput(f"{condition.name} is a list and cannot be compared.")
    return text


def _united(schemas: Iterable[pl.Schema]) -> dict[str, pl.DataType]:
    """The columns of all, with a type that holds each one's values: a column that is text somewhere is text."""
    found: dict[str, pl.DataType] = {}
    for schema in schemas:
        for name, kind in schema.items():
            known = found.setdefault(name, kind)
            if known != kind:
                found[name] = pl.Float64() if known.is_numeric() and kind.is_numeric() else pl.String()
    last = ("label", "label_time", "rating")
    return {
        name: found[name]
        for name in [*(one for one in found if one not in last), *(one for one in last if one in found)]
    }


def _shaped(frame: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )


def _write_parquet(file: BinaryIO, found: Iterator[pl.DataFrame], schema: dict[str, pl.DataType]) -> None:
    empty = pl.DataFrame(schema=schema).to_arrow()
    with pq.ParquetWriter(file, empty.schema, compression="zstd") as into:
        for frame in found:
            into.write_table(frame.to_arrow().cast(empty.schema))


def _write_csv(file: BinaryIO, found: Iterator[pl.DataFrame], schema: dict[str, pl.DataType]) -> None:
    """With a header; several flags of one row stand in one cell, "|" between them."""
    head = pl.DataFrame(schema=dict.fromkeys(schema, pl.String))
    head.write_csv(file)
    for frame in found:
        flat = frame.with_columns(pl.col(pl.List(pl.String)).list.join("|"))
        flat.write_csv(file, include_header=False)


def _write_jsonl(file: BinaryIO, found: Iterator[pl.DataFrame], _: dict[str, pl.DataType]) -> None:
    for frame in found:
        frame.write_ndjson(file)


_WRITERS: Final[dict[str, Callable[[BinaryIO, Iterator[pl.DataFrame], dict[str, pl.DataType]], None]]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}
