"""One connection to a worker process: a question goes out, its answer comes back, and the other end may go away at any time.

Who uses it sees to it that only one question is under way. The process may be starting, ending, stopped or hostile: each of these
is told apart, and none of them leaves an answer in the connection that would be taken for the next one.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import msgspec

from fairlead.errors import DeadlineExceeded, Overloaded
from fairlead.predictor.wire import MAX_FRAME, Hello, Told, read_frame, short_path, write_frame

__all__ = ["Channel", "Ended"]

_RETRY_SECONDS: Final = 0.05
_HELLO_SECONDS: Final = 5.0
_decode = msgspec.msgpack.Decoder(Told).decode


class Ended(Exception):
    """The process ended, or stopped talking sense, while it was asked."""


class Channel:
    """The way to one worker process.

    Args:
        path: The process's socket.
        max_frame: The longest answer that is read, in bytes.
    """

    def __init__(self, path: Path, *, max_frame: int = MAX_FRAME) -> None:
        self.pid = 0
        """Of the process that was reached last."""
        self._path = path
        self._max_frame = max_frame
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def open(self) -> bool:
        """Whether the process was reached, and has not been seen to end."""
        return self._streams is not None

    @property
    def lost(self) -> bool:
        """Whether the process has ended since it was reached."""
        return self._streams is not None and self._streams[0].at_eof()

    async def connect(self, seconds: float) -> None:
        """Reach the process, unless it is reached already.

        Args:
            seconds: How long to try; 0 tries once.

        Raises:
            Overloaded: It was not there in time.
        """
        end = time.monotonic() + seconds
        if self.lost:
            self.close()
        while self._streams is None:
            try:
                await self._open()
            except (OSError, asyncio.IncompleteReadError, TimeoutError, msgspec.DecodeError) as err:
                if time.monotonic() > end:
                    raise Overloaded("The model's process is not ready.", retry_after=1) from err
                await asyncio.sleep(_RETRY_SECONDS)

    async def _open(self) -> None:
        with short_path(self._path) as name:
            reader, writer = await asyncio.open_unix_connection(name)
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                hello = msgspec.msgpack.decode(await read_frame(reader), type=Hello)
        except BaseException:
            writer.close()
            raise
        self.pid, self._streams = hello.pid, (reader, writer)

    async def ask(self, question: bytes, seconds: float) -> Told:
        """Send a question and wait for its answer; connected it must be.

        Args:
            question: An encoded `Ask`.
            seconds: How long to wait.

        Raises:
            DeadlineExceeded: There was no answer in time.
            Ended: The process has gone, or what it said is none of ours.
        """
        assert self._streams is not None
        reader, writer = self._streams
        try:
            async with asyncio.timeout(seconds):
                await write_frame(writer, question)
                return _decode(await read_frame(reader, self._max_frame))
        except TimeoutError as err:
            self.close()
            raise DeadlineExceeded(f"The model did not answer within {seconds:g} s.", retry_after=1) from err
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as err:
            self.close()
            raise Ended from err
        except asyncio.CancelledError:
            self.close()  # an answer that nobody reads must not be taken for the next one
            raise

    def close(self) -> None:
        """Let go of the process."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
