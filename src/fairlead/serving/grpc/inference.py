"""The Open Inference Protocol's calls, with Triton's extensions that make sense for tables. It translates; the room answers.

A model of the protocol is an endpoint, and its version is the number of the version that answers there now: a client that
names another is told that it is not here. Loading and unloading are the operator's, so this door refuses them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from typing import Any, Final, Literal, NamedTuple

from loguru import logger

from fairlead.answer import Answer
from fairlead.errors import DeadlineExceeded, FairleadError, Forbidden, InvalidInput, NotFound, Overloaded
from fairlead.schema import Row
from fairlead.serving.gateway import Gateway, LiveEndpoint
from fairlead.serving.grpc.contents import read_inputs, write_outputs
from fairlead.serving.grpc.messages import message, reader_of
from fairlead.serving.grpc.status import told
from fairlead.serving.problems import unexpected
from fairlead.serving.tensors import TensorReader, TensorSpec, TensorWriter

__all__ = ["Inference", "Sized", "read_sized"]

_EXTENSIONS: Final = ("binary_tensor_data", "model_repository", "statistics", "model_configuration")
_LARGE: Final = 64 * 1024
"""A longer request is read, and its reply written, in a thread."""

_ServerLive: Final = message("inference.ServerLiveResponse")
_ServerReady: Final = message("inference.ServerReadyResponse")
_ModelReady: Final = message("inference.ModelReadyResponse")
_ServerMetadata: Final = message("inference.ServerMetadataResponse")
_ModelMetadata: Final = message("inference.ModelMetadataResponse")
_Infer: Final = message("inference.ModelInferResponse")
_StreamInfer: Final = message("inference.ModelStreamInferResponse")
_Config: Final = message("inference.ModelConfigResponse")
_Statistics: Final = message("inference.ModelStatisticsResponse")
_Index: Final = message("inference.RepositoryIndexResponse")

_parse: Final = reader_of(message("inference.ModelInferRequest"))


class Sized(NamedTuple):
    """A `ModelInferRequest`, `None` where the bytes are none, and how many bytes it was."""

    request: Any
    size: int


def read_sized(data: bytes) -> Sized:
    """Read the bytes of a `ModelInferRequest`."""
    return Sized(_parse(data), len(data))


class _Served:
    """An endpoint as tensor clients see it, and what was counted of them."""

    def __init__(self, live: LiveEndpoint) -> None:
        self.live = live
        self.version = live.model.rpartition(":")[2]
        self.reader = TensorReader(live.reader)
        self.writer = TensorWriter(live.schema)
        self.last, self.rows = 0, 0
        self.good, self.good_ns, self.bad, self.bad_ns = 0, 0, 0, 0

    def succeeded(self, rows: int, seconds: float) -> None:
        self.last = time.time_ns() // 1_000_000
        self.rows += rows
        self.good += 1
        self.good_ns += int(seconds * 1e9)

    def failed(self, seconds: float) -> None:
        self.bad += 1
        self.bad_ns += int(seconds * 1e9)


class Inference:
    """Answers `inference.GRPCInferenceService`; every method is one call of it.

    Args:
        gateway: Answers rows.
        stopping: Is set when the service stops.
    """

    def __init__(self, gateway: Gateway, stopping: asyncio.Event) -> None:
        self._gateway = gateway
        self._stopping = stopping
        self._served: dict[str, _Served] = {}

    # -- health and metadata ---------------------------------------------------------------------------------------

    async def server_live(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - a handler's signature
        """This process lives."""
        return _ServerLive(live=True)

    async def server_ready(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - as above
        """Whether this process may be sent calls."""
        return _ServerReady(ready=self._ready)

    async def model_ready(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - as above
        """Whether an endpoint answers, with this version where one is named."""
        try:
            self._find(request.name, request.version)
        except NotFound:
            return _ModelReady(ready=False)
        return _ModelReady(ready=self._ready)

    async def server_metadata(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - as above
        """Name, version, extensions."""
        return _ServerMetadata(name="fairlead", version=version("fairlead"), extensions=_EXTENSIONS)

    async def model_metadata(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - as above
        """What an endpoint takes and gives.

        Raises:
            NotFound: There is no such endpoint, or another version answers there.
        """
        served = self._find(request.name, request.version)
        return _ModelMetadata(
            name=served.live.name,
            versions=[served.version],
            platform="fairlead",
            inputs=[one._asdict() for one in served.reader.specs],
            outputs=[one._asdict() for one in served.writer.specs],
        )

    async def model_config(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - as above
        """The same as Triton's configuration has it, for tools that make load from it.

        Raises:
            NotFound: As `model_metadata`.
        """
        served = self._find(request.name, request.version)
        columns = len(served.live.schema.columns)
        inputs = [_dimensions(one) | {"optional": place >= columns} for place, one in enumerate(served.reader.specs)]
        config = {
            "name": served.live.name,
            "platform": "fairlead",
            "backend": "fairlead",
            "max_batch_size": min(served.live.reader.max_rows, 2**31 - 1),
            "input": inputs,
            "output": [_dimensions(one) for one in served.writer.specs],
        }
        return _Config(config=config)

    # -- infer -----------------------------------------------------------------------------------------------------

    async def model_infer(self, sized: Sized, context: Any) -> Any:
        """Answer rows.

        Raises:
            InvalidInput: The tensors cannot be read; `SchemaMismatch` where they do not fit the model.
            NotFound: As `model_metadata`.
            Overloaded: There is too much work, or the deadline passed.
            PredictionFailed: The model failed.
        """
        remaining = context.time_remaining()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceeded("The call arrived after its deadline.")
        return await self._infer(sized)

    async def model_stream_infer(self, requests: AsyncIterator[Sized], context: Any) -> AsyncIterator[Any]:  # noqa: ARG002 - as above
        """Answer each request of a stream in its turn; one that fails is told so, and the stream goes on.

        Raises:
            Overloaded: The service stops; what was sent before is answered.
        """
        coming = aiter(requests)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            while (sized := await _next(coming, stop)) is not None:
                yield await self._infer_of_stream(sized)
        finally:
            stop.cancel()

    async def _infer_of_stream(self, sized: Sized) -> Any:
        try:
            reply = await self._infer(sized)
        except FairleadError as error:
            return _refused(sized, error)
        except Exception:  # noqa: BLE001 - a bug of ours must not end the stream of others' requests
            logger.exception("A request of a stream failed.")
            return _refused(sized, unexpected())
        if sized.request.parameters["triton_enable_empty_final_response"].bool_param:
            reply.parameters["triton_final_response"].bool_param = True
        return _StreamInfer(infer_response=reply)

    async def _infer(self, sized: Sized) -> Any:
        received = time.perf_counter()
        request, size = sized
        if request is None:
            raise InvalidInput("The message is no ModelInferRequest.")
        served = self._find(request.model_name, request.model_version)
        large = size > _LARGE
        try:
            specs, rows = await asyncio.to_thread(_read, served, request) if large else _read(served, request)
        except FairleadError as error:
            served.failed(time.perf_counter() - received)
            self._gateway.refuse(served.live, error, received)
            raise
        try:
            answers = await self._gateway.predict(served.live.name, rows, live=served.live, received=received)
        except BaseException:  # a caller that left counts as well
            served.failed(time.perf_counter() - received)
            raise
        reply = (
            await asyncio.to_thread(_reply, served, request, answers, specs)
            if large
            else _reply(served, request, answers, specs)
        )
        served.succeeded(len(rows), time.perf_counter() - received)
        return reply

    # -- statistics and repository ---------------------------------------------------------------------------------

    async def model_statistics(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - as above
        """What this process answered by gRPC since the version went live: of one endpoint, or of all.

        Raises:
            NotFound: As `model_metadata`.
        """
        if request.name:
            return _Statistics(model_stats=[_counted(self._find(request.name, request.version))])
        return _Statistics(model_stats=[_counted(self._find(name, "")) for name in sorted(self._gateway.endpoints)])

    async def repository_index(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - as above
        """The endpoints; all of them are ready, for one that is not is not live."""
        found = [self._find(name, "") for name in sorted(self._gateway.endpoints)]
        return _Index(models=[{"name": one.live.name, "version": one.version, "state": "READY"} for one in found])

    async def repository_change(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - as above
        """Refuse to load or unload.

        Raises:
            Forbidden: Always.
        """
        raise Forbidden(
            "What is served is not changed through this port.",
            hint="The operator does: `fairlead deploy MODEL:VERSION`.",
        )

    # -- all of them -----------------------------------------------------------------------------------------------

    @property
    def _ready(self) -> bool:
        return self._gateway.revision >= 0 and not self._stopping.is_set()

    def _find(self, name: str, version: str) -> _Served:
        """The endpoint of this name.

        Raises:
            NotFound: There is none, or another version answers there.
        """
        live = self._gateway.endpoint(name)
        served = self._served.get(name)
        if served is None or served.live is not live:
            served = self._served[name] = _Served(live)
        if version and version != served.version:
            raise NotFound(
                f"Version {version[:20]!r} of {name!r} does not answer here.",
                hint=f"The live one is {served.version}; without a version, the live one is asked.",
            )
        return served


def _read(served: _Served, request: Any) -> tuple[Sequence[TensorSpec], list[Row]]:
    """What is asked for, and the rows."""
    specs = served.writer.check([one.name for one in request.outputs])
    return specs, served.reader.read(read_inputs(request))


def _reply(served: _Served, request: Any, answers: list[Answer], specs: Sequence[TensorSpec]) -> Any:
    reply = _Infer(model_name=served.live.name, model_version=served.version, id=request.id)
    write_outputs(reply, served.writer.write(answers, specs), raw=bool(request.raw_input_contents))
    return reply


async def _next(coming: AsyncIterator[Sized], stop: asyncio.Task[Literal[True]]) -> Sized | None:
    """The next request of a stream; `None` at its end.

    Raises:
        Overloaded: The service stops.
    """
    reading = asyncio.create_task(_one(coming))
    try:
        await asyncio.wait({reading, stop}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return reading.result()
    finally:
        reading.cancel()
    raise Overloaded("The service is stopping.", hint="Open the stream again.", retry_after=1)


async def _one(coming: AsyncIterator[Sized]) -> Sized | None:
    return await anext(coming, None)


def _refused(sized: Sized, error: FairleadError) -> Any:
    identity = sized.request.id if sized.request is not None else ""
    return _StreamInfer(error_message=told(error), infer_response=_Infer(id=identity))


def _dimensions(spec: TensorSpec) -> dict[str, Any]:
    """A tensor without its first dimension, which Triton counts as the batch."""
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{datatype}", "dims": spec.shape[1:]}


def _counted(served: _Served) -> dict[str, Any]:
    success = {"count": served.good, "ns": served.good_ns}
    fail = {"count": served.bad, "ns": served.bad_ns}
    return {
        "name": served.live.name,
        "version": served.version,
        "last_inference": served.last,
        "inference_count": served.rows,
        "execution_count": served.good,
        "inference_stats": {"success": success, "fail": fail},
    }
