"""The gRPC port of one gateway process: which call goes to which method, and how errors become statuses.

It runs on the process's own event loop, beside the HTTP lane, so both doors' rows meet in the same batches. Several processes
share the port, as they do for HTTP.

What HTTP's gate asks first, whether a request is addressed to us and comes from no foreign page, has no counterpart: it keeps
browsers out, which speak HTTP/2 to nobody without TLS, and HTTP/1.1 is not spoken here. grpcio does not tell the `:authority`
either; nginx before this port checks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
from grpc import aio
from loguru import logger

from fairlead.errors import Conflict, FairleadError, InvalidInput
from fairlead.serving.doors.repository import Steer
from fairlead.serving.doors.tensor_endpoint import TensorEndpoints
from fairlead.serving.gateway import Gateway
from fairlead.serving.grpc.admission import authorization_of, is_direct, need_of
from fairlead.serving.grpc.call import Call, Onlooker
from fairlead.serving.grpc.health import Health
from fairlead.serving.grpc.inference import Inference, read_sized
from fairlead.serving.grpc.messages import HEALTH, INFERENCE, POOL, REFLECTION, message, reader_of
from fairlead.serving.grpc.reflection import Reflection
from fairlead.serving.grpc.status import code_of, retry_after, told
from fairlead.serving.http.problems import unexpected
from fairlead.serving.http.reading import Intake
from fairlead.serving.http.request import Limits
from fairlead.serving.keys.keyring import Keyring

__all__ = ["GrpcServer"]

_Unary = Callable[[Any, Call], Awaitable[Any]]
_Stream = Callable[[Any, Call], AsyncIterator[Any]]
_Begin = Callable[[Any], Call]
_Check = Callable[[Any, Call], Any]
"""Lets a request through, or raises what to tell instead."""

_STREAMS_PER_CONNECTION: Final = 1024
_KEEPALIVE_SECONDS: Final = 60
"""A client that has vanished without a word is found out after this long."""

_PING_SECONDS: Final = 10
"""Clients may ask whether we live as often as this."""

_MAX_METADATA: Final = 32 * 1024
"""As much as a header of HTTP may be."""


class GrpcServer:
    """The gRPC port.

    Args:
        gateway: Answers rows.
        endpoints: The live endpoints as tensor clients see them.
        limits: How large a message may be, how many connections there may be, and how long each may be idle.
        intake: What large requests hold, where HTTP's count against the same bound.
        onlooker: Told of every call; without it nobody is.
        keyring: Asked before every call that is not public; without it everybody may.
        steer: Carries out load and unload; without it they are refused.
    """

    def __init__(  # noqa: PLR0913 - whom it asks and tells, each of them optional
        self,
        gateway: Gateway,
        endpoints: TensorEndpoints,
        limits: Limits,
        *,
        intake: Intake | None = None,
        onlooker: Onlooker | None = None,
        keyring: Keyring | None = None,
        steer: Steer | None = None,
    ) -> None:
        self._keyring = keyring
        self._onlooker = onlooker
        self._stopping = asyncio.Event()
        self._server = aio.server(options=_options(limits))
        inference, health = (
            Inference(
                gateway, endpoints, self._stopping, intake or Intake(limits, 0.0), steer=steer, actor=self._actor
            ),
            Health(gateway, self._stopping),
        )
        self._add(INFERENCE, _calls(inference))
        self._add(HEALTH, {"Check": health.check, "Watch": health.watch})
        for service in REFLECTION:
            self._add(service, {"ServerReflectionInfo": Reflection(service.rpartition(".")[0]).info})

    async def start(self, host: str, port: int) -> None:
        """Open the port.

        Raises:
            Conflict: It cannot be opened.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as err:
            raise Conflict(f"The gRPC address {address} cannot be used.", hint="Choose another --grpc-port.") from err
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Say that this process is not ready, end idle streams, let calls in flight finish, and after `seconds` cut them."""
        self._stopping.set()
        await self._server.stop(seconds)

    def _actor(self, authorization: bytes | None) -> str:
        token = self._keyring.find(authorization) if self._keyring is not None else None
        return f"token {token.name}" if token else "a caller without a token"

    def _add(self, service: str, calls: dict[str, Any]) -> None:
        """Serve a service out of our own descriptors."""
        methods = POOL.FindServiceByName(service).methods
        handlers = {one.name: self._handler(one, calls[one.name]) for one in methods}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def _handler(self, method: Any, call: Any) -> grpc.RpcMethodHandler[Any, Any]:
        """How one method is read, admitted, answered and written."""
        name = method.input_type.full_name
        read = read_sized if name == "inference.ModelInferRequest" else reader_of(message(name))
        write = message(method.output_type.full_name).SerializeToString
        check = _checker(method.full_name, self._keyring)
        path, onlooker = "/{}/{}".format(*method.full_name.rsplit(".", 1)).encode(), self._onlooker

        def begin(context: Any) -> Call:
            return Call(path, context, onlooker)

        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(_stream(call, _each(check), begin), read, write)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(_stream(call, check, begin), read, write)
        return grpc.unary_unary_rpc_method_handler(_unary(call, check, begin), read, write)


def _calls(inference: Inference) -> dict[str, Any]:
    """The methods of the protocol by their names."""
    return {
        "ServerLive": inference.server_live,
        "ServerReady": inference.server_ready,
        "ModelReady": inference.model_ready,
        "ServerMetadata": inference.server_metadata,
        "ModelMetadata": inference.model_metadata,
        "ModelInfer": inference.model_infer,
        "ModelStreamInfer": inference.model_stream_infer,
        "ModelConfig": inference.model_config,
        "ModelStatistics": inference.model_statistics,
        "RepositoryIndex": inference.repository_index,
        "RepositoryModelLoad": inference.repository_load,
        "RepositoryModelUnload": inference.repository_unload,
    }


def _checker(method: str, keyring: Keyring | None) -> _Check:
    """What is looked at before a call, or before each message of a stream."""
    need = need_of(method)

    def check(request: Any, call: Call) -> Any:
        if request is None:
            raise InvalidInput("The message is not the one of this call.")
        if keyring is not None and need is not None:
            local = keyring.is_open and is_direct(call.request)
            error = keyring.admit(authorization_of(call.request), need(request), local=local)
            if error is not None:
                raise error
        return request

    return check


def _each(check: _Check) -> _Check:
    """The same for each message of a stream."""

    async def checked(requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        async for request in requests:
            yield check(request, call)

    return checked


def _unary(answer: _Unary, check: _Check, begin: _Begin) -> Callable[[Any, Any], Awaitable[Any]]:
    """The call, with its errors as statuses."""

    async def answered(request: Any, context: Any) -> Any:
        call = begin(context)
        try:
            reply = await answer(check(request, call), call)
        except BaseException as error:  # noqa: BLE001 - every error becomes a status; what is none goes on
            return await _abort(call, context, error)
        call.answered(reply)
        call.ended(None)
        return reply

    return answered


def _stream(answer: _Stream, check: _Check, begin: _Begin) -> Callable[[Any, Any], AsyncIterator[Any]]:
    """The same for a call that answers with a stream."""

    async def answered(request: Any, context: Any) -> AsyncIterator[Any]:
        call = begin(context)
        try:
            async for reply in answer(check(request, call), call):
                call.answered(reply)
                yield reply
        except BaseException as error:  # noqa: BLE001 - as above
            await _abort(call, context, error)
        else:
            call.ended(None)

    return answered


async def _abort(call: Call, context: Any, error: BaseException) -> None:
    """End a call without an answer; what nobody foresaw is told as such, and logged.

    Raises:
        BaseException: The caller has left, or its time was over.
    """
    if not isinstance(error, Exception):
        call.ended(error)
        raise error
    if not isinstance(error, FairleadError):
        logger.opt(exception=error).error("A call failed.")
        error = unexpected()
    call.ended(error)
    await context.abort(code_of(error), told(error), (*retry_after(error), *call.trailer))


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", limits.max_body),
        ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
        ("grpc.max_metadata_size", _MAX_METADATA),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.header_timeout)),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.idle_timeout)),
        ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _milliseconds(limits.write_timeout)),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
