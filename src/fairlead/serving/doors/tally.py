"""What a tensor client did with an endpoint, counted for the statistics extension of the Open Inference Protocol.

Each gateway process counts what came through its own door; the service's figures for operators are its metrics.
"""

from __future__ import annotations

import time

__all__ = ["Tally"]


class Tally:
    """Requests and rows of one endpoint, with their durations in nanoseconds."""

    __slots__ = ("_failed", "_failed_ns", "_last", "_rows", "_succeeded", "_succeeded_ns")

    def __init__(self) -> None:
        self._last = self._rows = 0
        self._succeeded = self._succeeded_ns = 0
        self._failed = self._failed_ns = 0

    def succeeded(self, rows: int, received: float) -> None:
        """Count an answer.

        Args:
            rows: How many.
            received: When the request was whole, by `time.perf_counter`.
        """
        self._last = time.time_ns() // 1_000_000
        self._rows += rows
        self._succeeded += 1
        self._succeeded_ns += int((time.perf_counter() - received) * 1e9)

    def failed(self, received: float) -> None:
        """Count a refusal or a failure."""
        self._failed += 1
        self._failed_ns += int((time.perf_counter() - received) * 1e9)

    def told(self, name: str, version: str) -> dict[str, object]:
        """The figures in Triton's words; what is not measured apart is 0."""
        nothing = {"count": 0, "ns": 0}
        success = {"count": self._succeeded, "ns": self._succeeded_ns}
        return {
            "name": name,
            "version": version,
            "last_inference": self._last,
            "inference_count": self._rows,
            "execution_count": self._succeeded,
            "inference_stats": {
                "success": success,
                "fail": {"count": self._failed, "ns": self._failed_ns},
                "queue": nothing,
                "compute_input": nothing,
                "compute_infer": success,
                "compute_output": nothing,
                "cache_hit": nothing,
                "cache_miss": nothing,
            },
            "response_stats": {},
            "batch_stats": [],
            "memory_usage": [],
        }
