"""What it means to answer for one version. Two kinds exist, because only one of them may hold up the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fairlead.predictor.compiled import CompiledPredictor
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.queue import BatchQueue
from fairlead.schema import Row

__all__ = ["AsyncPredictor", "Predictor"]

Predictor = CompiledPredictor
"""Answers at once, in this process, and is safe to call from a thread."""


@runtime_checkable
class AsyncPredictor(Protocol):
    """Answers by asking another process.

    Attributes:
        healthy: Whether that process can be reached; at most a second old.
        queue: What waits for it.
    """

    healthy: bool
    queue: BatchQueue

    async def answer(self, rows: Sequence[Row]) -> list[Outcome]:
        """Answer rows, in order.

        Raises:
            PredictionFailed: The model failed on these rows.
            Overloaded: The process is gone or has too much to do.
        """
        ...
