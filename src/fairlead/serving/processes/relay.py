"""What a worker writes, as lines of our log.

A worker runs foreign code, which prints what it likes: progress bars, warnings, a traceback of C, escape sequences for a terminal.
The supervisor reads it and tells it line by line under the worker's name, in the form in which everything else is told: every
line of a service with JSON logs is JSON, and nothing that a model prints passes for a line of ours.
"""

from __future__ import annotations

import subprocess
import threading
from typing import IO, Final

from loguru import logger

__all__ = ["relay"]

_LONGEST: Final = 8192
"""A line is told in pieces of so many bytes; a model may print without ever ending a line."""


def relay(process: subprocess.Popen[bytes], role: str) -> None:
    """Tell what a process writes, until it ends; returns at once.

    Args:
        process: Started with `stdout=PIPE, stderr=STDOUT`.
        role: Who speaks: "worker-0123abcd".
    """
    assert process.stdout is not None
    threading.Thread(target=_read, args=(process.stdout, role), name=f"relay-{role}", daemon=True).start()


def _read(stream: IO[bytes], role: str) -> None:
    told = logger.bind(process=role)
    with stream:
        while line := stream.readline(_LONGEST):
            if text := line.decode("utf-8", "replace").strip():
                told.info("{text}", text=text)
