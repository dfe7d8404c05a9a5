"""What the serving benchmarks share: servers on one core, load from the other, and what the kernel counted meanwhile."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
from importlib.metadata import version
from pathlib import Path

import msgspec

HERE = Path(__file__).resolve().parent
SERVER_CORE, LOAD_CORE = 0, 1


class Sample(msgspec.Struct, frozen=True):
    """One spell of load: requests a second, CPU and latencies in microseconds, failed requests."""

    rate: float
    cpu: float
    p50: float
    p99: float
    failed: int


class Load(msgspec.Struct, frozen=True):
    """What the load generator reports; latencies in microseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    failed: int


# --- servers --------------------------------------------------------------------------------------------------------------


def pinned(core: int, command: list[str]) -> list[str]:
    """The command, kept to one core."""
    return ["taskset", "--cpu-list", str(core), *command]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that leads a session of its own, and what it leaves behind."""
    known = _born(family(process.pid))
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        # Its session holds nothing but the server's own processes.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
    for pid, born in known.items():
        # A number may have been given to another process since; the time of birth tells.
        if _born({pid}).get(pid) == born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


# --- load -----------------------------------------------------------------------------------------------------------------


def wrk(url: str, rows: Path, connections: int, seconds: float) -> list[str]:
    """The command that posts the lines of `rows` in turn, on the load's core."""
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:g}s"]
    command += ["--timeout", "10s", "--script", str(HERE / "rotate.lua"), url, "--", str(rows)]
    return pinned(LOAD_CORE, command)


def spell(command: list[str], server: int, environment: dict[str, str] | None = None) -> Sample:
    """Run a load generator, which prints a `Load` as its last line of JSON, and account for the server's CPU."""
    before = cpu_seconds(server)
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | (environment or {}), timeout=120
    )
    used = cpu_seconds(server) - before
    line = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{"))
    load = msgspec.json.decode(line, type=Load)
    return Sample(load.requests / load.seconds, used / max(load.requests, 1) * 1e6, load.p50, load.p99, load.failed)


def median(samples: list[Sample]) -> Sample:
    """The median of each figure, and the sum of the failures."""
    middle = [statistics.median(getattr(one, name) for one in samples) for name in ("rate", "cpu", "p50", "p99")]
    return Sample(*middle, failed=sum(one.failed for one in samples))


# --- what the kernel knows ------------------------------------------------------------------------------------------------


def cpu_seconds(root: int) -> float:
    """User and system time of a process and all its descendants, in seconds."""
    stats = _stats()
    ticks = sum(int(stats[pid][11]) + int(stats[pid][12]) for pid in _below(root, stats) if pid in stats)
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_megabytes(root: int) -> float:
    """The resident memory of a process and all its descendants; what they share is counted for each."""
    stats = _stats()
    pages = sum(int(stats[pid][21]) for pid in _below(root, stats) if pid in stats)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def family(root: int) -> set[int]:
    """A process and all its descendants."""
    return _below(root, _stats())


def _stats() -> dict[int, list[str]]:
    """Fields 3 and on of proc(5)'s `stat`, for every process."""
    stats = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name stands in parentheses and may hold blanks.
                stats[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
    return stats


def _below(root: int, stats: dict[int, list[str]]) -> set[int]:
    found = {root}
    while grown := {pid for pid, fields in stats.items() if int(fields[1]) in found} - found:
        found |= grown
    return found


def _born(pids: set[int]) -> dict[int, str]:
    """When each of these processes began, in ticks since the machine did."""
    stats = _stats()
    return {pid: stats[pid][19] for pid in pids if pid in stats}


def machine(packages: tuple[str, ...]) -> str:
    """What the figures were taken on, in one line."""
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{model.partition(':')[2].strip()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def require_tools() -> None:
    """Say what is missing before anything is trained.

    Raises:
        SystemExit: A program or a core is missing.
    """
    missing = [name for name in ("wrk", "taskset") if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"{' and '.join(missing)} not found. On Debian: apt-get install wrk util-linux")
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise SystemExit("Two cores are needed, 0 for the server and 1 for the load.")
