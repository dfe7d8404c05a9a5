"""The gateway's side of a worker: asks the process that holds a code format's original.

While the worker is busy, rows queue here; when it is free it is sent what has gathered. If a batch fails, its members are
asked one by one, so that only the guilty one is told. A worker that is gone is waited for and asked once more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
from loguru import logger

from fairlead.errors import DeadlineExceeded, Overloaded, PredictionFailed, QueueFull
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.wire import Ask, Told, read_frame, short_path, write_frame
from fairlead.schema import Row

__all__ = ["Worker", "socket_path"]

_MAX_BATCH_ROWS = 256
_RETRY_SECONDS = 0.05
_START_SECONDS = 60.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Told).decode


def socket_path(run: Path, digest: str) -> Path:
    """Where the worker of a bundle listens."""
    return run / f"worker-{digest[:16]}.sock"


class _Member:
    """One caller's rows and where their outcomes are awaited."""

    __slots__ = ("future", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()


class Worker:
    """Answers by asking a worker process (an `AsyncPredictor`).

    Args:
        path: The process's socket.
        timeout: How long one answer may take, in seconds.
        max_queued: How many rows may wait.
    """

    def __init__(self, path: Path, *, timeout: float = 10.0, max_queued: int = 10_000) -> None:
        self._path = path
        self._timeout = timeout
        self._max_queued = max_queued
        self._queue: deque[_Member] = deque()
        self._queued = 0
        self._pump: asyncio.Task[None] | None = None
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def answer(self, rows: Sequence[Row]) -> list[Outcome]:
        """Answer rows, in order.

        Raises:
            QueueFull: Too many rows wait already.
            PredictionFailed: The model raised on these rows, or killed its process twice.
            DeadlineExceeded: The worker did not answer in time.
        """
        if self._queued and self._queued + len(rows) > self._max_queued:
            raise QueueFull(f"{self._queued} rows wait for this model already.", retry_after=1)
        member = _Member(rows)
        self._queue.append(member)
        self._queued += len(rows)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work())
        return await member.future

    async def answer_when_ready(self, rows: Sequence[Row]) -> list[Outcome]:
        """Answer as soon as the process has started.

        Raises:
            Overloaded: It did not become ready within a minute.
            PredictionFailed: As above.
        """
        await self._connect(_START_SECONDS)
        return await self.answer(rows)

    async def close(self) -> None:
        """Let go of the process."""
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
        self._disconnect()

    async def _work(self) -> None:
        """Ask for what waits until nothing does."""
        while self._queue:
            batch = self._take()
            if batch:
                await self._ask_for(batch)

    def _take(self) -> list[_Member]:
        """The members of the next batch; who has given up meanwhile is left out before the model runs."""
        batch: list[_Member] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].rows) <= _MAX_BATCH_ROWS):
            member = self._queue.popleft()
            self._queued -= len(member.rows)
            if not member.future.done():
                batch.append(member)
                size += len(member.rows)
        return batch

    async def _ask_for(self, batch: list[_Member]) -> None:
        rows = tuple(row for member in batch for row in member.rows)
        try:
            outcomes = await self._ask(rows)
        except (PredictionFailed, Overloaded) as err:
            if len(batch) == 1:
                _fail(batch[0], err)
                return
            for member in batch:
                await self._ask_for([member])
            return
        except Exception:  # noqa: BLE001 - a bug of ours must not leave callers waiting
            logger.exception("Asking a worker failed.")
            for member in batch:
                _fail(member, PredictionFailed("The model could not answer."))
            return
        start = 0
        for member in batch:
            if not member.future.done():
                member.future.set_result(outcomes[start : start + len(member.rows)])
            start += len(member.rows)

    async def _ask(self, rows: tuple[Row, ...]) -> list[Outcome]:
        """Ask, and once more if the process went away in between."""
        question = _encode(Ask(rows))
        for attempt in (1, 2):
            await self._connect(self._timeout)
            assert self._connection is not None
            reader, writer = self._connection
            try:
                async with asyncio.timeout(self._timeout):
                    await write_frame(writer, question)
                    told = _decode(await read_frame(reader))
                break
            except TimeoutError as err:
                self._disconnect()
                raise DeadlineExceeded(f"The model did not answer within {self._timeout:g} s.", retry_after=1) from err
            except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as err:
                self._disconnect()
                if attempt == 2:
                    raise PredictionFailed("The model's process ended twice on this input.") from err
        if told.outcomes is None:
            logger.warning("The model failed: {error}", error=told.error)
            raise PredictionFailed("The model could not answer.")
        return list(told.outcomes)

    async def _connect(self, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while self._connection is None:
            try:
                with short_path(self._path) as name:
                    self._connection = await asyncio.open_unix_connection(name)
            except OSError as err:
                if asyncio.get_running_loop().time() > end:
                    raise Overloaded("The model's process is not ready.", retry_after=1) from err
                await asyncio.sleep(_RETRY_SECONDS)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


def _fail(member: _Member, error: Exception) -> None:
    if not member.future.done():
        member.future.set_exception(error)
