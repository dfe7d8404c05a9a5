"""The Open Inference Protocol's calls, with Triton's extensions that make sense for tables. It translates; the room answers.

A model of the protocol is an endpoint, and its version is the number of the version that answers there now: a client that
names another is told that it is not here. Who may deploy may load and unload, as at the REST door.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

from loguru import logger

from fairlead.answer import Answer
from fairlead.errors import FairleadError, Forbidden, InvalidInput, NotFound, Overloaded
from fairlead.schema import Row
from fairlead.serving.doors.repository import Steer
from fairlead.serving.doors.tensor_endpoint import TensorEndpoint, TensorEndpoints, version_number
from fairlead.serving.doors.tensors import TensorSpec, raw_of
from fairlead.serving.gateway import Gateway
from fairlead.serving.grpc.admission import authorization_of, model_of
from fairlead.serving.grpc.call import Call
from fairlead.serving.grpc.contents import read_inputs, write_outputs
from fairlead.serving.grpc.health import is_ready
from fairlead.serving.grpc.messages import message, reader_of
from fairlead.serving.grpc.one_row import OneRow
from fairlead.serving.grpc.status import told
from fairlead.serving.http.problems import unexpected
from fairlead.serving.http.reading import Intake
from fairlead.serving.processes.wishes import Verb

__all__ = ["Actor", "Inference", "Sized", "read_sized"]

Actor = Callable[[bytes | None], str]
"""Who asks, by the call's `authorization`."""

_EXTENSIONS: Final = ("binary_tensor_data", "classification", "model_repository", "statistics", "model_configuration")
_LARGE: Final = 64 * 1024
"""A longer request is read, and its reply written, in a thread; together they have a bound."""

_AHEAD: Final = 64
"""How many requests of one stream are read before the first of them is answered."""

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
_Loaded: Final = message("inference.RepositoryModelLoadResponse")
_Unloaded: Final = message("inference.RepositoryModelUnloadResponse")

_parse: Final = reader_of(message("inference.ModelInferRequest"))


_Asked = asyncio.Task[Any] | Exception | None
"""A request of a stream that is being answered; why there are no more; or that there are no more."""


class Sized(NamedTuple):
    """A `ModelInferRequest`, `None` where the bytes are none, and how many bytes it was."""

    request: Any
    size: int


def read_sized(data: bytes) -> Sized:
    """Read the bytes of a `ModelInferRequest`."""
    return Sized(_parse(data), len(data))


class _Served:
    """An endpoint, and what is prepared for the request that comes most often: one row, as bytes, for all outputs."""

    __slots__ = ("endpoint", "one_row", "template")

    def __init__(self, endpoint: TensorEndpoint) -> None:
        self.endpoint = endpoint
        self.one_row = OneRow(endpoint.live.schema)
        self.template = _Infer(model_name=endpoint.live.name, model_version=endpoint.version)
        for one in endpoint.writer.specs:
            self.template.outputs.add(name=one.name, datatype=one.datatype, shape=(1, one.shape[1]))


class Inference:
    """Answers `inference.GRPCInferenceService`; every method is one call of it.

    Args:
        gateway: Answers rows.
        endpoints: The live endpoints as tensor clients see them.
        stopping: Is set when the service stops.
        intake: How much all large requests may hold together, those of HTTP too.
        steer: Carries out load and unload; without it they are refused.
        actor: Tells who asks, for the audit.
    """

    def __init__(  # noqa: PLR0913 - what it asks, and whom it tells
        self,
        gateway: Gateway,
        endpoints: TensorEndpoints,
        stopping: asyncio.Event,
        intake: Intake,
        *,
        steer: Steer | None = None,
        actor: Actor = lambda _: "a caller",
    ) -> None:
        self._steer = steer
        self._actor = actor
        self._gateway = gateway
        self._endpoints = endpoints
        self._stopping = stopping
        self._intake = intake
        self._version = importlib.metadata.version("fairlead")
        self._served: dict[str, _Served] = {}

    # -- health and metadata ---------------------------------------------------------------------------------------

    async def server_live(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - a handler's signature
        """This process lives."""
        return _ServerLive(live=True)

    async def server_ready(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - as above
        """Whether this process may be sent calls."""
        return _ServerReady(ready=self._ready)

    async def model_ready(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - as above
        """Whether an endpoint answers, with this version where one is named."""
        try:
            endpoint = self._endpoints.find(request.name, request.version or None)
        except (NotFound, Overloaded):
            return _ModelReady(ready=False)
        return _ModelReady(ready=self._ready and endpoint.live.healthy)

    async def server_metadata(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - as above
        """Name, version, extensions."""
        return _ServerMetadata(name="fairlead", version=self._version, extensions=_EXTENSIONS)

    async def model_metadata(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - as above
        """What an endpoint takes and gives.

        Raises:
            NotFound: There is no such endpoint, or another version answers there.
        """
        return _ModelMetadata(**self._endpoints.find(request.name, request.version or None).metadata())

    async def model_config(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - as above
        """The same as Triton's configuration has it, for tools that make load from it.

        Raises:
            NotFound: As `model_metadata`.
        """
        return _Config(config=self._endpoints.find(request.name, request.version or None).config())

    # -- infer -----------------------------------------------------------------------------------------------------

    async def model_infer(self, sized: Sized, call: Call) -> Any:
        """Answer rows.

        Raises:
            InvalidInput: The tensors cannot be read; `SchemaMismatch` where they do not fit the model.
            NotFound: As `model_metadata`.
            Overloaded: There is too much work, or the deadline passed.
            PredictionFailed: The model failed.
        """
        return await self._infer(sized, call)

    async def model_stream_infer(self, requests: AsyncIterator[Sized], call: Call) -> AsyncIterator[Any]:
        """Answer the requests of a stream together, and tell the answers in their order, as Triton does.

        One that fails is told so, and the stream goes on.

        Raises:
            Overloaded: The service stops; what was sent before is answered.
        """
        asked: asyncio.Queue[_Asked] = asyncio.Queue(_AHEAD)
        begun: set[asyncio.Task[Any]] = set()
        reading = asyncio.create_task(self._read_ahead(requests, call, asked, begun))
        try:
            while (one := await asked.get()) is not None:
                if isinstance(one, Exception):
                    raise one
                yield await one
        finally:
            reading.cancel()
            for one in tuple(begun):
                one.cancel()

    async def _read_ahead(
        self, requests: AsyncIterator[Sized], call: Call, asked: asyncio.Queue[_Asked], begun: set[asyncio.Task[Any]]
    ) -> None:
        """Begin to answer what comes, in its order; at the end say so, or why there is no more."""
        coming = aiter(requests)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            while (sized := await _next(coming, stop)) is not None:
                one = asyncio.create_task(self._infer_of_stream(sized, call))
                begun.add(one)
                one.add_done_callback(begun.discard)
                await asked.put(one)
        except Exception as error:  # noqa: BLE001 - raised to the caller when what came before is answered
            await asked.put(error)
        else:
            await asked.put(None)
        finally:
            stop.cancel()

    async def _infer_of_stream(self, sized: Sized, call: Call) -> Any:
        try:
            reply = await self._infer(sized, call)
        except FairleadError as error:
            return _refused(sized, error)
        except Exception:  # noqa: BLE001 - a bug of ours must not end the stream of others' requests
            logger.exception("A request of a stream failed.")
            return _refused(sized, unexpected())
        if sized.request.parameters["triton_enable_empty_final_response"].bool_param:
            reply.parameters["triton_final_response"].bool_param = True
        return _StreamInfer(infer_response=reply)

    async def _infer(self, sized: Sized, call: Call) -> Any:
        if sized.request is None:
            raise InvalidInput("The message is no ModelInferRequest.")
        if sized.size <= _LARGE:
            return await self._answer(sized, call)
        try:
            self._intake.hold(sized.size)
            return await self._answer(sized, call)
        finally:
            self._intake.release(sized.size)

    async def _answer(self, sized: Sized, call: Call) -> Any:
        received, expires = time.perf_counter(), call.expires()
        request, size = sized
        served = self._served_of(request)
        tally, live = served.endpoint.tally, served.endpoint.live
        large = size > _LARGE
        call.request.live = live
        try:
            specs, rows = await asyncio.to_thread(_read, served, request) if large else _read(served, request)
        except FairleadError as error:
            tally.failed(received)
            self._gateway.refuse(live, error, received)
            raise
        call.request.rows += len(rows)
        caller = live.caller(call.request.headers)
        try:
            answers = await self._gateway.predict(
                live.name, rows, caller=caller, live=live, received=received, expires=expires
            )
        except BaseException:  # a caller that left counts as well
            tally.failed(received)
            raise
        call.request.answered_by = answers[0].model
        told = (served, request, answers, specs)
        reply = await asyncio.to_thread(_reply, *told) if large else _reply(*told)
        tally.succeeded(len(rows), received)
        return reply

    def _served_of(self, request: Any) -> _Served:
        """The endpoint that a `ModelInferRequest` names.

        Raises:
            NotFound: There is none, or another version answers there.
        """
        endpoint = self._endpoints.find(request.model_name, request.model_version or None)
        served = self._served.get(endpoint.live.name)
        if served is None or served.endpoint is not endpoint:
            served = self._served[endpoint.live.name] = _Served(endpoint)
            for name in self._served.keys() - self._gateway.endpoints.keys():
                del self._served[name]  # what was taken away is let go of, model and all
        return served

    # -- statistics and repository ---------------------------------------------------------------------------------

    async def model_statistics(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - as above
        """What this process answered by gRPC since the version went live: of one endpoint, or of all.

        Raises:
            NotFound: As `model_metadata`.
        """
        asked = [self._endpoints.find(request.name, request.version or None)] if request.name else self._endpoints.all()
        return _Statistics(model_stats=[one.statistics() for one in asked])

    async def repository_index(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - as above
        """The live endpoints; with `ready`, only those that answer now."""
        return _Index(
            models=[one for one in map(_indexed, self._endpoints.all()) if one["reason"] == "" or not request.ready]
        )

    async def repository_load(self, request: Any, call: Call) -> Any:
        """Let an endpoint answer with the newest version of the model of its name.

        Raises:
            Forbidden: Nobody may change what is served through this port.
            InvalidInput: The request brings files or a configuration.
            FairleadError: It could not be done.
        """
        await self._change("load", request, call)
        return _Loaded()

    async def repository_unload(self, request: Any, call: Call) -> Any:
        """Take an endpoint away. Raises as `repository_load`."""
        await self._change("unload", request, call)
        return _Unloaded()

    async def _change(self, verb: Verb, request: Any, call: Call) -> None:
        refused = [name for name in request.parameters if name != "unload_dependents"]
        if refused:
            raise InvalidInput(
                f"The parameter {refused[0][:40]!r} is not taken: a request brings neither files nor a configuration.",
                hint="`fairlead pack` publishes a version; load then takes the newest.",
            )
        if self._steer is None:
            raise Forbidden(
                f"Nobody may {verb} models through this port.",
                hint="The operator does: `fairlead deploy MODEL:VERSION`.",
            )
        await self._steer(verb, model_of(request), self._actor(authorization_of(call.request)))

    @property
    def _ready(self) -> bool:
        return is_ready(self._gateway, self._stopping)


def _read(served: _Served, request: Any) -> tuple[Sequence[TensorSpec], list[Row]]:
    """What is asked for, and the rows."""
    endpoint = served.endpoint
    specs = _asked(endpoint, request.outputs) if request.outputs else endpoint.writer.specs
    if (row := served.one_row.read(request)) is not None:
        return specs, [row]
    return specs, endpoint.reader.read(read_inputs(request))


def _asked(endpoint: TensorEndpoint, outputs: Sequence[Any]) -> Sequence[TensorSpec]:
    """The outputs by name; each may be asked for as its likeliest classes.

    Raises:
        InvalidInput: There is no such output, it has no classes, or is wanted in shared memory.
    """
    if any("shared_memory_region" in one.parameters for one in outputs):
        raise InvalidInput("Shared memory is not served.", hint="Take the outputs from the reply.")
    asked = {one.name: one.parameters["classification"] for one in outputs if "classification" in one.parameters}
    if any(one.WhichOneof("parameter_choice") != "int64_param" for one in asked.values()):
        raise InvalidInput("The parameter `classification` is a number of classes, as int64_param.")
    return endpoint.writer.check([one.name for one in outputs], {name: one.int64_param for name, one in asked.items()})


def _reply(served: _Served, request: Any, answers: list[Answer], specs: Sequence[TensorSpec]) -> Any:
    writer, raw = served.endpoint.writer, bool(request.raw_input_contents)
    reply = _Infer()
    if raw and len(answers) == 1 and specs is writer.specs and answers[0].model == served.endpoint.live.model:
        reply.CopyFrom(served.template)
        reply.raw_output_contents.extend(map(raw_of, writer.write(answers, specs)))
    else:
        reply.model_name, reply.model_version = served.endpoint.live.name, version_number(answers[0].model)
        write_outputs(reply, writer.write(answers, specs), raw=raw)
    reply.id = request.id
    return reply


def _indexed(endpoint: TensorEndpoint) -> dict[str, str]:
    healthy = endpoint.live.healthy
    return {
        "name": endpoint.live.name,
        "version": endpoint.version,
        "state": "READY" if healthy else "UNAVAILABLE",
        "reason": "" if healthy else "Its process is being started again.",
    }


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
