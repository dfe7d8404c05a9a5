"""How a gateway and a worker process talk: frames of length and MessagePack on a unix socket, one question, one answer."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path

import msgspec

from fairlead.predictor.outcome import Outcome
from fairlead.schema import Row

__all__ = ["HEAD", "MAX_FRAME", "Ask", "Hello", "Told", "read_frame", "short_path", "write_frame"]

HEAD = struct.Struct("<I")
"""The length of the payload that follows."""

MAX_FRAME = 256 * 2**20
"""The longest frame that is read, in bytes."""


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first frame on a connection, from the worker.

    The kernel completes connections to a process that is about to end; only one that says hello has taken them.
    """

    pid: int


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """Rows to answer."""

    rows: tuple[Row, ...]


class Told(msgspec.Struct, frozen=True, array_like=True):
    """The outcomes of all rows, or why there are none (for the operator), and how long the model took, in seconds."""

    outcomes: tuple[Outcome, ...] | None
    error: str = ""
    seconds: float = 0.0


async def read_frame(reader: asyncio.StreamReader, longest: int = MAX_FRAME) -> bytes:
    """One frame.

    Args:
        reader: Of the connection.
        longest: The most bytes that it may have.

    Raises:
        asyncio.IncompleteReadError: The other side has gone.
        ConnectionError: The frame is larger than what is expected.
    """
    (length,) = HEAD.unpack(await reader.readexactly(HEAD.size))
    if length > longest:
        raise ConnectionError(f"A frame of {length} bytes is none of ours.")
    return await reader.readexactly(length)


async def write_frame(writer: asyncio.StreamWriter, payload: bytes) -> None:
    """Send one frame."""
    writer.write(HEAD.pack(len(payload)))
    writer.write(payload)
    await writer.drain()


class short_path:  # noqa: N801 - used like a function: `with short_path(path) as text`
    """A name for a socket that fits: the kernel allows 107 bytes, and a home may lie deep.

    The folder is opened, and the socket is named through it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100:
            return str(self._path)
        self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._folder >= 0:
            os.close(self._folder)
