"""The processes themselves: what each costs, what is left of the disk, what waits, what was lost.

```
/proc, run/processes.json, run/ended.json, run/gateways, run/metrics, statvfs ─▶ look ─▶ Machine ─▶ process_findings
```

Files are read and nobody is asked, so a service that hangs is seen like one that runs. What cannot be read is left out. Figures are told; a breach is what
nobody wants: lost events, a full disk, a worker that ended for want of memory or time.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from fairlead.durations import tell_duration
from fairlead.monitor.report import Finding, Verdict, Window
from fairlead.monitor.words import measured, percent, plural

__all__ = ["Ending", "Machine", "Running", "look", "process_findings"]

_LITTLE: Final = 0.05
"""Below this share of a disk that is free something will fail soon."""

_UNWANTED: Final = frozenset({"memory", "time", "crash"})
_CAUSES: Final = {
    "memory": "for want of memory",
    "time": "because an answer took too long",
    "crash": "by a crash",
    "killed": "because something killed them",
    "exit": "by themselves",
}


class Running(msgspec.Struct, frozen=True):
    """One process of the service.

    Attributes:
        role: "gateway-0".
        pid: Its id.
        memory: Resident, in bytes.
        cpu: CPU time since it began, in seconds.
        files: Open file descriptors; `None` where the kernel does not say.
        uptime: Since it began, in seconds.
    """

    role: str
    pid: int
    memory: int
    cpu: float
    files: int | None
    uptime: float


class Ending(msgspec.Struct, frozen=True):
    """A process that ended without having been asked to, as the supervisor has noted it."""

    role: str
    time: float
    cause: str
    told: str


class Machine(msgspec.Struct, frozen=True):
    """What is known of this machine's part of the service.

    Attributes:
        time: When it was looked at, in seconds since 1970.
        processes: That run.
        disk_size: Of the file system with the home, in bytes; 0 where nobody knows.
        disk_free: Of it, for its owner.
        waiting: Rows that wait for a model.
        dropped: Events that the running gateways could not record since they began.
        endings: The last processes that ended by themselves.
    """

    time: float
    processes: tuple[Running, ...] = ()
    disk_size: int = 0
    disk_free: int = 0
    waiting: int = 0
    dropped: int = 0
    endings: tuple[Ending, ...] = ()


def look(home: Path, run: Path, now: float) -> Machine:
    """Look at this machine.

    Args:
        home: The home folder, whose disk counts.
        run: The folder of what runs.
        now: In seconds since 1970.
    """
    size = free = 0
    with contextlib.suppress(OSError):
        found = os.statvfs(home)
        size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    noted = _decoded(run / "ended.json", _Noted) or _Noted()
    running = tuple(_running(run))
    pids = {one.pid for one in running}
    statuses = [_decoded(path, _Status) for path in sorted((run / "gateways").glob("*.json"))]
    snapshots = [_decoded(path, _Snapshot) for path in sorted((run / "metrics").glob("*.json"))]
    return Machine(
        time=now,
        processes=running,
        disk_size=size,
        disk_free=free,
        waiting=int(sum(one.gauges.get("queue_depth", 0) for one in snapshots if one is not None and one.pid in pids)),
        dropped=sum(one.dropped for one in statuses if one is not None and one.pid in pids),
        endings=tuple(noted.last),
    )


def process_findings(machine: Machine, window: Window, before: Machine | None = None) -> list[Finding]:
    """Tell a machine. Pure.

    Args:
        machine: As it is.
        window: Processes that ended in it count.
        before: The same machine earlier; with it CPU and lost events are those since then.
    """
    found = [_process(one, machine, before) for one in machine.processes]
    if machine.disk_size:
        found.append(_disk(machine))
    if machine.processes:
        because = f"{plural(machine.waiting, 'row')} {'waits' if machine.waiting == 1 else 'wait'} for a model."
        found.append(_finding("queue", "waiting rows", because, value=float(machine.waiting)))
        found.append(_dropped(machine, before))
    return [*found, *_endings(machine, window)]


class _Left(msgspec.Struct):
    role: str
    pid: int
    start_time: int


class _Noted(msgspec.Struct):
    last: list[Ending] = []


class _Status(msgspec.Struct):
    pid: int
    dropped: int = 0


class _Snapshot(msgspec.Struct):
    pid: int = 0
    gauges: dict[str, float] = {}


def _decoded(path: Path, kind: type[Any]) -> Any:
    """A file of another process; `None` where it is not there, half written or of another version."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _running(run: Path) -> Iterator[Running]:
    """Those that the supervisor has written down and whose id still is theirs."""
    page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    for one in _decoded(run / "processes.json", list[_Left]) or []:
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()
            alive = float(Path("/proc/uptime").read_text().split()[0])
            if stat[0] == "Z" or int(stat[19]) != one.start_time:
                continue
            files = None
            with contextlib.suppress(OSError):
                files = sum(1 for _ in Path(f"/proc/{one.pid}/fd").iterdir())
            cpu = (int(stat[11]) + int(stat[12])) / tick
            yield Running(one.role, one.pid, int(stat[21]) * page, cpu, files, max(alive - one.start_time / tick, 0.0))


def _finding(subject: str, measure: str, because: str, *, verdict: Verdict = "stable", **more: Any) -> Finding:
    return Finding(area="process", subject=subject, measure=measure, because=because, verdict=verdict, **more)


def _process(one: Running, machine: Machine, before: Machine | None) -> Finding:
    former = (
        next((old for old in before.processes if (old.role, old.pid) == (one.role, one.pid)), None) if before else None
    )
    spent, seconds = one.cpu, one.uptime
    if former is not None and before is not None and machine.time > before.time:
        spent, seconds = one.cpu - former.cpu, machine.time - before.time
    cores = max(spent, 0.0) / seconds if seconds > 0 else 0.0
    files = f", {plural(one.files, 'open file')}" if one.files is not None else ""
    because = (
        f"{one.role} holds {measured(float(one.memory), 'bytes')} and takes {percent(cores)} of a core{files}; "
        f"it has run for {tell_duration(one.uptime)}."
    )
    further = {"cpu cores": cores, "uptime seconds": one.uptime}
    if one.files is not None:
        further["open files"] = float(one.files)
    return _finding(one.role, "memory", because, value=float(one.memory), unit="bytes", further=further)


def _disk(machine: Machine) -> Finding:
    share = machine.disk_free / machine.disk_size
    free, size = measured(float(machine.disk_free), "bytes"), measured(float(machine.disk_size), "bytes")
    because = f"{free} of {size} ({percent(share)}) of the disk with the home folder are free."
    verdict: Verdict = "breach" if share < _LITTLE else "stable"
    return _finding("disk", "free space", because, verdict=verdict, value=share, unit="share", reference=_LITTLE)


def _dropped(machine: Machine, before: Machine | None) -> Finding:
    # Gateways that began anew count from 0: what is less than before is all new.
    old = before.dropped if before is not None and before.dropped <= machine.dropped else 0
    lost = machine.dropped - old
    since = "since the last report" if before is not None else "since the gateways began"
    because = f"{plural(lost, 'event')} could not be recorded {since}." if lost else "Every event was recorded."
    return _finding(
        "event log", "dropped events", because, verdict="breach" if lost else "stable", value=float(lost), reference=0.0
    )


def _endings(machine: Machine, window: Window) -> list[Finding]:
    """Processes that ended by themselves in the window, by kind and cause."""
    mine = [one for one in machine.endings if window.start <= one.time < window.end]
    counts = Counter((one.role.partition("-")[0], one.cause) for one in mine)
    found = []
    for (kind, cause), count in sorted(counts.items()):
        last = next(one for one in reversed(mine) if (one.role.partition("-")[0], one.cause) == (kind, cause))
        because = (
            f"{count:,} {kind} process{'' if count == 1 else 'es'} ended {_CAUSES.get(cause, cause)}; "
            f"the last, {last.role}, {last.told}."
        )
        verdict: Verdict = "breach" if cause in _UNWANTED else "stable"
        found.append(_finding(kind, f"ended: {cause}", because, verdict=verdict, value=float(count), n=len(mine)))
    return found
