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
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence

import msgspec
from loguru import logger

from fairlead.answer import Answer
from fairlead.errors import DeadlineExceeded, FairleadError, NotFound, Overloaded, PredictionFailed, QueueFull
from fairlead.eventlog.writer import EventLog
from fairlead.events import DARK, Exposure, Prediction
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.predictor import Predictor
from fairlead.routing.choice import NOBODY, Caller, Choice
from fairlead.schema import Row
from fairlead.serving.extremes import too_large
from fairlead.serving.live import LiveEndpoint, LiveVariant
from fairlead.serving.parts import Parts

__all__ = ["Done", "Gateway", "Observe"]

_MAX_BATCH = 128
"""Members answered in one run; more are answered in several, so that the first do not wait for the last."""

_NEVER = float("inf")

Done = Callable[[list[Answer] | FairleadError], None]
"""Told once: the answers, in order, or why there are none."""


Observe = Callable[[LiveVariant, FairleadError | None, int, float], None]
"""Told of every request: who answered, why it failed, how many rows it had, how long it took in seconds."""


class _Member(msgspec.Struct, gc=False):
    """Rows of one request that one variant answers."""

    variant: LiveVariant
    rows: Sequence[Row]
    received: float
    done: Done
    live: LiveEndpoint
    unit: str | None
    exposure: Exposure


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

    @property
    def queued(self) -> int:
        """Rows that wait for models that are too slow for the event loop, or are asked in another process."""
        queues = {id(one.queue): one.queue for live in self.endpoints.values() for one in live.variants}
        return sum(queue.queued for queue in queues.values())

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
        caller: Caller = NOBODY,
        live: LiveEndpoint | None = None,
        received: float | None = None,
        expires: float = _NEVER,
    ) -> list[Answer]:
        """Answer rows, in order.

        Args:
            endpoint: Its name.
            rows: At least one, as the endpoint's reader made them.
            caller: Who asks, as `LiveEndpoint.caller` found it.
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
        self.submit(live or self.endpoint(endpoint), rows, done, start, caller, expires)
        return await future

    def submit(  # noqa: PLR0913, PLR0917 - a request's facts; the hot path passes them by position
        self,
        live: LiveEndpoint,
        rows: Sequence[Row],
        done: Done,
        received: float,
        caller: Caller = NOBODY,
        expires: float = _NEVER,
    ) -> None:
        """Answer rows, and tell `done`.

        Args:
            live: The endpoint.
            rows: At least one, as its reader made them.
            done: Is called once, from the event loop.
            received: When the request was whole, by `time.perf_counter`.
            caller: Who asks, as `LiveEndpoint.caller` found it.
            expires: When the caller stops waiting, by the same clock.
        """
        chooser = live.chooser
        if chooser is None:
            self._admit(_Member(live.stable, rows, received, done, live, None, ""), expires)
        elif chooser.by_row and len(rows) > 1:
            self._divide(live, rows, done, received, caller, expires)
        else:
            try:
                choice = chooser.choose(caller, rows[0])
            except FairleadError as error:
                self.refuse(live, error, received)
                done(error)
                return
            variant, unit = live.variants[choice.variant], choice.unit
            if unit is None and len(rows) > 1 and chooser.divided and not choice.exposure:
                unit = live.ids.make()  # rows of one request are assigned together, so they count as one
            self._admit(_Member(variant, rows, received, done, live, unit, choice.exposure), expires)

    def submit_dark(
        self, live: LiveEndpoint, rows: Sequence[Row], done: Done, received: float, expires: float = _NEVER
    ) -> None:
        """As `submit`, where people decide: recorded as answered in the dark; `done` must tell nobody more than the ids."""
        self._admit(_Member(live.stable, rows, received, done, live, None, DARK), expires)

    def _divide(  # noqa: PLR0913, PLR0917 - as `submit`
        self, live: LiveEndpoint, rows: Sequence[Row], done: Done, received: float, caller: Caller, expires: float
    ) -> None:
        """Answer rows that belong to different keys, each by its own variant."""
        assert live.chooser is not None
        try:
            choices = [live.chooser.choose(caller, row) for row in rows]
        except NotFound as error:
            self.refuse(live, error, received)
            done(error)
            return
        places: dict[Choice, list[int]] = {}
        for place, choice in enumerate(choices):
            places.setdefault(choice, []).append(place)
        parts = Parts(len(rows), list(places.values()), done)
        for number, (choice, members) in enumerate(places.items()):
            part = [rows[place] for place in members]
            variant, told = live.variants[choice.variant], parts.receiver(number)
            self._admit(_Member(variant, part, received, told, live, choice.unit, choice.exposure), expires)

    def _admit(self, member: _Member, expires: float) -> None:
        rows = member.rows
        busy = self.in_flight
        self.in_flight = busy + len(rows)
        if busy and self.in_flight > self._max_in_flight:
            self._fail(member, _too_many_rows(busy))
            return
        if len(rows) <= member.variant.inline_rows:
            if not self._pending:
                asyncio.get_running_loop().call_soon(self._flush)
            self._pending.append(member)
            if expires != _NEVER:
                self._expiring[id(member)] = expires
        else:
            self.start(self._answer_elsewhere(member, expires))

    def refuse(self, live: LiveEndpoint, error: FairleadError, received: float) -> None:
        """Record a request that was refused before it reached a model."""
        self.failed += 1
        stable = live.stable
        if self.observe is not None:
            self.observe(stable, error, 0, time.perf_counter() - received)
        refused = _Member(stable, (), received, _nobody, live, None, "")
        self._record(stable, [self._refusal(refused, error, None)])

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
        first = pending[0].variant
        if len(pending) <= _MAX_BATCH and all(member.variant is first for member in pending):
            self._answer(first, pending)
            return
        groups: dict[int, list[_Member]] = {}
        for member in pending:
            groups.setdefault(id(member.variant), []).append(member)
        for group in groups.values():
            for start in range(0, len(group), _MAX_BATCH):
                self._answer(group[0].variant, group[start : start + _MAX_BATCH])

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

    def _answer(self, variant: LiveVariant, members: list[_Member]) -> None:
        """Run the model here; if it fails for many members, once for each, so that only the guilty one is told."""
        assert isinstance(variant.predictor, Predictor)
        rows = members[0].rows if len(members) == 1 else [row for member in members for row in member.rows]
        try:
            outcomes = variant.predictor.answer(rows)
        except PredictionFailed as err:
            if len(members) == 1:
                self._fail(members[0], err)
                return
            for member in members:
                self._answer(variant, [member])
            return
        except Exception:  # noqa: BLE001 - a bug of ours must not leave callers without an answer
            logger.exception("Answering at {endpoint} failed.", endpoint=variant.endpoint)
            for member in members:
                self._fail(member, PredictionFailed("The model could not answer."))
            return
        self._finish(variant, members, outcomes)

    async def _answer_elsewhere(self, member: _Member, expires: float) -> None:
        patience = min(self._deadline, expires - time.perf_counter())
        try:
            async with asyncio.timeout(patience):
                outcomes = await member.variant.answer(member.rows)
        except TimeoutError:
            error = DeadlineExceeded(f"The model did not answer within {max(0.0, patience):.3g} s.", retry_after=1)
            self._fail(member, error)
        except FairleadError as err:
            self._fail(member, err)
        else:
            self._finish(member.variant, [member], outcomes)

    def _finish(self, variant: LiveVariant, members: list[_Member], outcomes: Sequence[Outcome]) -> None:
        """Record, then tell: an answer that was sent is in the log."""
        now, clock = time.time(), time.perf_counter()
        answers: list[Answer] = []
        predictions: list[Prediction] = []
        endpoint, name, model, labels = variant.endpoint, variant.name, variant.model, variant.labels
        position = 0
        for member in members:
            latency, unit, exposure = clock - member.received, member.unit, member.exposure
            revision, make = member.live.revision, member.live.ids.make
            for row in member.rows:
                prediction, probabilities, flags = (
                    (one := outcomes[position]).prediction,
                    one.probabilities,
                    one.flags,
                )
                position += 1
                identity = make()
                shown = dict(zip(labels, probabilities, strict=True)) if probabilities else None
                answers.append(Answer(prediction, identity, model, shown, flags))
                predictions.append(
                    Prediction(
                        identity, now, endpoint, model, name, unit, "ok", latency, row, prediction, probabilities, flags,
                        revision, exposure,
                    )
                )  # fmt: skip
        self._record(variant, predictions)
        self.answered += position
        self.in_flight -= position
        if self.observe is not None:
            for member in members:
                self.observe(variant, None, len(member.rows), clock - member.received)
        self._tell(members, answers)
        mirror = members[0].live.mirror
        if mirror is not None:
            mirror(predictions)

    def _tell(self, members: list[_Member], answers: list[Answer]) -> None:
        if len(members) == 1:
            members[0].done(answers)
            return
        start = 0
        for member in members:
            end = start + len(member.rows)
            member.done(answers[start:end])
            start = end

    def _fail(self, member: _Member, error: FairleadError) -> None:
        rows = member.rows
        if isinstance(error, PredictionFailed):
            error = too_large(member.variant.schema.names, rows) or error
        self.failed += len(rows)
        self.in_flight -= len(rows)
        if self.observe is not None:
            self.observe(member.variant, error, len(rows), time.perf_counter() - member.received)
        self._record(member.variant, [self._refusal(member, error, row) for row in rows])
        member.done(error)

    def _refusal(self, member: _Member, error: FairleadError, row: Row | None) -> Prediction:
        variant, live = member.variant, member.live
        latency = time.perf_counter() - member.received
        return Prediction(
            live.ids.make(), time.time(), live.name, variant.model, variant.name, member.unit, error.code, latency, row,
            None, None, (), live.revision, member.exposure,
        )  # fmt: skip

    def _record(self, variant: LiveVariant, predictions: list[Prediction]) -> None:
        if self._log is not None:
            conceal = variant.conceal
            self._log.append(variant.columns, predictions if conceal is None else conceal(predictions))


def _nobody(_: list[Answer] | FairleadError) -> None:
    """Nobody waits for this answer."""


def _too_many_rows(busy: int) -> QueueFull:
    """What to tell a caller who is one too many; spread over seconds, so that they do not all come back at once."""
    hint = "Wait for as long as Retry-After says."
    return QueueFull(f"{busy} rows are being answered already.", hint=hint, retry_after=random.randint(1, 3))  # noqa: S311 - jitter
