"""The gRPC port of one gateway process: which call goes to which method, and how errors become statuses.

It runs on the process's own event loop, beside the HTTP lane, so both doors' rows meet in the same batches. Several processes
share the port, as they do for HTTP.
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
from fairlead.serving.grpc.admission import authorization_of, need_of
from fairlead.serving.grpc.health import Health
from fairlead.serving.grpc.inference import Inference, read_sized
from fairlead.serving.grpc.messages import HEALTH, INFERENCE, POOL, REFLECTION, message, reader_of
from fairlead.serving.grpc.reflection import Reflection
from fairlead.serving.grpc.status import code_of, retry_after, told
from fairlead.serving.http.problems import unexpected
from fairlead.serving.http.request import Limits
from fairlead.serving.keys.keyring import Keyring

__all__ = ["GrpcServer"]

_Unary = Callable[[Any, Any], Awaitable[Any]]
_Stream = Callable[[Any, Any], AsyncIterator[Any]]
_Check = Callable[[Any, Any], Any]
"""Lets a request through, or raises what to tell instead."""

_STREAMS_PER_CONNECTION: Final = 1024
_KEEPALIVE_SECONDS: Final = 60
"""A client that has vanished without a word is found out after this long."""

_PING_SECONDS: Final = 10
"""Clients may ask whether we live as often as this."""


class GrpcServer:
    """The gRPC port.

    Args:
        gateway: Answers rows.
        endpoints: The live endpoints as tensor clients see them.
        limits: How large a message may be, and how long a connection may be idle.
        keyring: Asked before every call that is not public; without it everybody may.
        steer: Carries out load and unload; without it they are refused.
    """

    def __init__(
        self,
        gateway: Gateway,
        endpoints: TensorEndpoints,
        limits: Limits,
        *,
        keyring: Keyring | None = None,
        steer: Steer | None = None,
    ) -> None:
        self._keyring = keyring
        self._stopping = asyncio.Event()
        self._server = aio.server(options=_options(limits))
        inference, health = (
            Inference(gateway, endpoints, self._stopping, steer, self._actor),
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
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(_stream(call, _each(check)), read, write)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(_stream(call, check), read, write)
        return grpc.unary_unary_rpc_method_handler(_unary(call, check), read, write)


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

    def check(request: Any, context: Any) -> Any:
        if request is None:
            raise InvalidInput("The message is not the one of this call.")
        if keyring is not None and need is not None:
            error = keyring.admit(authorization_of(context), need(request))
            if error is not None:
                raise error
        return request

    return check


def _each(check: _Check) -> _Check:
    """The same for each message of a stream."""

    async def checked(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield check(request, context)

    return checked


def _unary(call: _Unary, check: _Check) -> _Unary:
    """The call, with its errors as statuses."""

    async def answer(request: Any, context: Any) -> Any:
        try:
            return await call(check(request, context), context)
        except FairleadError as err:
            error = err
        except Exception:  # noqa: BLE001 - what nobody foresaw is told as such, and logged
            logger.exception("A call failed.")
            error = unexpected()
        return await _abort(context, error)

    return answer


def _stream(call: _Stream, check: _Check) -> _Stream:
    """The same for a call that answers with a stream."""

    async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for reply in call(check(request, context), context):
                yield reply
        except FairleadError as err:
            error = err
        except Exception:  # noqa: BLE001 - as above
            logger.exception("A call failed.")
            error = unexpected()
        else:
            return
        await _abort(context, error)

    return answer


async def _abort(context: Any, error: FairleadError) -> None:
    await context.abort(code_of(error), told(error), retry_after(error))


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", limits.max_body),
        ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
        ("grpc.max_connection_idle_ms", int(limits.idle_timeout * 1000)),
        ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
