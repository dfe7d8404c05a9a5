"""The process that reads a Parquet file: `python -m fairlead.batch.parquet_reader PATH`.

A file may say of its pages, dictionaries and row groups whatever it likes, and the library believes it before it looks: a kilobyte
can ask for gigabytes, and what is wrong in the middle of a page may end the process. So the file is read here, in a process with
a limit on its memory, and what arrives at the run is batches of a known size. `parquet_source` starts it.

```
stdin:   ask {start, size}
stdout:  head {names, groups} ─▶ Arrow IPC stream of the rows from `start` on
stderr:  why it could not, as the last line; the exit code is then 1
```
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["MEMORY", "Ask", "Head", "main"]

MEMORY: Final = 2**30
"""Address space of the process, in bytes; about a third of it is the libraries."""

_LARGEST: Final = 64 * 2**20
"""Bytes of one batch; a larger one is cut."""

_SMALLEST: Final = 64
"""Rows that must fit into the memory at once."""

_BUFFER: Final = 2**20
"""Bytes of a column that are read from the file at once; without it, a row group would be read as a whole."""


class Head(msgspec.Struct, frozen=True):
    """What the file says of itself.

    Attributes:
        names: Its columns.
        groups: The rows of each row group.
    """

    names: tuple[str, ...]
    groups: tuple[int, ...]


class Ask(msgspec.Struct, frozen=True):
    """From which row on it is to be read, and how many rows at a time."""

    start: int
    size: int


def main(path: Path) -> int:
    """Read a file; the exit code says whether that was possible."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            _answer(file, sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        return 0  # nobody wants the rest
    except MemoryError:  # Arrow's own is one, too
        print(f"reading it takes more than {MEMORY // 2**20} MiB of memory", file=sys.stderr)  # noqa: T201 - read by `parquet_source`
        return 1
    except (pa.ArrowException, OSError, ValueError) as err:
        print((str(err).strip().splitlines() or [type(err).__name__])[0], file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


def _answer(file: pq.ParquetFile, asked: IO[bytes], out: IO[bytes]) -> None:
    groups = tuple(file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups))
    out.write(msgspec.json.encode(Head(tuple(file.schema_arrow.names), groups)) + b"\n")
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
    for batch in file.iter_batches(batch_size=size, row_groups=wanted):
        after = begin + batch.num_rows
        if after > start:
            yield batch.slice(max(start - begin, 0))
        begin = after


def _cut(batch: Any) -> Iterator[Any]:
    """A batch in pieces of about `_LARGEST` bytes."""
    rows = max(1, batch.num_rows // (batch.nbytes // _LARGEST + 1))
    for at in range(0, batch.num_rows, rows):
        yield batch.slice(at, rows)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
