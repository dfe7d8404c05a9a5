"""Where the rows of a run come from: Parquet, CSV and JSON lines (also `.gz`), and a table or a query of a database.

All become chunks of a pyarrow table. A source is asked from a row number on, so that a run can go on in the middle; it holds
no more than a chunk or two at a time.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from fairlead.batch.chunk import BadRow, Chunk, Source, Told
from fairlead.errors import InvalidInput, NotFound, StorageError

__all__ = ["open_source"]


def open_source(where: str, *, table: str | None = None, query: str | None = None) -> Source:
    """Open what is to be scored.

    Args:
        where: A file, or a database's SQLAlchemy URL.
        table: Of a database.
        query: Of a database: a SELECT.

    Raises:
        NotFound: There is no such file or table.
        InvalidInput: It is of a kind that is not read, or cannot be read.
        StorageError: The database cannot be reached.
    """
    if "://" in where:
        return _Database(where, table, query)
    if table is not None or query is not None:
        raise InvalidInput("--table and --query are for a database.", hint="Give a SQLAlchemy URL, sqlite:///file.db.")
    path = Path(where)
    if not path.is_file():
        raise NotFound(
            f"There is no file {where!r}.", hint="Give a .parquet, .csv or .jsonl file, or a database's URL."
        )
    kinds: dict[str, Callable[[Path], Source]] = {".parquet": _Parquet, ".csv": _Csv, ".jsonl": _JsonLines}
    ending = path.name.removesuffix(".gz")
    kind = next((kinds[one] for one in kinds if ending.endswith(one)), None)
    if kind is None or (kind is _Parquet and path.name.endswith(".gz")):
        raise InvalidInput(
            f"{path.name!r} is of a kind that is not read.",
            hint="Known are .parquet, .csv, .jsonl, .csv.gz, .jsonl.gz.",
        )
    try:
        return kind(path)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as err:
        raise _unreadable(path, err) from err


def _unreadable(path: Path, err: BaseException) -> InvalidInput:
    reason = (str(err).strip().splitlines() or [type(err).__name__])[0][:200]
    return InvalidInput(f"{path.name} cannot be read: {reason}.")


def _file_identity(path: Path) -> Told:
    found = path.stat()
    return {"input": str(path.resolve()), "size": found.st_size, "changed": found.st_mtime_ns}


class _Parquet:
    """A Parquet file; whole row groups are skipped without being read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pq.ParquetFile(path) as file:
            self.names: tuple[str, ...] = tuple(file.schema_arrow.names)
            self.rows: int | None = file.metadata.num_rows
            self._groups = [file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)]

    def identity(self) -> Told:
        return _file_identity(self._path)

    def chunks(self, start: int, size: int) -> Iterator[Chunk]:
        ends = list(itertools.accumulate(self._groups))
        wanted = [at for at, end in enumerate(ends) if end > start]
        if not wanted:
            return
        number = ends[wanted[0]] - self._groups[wanted[0]]
        with pq.ParquetFile(self._path, memory_map=True) as file:
            try:
                for batch in file.iter_batches(batch_size=size, row_groups=wanted):
                    end = number + batch.num_rows
                    if end > start:
                        skipped = max(start - number, 0)
                        part = pa.Table.from_batches([batch.slice(skipped)])
                        yield Chunk(number + skipped, part.num_rows, part)
                    number = end
            except (pa.ArrowException, OSError) as err:
                raise _unreadable(self._path, err) from err


def _opened(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


class _Csv:
    """A table with a header line; Python's own reader, because it is the one that the service uses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: int | None = None
        with _opened(path) as file:
            self.names: tuple[str, ...] = tuple(next(self._records(file), ()))
        if not self.names:
            raise InvalidInput(f"{path.name} is empty.", hint="The first line names the columns.")
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise InvalidInput(f"{path.name} has two columns {twice[0][:80]!r}.")

    def identity(self) -> Told:
        return _file_identity(self._path)

    def chunks(self, start: int, size: int) -> Iterator[Chunk]:
        try:
            with _opened(self._path) as file:
                records = itertools.islice(self._records(file), 1 + start, None)
                while taken := list(itertools.islice(records, size)):
                    yield self._chunk(start, taken)
                    start += len(taken)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as err:
            raise _unreadable(self._path, err) from err

    def _records(self, file: IO[str]) -> Iterator[list[str]]:
        first = file.read(1)
        if first != "\ufeff":
            file.seek(0)
        return filter(None, csv.reader(file, strict=True))

    def _chunk(self, start: int, records: list[list[str]]) -> Chunk:
        width = len(self.names)
        if all(len(record) == width for record in records):
            return Chunk(start, len(records), _texts(self.names, records), text=True)
        wrong = tuple(
            BadRow(start + at, f"Expected {width} cells, got {len(record)}.", expected=f"{width} cells")
            for at, record in enumerate(records)
            if len(record) != width
        )
        right = [(start + at, record) for at, record in enumerate(records) if len(record) == width]
        numbers = tuple(number for number, _ in right)
        table = _texts(self.names, [record for _, record in right])
        return Chunk(start, len(records), table, numbers, text=True, unreadable=wrong)


def _texts(names: Sequence[str], records: Sequence[Sequence[str]]) -> Any:
    columns = zip(*records, strict=True) if records else itertools.repeat((), len(names))
    return pa.table({name: pa.array(list(entries), pa.string()) for name, entries in zip(names, columns, strict=False)})


class _JsonLines:
    """One JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: int | None = None
        with _opened(path) as file:
            first = next((line for line in file if line.strip()), None)
        if first is None:
            raise InvalidInput(f"{path.name} is empty.")
        told = _object(first)
        if isinstance(told, str):
            raise InvalidInput(f"{path.name}: the first line is {told}.", hint="Each line holds one JSON object.")
        self.names: tuple[str, ...] = tuple(told)

    def identity(self) -> Told:
        return _file_identity(self._path)

    def chunks(self, start: int, size: int) -> Iterator[Chunk]:
        try:
            with _opened(self._path) as file:
                lines = itertools.islice((line for line in file if line.strip()), start, None)
                while taken := list(itertools.islice(lines, size)):
                    yield self._chunk(start, taken)
                    start += len(taken)
        except (OSError, EOFError, UnicodeDecodeError) as err:
            raise _unreadable(self._path, err) from err

    def _chunk(self, start: int, lines: list[str]) -> Chunk:
        told = [_object(line) for line in lines]
        wrong = tuple(
            BadRow(start + at, f"The line is {one}.", value=lines[at][:200])
            for at, one in enumerate(told)
            if isinstance(one, str)
        )
        good = [(start + at, one) for at, one in enumerate(told) if not isinstance(one, str)]
        table, mixed = _columns({name: [one.get(name) for _, one in good] for name in self.names})
        numbers = tuple(number for number, _ in good) if wrong else None
        return Chunk(start, len(lines), table, numbers, mixed=mixed, unreadable=wrong)


def _object(line: str) -> dict[str, Any] | str:
    """A line's object, or what it is instead; NaN, which Python writes for a missing entry, is one."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return "no JSON"
    return found if isinstance(found, dict) else "no JSON object"


def _columns(columns: Mapping[str, Sequence[Any]]) -> tuple[Any, frozenset[str]]:
    """A pyarrow table, and which of its columns have entries of several types: each entry is JSON there."""
    arrays, mixed = {}, set()
    for name, entries in columns.items():
        try:
            arrays[name] = pa.array(entries)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            mixed.add(name)
            told = [None if one is None else json.dumps(_plain(one), default=str) for one in entries]
            arrays[name] = pa.array(told, pa.string())
    return pa.table(arrays), frozenset(mixed)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date | datetime | time) else value


class _Database:
    """A table or a query; rows are fetched through a cursor of the server's where the driver has one."""

    def __init__(self, url: str, table: str | None, query: str | None) -> None:
        import sqlalchemy as sa

        if (table is None) == (query is None):
            raise InvalidInput(
                "Say what to read of the database.", hint="Give either --table NAME or --query 'SELECT …'."
            )
        try:
            self._engine = sa.create_engine(url)
            self._statement: Any = sa.text(query) if query is not None else self._select(sa, str(table))
            self.rows: int | None = self._count(sa, str(table)) if query is None else None
            with self._engine.connect() as connection, connection.execute(self._statement) as found:
                self.names: tuple[str, ...] = tuple(found.keys())
        except sa.exc.NoSuchTableError as err:
            raise NotFound(f"The database has no table {table!r}.") from err
        except (sa.exc.SQLAlchemyError, ImportError) as err:
            raise StorageError(f"The database cannot be read: {_first_line(err)}.") from err
        shown = sa.make_url(url).render_as_string(hide_password=True)
        self._told: Told = {"input": shown, "query": query or f"table {table}", "rows": self.rows}

    def _select(self, sa: Any, name: str) -> Any:
        """The table in the order of its primary key: without an order, a run could not go on in the middle."""
        schema, _, bare = name.rpartition(".")
        self._table = sa.Table(bare, sa.MetaData(), autoload_with=self._engine, schema=schema or None)
        keys = list(self._table.primary_key.columns) or list(self._table.columns)
        return sa.select(self._table).order_by(*keys)

    def _count(self, sa: Any, name: str) -> int:  # noqa: ARG002 - the table was found by this name
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(self._table)).scalar_one())

    def identity(self) -> Told:
        return self._told

    def chunks(self, start: int, size: int) -> Iterator[Chunk]:
        import sqlalchemy as sa

        try:
            with self._engine.connect().execution_options(stream_results=True, max_row_buffer=size) as connection:
                found = connection.execute(self._statement)
                for _ in itertools.islice(found, start):
                    pass
                while taken := found.fetchmany(size):
                    columns = ([_number(one) for one in entries] for entries in zip(*taken, strict=True))
                    table, mixed = _columns(dict(zip(self.names, columns, strict=True)))
                    yield Chunk(start, len(taken), table, mixed=mixed)
                    start += len(taken)
        except sa.exc.SQLAlchemyError as err:
            raise StorageError(f"The database cannot be read: {_first_line(err)}.") from err


def _number(value: Any) -> Any:
    """A decimal as the number that a model takes; the rest as it is."""
    return float(value) if isinstance(value, Decimal) else value


def _first_line(err: BaseException) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0][:200]
