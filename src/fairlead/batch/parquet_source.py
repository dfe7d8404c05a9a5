"""Rows of a Parquet file, which a process of its own reads in bounded memory: `parquet_reader` says why."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import pyarrow as pa

from fairlead.batch.chunk import Chunk, Told, file_identity
from fairlead.batch.parquet_reader import Ask, Head
from fairlead.errors import InvalidInput
from fairlead.predictor.launch import bare_environment

__all__ = ["ParquetSource"]

_LONGEST_HEAD: Final = 2**26
_LAST_WORDS_SECONDS: Final = 10.0
_PIPE: Final = 2**20
"""Bytes between the process that reads and this one, so that the former need not wait at each page of memory."""

_LIMITED: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Allocators that take address space in advance would find the limit too early."""


class ParquetSource:
    """A `Source` that is a Parquet file.

    Raises:
        InvalidInput: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: _Reader | None = _Reader(path)
        self.names = self._waiting.head.names
        self.rows: int | None = sum(self._waiting.head.groups)
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise InvalidInput(f"{path.name} has two columns {twice[0][:80]!r}.")

    def identity(self) -> Told:
        """The file, its size and when it was changed."""
        return file_identity(self._path)

    def chunks(self, start: int, size: int) -> Generator[Chunk]:
        """The rows from number `start` on."""
        # The process that told the head goes on; for another reading there is another.
        reader, self._waiting = self._waiting or _Reader(self._path), None
        coded = {name: pa.type_for_alias(kind) for name, kind in reader.head.coded.items()}
        with contextlib.closing(reader), contextlib.closing(reader.batches(Ask(start, size))) as batches:
            for batch in batches:
                yield Chunk(start, batch.num_rows, pa.Table.from_batches([batch]), coded=coded)
                start += batch.num_rows
        if start < (self.rows or 0):
            raise _refused(self._path, f"it says it has {self.rows} rows, and ends after {start}")


class _Reader:
    """A process that reads a file; it ends with `close`, or when nobody refers to it any more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "fairlead.batch.parquet_reader", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            env={**bare_environment(), **_LIMITED},
        )
        self.close = weakref.finalize(self, _end, self._process, self._told)
        """End the process."""
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):  # the user may have too many pipes already
            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, _PIPE)
        line = self._process.stdout.readline(_LONGEST_HEAD)
        if not line.endswith(b"\n"):
            raise self._failed()
        self.head = msgspec.json.decode(line, type=Head)

    def batches(self, ask: Ask) -> Generator[Any]:
        """The rows.

        Raises:
            InvalidInput: The file cannot be read.
        """
        asked, found = self._process.stdin, self._process.stdout
        assert asked is not None
        assert found is not None
        try:
            asked.write(msgspec.json.encode(ask) + b"\n")
            asked.close()
            with pa.ipc.open_stream(found) as stream:
                yield from stream
        except (pa.ArrowException, OSError) as err:
            raise self._failed() from err
        # A stream that ends early looks like one that is over.
        if self._process.wait() != 0:
            raise self._failed()

    def _failed(self) -> InvalidInput:
        """The error for what the process left as its last line."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        try:
            self._process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._told.seek(0)
        lines = self._told.read(2**16).decode(errors="replace").strip().splitlines()
        # A process that a fault or the system has ended says nothing of use.
        told = lines[-1] if lines and self._process.returncode == 1 else "the process that read it was ended by it"
        return _refused(self._path, told)


def _refused(path: Path, reason: str) -> InvalidInput:
    return InvalidInput(
        f"{path.name} cannot be read: {reason[:200].rstrip('.')}.",
        hint="Write it anew, with pages and row groups of the usual size.",
    )


def _end(process: subprocess.Popen[bytes], told: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for file in (process.stdin, process.stdout, told):
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
