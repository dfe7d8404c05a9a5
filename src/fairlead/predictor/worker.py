"""The gateway's side of a worker: asks the process that holds a code format's original.

The process may end at any time. It is asked once more when it is back; an input that ends it twice is remembered and refused
from then on; and a model whose process ends again and again is left alone for a while (the breaker), so that its callers are
told at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
from loguru import logger

from fairlead.errors import Overloaded, PredictionFailed
from fairlead.predictor.channel import Channel, Ended
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.queue import BatchQueue
from fairlead.predictor.wire import Ask, Told
from fairlead.schema import Row

__all__ = ["Worker", "shadow_path", "socket_path"]

_START_SECONDS = 60.0
_WATCH_SECONDS = 0.25
_BREAKER_CRASHES = 5
_BREAKER_WINDOW = 60.0
_BREAKER_SECONDS = 10.0
_POISON = 2
_MAX_BLAMED = 10_000
_encode = msgspec.msgpack.Encoder().encode


def socket_path(run: Path, digest: str) -> Path:
    """Where the worker of a bundle listens."""
    return run / f"worker-{digest[:16]}.sock"


def shadow_path(run: Path, digest: str) -> Path:
    """Where a bundle's process listens that is asked as a shadow."""
    return run / f"shadow-{digest[:16]}.sock"


class Worker:
    """Answers by asking a worker process (an `AsyncPredictor`).

    Args:
        path: The process's socket.
        timeout: How long one answer may take, in seconds.
        max_queued: How many rows may wait.
    """

    def __init__(self, path: Path, *, timeout: float = 10.0, max_queued: int = 10_000) -> None:
        self.healthy = False
        """Whether the process can be reached and is not left alone; at most a second old."""
        self.queue = BatchQueue(self._ask, max_queued=max_queued)
        self._timeout = timeout
        self._channel = Channel(path)
        self._ended_by: dict[bytes, int] = {}  # how often a lone caller's rows ended the process
        self._crashed_pid = 0
        self._crashes: deque[float] = deque(maxlen=_BREAKER_CRASHES)
        self._open_until = 0.0
        self._watcher: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()  # who holds it may use the connection

    async def answer(self, rows: Sequence[Row]) -> list[Outcome]:
        """Answer rows, in order.

        Raises:
            QueueFull: Too many rows wait already.
            PredictionFailed: The model raised on these rows, or they have ended its process twice.
            DeadlineExceeded: It did not answer in time.
            Overloaded: The process is not there, or ends again and again.
        """
        if self._ended_by and self._ended_by.get(_fingerprint(rows), 0) >= _POISON:
            raise PredictionFailed("This input has ended the model's process twice; it is not asked again.")
        self._check_breaker()
        return await self.queue.answer(rows)

    async def answer_when_ready(self, rows: Sequence[Row]) -> list[Outcome]:
        """Answer as soon as the process has started, and keep an eye on it from then on.

        Raises:
            Overloaded: It did not become ready within a minute.
            PredictionFailed: As above.
        """
        async with self._busy:
            await self._connect(_START_SECONDS)
        outcomes = await self.queue.answer(rows)
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        return outcomes

    async def close(self) -> None:
        """Let go of the process."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self.queue.close()
        self._disconnect()

    async def _ask(self, rows: Sequence[Row], alone: bool) -> list[Outcome]:  # noqa: FBT001 - `queue.Ask`'s signature
        """Ask; where the process ends over one caller's rows, once more, and remember them if it ends again."""
        question = _encode(Ask(tuple(rows)))
        for last in (False, True):
            try:
                async with self._busy:
                    told = await self._exchange(question)
                break
            except Ended as err:
                self._note_crash()
                if not alone:
                    raise PredictionFailed("The model's process ended.") from err
                if self._blame(rows) >= _POISON or last:
                    raise PredictionFailed("The model's process ended twice on this input.") from err
        if told.outcomes is None:
            logger.warning("The model failed: {error}", error=told.error)
            raise PredictionFailed("The model could not answer.")
        return list(told.outcomes)

    async def _exchange(self, question: bytes) -> Told:
        await self._connect(self._timeout)
        try:
            return await self._channel.ask(question, self._timeout)
        finally:
            if not self._channel.open:
                self.healthy = False

    async def _connect(self, seconds: float) -> None:
        if not self._channel.open or self._channel.lost:
            self.healthy = False
        await self._channel.connect(seconds)
        self.healthy = time.monotonic() >= self._open_until

    def _disconnect(self) -> None:
        self.healthy = False
        self._channel.close()

    async def _watch(self) -> None:
        """Notice between requests that the process has gone, and that it is back."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._busy.locked():
                continue
            async with self._busy:
                if self._channel.lost:
                    self._note_crash()
                    self._disconnect()
                with contextlib.suppress(Overloaded):
                    await self._connect(0.0)

    def _note_crash(self) -> None:
        if self._channel.pid == self._crashed_pid:
            return  # noticed already, by who asked or by the watcher
        self._crashed_pid = self._channel.pid
        now = time.monotonic()
        self._crashes.append(now)
        if len(self._crashes) == _BREAKER_CRASHES and now - self._crashes[0] < _BREAKER_WINDOW:
            self._open_until = now + _BREAKER_SECONDS
            self._crashes.clear()
            logger.error("The model's process ended {n} times in a minute; it is left alone.", n=_BREAKER_CRASHES)

    def _check_breaker(self) -> None:
        left = self._open_until - time.monotonic()
        if left > 0:
            raise Overloaded("The model's process ends again and again; it is left alone for now.", retry_after=left)

    def _blame(self, rows: Sequence[Row]) -> int:
        """Note that these rows, asked about alone, ended the process; return how often they have."""
        key = _fingerprint(rows)
        count = self._ended_by.pop(key, 0) + 1
        if len(self._ended_by) >= _MAX_BLAMED:
            self._ended_by.pop(next(iter(self._ended_by)))
        self._ended_by[key] = count
        return count


def _fingerprint(rows: Sequence[Row]) -> bytes:
    return blake2b(_encode(tuple(rows)), digest_size=16).digest()
