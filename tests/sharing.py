"""What several test processes share: things that are made once, and ports that nobody else takes."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

# Below the ports that the kernel gives to connections, so that none of them is taken between its choice and its use; each test
# process has a range of its own.
_FIRST_PORT, _PORTS = 20_000, 3_000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_turn = count(os.getpid() % _PORTS)


def free_port() -> int:
    """A port on 127.0.0.1 on which nobody listens, another one each time."""
    for _ in range(_PORTS):
        port = _FIRST_PORT + _WORKER % 4 * _PORTS + next(_turn) % _PORTS
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of this test run, made by whichever process needs it first; nobody may write to it afterwards."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = root / f"shared-{name}", root / f"shared-{name}.done"
    with (root / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
