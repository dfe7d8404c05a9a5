"""A gRPC port in this process, with endpoints that do as a test wants: answer late, fail, or say what they were asked."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from fairlead.bundle.manifest import Samples
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.queue import BatchQueue
from fairlead.schema import Column, Output, Schema
from fairlead.serving.doors.tensor_endpoint import TensorEndpoints
from fairlead.serving.gateway import Gateway
from fairlead.serving.grpc.server import GrpcServer
from fairlead.serving.http.request import Limits
from live_endpoints import live_endpoint

SCHEMA = Schema(
    (
        Column("city", "string", nullable=True),
        Column("age", "number", nullable=True),
        Column("visits", "integer"),
        Column("member", "boolean"),
    ),
    Output("regression", target="spending"),
)


class Doubling:
    """Answers `visits * 2`, after `seconds`; raises `error` instead where there is one."""

    def __init__(self, seconds: float = 0.0, error: BaseException | None = None) -> None:
        self.healthy = True
        self.asked = 0
        self.seconds = seconds
        self.error = error
        self.queue = BatchQueue(lambda rows, _: self.ask(rows))
        self.answer = self.queue.answer

    async def ask(self, rows):
        self.asked += len(rows)
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return [Outcome(float(row[2] * 2)) for row in rows]


def endpoint(predictor, name="doubling", schema=SCHEMA):
    return live_endpoint(
        name, model=f"{name}:4", schema=schema, samples=Samples((), ()), predictor=predictor, variant="only"
    )


class Room:
    """The gateway and its port, on a loop in a thread of its own."""

    def __init__(self, port, endpoints, *, limits=None, deadline=10.0, **more):
        self.port = port
        self.failures = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.gateway = None
        self.server = None
        self.run(self._open(endpoints, limits or Limits(), deadline, more))

    def run(self, work, seconds=20):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def stop(self, seconds=5.0):
        """Begin to stop; the future says when it is done."""
        return asyncio.run_coroutine_threadsafe(self.server.stop(seconds), self.loop)

    def close(self):
        self.stop(0.0).result(20)
        for one in self.gateway.endpoints.values():
            self.run(one.stable.queue.close())
        self.run(self.gateway.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()

    async def _open(self, endpoints, limits, deadline, more):
        self.gateway = Gateway(None, deadline=deadline)
        self.gateway.observe = lambda live, error, rows, seconds: error and self.failures.append(error.code)
        self.gateway.swap(1, {one.name: one for one in endpoints})
        self.server = GrpcServer(self.gateway, TensorEndpoints(self.gateway), limits, **more)
        await self.server.start("127.0.0.1", self.port)


@contextlib.contextmanager
def room(port, *endpoints, **more):
    found = Room(port, endpoints, **more)
    try:
        yield found
    finally:
        found.close()
