"""Why processes of the service ended without having been asked to: what the supervisor saw, written down for who looks later.

The kernel tells an exit code or a signal, and how many processes it has killed for want of memory; a worker tells by its exit code that its own limit was
too small. Nothing more is known, and nothing more is said.

```
supervisor ─ a process ended ─▶ cause_of ─▶ run/ended.json ─▶ /metrics, reports
```
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import Final, Literal

import msgspec

__all__ = ["FILE", "Cause", "Ended", "Ends", "cause_of", "kind_of", "note_end", "oom_kills", "read_ends"]

FILE: Final = "ended.json"
"""Below the folder of what runs."""

Cause = Literal["memory", "time", "crash", "killed", "exit"]
"""Want of memory; an answer took too long; the process broke a rule of the kernel; somebody or something killed it; it ended by itself."""

_KEPT: Final = 100
_CRASHES: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGSYS}
)
_LIMITS: Final = frozenset({signal.SIGALRM, signal.SIGPROF, signal.SIGXCPU})
_CGROUP: Final = Path("/sys/fs/cgroup")
_NUMBER: Final = re.compile(r"-[0-9]+$")


class Ended(msgspec.Struct, frozen=True):
    """One process that ended.

    Attributes:
        role: "worker-0123abcd".
        pid: Which it was.
        time: When that was seen, in seconds since 1970.
        cause: Of what.
        told: The same for people.
    """

    role: str
    pid: int
    time: float
    cause: Cause
    told: str


class Ends(msgspec.Struct, frozen=True):
    """All that is known of a home.

    Attributes:
        counts: How many ended, by kind of process and cause: "worker memory".
        last: The last of them, the newest at the end.
    """

    counts: dict[str, int] = {}
    last: tuple[Ended, ...] = ()


def cause_of(code: int, *, memory: int | None, oom: int) -> tuple[Cause, str]:
    """Why a process ended, and the same in words. Pure.

    Args:
        code: As `Popen.returncode`: below 0, the signal.
        memory: Its own limit of memory in bytes, where it has one.
        oom: How many processes the kernel killed for want of memory since it was last looked.
    """
    limit = f"; its memory limit is {memory / 2**20:,.0f} MB" if memory else ""
    if memory and code in {os.EX_OSERR, os.EX_TEMPFAIL}:
        how = "because it ran out of memory" if code == os.EX_OSERR else "because it used nine tenths of its memory"
        return "memory", f"{how}{limit}"
    if code >= 0:
        return "exit", f"with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    if -code == signal.SIGKILL and oom > 0:
        return "memory", f"by signal {name}, while the kernel killed for want of memory{limit}"
    if -code in _LIMITS:
        return "time", f"by signal {name}: it took longer than it may"
    return ("crash" if -code in _CRASHES else "killed"), f"by signal {name}{limit if -code == signal.SIGKILL else ''}"


def kind_of(role: str) -> str:
    """Of which kind a process is: of "gateway-3" a gateway, of "worker-0123abcd" a worker."""
    return _NUMBER.sub("", role).partition("-")[0]


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory: within our own control group, else on this machine; 0 where it does not say."""
    for path, name in ((_own_group() / "memory.events", "oom_kill"), (Path("/proc/vmstat"), "oom_kill")):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                word, _, number = line.partition(" ")
                if word == name:
                    return int(number)
    return 0


def _own_group() -> Path:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, _, rest = line.partition(":")
            if number == "0":
                return _CGROUP / rest.partition(":")[2].lstrip("/")
    return _CGROUP


def note_end(run: Path, ended: Ended) -> None:
    """Add one; a full disk leaves what was there."""
    former = read_ends(run)
    name = f"{kind_of(ended.role)} {ended.cause}"
    counts = {**former.counts, name: former.counts.get(name, 0) + 1}
    fresh = (run / FILE).with_suffix(".tmp")
    with contextlib.suppress(OSError):
        fresh.write_bytes(msgspec.json.encode(Ends(counts, (*former.last, ended)[-_KEPT:])))
        fresh.replace(run / FILE)


def read_ends(run: Path) -> Ends:
    """What was noted; nothing where there is nothing, or it cannot be read."""
    try:
        return msgspec.json.decode((run / FILE).read_bytes(), type=Ends)
    except (OSError, msgspec.DecodeError):
        return Ends()
