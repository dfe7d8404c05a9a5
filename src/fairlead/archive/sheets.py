"""What has been read and is in no part yet: batches of columns, kept apart by endpoint, day, kind and columns.

Each becomes one part. What is decided by the data (whether a column holds integers or text) decides the sheet, too: a batch goes to the
first sheet that it fits, so no value is ever changed to fit a column.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fairlead.archive import disk
from fairlead.archive.appended import Group, Raw
from fairlead.archive.columnwise import Alike
from fairlead.archive.manifest import Kind, Part
from fairlead.archive.parts import Meaning, fitted, layout_of, types_of, united, write_table
from fairlead.archive.tables import record_batch
from fairlead.errors import FairleadError
from fairlead.eventlog import segment
from fairlead.eventlog.days import DAY, day_of
from fairlead.events import Columns

__all__ = ["Sheet", "Sheets", "batches_of", "part_path"]

_LATEST: Final = 253_402_214_400.0
"""The last day of the year 9999: what claims to be later is of the first day of all."""


class Sheet:
    """Batches that become one part."""

    def __init__(self, kind: Kind, endpoint: str, day: str, layout: str, types: str) -> None:
        self.kind = kind
        self.endpoint = endpoint
        self.day = day
        self.layout = layout
        self.types = types
        self.columns: dict[Columns, None] = {}
        self.batches: list[pa.RecordBatch] = []

    def table(self) -> pa.Table:
        """All rows, by time."""
        table = pa.Table.from_batches([fitted(batch, self.types) for batch in self.batches])
        times = table["time"].to_numpy()
        if np.all(times[1:] >= times[:-1]):
            return table
        return table.take(pa.array(np.argsort(times, kind="stable")))

    def part(self, archive: Path, number: int) -> Part:
        """Write it.

        Raises:
            OSError: The disk refuses.
        """
        table = self.table()
        path = part_path(self.endpoint, self.day, self.kind, number)
        meaning = Meaning(self.kind, self.endpoint, tuple(self.columns))
        size = disk.create(archive / path, lambda file: write_table(file, table, meaning))
        first, last = pc.min_max(table["time"]).as_py().values()
        return Part(
            path, self.endpoint, self.day, self.kind, len(table), size, first, last, self.layout, self.types
        )  # fmt: skip


class Sheets:
    """What is not written yet."""

    def __init__(self) -> None:
        self.rows = 0
        self._sheets: dict[tuple[Kind, str, str, str], list[Sheet]] = {}

    def add(self, group: Group | Alike) -> int:
        """Take rows over; how many could not be understood."""
        batches, damaged = batches_of(group)
        for batch in batches:
            self.rows += len(batch)
            for day, some in _by_day(batch):
                self._put(group, day, some)
        return damaged

    def write(self, archive: Path, number: int) -> list[Part]:
        """Write all as parts, beginning with this number, and be empty.

        Raises:
            OSError: The disk refuses.
        """
        sheets = [sheet for some in self._sheets.values() for sheet in some]
        written = [sheet.part(archive, at) for at, sheet in enumerate(sheets, number)]
        self._sheets.clear()
        self.rows = 0
        return written

    def _put(self, group: Group | Alike, day: str, batch: pa.RecordBatch) -> None:
        layout, types = layout_of(group.columns), types_of(batch.schema)
        sheets = self._sheets.setdefault((group.kind, group.endpoint, day, layout), [])
        for sheet in sheets:
            if (both := united(sheet.types, types)) is not None:
                sheet.types = both
                break
        else:
            sheet = Sheet(group.kind, group.endpoint, day, layout, types)
            sheets.append(sheet)
        sheet.batches.append(batch)
        if group.columns is not None:
            sheet.columns[group.columns] = None


def batches_of(group: Group | Alike) -> tuple[list[pa.RecordBatch], int]:
    """The rows of a group as columns, and how many are none that we know, though their frames were whole."""
    if isinstance(group, Alike):
        return [group.batch], 0
    try:
        return [record_batch(group)], 0
    except (pa.ArrowException, ArithmeticError, TypeError, ValueError, FairleadError):
        pass
    found: list[pa.RecordBatch] = []
    for row in group.rows:  # a writer that knew more, or less, than we do: each row by itself
        with contextlib.suppress(pa.ArrowException, ArithmeticError, TypeError, ValueError, FairleadError):
            found.append(_batch_of_one(group, row))
    return found, len(group.rows) - len(found)


def _batch_of_one(group: Group, row: Raw) -> pa.RecordBatch:
    segment.decode(msgspec.msgpack.encode(row))
    return record_batch(Group(group.kind, group.endpoint, group.columns, [row]))


def _by_day(batch: pa.RecordBatch) -> list[tuple[str, Any]]:
    """The batch by the days of its events."""
    times = batch["time"].to_numpy()
    days = np.floor(np.where((times >= 0) & (times < _LATEST), times, 0.0) / DAY)
    if days[0] == days[-1] and (days == days[0]).all():
        return [(day_of(days[0] * DAY), batch)]
    return [(day_of(day * DAY), batch.filter(pa.array(days == day))) for day in np.unique(days)]


def part_path(endpoint: str, day: str, kind: Kind, number: int) -> str:
    """Where a part lies below the archive's folder. A name in the log is a legal one; it is made safe all the same."""
    folder = quote(endpoint, safe="").replace(".", "%2E") if endpoint.startswith(".") else quote(endpoint, safe="")
    return f"{folder or '_'}/{day}/{kind}-{number:08d}.parquet"
