"""The room behind every door: the live endpoints, and how rows of theirs are answered and recorded.

Rows that arrive while the event loop is reading sockets are answered together: one run of the model, one write to the event
log, then each caller's answer. Nobody waits for company, since the batch is what one turn of the loop brought in.

```
 submit ─▶ pending ──end of the loop's turn──▶ model ─▶ event log ─▶ every caller's `done`
    └──── too slow for the loop: a thread, or a worker process ───────▲
```
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from itertools import count

from loguru import logger

from fairlead.answer import Answer
from fairlead.bundle.manifest import Road, Samples
from fairlead.errors import DeadlineExceeded, FairleadError, NotFound, Overloaded, PredictionFailed, QueueFull
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Prediction
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.predictor import AsyncPredictor, Predictor
from fairlead.predictor.queue import BatchQueue
from fairlead.rows import RowReader
from fairlead.schema import Row, Schema, label_text

__all__ = ["Done", "Gateway", "LiveEndpoint", "Observe"]

_MAX_BATCH = 128
"""Members answered in one run; more are answered in several, so that the first do not wait for the last."""

_INLINE_SECONDS = 0.001
"""A run that takes longer than this leaves the event loop to a thread."""


_NEVER = float("inf")

Done = Callable[[list[Answer] | FairleadError], None]
"""Told once: the answers, in order, or why there are none."""


class LiveEndpoint:
    """An endpoint that is loaded, warmed up and ready to answer."""

    def __init__(  # noqa: PLR0913 - what a loaded version consists of, put together in one place
        self,
        *,
        name: str,
        variant: str,
        model: str,
        digest: str,
        road: Road,
        schema: Schema,
        samples: Samples,
        predictor: Predictor | AsyncPredictor,
        seconds_per_row: float,
        max_rows: int,
    ) -> None:
        self.name = name
        self.variant = variant
        self.model = model
        self.digest = digest
        self.road = road
        self.schema = schema
        self.samples = samples
        self.predictor = predictor
        self.reader = RowReader(schema, max_rows=max_rows)
        self.columns = Columns(model, digest, schema.names, schema.output.classes)
        self.labels = tuple(label_text(one) for one in schema.output.classes)
        self.inline_rows = 0
        self.queue: BatchQueue
        """What waits for a model that is too slow for the event loop, or is asked in another process."""
        self.answer: Callable[[Sequence[Row]], Awaitable[list[Outcome]]]
        """Answers rows that way."""
        if isinstance(predictor, Predictor):
            self.inline_rows = int(_INLINE_SECONDS / max(seconds_per_row, 1e-9))
            self.queue = BatchQueue(lambda rows, _: asyncio.to_thread(predictor.answer, rows))
            self.answer = self.queue.answer
        else:
            self.queue = predictor.queue
            self.answer = predictor.answer

    @property
    def healthy(self) -> bool:
        """Whether it answers; a compiled version always does, a worker may be gone."""
        return isinstance(self.predictor, Predictor) or self.predictor.healthy


Observe = Callable[[LiveEndpoint, FairleadError | None, int, float], None]
"""Told of every request: where, why it failed, how many rows it had, how long it took in seconds."""

_Member = tuple[LiveEndpoint, Sequence[Row], float, str | None, Done]


class Gateway:
    """Answers rows at the live endpoints.

    Args:
        log: Where answers are recorded; `None` records nothing.
        deadline: How long a request may take, in seconds.
        max_in_flight: How many rows may be answered at a time; a single request may always have more.
    """

    def __init__(self, log: EventLog | None, *, deadline: float = 10.0, max_in_flight: int = 20_000) -> None:
        self.endpoints: Mapping[str, LiveEndpoint] = {}
        self.revision = -1
        self.answered = 0
        self.failed = 0
        self.in_flight = 0
        """Rows that are being answered."""
        self.observe: Observe | None = None
        self._log = log
        self._deadline = deadline
        self._max_in_flight = max_in_flight
        self._expiring: dict[int, float] = {}  # when the callers of pending members stop waiting, by identity
        self._pending: list[_Member] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._prefix = f"{time.time_ns() // 1_000_000:x}{os.urandom(5).hex()}"
        self._counter = count(1)

    def swap(self, revision: int, endpoints: Mapping[str, LiveEndpoint]) -> None:
        """Serve these endpoints from now on; requests in flight finish on the ones they began with."""
        self.endpoints = endpoints
        self.revision = revision

    def endpoint(self, name: str) -> LiveEndpoint:
        """The live endpoint of this name.

        Raises:
            NotFound: There is none.
            Overloaded: Nothing is loaded yet.
        """
        found = self.endpoints.get(name)
        if found is None:
            raise self.unknown(name)
        return found

    def unknown(self, name: str) -> FairleadError:
        """What to tell a caller who asked for an endpoint that does not exist, or may not have been loaded yet."""
        if self.revision < 0:
            return Overloaded("Nothing is loaded yet.", hint="Ask again in a second.", retry_after=1)
        hint = "GET / lists the endpoints." if self.endpoints else "`fairlead deploy MODEL:VERSION` makes one."
        return NotFound(f"There is no endpoint {name[:64]!r}.", hint=hint)

    async def predict(  # noqa: PLR0913 - as `submit`
        self,
        endpoint: str,
        rows: Sequence[Row],
        *,
        key: str | None = None,
        live: LiveEndpoint | None = None,
        received: float | None = None,
        expires: float = _NEVER,
    ) -> list[Answer]:
        """Answer rows, in order.

        Args:
            endpoint: Its name.
            rows: At least one, as the endpoint's reader made them.
            key: What the caller is assigned by.
            live: The very endpoint whose reader made the rows, where it may have been swapped meanwhile.
            received: When the request was whole, by `time.perf_counter`; now where it is `None`.
            expires: When the caller stops waiting, by the same clock.

        Raises:
            NotFound: There is no such endpoint.
            Overloaded: There is too much work, or the deadline passed.
            PredictionFailed: The model failed.
        """
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()

        def done(found: list[Answer] | FairleadError) -> None:
            if future.done():
                return
            if isinstance(found, FairleadError):
                future.set_exception(found)
            else:
                future.set_result(found)

        start = time.perf_counter() if received is None else received
        self.submit(live or self.endpoint(endpoint), rows, done, start, key, expires)
        return await future

    def submit(  # noqa: PLR0913, PLR0917 - a request's facts; the hot path passes them by position
        self,
        live: LiveEndpoint,
        rows: Sequence[Row],
        done: Done,
        received: float,
        key: str | None = None,
        expires: float = _NEVER,
    ) -> None:
        """Answer rows, and tell `done`.

        Args:
            live: The endpoint.
            rows: At least one, as its reader made them.
            done: Is called once, from the event loop.
            received: When the request was whole, by `time.perf_counter`.
            key: What the caller is assigned by.
            expires: When the caller stops waiting, by the same clock.
        """
        member = (live, rows, received, key, done)
        busy = self.in_flight
        self.in_flight = busy + len(rows)
        if busy and self.in_flight > self._max_in_flight:
            self._fail(member, _too_many_rows(busy))
            return
        if len(rows) <= live.inline_rows:
            if not self._pending:
                asyncio.get_running_loop().call_soon(self._flush)
            self._pending.append(member)
            if expires != _NEVER:
                self._expiring[id(member)] = expires
        else:
            self.start(self._answer_elsewhere(member, expires))

    def refuse(self, live: LiveEndpoint, error: FairleadError, received: float, key: str | None = None) -> None:
        """Record a request that was refused before it reached the model."""
        self.failed += 1
        if self.observe is not None:
            self.observe(live, error, 0, time.perf_counter() - received)
        self._record(live, [self._refusal(live, error, received, key, None)])

    async def close(self) -> None:
        """Wait for what is being answered elsewhere."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run work in the background; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if self._expiring and not (pending := self._unexpired(pending)):
            return
        first = pending[0][0]
        if len(pending) <= _MAX_BATCH and all(member[0] is first for member in pending):
            self._answer(first, pending)
            return
        groups: dict[int, list[_Member]] = {}
        for member in pending:
            groups.setdefault(id(member[0]), []).append(member)
        for group in groups.values():
            for start in range(0, len(group), _MAX_BATCH):
                self._answer(group[0][0], group[start : start + _MAX_BATCH])

    def _unexpired(self, pending: list[_Member]) -> list[_Member]:
        """Those whose callers still wait; the others are told so, and cost the model nothing."""
        expiring, self._expiring = self._expiring, {}
        now, kept = time.perf_counter(), []
        for member in pending:
            if expiring.get(id(member), _NEVER) > now:
                kept.append(member)
            else:
                self._fail(member, DeadlineExceeded("The time that the caller waits was over before the model ran."))
        return kept

    def _answer(self, live: LiveEndpoint, members: list[_Member]) -> None:
        """Run the model here; if it fails for many members, once for each, so that only the guilty one is told."""
        assert isinstance(live.predictor, Predictor)
        rows = members[0][1] if len(members) == 1 else [row for member in members for row in member[1]]
        try:
            outcomes = live.predictor.answer(rows)
        except PredictionFailed as err:
            if len(members) == 1:
                self._fail(members[0], err)
                return
            for member in members:
                self._answer(live, [member])
            return
        except Exception:  # noqa: BLE001 - a bug of ours must not leave callers without an answer
            logger.exception("Answering at {endpoint} failed.", endpoint=live.name)
            for member in members:
                self._fail(member, PredictionFailed("The model could not answer."))
            return
        self._finish(live, members, outcomes)

    async def _answer_elsewhere(self, member: _Member, expires: float) -> None:
        live, rows, *_ = member
        patience = min(self._deadline, expires - time.perf_counter())
        try:
            async with asyncio.timeout(patience):
                outcomes = await live.answer(rows)
        except TimeoutError:
            error = DeadlineExceeded(f"The model did not answer within {max(0.0, patience):.3g} s.", retry_after=1)
            self._fail(member, error)
        except FairleadError as err:
            self._fail(member, err)
        else:
            self._finish(live, [member], outcomes)

    def _finish(self, live: LiveEndpoint, members: list[_Member], outcomes: Sequence[Outcome]) -> None:
        """Record, then tell: an answer that was sent is in the log."""
        now, clock = time.time(), time.perf_counter()
        answers, predictions = [], []
        name, variant, model, labels = live.name, live.variant, live.model, live.labels
        position = 0
        for _, rows, received, key, _ in members:
            latency = clock - received
            for row in rows:
                prediction, probabilities, flags = (
                    (one := outcomes[position]).prediction,
                    one.probabilities,
                    one.flags,
                )
                position += 1
                identity = f"{self._prefix}-{next(self._counter):x}"
                shown = dict(zip(labels, probabilities, strict=True)) if probabilities else None
                answers.append(Answer(prediction, identity, model, shown, flags))
                predictions.append(
                    Prediction(
                        identity, now, name, model, variant, key, "ok", latency, row, prediction, probabilities, flags
                    )
                )
        self._record(live, predictions)
        self.answered += position
        self.in_flight -= position
        if self.observe is not None:
            for _, rows, received, _, _ in members:
                self.observe(live, None, len(rows), clock - received)
        if len(members) == 1:
            members[0][4](answers)
            return
        start = 0
        for _, rows, _, _, done in members:
            done(answers[start : start + len(rows)])
            start += len(rows)

    def _fail(self, member: _Member, error: FairleadError) -> None:
        live, rows, received, key, done = member
        self.failed += len(rows)
        self.in_flight -= len(rows)
        if self.observe is not None:
            self.observe(live, error, len(rows), time.perf_counter() - received)
        self._record(live, [self._refusal(live, error, received, key, row) for row in rows])
        done(error)

    def _refusal(
        self, live: LiveEndpoint, error: FairleadError, received: float, key: str | None, row: Row | None
    ) -> Prediction:
        identity = f"{self._prefix}-{next(self._counter):x}"
        latency = time.perf_counter() - received
        return Prediction(
            identity, time.time(), live.name, live.model, live.variant, key, error.code, latency, row, None, None, ()
        )

    def _record(self, live: LiveEndpoint, predictions: list[Prediction]) -> None:
        if self._log is not None:
            self._log.append(live.columns, predictions)


def _too_many_rows(busy: int) -> QueueFull:
    """What to tell a caller who is one too many; spread over seconds, so that they do not all come back at once."""
    hint = "Wait for as long as Retry-After says."
    return QueueFull(f"{busy} rows are being answered already.", hint=hint, retry_after=random.randint(1, 3))  # noqa: S311 - jitter
