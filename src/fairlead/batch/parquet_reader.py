"""The process that reads a Parquet file: `python -m fairlead.batch.parquet_reader PATH`.

A file may say of its pages, dictionaries and row groups whatever it likes, and the library believes it before it looks: a kilobyte
can ask for gigabytes, and what is wrong in the middle of a page may end the process. So the file is read here, in a process with
a limit on its memory, and what arrives at the run is batches of a known size. `parquet_source` starts it.

A text that repeats stands in the file as its number in a dictionary. It is sent so, too: to spell it out only to look it up again,
here, in the model's columns and in the output, would cost more than all the rest of reading.

```
stdin:   ask {start, size}
stdout:  head {names, groups, coded} ─▶ Arrow IPC stream of the rows from `start` on
stderr:  why it could not, as the last line; the exit code is then 1
```
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["MEMORY", "Ask", "Head", "main"]

MEMORY: Final = 2**30
"""Address space of the process, in bytes; about a third of it is the libraries."""

_LARGEST: Final = 64 * 2**20
"""Bytes of one batch, with its texts spelled out; a larger one is cut."""

_SMALLEST: Final = 64
"""Rows that must fit into the memory at once."""

_BUFFER: Final = 2**20
"""Bytes of a column that are read from the file at once; without it, a row group would be read as a whole."""

_PLAIN: Final = 4
"""Bytes of a plain text's length in a page: a column that takes less for a whole text has a dictionary."""

_LOOKED_AT: Final = 64
"""Row groups by which it is judged whether a column has a dictionary. One that is misjudged costs time, and nothing else."""

_CODED: Final = frozenset({"string", "large_string", "string_view"})


class Head(msgspec.Struct, frozen=True):
    """What the file says of itself.

    Attributes:
        names: Its columns.
        groups: The rows of each row group.
        coded: The columns that are sent as dictionaries although they are plain text; of which type, as Arrow names it.
    """

    names: tuple[str, ...]
    groups: tuple[int, ...]
    coded: Mapping[str, str] = {}


class Ask(msgspec.Struct, frozen=True):
    """From which row on it is to be read, and how many rows at a time."""

    start: int
    size: int


def main(path: Path) -> int:
    """Read a file; the exit code says whether that was possible."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        told = pq.read_metadata(path)
        coded = _coded(told)
        with pq.ParquetFile(
            path, metadata=told, buffer_size=_BUFFER, pre_buffer=False, read_dictionary=list(coded)
        ) as file:
            _answer(file, coded, sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        return 0  # nobody wants the rest
    except MemoryError:  # Arrow's own is one, too
        print(f"reading it takes more than {MEMORY // 2**20} MiB of memory", file=sys.stderr)  # noqa: T201 - read by `parquet_source`
        return 1
    except (pa.ArrowException, OSError, ValueError) as err:
        print((str(err).strip().splitlines() or [type(err).__name__])[0], file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


def _coded(told: pq.FileMetaData) -> dict[str, str]:
    """The plain texts of a file that have a dictionary in it, and their types."""
    fields = {one.name: str(one.type) for one in told.schema.to_arrow_schema()}
    columns = range(told.num_columns)
    paths = [told.schema.column(at).path for at in columns]
    known = Counter(paths)
    # A column within another may have the path of one that only has a dot in its name.
    found = [at for at in columns if fields.get(paths[at]) in _CODED and known[paths[at]] == 1]
    for group in range(min(told.num_row_groups, _LOOKED_AT)):
        chunks = told.row_group(group)
        found = [at for at in found if _has_dictionary(chunks.column(at))]
    return {paths[at]: fields[paths[at]] for at in found}


def _has_dictionary(chunk: pq.ColumnChunkMetaData) -> bool:
    return bool(chunk.total_uncompressed_size < _PLAIN * chunk.num_values)


def _answer(file: pq.ParquetFile, coded: Mapping[str, str], asked: IO[bytes], out: IO[bytes]) -> None:
    groups = tuple(file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups))
    out.write(msgspec.json.encode(Head(tuple(file.schema_arrow.names), groups, coded)) + b"\n")
    out.flush()
    line = asked.readline()
    if not line:
        return
    ask = msgspec.json.decode(line, type=Ask)
    with pa.ipc.new_stream(out, file.schema_arrow) as stream:
        for batch in _batches(file, groups, ask):
            for part in _cut(batch):
                stream.write_batch(part)


def _batches(file: pq.ParquetFile, groups: tuple[int, ...], ask: Ask) -> Iterator[Any]:
    """The rows; where so many do not fit into the memory at once, fewer at a time."""
    number, size = ask.start, ask.size
    while True:
        try:
            for batch in _from(file, groups, number, size):
                number += batch.num_rows
                yield batch
        except MemoryError:
            if size <= _SMALLEST:
                raise
            size = max(_SMALLEST, size // 16)
        else:
            return


def _from(file: pq.ParquetFile, groups: tuple[int, ...], start: int, size: int) -> Iterator[Any]:
    """The rows from number `start` on; row groups before it are not read."""
    begin = end = 0
    wanted: list[int] = []
    for at, rows in enumerate(groups):
        end += rows
        if end > start:
            wanted.append(at)
        else:
            begin = end
    if not wanted:
        return
    for batch in _joined(file.iter_batches(batch_size=size, row_groups=wanted), size):
        after = begin + batch.num_rows
        if after > start:
            yield batch.slice(max(start - begin, 0))
        begin = after


def _joined(batches: Iterator[Any], size: int) -> Iterator[Any]:
    """Batches of `size` rows: Arrow ends one where a dictionary ends, which is where a row group does."""
    parts: list[Any] = []
    rows = 0
    for batch in batches:
        parts.append(batch)
        rows += batch.num_rows
        if rows >= size:
            yield from _as_one(parts)
            parts, rows = [], 0
    yield from _as_one(parts)


def _as_one(parts: list[Any]) -> list[Any]:
    """Batches as one, with one dictionary a column."""
    return parts if len(parts) < 2 else list(pa.Table.from_batches(parts).combine_chunks().to_batches())


def _spelled_out(batch: Any) -> int:
    """How many bytes a batch's texts have beyond those of the batch, which `nbytes` tells of.

    Raises:
        IndexError: An entry is not in its dictionary. (It is Arrow's own error, too.)
    """
    coded = [one for one in batch.columns if pa.types.is_dictionary(one.type) and _is_text(one.type.value_type)]
    return sum(pc.sum(pc.binary_length(one.dictionary).take(one.indices)).as_py() or 0 for one in coded)


def _is_text(kind: Any) -> bool:
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_one(kind) for is_one in kinds)


def _cut(batch: Any) -> Iterator[Any]:
    """A batch in pieces of about `_LARGEST` bytes."""
    rows = max(1, batch.num_rows // ((batch.nbytes + _spelled_out(batch)) // _LARGEST + 1))
    for at in range(0, batch.num_rows, rows):
        yield batch.slice(at, rows)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
