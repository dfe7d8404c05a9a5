"""A bundle's original, reopened in the very worker that would serve it, to answer some rows.

This is how the road "worker" is proven and verified. The process is started here and ends here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from fairlead.bundle.manifest import Expected
from fairlead.bundle.reader import Bundle
from fairlead.errors import BundleError
from fairlead.packing.isolation import MEMORY, clean_environment, last_words
from fairlead.predictor.launch import worker_command
from fairlead.predictor.worker import Worker, socket_path
from fairlead.schema import Row

__all__ = ["answer_in_worker"]

_ANSWER_SECONDS = 60.0


def answer_in_worker(bundle: Bundle, rows: Sequence[Row], *, memory: int = MEMORY) -> list[Expected]:
    """Let the original answer rows in a worker of its own.

    Args:
        bundle: Sealed; its original is opened in the worker only.
        rows: In the order of its schema.
        memory: The most address space of the worker, in bytes.

    Raises:
        BundleError: The worker ended, or did not become ready within a minute.
        PredictionFailed: The model raised on these rows.
        DeadlineExceeded: It took more than a minute to answer.
    """
    with tempfile.TemporaryDirectory(prefix="fairlead-worker-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        path = socket_path(folder, bundle.digest)
        where = bundle.folder.resolve()
        command = worker_command(where, bundle.digest, path, memory=memory, seconds=_ANSWER_SECONDS)
        with (folder / "said.txt").open("wb") as said:
            process = subprocess.Popen(  # noqa: S603 - this Python, this package
                command,
                cwd=folder,
                env=clean_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            # A notebook has an event loop of its own in this thread.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, _ask(path, process, rows, folder / "said.txt")).result()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def _ask(path: Path, process: subprocess.Popen[bytes], rows: Sequence[Row], said: Path) -> list[Expected]:
    """Ask as a gateway asks, and notice at once when the process has ended."""
    worker = Worker(path, timeout=_ANSWER_SECONDS)
    asking = asyncio.create_task(worker.answer_when_ready(rows))
    try:
        while not asking.done():
            await asyncio.wait({asking}, timeout=0.1)
            if process.poll() is not None and not asking.done():
                raise BundleError(
                    f"Reopened in a worker, the model ended its process (exit code {process.returncode}).{last_words(said)}",
                    hint="What it needs has to be importable in a fresh process.",
                )
        return [Expected(outcome.prediction, outcome.probabilities) for outcome in asking.result()]
    finally:
        asking.cancel()
        await worker.close()
