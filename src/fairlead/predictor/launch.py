"""How a worker process is started: the same command and the same bare environment, whoever starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["bare_environment", "worker_command"]

_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TZ")


def worker_command(  # noqa: PLR0913 - what a process is told
    folder: Path, digest: str, path: Path, *, memory: int, seconds: float, shadow: bool = False
) -> list[str]:
    """The command of a bundle's worker.

    Args:
        folder: The unpacked bundle.
        digest: Of the bundle.
        path: The socket on which the worker listens.
        memory: The most address space it may have, in bytes.
        seconds: How long it may take for one answer.
        shadow: Whether it stands in the shadow of others, and lets them go first.
    """
    module = "fairlead.predictor.shadow_process" if shadow else "fairlead.predictor.worker_process"
    arguments = [str(folder), digest, str(path), str(memory), str(seconds)]
    # -P: a file called numpy.py in the folder where somebody happens to stand is not ours to import.
    return [_interpreter(), "-P", "-m", module, *arguments]


def bare_environment() -> dict[str, str]:
    """What a worker needs to find its libraries, and no secrets."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # OpenMP's threads spin between two calls by default, on the cores that the gateways answer with.
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept}


def _interpreter() -> str:
    """Python's own program: inside of Apache or uWSGI, `sys.executable` is theirs."""
    here = Path(sys.executable or "/")
    return str(here) if here.name.startswith("python") else str(Path(sys.exec_prefix, "bin", "python3"))
