"""Scores a table: `run` reads, answers and writes, and can be killed at any moment.

```
Source ─▶ chunk ─▶ [ sort, answer, encode ] ─▶ part, mark ─▶ Output
 (this thread)      (a thread for each core)     (this thread, in order)
```

A chunk is in memory only while it is between reading and writing, and no more of them are begun than there are threads and a few:
memory does not depend on the length of the table. Everything is written in the order of the input, rows that have no answer beside it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from fairlead.batch.arrays import arrow_of, texts_of
from fairlead.batch.chunk import BadRow, Chunk, Source, Told
from fairlead.batch.model import Model, answer
from fairlead.batch.output import Output, Progress
from fairlead.batch.reading import sort_rows, spelled_out, typed
from fairlead.errors import InvalidInput, SchemaMismatch
from fairlead.predictor.columnar import Answers
from fairlead.rows import RowReader
from fairlead.schema import Schema, Value, label_text

__all__ = ["Plan", "Summary", "rehearse", "run"]

_REHEARSED: Final = 1000
_FIRST: Final = 8192
"""Rows of the first part."""

_AHEAD: Final = 3
"""Chunks beside those that the threads work on, so that none of them waits while this one writes."""

Report = Callable[[int, int | None], None]
"""Told after each part: rows read so far, and how many there are where that is known."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be done.

    Attributes:
        model: Which version, "flights:3".
        digest: Of its bundle.
        columns: Which columns of the input to keep beside the answers; `None` keeps all.
        max_bad: How many bad rows there may be; `None` sets no limit.
        threads: How many chunks are answered at once.
        chunk: How many rows are read at once; as many as suit the model where it is `None`.
    """

    model: str
    digest: str
    columns: tuple[str, ...] | None = None
    max_bad: int | None = None
    threads: int = 1
    chunk: int | None = None


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
    """One chunk, ready to be written; `data` is `None` where it has no answer."""

    read: int
    answered: int
    data: Any
    bad: list[BadRow]
    unseen: dict[str, int]


class _Scorer(NamedTuple):
    """What turns chunks into parts; may be called from many threads."""

    model: Model
    reader: RowReader
    kept: tuple[str, ...]
    output: Output

    def score(self, chunk: Chunk, *, coded: bool) -> _Scored:
        """Answer one chunk; `coded` says whether texts may be dictionaries in what is written of it."""
        told = sort_rows(chunk, self.reader)
        found = answer(self.model, told)
        bad = [*told.bad, *(BadRow(_number(chunk, at), why) for at, why in found.failed)]
        # pandas' notes on its index are not true of the output.
        table = chunk.table.select(list(self.kept)).replace_schema_metadata(None)
        if chunk.text and not self.output.keeps_text:
            table = typed(table, told, self.model.schema)
        if not coded:
            table = spelled_out(table, chunk.coded)
        if len(found.positions) < table.num_rows:
            table = table.take(arrow_of(found.positions))
        for name, entries in _answer_columns(found.answers, self.model.schema, coded=coded).items():
            table = table.append_column(name, entries)
        return _Scored(chunk.length, table, sorted(bad, key=lambda one: one.row), found.unseen)

    def part(self, chunk: Chunk) -> _Part:
        """Answer one chunk and encode it."""
        scored = self.score(chunk, coded=self.output.keeps_codes)
        data = self.output.encode(scored.table) if scored.table.num_rows else None
        return _Part(scored.read, scored.table.num_rows, data, scored.bad, scored.unseen)

    def first(self, chunk: Chunk) -> _Part:
        """The same for the first part, which fixes the columns' types and is written even if it has no row."""
        scored = self.score(chunk, coded=False)
        self.output.begin(scored.table)
        data = self.output.encode(scored.table, is_first=True)
        return _Part(scored.read, scored.table.num_rows, data, scored.bad, scored.unseen)


def run(source: Source, model: Model, output: Output, plan: Plan, report: Report) -> Summary:
    """Score a table, or go on with a run that was stopped.

    Args:
        source: The rows.
        model: Answers them.
        output: Takes the answers; it is closed at the end.
        plan: What else is to be done.
        report: Is told how far it is.

    Raises:
        SchemaMismatch: The table lacks a column of the model.
        InvalidInput: The input cannot be read or the output cannot hold it, or there are too many bad rows.
        Conflict: The output exists, another run writes it, or a run of something else was not finished there.
        StorageError: The output cannot be written.
    """
    began = time.monotonic()
    with contextlib.closing(output):
        scorer = _scorer(source, model, output, plan)
        progress = output.take_up(_task(source, plan, scorer.kept))
        resumed = progress.read
        with contextlib.closing(_parts(source, scorer, plan, resumed)) as parts:
            for part in parts:
                _check_bad(part, progress, plan.max_bad)
                progress = _after(progress, part)
                output.add(part.data, part.bad, progress)
                report(progress.read, source.rows)
        if not progress.read:
            output.abandon()
            raise InvalidInput("The input has no row.")
        output.finish(progress)
    return _summary(plan, output, progress, time.monotonic() - began, resumed_at=resumed)


def rehearse(source: Source, model: Model, output: Output, plan: Plan) -> Summary:
    """Score the first rows and write nothing; raises as `run` does."""
    began, scorer = time.monotonic(), _scorer(source, model, output, plan)
    progress = Progress()
    with contextlib.closing(source.chunks(0, _REHEARSED)) as chunks:
        chunk = next(chunks, None)
    if chunk is not None:
        progress = _after(progress, scorer.first(chunk))
    found = _summary(plan, output, progress, time.monotonic() - began)
    return msgspec.structs.replace(found, bad_file="", dry_run=True)


def _scorer(source: Source, model: Model, output: Output, plan: Plan) -> _Scorer:
    return _Scorer(model, RowReader(model.schema), _kept(source, model.schema, plan.columns), output)


def _check_bad(part: _Part, before: Progress, limit: int | None) -> None:
    """See that no more rows are bad than are allowed.

    Raises:
        InvalidInput: There are more.
    """
    if limit is not None and before.bad + len(part.bad) > limit:
        told = part.bad[limit - before.bad]
        raise InvalidInput(
            f"More than {limit} rows are bad. Row {told.row}: {told.reason}", hint="Allow more with --max-bad."
        )


def _after(before: Progress, part: _Part) -> Progress:
    return Progress(
        before.read + part.read,
        before.answered + part.answered,
        before.bad + len(part.bad),
        dict(Counter(before.unseen) + Counter(part.unseen)),
    )


def _summary(plan: Plan, output: Output, progress: Progress, seconds: float, *, resumed_at: int = 0) -> Summary:
    return Summary(
        plan.model,
        output.name,
        progress.read,
        progress.answered,
        progress.bad,
        output.bad_name if progress.bad else "",
        resumed_at,
        dict(progress.unseen),
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


def _parts(source: Source, scorer: _Scorer, plan: Plan, start: int) -> Generator[_Part]:
    """The parts of the output in order; a few chunks are worked on at once.

    The first part fixes the columns' types, so it is made alone, and is small: meanwhile the other cores wait.
    """
    with contextlib.closing(source.chunks(start, plan.chunk or scorer.model.chunk)) as chunks:
        rest: list[Chunk] = []
        if not scorer.output.is_begun:
            whole = next(chunks, None)
            if whole is None:
                return
            first, *rest = whole.parted(_FIRST)
            yield scorer.first(first)
        with ThreadPoolExecutor(plan.threads, "batch") as threads:
            waiting: deque[Future[_Part]] = deque()
            try:
                for chunk in chain(rest, chunks):
                    waiting.append(threads.submit(scorer.part, chunk))
                    if len(waiting) >= plan.threads + _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def _number(chunk: Chunk, position: int) -> int:
    return chunk.start + position if chunk.numbers is None else chunk.numbers[position]


def _answer_columns(answers: Answers, schema: Schema, *, coded: bool) -> dict[str, Any]:
    names = _answer_names(schema)
    if schema.output.task == "regression":
        return {names[0]: arrow_of(answers.predictions.astype(np.float64))}
    found = {names[0]: _labels(answers.predictions, schema.output.classes, coded=coded)}
    for at, name in enumerate(names[1:]):
        shares = np.empty(0) if answers.probabilities is None else answers.probabilities[:, at]
        found[name] = arrow_of(shares)
    return found


def _labels(positions: Any, classes: Sequence[Value], *, coded: bool) -> Any:
    """The classes at some positions; texts as a dictionary where they may be one."""
    texts = [one for one in classes if isinstance(one, str)]
    labels = texts_of(texts) if len(texts) == len(classes) else pa.array(list(classes))
    if coded and pa.types.is_string(labels.type):
        return pa.DictionaryArray.from_arrays(arrow_of(positions.astype(np.int32)), labels)
    return labels.take(arrow_of(positions.astype(np.int64)))
