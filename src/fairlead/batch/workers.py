"""An original's worker processes: as many as there are cores, each asked by one thread at a time, and replaced where one has ended."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, LifoQueue

from fairlead.errors import PredictionFailed
from fairlead.predictor.local import LocalWorker
from fairlead.predictor.outcome import Outcome
from fairlead.schema import Row

__all__ = ["Workers"]


class Workers:
    """Answers rows; may be called from many threads, of which those beyond the number of processes wait.

    Args:
        start: Starts a process and waits until it is ready.
        count: How many there may be, at least one. The first is started at once, the others where they are needed.

    Raises:
        PredictionFailed: The first ended before it was ready.
    """

    def __init__(self, start: Callable[[], LocalWorker], count: int) -> None:
        self._start = start
        # The one that was used last is asked first, so that no more are started than are busy at once.
        self._idle: LifoQueue[LocalWorker | None] = LifoQueue()
        for _ in range(count - 1):
            self._idle.put(None)
        self._idle.put(start())

    def answer(self, rows: list[Row]) -> list[Outcome]:
        """Answer rows, in order.

        A single row whose process ends is asked once more, of another: something else may have ended the process. Of many
        rows the caller asks again anyhow, by halves.

        Raises:
            PredictionFailed: The model raised, or its process ended.
            DeadlineExceeded: It did not answer in time.
        """
        worker = self._idle.get()
        try:
            worker = self._alive(worker)
            try:
                return worker.answer(rows)
            except PredictionFailed:
                if worker.alive or len(rows) > 1:
                    raise
                worker = self._alive(worker)
                return worker.answer(rows)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes; none may be in use."""
        while True:
            try:
                worker = self._idle.get_nowait()
            except Empty:
                return
            if worker is not None:
                worker.close()

    def _alive(self, worker: LocalWorker | None) -> LocalWorker:
        if worker is not None and worker.alive:
            return worker
        if worker is not None:
            worker.close()
        return self._start()
