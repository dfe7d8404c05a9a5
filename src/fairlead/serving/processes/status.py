"""What a gateway process tells of itself: a small file in `run/gateways`, replaced at each change and once a second.

A file and not a row, because a gateway never waits for a database; `delivery` carries it there. An endpoint that is mounted in an
application reports in the same way, and is left out as soon as it has been silent for a while: its event loop is not ours.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final, Literal

import msgspec

__all__ = [
    "GatewayStatus",
    "Role",
    "ShadowState",
    "ShadowStatus",
    "State",
    "read_statuses",
    "remove_status",
    "role_of",
    "sweep_statuses",
    "write_status",
]

State = Literal["loading", "ready", "failed"]
ShadowState = Literal["starting", "ready", "resting", "failed"]
"""Its process is not there yet; it is asked; it failed too often and is asked again soon; it cannot be loaded."""

Role = Literal["gateway", "mount"]
_FOLDER = "gateways"
_MOUNT: Final = "mount-"
_SILENT_SECONDS: Final = 5.0
"""A mount reports once a second; after this long it may be held up, or gone, and nobody waits for it."""


class ShadowStatus(msgspec.Struct, frozen=True):
    """How one shadow is doing in a gateway process. Rows are counted since the gateway's start.

    Attributes:
        endpoint: In whose shadow it stands.
        name: Of the variant.
        model: The version, "flights:4".
        state: What it does.
        detail: What is wrong.
        waiting: Rows that wait for it.
        ok: Rows it has answered.
        failed: Rows it was asked and did not answer rightly.
        dropped: Rows it was never asked.
    """

    endpoint: str
    name: str
    model: str
    state: ShadowState
    detail: str
    waiting: int
    ok: int
    failed: int
    dropped: int


class GatewayStatus(msgspec.Struct, frozen=True):
    """What a gateway process does.

    Attributes:
        name: "gateway-0", or "mount-1234-1".
        pid: Of the process.
        revision: Of the routing table it serves, -1 before the first.
        seen: The newest revision it has looked at; greater than `revision` while it loads, or when loading failed.
        state: "ready", "loading", or "failed" (it goes on with the revision it has).
        detail: Why it failed.
        time: When this was written, in seconds since 1970.
        answered: Rows answered since its start.
        failed: Requests refused or failed since its start.
        dropped: Events that could not be recorded.
        shadows: How those are doing that stand in the shadow of others.
        role: "mount" where an application has it within itself.
        endpoint: Of a mount, the one that it answers.
    """

    name: str
    pid: int
    revision: int
    seen: int
    state: State
    detail: str
    time: float
    answered: int = 0
    failed: int = 0
    dropped: int = 0
    shadows: tuple[ShadowStatus, ...] = ()
    role: Role = "gateway"
    endpoint: str = ""


def write_status(run: Path, status: GatewayStatus) -> None:
    """Replace the status; a full disk leaves the old one, whose time then tells that it is old."""
    path = run / _FOLDER / f"{status.name}.json"
    fresh = path.with_suffix(f".{status.pid}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.encode(status))
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def read_statuses(run: Path) -> list[GatewayStatus]:
    """The statuses of the processes that are alive, by name."""
    found = []
    for path in sorted((run / _FOLDER).glob("*.json")):
        try:
            status = msgspec.json.decode(path.read_bytes(), type=GatewayStatus)
        except (OSError, msgspec.DecodeError):
            continue
        if _alive(status.pid) and (status.role == "gateway" or status.time > time.time() - _SILENT_SECONDS):
            found.append(status)
    return found


def role_of(name: str) -> Role:
    """The role of who reports under this name, "host/mount-1234-1"."""
    return "mount" if name.rpartition("/")[2].startswith(_MOUNT) else "gateway"


def sweep_statuses(run: Path) -> None:
    """Forget the mounts whose process has ended without a word."""
    for path in (run / _FOLDER).glob(f"{_MOUNT}*.json"):
        number = path.name.removeprefix(_MOUNT).partition("-")[0]
        if number.isdecimal() and not _alive(int(number)):
            remove_status(run, path.stem)


def remove_status(run: Path, name: str) -> None:
    """Forget a gateway that has stopped."""
    with contextlib.suppress(OSError):
        (run / _FOLDER / f"{name}.json").unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
