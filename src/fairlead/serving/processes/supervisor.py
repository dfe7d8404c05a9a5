"""The supervisor: starts the service's processes, starts them again when they end, and stops them in order.

It holds no model, opens no port and answers nobody; so it has little to fail by. What a former supervisor left behind when
it was killed goes on serving until the new processes are ready, and is then asked to stop.

```
supervisor ─┬─ gateway-0 … gateway-N    answer on one port (SO_REUSEPORT)
            ├─ worker-<digest> …        one for each code-format version in the routing table
            └─ control                  delivery; later monitors and the controller
```
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
from loguru import logger

from fairlead.bundle.reader import MANIFEST, read_manifest
from fairlead.errors import Conflict, FairleadError, StorageError
from fairlead.predictor.launch import bare_environment
from fairlead.routing.cache import read_cached
from fairlead.serving.processes.status import read_statuses
from fairlead.storage.replaced import fingerprint

__all__ = ["Child", "Left", "Supervisor", "left_processes", "road_of", "wanted_workers"]

_TICK_SECONDS = 0.05
_BACK_OFF = (0.1, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_HEALTHY_SECONDS = 30.0
_ADOPT_SECONDS = 60.0


class Child(msgspec.Struct):
    """One process the supervisor keeps alive.

    Attributes:
        role: "gateway-0", "control", "worker-0123abcd".
        command: How it is started.
        environment: Its environment; `None` means ours.
        process: The running process.
        started: When it was started, by the monotonic clock.
        failures: How often it ended in a row without having been healthy.
        start_at: When it may be started again.
    """

    role: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0


class Left(msgspec.Struct, frozen=True):
    """A process of a former supervisor: its id with its start time, because ids are used again."""

    role: str
    pid: int
    start_time: int


class Supervisor:
    """Keeps processes alive.

    Args:
        run: The folder of locks, sockets and statuses.
        table: The routing table's file, which says what workers are needed.
        bundles: The folder of unpacked bundles.
        worker_command: Makes the command of a bundle's worker.
        drain: How long a gateway may take to stop, in seconds.

    Raises:
        Conflict: Another supervisor works in this folder.
        StorageError: The folder cannot be used.
    """

    def __init__(
        self, *, run: Path, table: Path, bundles: Path, worker_command: Callable[[str], Sequence[str]], drain: float
    ) -> None:
        self._run = run
        self._table = table
        self._bundles = bundles
        self._worker_command = worker_command
        self._drain = drain
        self._children: dict[str, Child] = {}
        self.stopping = False
        """Whether `stop` was called."""
        self._fingerprint: tuple[int, int, int] | None = None
        self._lock = _take_lock(run)
        self._left = left_processes(run)
        self.took_over = any(left.role.startswith("gateway") for left in self._left)
        """Whether gateways of a former supervisor are still serving."""
        self._left_until = time.monotonic() + _ADOPT_SECONDS

    def add(self, role: str, command: Sequence[str]) -> None:
        """Keep a process of this role alive from now on."""
        self._children[role] = Child(role, command)
        self._start(self._children[role])

    def keep(self, until: Callable[[], bool] = lambda: False) -> None:
        """Keep all processes alive until `stop` is called or `until` says so."""
        while not self.stopping and not until():
            self._look()
            time.sleep(_TICK_SECONDS)

    def stop(self) -> None:
        """Make `keep` return; may be called from a signal handler."""
        self.stopping = True

    def close(self) -> None:
        """Stop the gateways, then the rest; kill what does not stop in time."""
        gateways = [child for child in self._children.values() if child.role.startswith("gateway")]
        others = [child for child in self._children.values() if not child.role.startswith("gateway")]
        _stop_all(gateways, self._drain + 5.0)
        _stop_all(others, 5.0)
        for left in self._left:
            _signal_left(left, signal.SIGTERM)
        self._children.clear()
        self._remember()
        self._lock.close()

    def ready(self, count: int) -> bool:
        """Whether `count` of our gateways serve the table."""
        ours = {child.process.pid for child in self._children.values() if child.process is not None}
        return sum(one.pid in ours and one.revision >= 0 for one in read_statuses(self._run)) >= count

    def _look(self) -> None:
        now = time.monotonic()
        self._want_workers()
        for child in list(self._children.values()):
            if child.process is None:
                if now >= child.start_at:
                    self._start(child)
            elif (code := child.process.poll()) is not None:
                self._ended(child, code, now)
        if self._left:
            self._let_go(now)

    def _start(self, child: Child) -> None:
        try:
            # A session of its own, so that Ctrl-C reaches only the supervisor, which then lets requests finish.
            child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                child.command, stdin=subprocess.DEVNULL, env=child.environment, start_new_session=True
            )
        except OSError as err:
            logger.error("{role} cannot be started: {error}", role=child.role, error=err)
            child.start_at = time.monotonic() + _BACK_OFF[-1]
            return
        child.started = time.monotonic()
        self._remember()

    def _ended(self, child: Child, code: int, now: float) -> None:
        healthy = now - child.started > _HEALTHY_SECONDS
        child.failures = 1 if healthy else child.failures + 1
        wait = _BACK_OFF[min(child.failures, len(_BACK_OFF)) - 1]
        logger.warning(
            "{role} ended {how}; it is started again in {wait} s.", role=child.role, how=_how(code), wait=wait
        )
        child.process = None
        child.start_at = now + wait

    def _want_workers(self) -> None:
        """Begin the workers that the table needs, end those that it does not need any more."""
        found = fingerprint(self._table)
        if found is None or found == self._fingerprint:
            return
        self._fingerprint = found
        try:
            wanted = wanted_workers(self._table, self._bundles)
        except FairleadError as err:
            logger.error("The routing table cannot be followed: {error}", error=str(err))
            return
        roles = {f"worker-{digest[:16]}": digest for digest in wanted}
        for role, digest in roles.items():
            if role not in self._children:
                child = Child(role, self._worker_command(digest), bare_environment())
                self._children[role] = child
                self._start(child)
        # A worker that is not needed any more still answers what was begun: it is asked to stop when the gateways have
        # swapped, which the next change of the table or a minute's patience proves well enough.
        unneeded = [role for role in self._children if role.startswith("worker-") and role not in roles]
        for role in unneeded:
            child = self._children.pop(role)
            if child.process is not None:
                self._left.append(Left(role, child.process.pid, _start_time(child.process.pid)))
                self._left_until = time.monotonic() + _ADOPT_SECONDS
        self._remember()

    def _let_go(self, now: float) -> None:
        """Stop what a former supervisor, or a former table, left, as soon as ours serve in its place."""
        gateways = sum(role.startswith("gateway") for role in self._children)
        if not self.ready(gateways) and now < self._left_until:
            return
        for left in self._left:
            if _signal_left(left, signal.SIGTERM):
                logger.info("{role} of a former start (process {pid}) is asked to stop.", role=left.role, pid=left.pid)
        self._left = []
        self._remember()

    def _remember(self) -> None:
        """Write down what runs, so that the next supervisor knows it after a `kill -9` of this one."""
        running = [
            Left(child.role, child.process.pid, _start_time(child.process.pid))
            for child in self._children.values()
            if child.process is not None
        ]
        path = self._run / "processes.json"
        fresh = path.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            fresh.write_bytes(msgspec.json.encode([*running, *self._left]))
            fresh.replace(path)


def wanted_workers(table: Path, bundles: Path) -> set[str]:
    """The digests of the bundles in a routing table whose original answers in a worker.

    Raises:
        FairleadError: The table or a manifest cannot be read.
    """
    found = read_cached(table)
    digests = {variant.digest for variant in found.variants()} if found is not None else set()
    return {digest for digest in digests if road_of(bundles / digest) == "worker"}


def road_of(folder: Path) -> str:
    """How an unpacked bundle answers.

    Raises:
        FairleadError: Its manifest cannot be read.
    """
    try:
        return read_manifest((folder / MANIFEST).read_bytes(), str(folder)).road
    except OSError as err:
        raise StorageError(f"{folder / MANIFEST} cannot be read: {err.strerror}.") from err


def _take_lock(run: Path) -> IO[bytes]:
    try:
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (run / "serve.lock").open("ab")
    except OSError as err:
        raise StorageError(f"The folder {run} cannot be used: {err.strerror}.") from err
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        lock.close()
        raise Conflict(
            f"A service is running in {run.parent} already.", hint="`fairlead status` shows it; stop it with Ctrl-C."
        ) from err
    return lock


def left_processes(run: Path) -> list[Left]:
    """What a former supervisor left running."""
    try:
        found = msgspec.json.decode((run / "processes.json").read_bytes(), type=list[Left])
    except (OSError, msgspec.DecodeError):
        return []
    return [left for left in found if left.start_time and _start_time(left.pid) == left.start_time]


def _start_time(pid: int) -> int:
    """When a process began, in the kernel's ticks since boot; 0 where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def _signal_left(left: Left, number: signal.Signals) -> bool:
    if _start_time(left.pid) != left.start_time:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(left.pid, number)
    return True


def _stop_all(children: Sequence[Child], seconds: float) -> None:
    running = [child.process for child in children if child.process is not None and child.process.poll() is None]
    for process in running:
        process.terminate()
    end = time.monotonic() + seconds
    for process in running:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _how(code: int) -> str:
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
