"""Scores a table: `run` reads, answers and writes, and can be killed at any moment.

```
source ─▶ chunk ─▶ [ sort, answer, encode ] ─▶ part ─▶ OUT.partial ─▶ notes ─▶ … ─▶ OUT
 (this thread)      (a thread for each core)     (this thread, in order)
```

A chunk is in memory only while it is between reading and writing, and no more of them are begun than there are threads and a few:
memory does not depend on the length of the table. Everything is written in the order of the input, rows that have no answer into
`OUT.bad.jsonl`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

import msgspec
import numpy as np
import pyarrow as pa

from fairlead.batch.chunk import BadRow, Chunk, Source, Told
from fairlead.batch.model import Model, answer
from fairlead.batch.notes import Notes, drop_notes, read_notes, write_notes
from fairlead.batch.reading import sort_rows
from fairlead.batch.sinks import Sink, open_sink
from fairlead.errors import Conflict, InvalidInput, SchemaMismatch, StorageError
from fairlead.predictor.columnar import Answers
from fairlead.rows import RowReader
from fairlead.schema import Schema, label_text

__all__ = ["Plan", "Summary", "rehearse", "run"]

_CHUNK: Final = 65_536
_REHEARSED: Final = 1000

Report = Callable[[int, int | None], None]
"""Told after each part: rows read so far, and how many there are where that is known."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be done.

    Attributes:
        model: Which version, "flights:3".
        digest: Of its bundle.
        out: Where to.
        columns: Which columns of the input to keep beside the answers; `None` keeps all.
        max_bad: How many bad rows there may be; `None` sets no limit.
        overwrite: Whether to begin anew, whatever was written before.
        threads: How many chunks are answered at once.
        chunk: How many rows are read at once.
    """

    model: str
    digest: str
    out: Path
    columns: tuple[str, ...] | None = None
    max_bad: int | None = None
    overwrite: bool = False
    threads: int = 1
    chunk: int = _CHUNK


class Summary(msgspec.Struct, frozen=True):
    """What became of a run.

    Attributes:
        model: Which version answered.
        out: Where the answers are.
        read: Rows of the input.
        answered: Rows with an answer.
        bad: Rows without.
        bad_file: Where they are told; empty where there are none.
        resumed_at: At which row the run went on; 0 where it began at the beginning.
        unseen: How many entries of each column were not among the categories of the training data.
        seconds: How long it took.
        dry_run: Whether nothing was written.
    """

    model: str
    out: str
    read: int
    answered: int
    bad: int
    bad_file: str
    resumed_at: int
    unseen: dict[str, int]
    seconds: float
    dry_run: bool = False


class _Scored(NamedTuple):
    """One chunk, answered."""

    read: int
    table: Any
    bad: list[BadRow]
    unseen: dict[str, int]


class _Part(NamedTuple):
    """One chunk, ready to be written."""

    read: int
    answered: int
    data: bytes
    bad: list[BadRow]
    unseen: dict[str, int]


def run(source: Source, model: Model, plan: Plan, report: Report) -> Summary:
    """Score a table, or go on with a run that was stopped.

    Args:
        source: The rows.
        model: Answers them.
        plan: What else is to be done.
        report: Is told how far it is.

    Raises:
        SchemaMismatch: The table lacks a column of the model.
        InvalidInput: The input cannot be read or the output cannot hold it, or there are too many bad rows.
        Conflict: The output exists, another run writes it, or a run of something else was not finished there.
        StorageError: The output cannot be written.
    """
    began, schema = time.monotonic(), model.schema
    kept = _kept(source, schema, plan.columns)
    with _Output(plan, _task(source, plan, kept)) as output:
        resumed = output.notes.read
        with contextlib.closing(_parts(source, model, plan, kept, output)) as parts:
            for part in parts:
                output.add(part)
                report(output.notes.read, source.rows)
        output.finish()
        return _summary(plan, output.notes, time.monotonic() - began, resumed_at=resumed)


def rehearse(source: Source, model: Model, plan: Plan) -> Summary:
    """Score the first rows and write nothing; raises as `run` does."""
    began = time.monotonic()
    kept = _kept(source, model.schema, plan.columns)
    open_sink(plan.out)
    chunk = next(source.chunks(0, _REHEARSED), None)
    notes = Notes({})
    if chunk is not None:
        found = _score(chunk, model, RowReader(model.schema), kept)
        notes = Notes({}, found.read, found.table.num_rows, len(found.bad), unseen=found.unseen)
    return msgspec.structs.replace(_summary(plan, notes, time.monotonic() - began), bad_file="", dry_run=True)


def _summary(plan: Plan, notes: Notes, seconds: float, *, resumed_at: int = 0) -> Summary:
    bad_file = str(_beside(plan.out, ".bad.jsonl")) if notes.bad else ""
    return Summary(
        plan.model,
        str(plan.out),
        notes.read,
        notes.answered,
        notes.bad,
        bad_file,
        resumed_at,
        dict(notes.unseen),
        round(seconds, 3),
    )


def _task(source: Source, plan: Plan, kept: Sequence[str]) -> Told:
    """What tells this run from another that may have begun to write here."""
    return {**source.identity(), "digest": plan.digest, "columns": ",".join(kept)}


def _kept(source: Source, schema: Schema, columns: Sequence[str] | None) -> tuple[str, ...]:
    """The input's columns that go along.

    Raises:
        SchemaMismatch: The table lacks a column of the model.
        InvalidInput: It lacks one to keep, or one is called like an answer.
    """
    lacking = [name for name in schema.names if name not in source.names]
    if lacking:
        raise SchemaMismatch(
            f"The table has no column {lacking[0]!r}.",
            hint=f"It has {', '.join(source.names)[:500]}.",
            field=lacking[0],
        )
    kept = tuple(source.names if columns is None else columns)
    unknown = [name for name in kept if name not in source.names]
    if unknown:
        raise InvalidInput(
            f"The table has no column {unknown[0]!r} to keep.", hint=f"It has {', '.join(source.names)[:500]}."
        )
    taken = [name for name in kept if name in _answer_names(schema)]
    if taken:
        raise InvalidInput(
            f"The table's column {taken[0]!r} is called like the answer's.",
            hint="Name the columns to keep with --columns.",
        )
    return kept


def _answer_names(schema: Schema) -> list[str]:
    """The columns of the answers: the prediction, and one probability a class."""
    classes = schema.output.classes if schema.output.probabilities else ()
    return ["prediction", *(f"probability_{label_text(one)}" for one in classes)]


def _parts(source: Source, model: Model, plan: Plan, kept: Sequence[str], output: _Output) -> Generator[_Part]:
    """The parts of the output in order; a few chunks are worked on at once.

    The first part fixes the columns' types, so it is made alone.
    """
    reader = RowReader(model.schema)

    def work(chunk: Chunk) -> _Part:
        return _encoded(_score(chunk, model, reader, kept), output.sink)

    chunks = source.chunks(output.notes.read, plan.chunk)
    if not output.is_begun:
        first = next(chunks, None)
        if first is None:
            return
        yield output.first(_score(first, model, reader, kept))
    with ThreadPoolExecutor(plan.threads, "batch") as threads:
        waiting: deque[Future[_Part]] = deque()
        try:
            for chunk in chunks:
                waiting.append(threads.submit(work, chunk))
                if len(waiting) > plan.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _encoded(scored: _Scored, sink: Sink, *, is_first: bool = False) -> _Part:
    data = sink.part(scored.table, is_first=is_first) if scored.table.num_rows or is_first else b""
    return _Part(scored.read, scored.table.num_rows, data, scored.bad, scored.unseen)


def _score(chunk: Chunk, model: Model, reader: RowReader, kept: Sequence[str]) -> _Scored:
    """Answer one chunk."""
    told = sort_rows(chunk, reader)
    found = answer(model, told)
    bad = [*told.bad, *(BadRow(_number(chunk, at), why) for at, why in found.failed)]
    # pandas' notes on its index are not true of the output.
    table = chunk.table.select(list(kept)).replace_schema_metadata(None)
    if len(found.positions) < table.num_rows:
        table = table.take(pa.array(found.positions))
    for name, entries in _answer_columns(found.answers, model.schema).items():
        table = table.append_column(name, entries)
    return _Scored(chunk.length, table, sorted(bad, key=lambda one: one.row), found.unseen)


def _number(chunk: Chunk, position: int) -> int:
    return chunk.start + position if chunk.numbers is None else chunk.numbers[position]


def _answer_columns(answers: Answers, schema: Schema) -> dict[str, Any]:
    names = _answer_names(schema)
    if schema.output.task == "regression":
        return {names[0]: pa.array(answers.predictions.astype(np.float64))}
    found = {names[0]: pa.array(list(schema.output.classes)).take(pa.array(answers.predictions.astype(np.int64)))}
    for at, name in enumerate(names[1:]):
        shares = np.empty(0) if answers.probabilities is None else answers.probabilities[:, at]
        found[name] = pa.array(np.ascontiguousarray(shares))
    return found


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(out.name + ending)


class _Output:
    """The files of a run: `OUT.partial`, `OUT.bad.jsonl` and the notes; a context that holds a lock on them."""

    def __init__(self, plan: Plan, task: Told) -> None:
        self._plan = plan
        self._out, self._partial = plan.out, _beside(plan.out, ".partial")
        self._bad, self._notes_file = _beside(plan.out, ".bad.jsonl"), _beside(plan.out, ".progress.json")
        self.sink = open_sink(plan.out)
        self.notes = Notes(task)

    def __enter__(self) -> Self:
        if self._out.exists() and not self._plan.overwrite:
            raise Conflict(f"{self._out} exists.", hint="Write somewhere else, or replace it with --overwrite.")
        try:
            # Not "wb": what a killed run has written must not be lost before the notes are read.
            self._file: IO[bytes] = self._partial.open("ab+")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._bad_file: IO[bytes] = self._bad.open("ab")
        except BlockingIOError as err:
            self._file.close()
            raise Conflict(f"Another run is writing {self._out}.", hint="Wait until it has ended.") from err
        except OSError as err:
            raise StorageError(f"{self._partial} cannot be written: {err.strerror}.") from err
        try:
            self._go_on()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._bad_file.close()

    @property
    def is_begun(self) -> bool:
        """Whether there is a part already."""
        return bool(self.notes.parts)

    def first(self, scored: _Scored) -> _Part:
        """The first part."""
        self.sink.begin(scored.table, None)
        return _encoded(scored, self.sink, is_first=True)

    def add(self, part: _Part) -> None:
        """Append a part, and then note it.

        Raises:
            InvalidInput: There are more bad rows than are allowed.
            StorageError: The disk is full.
        """
        before, lines = self.notes, msgspec.json.Encoder().encode_lines(part.bad)
        limit = self._plan.max_bad
        if limit is not None and before.bad + len(part.bad) > limit:
            told = part.bad[limit - before.bad]
            raise InvalidInput(
                f"More than {limit} rows are bad. Row {told.row}: {told.reason}", hint="Allow more with --max-bad."
            )
        self._write(self._file, part.data)
        self._write(self._bad_file, lines)
        self.notes = Notes(
            before.task,
            before.read + part.read,
            before.answered + part.answered,
            before.bad + len(part.bad),
            before.out_bytes + len(part.data),
            before.bad_bytes + len(lines),
            (*before.parts, len(part.data)) if part.data else before.parts,
            dict(Counter(before.unseen) + Counter(part.unseen)),
        )
        write_notes(self._notes_file, self.notes)

    def finish(self) -> None:
        """Make it the output.

        Raises:
            InvalidInput: The input had no row.
        """
        if not self.notes.read:
            for path in (self._partial, self._bad, self._notes_file):
                path.unlink(missing_ok=True)
            raise InvalidInput("The input has no row.")
        self._write(self._file, self.sink.end(self._partial, self.notes.parts))
        self._partial.replace(self._out)
        if not self.notes.bad:
            self._bad.unlink()
        drop_notes(self._notes_file)

    def _go_on(self) -> None:
        """Take up what is there, where it belongs to this very run; cut off what was not finished."""
        if self._plan.overwrite:
            drop_notes(self._notes_file)
        found = read_notes(self._notes_file)
        if found is not None and found.task != self.notes.task:
            raise Conflict(
                f"A run that was not finished left {self._partial.name}, and it is not this one.",
                hint="The input, the version or the columns have changed: begin anew with --overwrite.",
            )
        self.notes = found or self.notes
        for file, length in ((self._file, self.notes.out_bytes), (self._bad_file, self.notes.bad_bytes)):
            if os.fstat(file.fileno()).st_size < length:
                raise StorageError(f"{file.name} is shorter than it was.", hint="Begin anew with --overwrite.")
            file.truncate(length)
        if self.is_begun:
            self._file.seek(0)
            self.sink.begin(None, self._file.read(self.notes.parts[0]))

    def _write(self, file: IO[bytes], data: bytes) -> None:
        if not data:
            return
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError as err:
            raise StorageError(
                f"{file.name} cannot be written: {err.strerror}.", hint="The same command goes on."
            ) from err
