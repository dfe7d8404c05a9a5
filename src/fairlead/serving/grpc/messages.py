"""The messages on the wire, as classes out of a descriptor pool that is nobody else's.

Every other implementation of this protocol registers `inference.*` in protobuf's default pool, where a name may stand once: no
two of them can be imported in one process. Ours stay in a pool of their own, so Triton's client can run beside them. The
sources are `protocol/*.proto`; `protocol/descriptors.binpb` is what `make protocol` compiles of them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

__all__ = ["HEALTH", "INFERENCE", "POOL", "REFLECTION", "message", "reader_of"]

INFERENCE: Final = "inference.GRPCInferenceService"
HEALTH: Final = "grpc.health.v1.Health"
REFLECTION: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def _load() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    compiled = files(__package__).joinpath("protocol", "descriptors.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled).file:
        pool.Add(file)
    return pool


POOL: Final = _load()
"""The descriptors of all that this door speaks."""


def message(name: str) -> Any:
    """The class of a message, by its full name.

    Raises:
        KeyError: There is no such message.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


def reader_of(kind: Any) -> Callable[[bytes], Any]:
    """How the bytes of a message become the message, or `None` where they are none: what a client sends may be anything."""
    parse = kind.FromString

    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return None

    return read
