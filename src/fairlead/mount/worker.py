"""The worker process of a mounted version that is not compiled: a child of the application, which no supervisor keeps alive.

So this does: the room looks at it again and again, and starts it anew where it has ended. The predictor that asks it is the one
every gateway has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from typing import Final

from fairlead.bundle.reader import Bundle
from fairlead.predictor.launch import bare_environment, worker_command
from fairlead.predictor.worker import Worker

__all__ = ["OwnProcess"]

_AGAIN_SECONDS: Final = 0.5
_END_SECONDS: Final = 5.0


class OwnProcess:
    """A worker process of this process's own; it ends with `close`, or when nobody refers to it any more.

    Args:
        bundle: Whose original answers, opened and verified.
        memory: The most address space it may have, in bytes.
        seconds: How long it may take to answer.

    Attributes:
        worker: Asks it.
    """

    def __init__(self, bundle: Bundle, *, memory: int, seconds: float) -> None:
        folder = Path(tempfile.mkdtemp(prefix="fairlead-worker-"))
        path = folder / "worker.sock"
        self.worker = Worker(path, timeout=seconds)
        self._command = worker_command(bundle.folder, bundle.digest, path, memory=memory, seconds=seconds)
        self._running: list[subprocess.Popen[bytes]] = []
        self._start_at = 0.0
        self.end = weakref.finalize(self, _end, self._running, folder, os.getpid())
        """End the process; blocks until it has."""
        self.keep_alive()

    def keep_alive(self) -> None:
        """Start the process where it does not run, twice a second at most."""
        running, now = self._running, time.monotonic()
        if (running and running[0].poll() is None) or now < self._start_at or not self.end.alive:
            return
        self._start_at = now + _AGAIN_SECONDS
        running[:] = [
            subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command, env=bare_environment(), stdin=subprocess.DEVNULL, start_new_session=True
            )
        ]


def _end(running: list[subprocess.Popen[bytes]], folder: Path, owner: int) -> None:
    if os.getpid() != owner:  # a fork has a copy of this object, but the process is its parent's
        return
    for process in running:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    shutil.rmtree(folder, ignore_errors=True)
