"""Rows of a Parquet file; whole row groups are skipped without being read."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fairlead.batch.chunk import Chunk, Told, file_identity, unreadable

__all__ = ["ParquetSource"]


class ParquetSource:
    """A Parquet file; whole row groups are skipped without being read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pq.ParquetFile(path) as file:
            self.names: tuple[str, ...] = tuple(file.schema_arrow.names)
            self.rows: int | None = file.metadata.num_rows
            self._groups = [file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)]

    def identity(self) -> Told:
        """The file, its size and when it was changed."""
        return file_identity(self._path)

    def chunks(self, start: int, size: int) -> Generator[Chunk]:
        """The rows from number `start` on."""
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
                raise unreadable(self._path, err) from err
