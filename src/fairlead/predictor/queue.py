"""Batching without waiting: while the model is busy rows gather here, and when it is free it is asked about what is there.

A lone request is asked about at once; under load the batches grow by themselves. Callers who were just answered together
come back together, but not in the same microsecond: after a batch of several the queue lets them, for a small part of what the
model itself took, which pays for itself many times. If a batch fails, its
members are asked about one by one, so that only the guilty one is told. Who has given up meanwhile (a deadline, a client
that left) is taken out before the model runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from loguru import logger

from fairlead.errors import DeadlineExceeded, FairleadError, Overloaded, PredictionFailed, QueueFull
from fairlead.predictor.outcome import Outcome
from fairlead.schema import Row

__all__ = ["Ask", "BatchQueue"]

_GATHER_SHARE = 1 / 32
_GATHER_SECONDS = 0.002
"""How long callers may take to come back: a share of what the model took, and never more than this."""

Ask = Callable[[Sequence[Row], bool], Awaitable[list[Outcome]]]
"""Asks the model about rows; the flag says whether they are one caller's alone, so that a crash is this caller's doing."""


class _Member:
    """One caller's rows and where their outcomes are awaited."""

    __slots__ = ("future", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()


class BatchQueue:
    """The rows that wait for one model.

    Args:
        ask: Asks the model; is never called while a call is under way.
        max_batch: How many rows one call may have; a single caller's may be more.
        max_queued: How many rows may wait.
    """

    def __init__(self, ask: Ask, *, max_batch: int = 256, max_queued: int = 10_000) -> None:
        self.queued = 0
        """Rows that wait."""
        self._ask = ask
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._members: deque[_Member] = deque()
        self._pump: asyncio.Task[None] | None = None

    async def answer(self, rows: Sequence[Row]) -> list[Outcome]:
        """Answer rows, in order, when their turn comes.

        Raises:
            QueueFull: Too many rows wait already.
            PredictionFailed: The model failed on these rows.
            Overloaded: The model cannot be asked.
        """
        if self.queued and self.queued + len(rows) > self._max_queued:
            raise QueueFull(f"{self.queued} rows wait for this model already.", retry_after=1)
        member = _Member(rows)
        self._members.append(member)
        self.queued += len(rows)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work())
        return await member.future

    async def close(self) -> None:
        """Stop; who still waits is told."""
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
        while self._members:
            _fail(self._members.popleft(), _stopping())
        self.queued = 0

    async def _work(self) -> None:
        await asyncio.sleep(0)  # what the same turn of the loop brings in belongs to the first batch
        while self._members:
            batch = self._take()
            if not batch:
                continue
            start = time.monotonic()
            try:
                await self._answer(batch)
            finally:  # whoever was being answered when the queue was closed is told, too
                for member in batch:
                    if not member.future.done():
                        _fail(member, _stopping())
            if len(batch) > 1:
                await asyncio.sleep(min((time.monotonic() - start) * _GATHER_SHARE, _GATHER_SECONDS))

    def _take(self) -> list[_Member]:
        """The members of the next batch; whose caller has given up is left out."""
        batch: list[_Member] = []
        size = 0
        while self._members and (not batch or size + len(self._members[0].rows) <= self._max_batch):
            member = self._members.popleft()
            self.queued -= len(member.rows)
            if not member.future.done():
                batch.append(member)
                size += len(member.rows)
        return batch

    async def _answer(self, batch: list[_Member]) -> None:
        rows = batch[0].rows if len(batch) == 1 else [row for member in batch for row in member.rows]
        try:
            outcomes = await self._ask(rows, len(batch) == 1)
        except FairleadError as err:
            await self._answer_singly(batch, err)
        except Exception:  # noqa: BLE001 - a bug of ours must not leave callers waiting
            logger.exception("Asking a model failed.")
            for member in batch:
                _fail(member, PredictionFailed("The model could not answer."))
        else:
            start = 0
            for member in batch:
                if not member.future.done():
                    member.future.set_result(outcomes[start : start + len(member.rows)])
                start += len(member.rows)

    async def _answer_singly(self, batch: list[_Member], error: FairleadError) -> None:
        """After a failure: tell a lone caller; ask about several one by one, but not those whom time has run out on."""
        if len(batch) == 1 or isinstance(error, DeadlineExceeded):
            for member in batch:
                _fail(member, error)
            return
        for member in batch:
            if not member.future.done():
                await self._answer([member])


def _stopping() -> Overloaded:
    return Overloaded("The service is stopping.", retry_after=1)


def _fail(member: _Member, error: FairleadError) -> None:
    if not member.future.done():
        member.future.set_exception(error)
