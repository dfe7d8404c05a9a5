"""The monitor process of `serve`: it lets the watcher look again and again, behind everything that answers.

Whatever it does, gateways go first: it is nice, and answers nobody. SciPy is imported when the first report is due.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from loguru import logger

from fairlead.errors import FairleadError, StorageError
from fairlead.monitor.watching import Watcher

__all__ = ["run"]

_NICE: Final = 10
_BEGIN_SECONDS: Final = 2.0
"""Gateways and control start first."""

_RETRY_SECONDS: Final = 10.0
_WAIT_SECONDS: Final = 1.0


def run(watcher: Watcher, folder: Path, stop: threading.Event) -> None:
    """Watch until `stop` is set.

    Args:
        watcher: Who looks.
        folder: Of what runs; one monitor at a time works in it.
        stop: Set when it is enough; what is being made is finished, or made anew by the next.

    Raises:
        StorageError: The folder cannot be used.
    """
    os.nice(_NICE)
    with _alone(folder, stop):
        wait, failing = _BEGIN_SECONDS, ""
        while not stop.wait(wait):
            try:
                wait, failing = watcher.step(), ""
            except FairleadError as error:
                if str(error) != failing:
                    logger.error("Monitoring waits: {error}", error=str(error))
                wait, failing = _RETRY_SECONDS, str(error)


@contextmanager
def _alone(folder: Path, stop: threading.Event) -> Iterator[None]:
    """Wait until no other monitor works here: one that a killed supervisor has left goes soon."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "monitor.lock").open("ab")
    except OSError as err:
        raise StorageError(f"The folder {folder} cannot be used: {err.strerror}.") from err
    with lock:
        while not _locked(lock) and not stop.wait(_WAIT_SECONDS):
            pass
        yield


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
