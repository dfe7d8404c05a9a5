"""Ray Serve: one replica with `serve.batch`.

`python -m peers.ray_server 8000`. Ray lets a replica have five requests at a time unless it is told otherwise, and its documentation says to
raise that above the size of a batch.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from peers.joblib_model import Pipeline


@serve.deployment(num_replicas=1, max_ongoing_requests=128)
class Flights:
    """Batches of up to 64, gathered for 5 ms at most."""

    def __init__(self) -> None:
        self._pipeline = Pipeline()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.005)
    async def predict(self, flights: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer a batch."""
        return self._pipeline.answers(flights)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer one request."""
        return await self.predict(await request.json())


def main() -> None:
    """Serve until SIGTERM."""
    # Two slots for one core: the proxy takes none, the controller takes none, and Ray counts before it schedules.
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Flights.bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
