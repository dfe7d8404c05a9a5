"""Server reflection: a client such as grpcurl learns services and messages from the server itself.

Version 1 and the older v1alpha have the same messages in two packages, so one class serves both. The descriptors are those of
our own pool. Nothing here is an extension, so questions about extensions are answered with "there is none".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from google.protobuf import descriptor_pb2
from grpc import StatusCode

from fairlead.errors import InvalidInput
from fairlead.serving.grpc.call import Call
from fairlead.serving.grpc.messages import HEALTH, INFERENCE, POOL, REFLECTION, message

__all__ = ["Reflection"]

_SERVICES: Final = tuple(sorted((INFERENCE, HEALTH, *REFLECTION)))


class Reflection:
    """Answers one version of the reflection protocol.

    Args:
        package: "grpc.reflection.v1", or the older one.
    """

    def __init__(self, package: str) -> None:
        self._reply = message(f"{package}.ServerReflectionResponse")
        self._answers: dict[str, Callable[[Any], dict[str, Any] | None]] = {
            "list_services": lambda _: {"list_services_response": {"service": [{"name": one} for one in _SERVICES]}},
            "file_by_filename": lambda name: _file(POOL.FindFileByName, name),
            "file_containing_symbol": lambda name: _file(_file_of, name),
            "file_containing_extension": lambda _: None,
            "all_extension_numbers_of_type": _no_extensions,
        }

    async def info(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:  # noqa: ARG002 - a handler's signature
        """Answer each question of a stream.

        Raises:
            InvalidInput: A message is none, or asks nothing.
        """
        async for request in requests:
            yield self._answer(request)

    def _answer(self, request: Any) -> Any:
        kind = request.WhichOneof("message_request") if request is not None else None
        if kind is None:
            raise InvalidInput("The message asks nothing that is known here.")
        found = self._answers[kind](getattr(request, kind))
        if found is None:
            code, _ = StatusCode.NOT_FOUND.value
            found = {"error_response": {"error_code": code, "error_message": "There is no such thing here."}}
        return self._reply(valid_host=request.host, original_request=request, **found)


def _file(find: Callable[[str], Any], name: str) -> dict[str, Any] | None:
    try:
        descriptor = find(name)
    except KeyError:
        return None
    file = descriptor_pb2.FileDescriptorProto()
    descriptor.CopyToProto(file)
    return {"file_descriptor_response": {"file_descriptor_proto": [file.SerializeToString()]}}


def _file_of(symbol: str) -> Any:
    """The file in which a service, a message, an enumeration, or a call or field of theirs stands.

    Raises:
        KeyError: There is no such symbol.
    """
    try:
        return POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        owner, _, member = symbol.rpartition(".")
        try:
            service = POOL.FindServiceByName(owner)
            known, file = set(service.methods_by_name), service.file
        except KeyError:
            kind = POOL.FindMessageTypeByName(owner)
            known, file = set(kind.fields_by_name), kind.file
        if member not in known:
            raise
        return file


def _no_extensions(name: str) -> dict[str, Any] | None:
    try:
        POOL.FindMessageTypeByName(name)
    except KeyError:
        return None
    return {"all_extension_numbers_response": {"base_type_name": name}}
