"""The supervisor: starts the service's processes, starts them again when they end, and stops them in order.

It holds no model, opens no port and answers nobody; so it has little to fail by. What a former supervisor left behind when
it was killed goes on serving until the new processes are ready, and is then asked to stop.

```
supervisor ─┬─ gateway-0 … gateway-N    answer on one port (SO_REUSEPORT)
            ├─ worker-<digest> …        one for each code-format version in the routing table
            ├─ keeper-<digest> …        one for each version that stands in the shadow of others, whatever its format; it is loaded
            │    └─ shadow-<digest>     the fork of it that answers, begun anew by its keeper when it ends
            └─ control                  delivery; later monitors and the controller
```
"""

from __future__ import annotations

import contextlib
import fcntl
import math
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
from fairlead.predictor.notes import Note, Notes
from fairlead.routing.cache import read_cached
from fairlead.routing.table import RoutingTable
from fairlead.serving.processes.ended import Ended, cause_of, note_end, oom_kills
from fairlead.serving.processes.relay import relay
from fairlead.serving.processes.status import read_statuses
from fairlead.storage.replaced import fingerprint

__all__ = ["Child", "Left", "Supervisor", "left_processes", "road_of", "wanted_workers"]

_TICK_SECONDS = 0.05
_BACK_OFF = (0.1, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_HEALTHY_SECONDS = 30.0
_SHADOW_BACK_OFF = (5.0, 30.0, 120.0, 300.0)
"""Nobody waits for a shadow, and to load it again and again takes from those who answer."""
_SHADOW_HEALTHY_SECONDS = 120.0
"""Who asks a shadow that fails rests up to half a minute; that it ran so long does not say that it is well."""
_ADOPT_SECONDS = 60.0
_SHADOW = "shadow-"
_KEEPER = "keeper-"
_WORKERS = ("worker-", _SHADOW)
_NOBODY = ["0"] * 50
_NOTHING = -1
"""The revision of who serves none yet."""

_LET_GO_SECONDS = 10.0
"""How long a worker may take to end when it is asked to; one that was stopped, or hangs in its model, is killed then."""


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
        unneeded_from: The revision of the routing table from which on nobody asks it any more; `None` while it is needed.
        stop_at: When it is asked to stop then, by the monotonic clock; 0 while a gateway may still ask it.
        notes: Where the process is a keeper, what it tells.
        answering: Which fork of the keeper answers; 0 where there is none.
    """

    role: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0
    unneeded_from: int | None = None
    stop_at: float = 0.0
    notes: Notes | None = None
    answering: int = 0


class Left(msgspec.Struct, frozen=True):
    """A process of a former supervisor: its id with its start time, because ids are used again."""

    role: str
    pid: int
    start_time: int


class _Ending(msgspec.Struct):
    """A process that was asked to stop.

    Attributes:
        left: Which.
        kill_at: When it is killed if it still runs, by the monotonic clock.
        process: Where it is our own child: the kernel keeps its place until it is looked after.
    """

    left: Left
    kill_at: float
    process: subprocess.Popen[bytes] | None = None


class Supervisor:
    """Keeps processes alive.

    Args:
        run: The folder of locks, sockets and statuses.
        table: The routing table's file, which says what workers are needed.
        bundles: The folder of unpacked bundles.
        worker_command: Makes the command of a bundle's worker.
        shadow_command: Makes the command of the process in which a bundle is asked as a shadow.
        drain: How long a gateway may take to stop, in seconds.
        worker_memory: The limit of each worker, in bytes; `None` where there is none.

    Raises:
        Conflict: Another supervisor works in this folder.
        StorageError: The folder cannot be used.
    """

    def __init__(  # noqa: PLR0913 - where things lie, and how processes are started
        self,
        *,
        run: Path,
        table: Path,
        bundles: Path,
        worker_command: Callable[[str], Sequence[str]],
        shadow_command: Callable[[str], Sequence[str]],
        drain: float,
        worker_memory: int | None = None,
    ) -> None:
        self._run = run
        self._table = table
        self._bundles = bundles
        self._worker_command = worker_command
        self._shadow_command = shadow_command
        self._drain = drain
        self._worker_memory = worker_memory
        self._oom = oom_kills()
        self._children: dict[str, Child] = {}
        self.stopping = False
        """Whether `stop` was called."""
        self._fingerprint: tuple[int, int, int] | None = None
        self._follow_again_at = math.inf
        self._lock = _take_lock(run)
        self._left = left_processes(run)
        self._ending: list[_Ending] = []
        self._served: dict[int, int] = {}
        """The newest revision that each of our processes was seen to serve."""
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
        for one in self._ending:
            _signal_left(one.left, signal.SIGKILL)
        for child in others:
            _hear_no_more(child)
        self._children.clear()
        self._remember()
        self._lock.close()

    def ready(self, count: int, revision: int = 0) -> bool:
        """Whether `count` of our gateways serve the table of this revision, or a later one.

        A gateway that a former supervisor left writes to the same file as ours of its name, in turn, so what was seen once counts.
        """
        ours = {child.process.pid for child in self._children.values() if child.process is not None}
        seen = {one.pid: one.revision for one in read_statuses(self._run)}
        self._served = {pid: max(self._served.get(pid, _NOTHING), seen.get(pid, _NOTHING)) for pid in ours}
        return sum(served >= revision for served in self._served.values()) >= count

    def _look(self) -> None:
        now = time.monotonic()
        self._want_workers()
        for child in list(self._children.values()):
            if child.process is None:
                if now >= child.start_at:
                    self._start(child)
            elif (code := child.process.poll()) is not None:
                self._ended(child, code, now)
            elif child.notes is not None:
                for note in child.notes.read():
                    self._noted(child, note)
        self._retire(now)
        if self._left:
            self._let_go(now)
        if self._ending:
            self._end(now)

    def _start(self, child: Child) -> None:
        try:
            child.process = _begun(child)
        except OSError as err:
            logger.error("{role} cannot be started: {error}", role=child.role, error=err)
            child.start_at = time.monotonic() + _BACK_OFF[-1]
            return
        child.started = time.monotonic()
        if child.role.startswith(_WORKERS):
            relay(child.process, child.role)
        self._remember()

    def _ended(self, child: Child, code: int, now: float) -> None:
        shadow = child.role.startswith(_SHADOW)
        healthy = now - child.started > (_SHADOW_HEALTHY_SECONDS if shadow else _HEALTHY_SECONDS)
        child.failures = 1 if healthy else child.failures + 1
        waits = _SHADOW_BACK_OFF if shadow else _BACK_OFF
        wait = waits[min(child.failures, len(waits)) - 1]
        assert child.process is not None  # it has just ended
        how = self._note(child, child.process.pid, code)
        logger.warning("{role} ended {how}; it is started again in {wait} s.", role=child.role, how=how, wait=wait)
        child.process, child.answering = None, 0
        child.start_at = now + wait
        _hear_no_more(child)

    def _noted(self, child: Child, note: Note) -> None:
        """Hear from a keeper; to load its model was to run foreign code, so that what it says of processes is looked at."""
        assert child.process is not None  # whose notes these are
        if note.code is None:
            child.answering = note.pid if _parent_of(note.pid) == child.process.pid else 0
        else:
            child.answering = 0
            how = self._note(child, note.pid, note.code)
            logger.warning("{role} ended {how}; its keeper goes on.", role=child.role, how=how)
        self._remember()

    def _note(self, child: Child, pid: int, code: int) -> str:
        """Write down why a process ended; the same for people."""
        before, self._oom = self._oom, oom_kills()
        memory = self._worker_memory if child.role.startswith(_WORKERS) else None
        cause, told = cause_of(code, memory=memory, oom=self._oom - before)
        note_end(self._run, Ended(child.role, pid, time.time(), cause, told))
        return told

    def _want_workers(self) -> None:
        """Begin the workers that the table needs, end those that it does not need any more."""
        found = fingerprint(self._table)
        if found is None or (found == self._fingerprint and time.monotonic() < self._follow_again_at):
            return
        self._fingerprint = found
        try:
            revision, wanted = self._wanted()
        except FairleadError as err:
            logger.error("The routing table cannot be followed: {error}", error=str(err))
            self._follow_again_at = time.monotonic() + _BACK_OFF[-1]
            return
        self._follow_again_at = math.inf
        for role, command in wanted.items():
            if role not in self._children:
                self._children[role] = Child(role, command, bare_environment())
                self._start(self._children[role])
        for role, child in self._children.items():
            if role in wanted or not role.startswith(_WORKERS):
                child.unneeded_from = None
            elif child.unneeded_from is None:
                child.unneeded_from, child.stop_at = revision, 0.0

    def _retire(self, now: float) -> None:
        """Ask the workers to stop that no gateway asks any more.

        A gateway goes on with the table before until it has loaded the new one, so until then they are needed. What was begun
        is answered, too; nobody waits for a shadow.
        """
        for child in [one for one in self._children.values() if one.unneeded_from is not None]:
            if not child.stop_at and self.ready(self._gateways(), child.unneeded_from or 0):
                child.stop_at = now + (0.0 if child.role.startswith(_SHADOW) else self._drain)
            if child.stop_at and now >= child.stop_at:
                del self._children[child.role]
                _hear_no_more(child)
                # A keeper before its fork, else it would begin another.
                for left in reversed(_lefts_of(child)):
                    ours = child.process is not None and left.pid == child.process.pid
                    if ours or left.start_time:  # a fork that has just ended has none
                        self._ask_to_stop(left, now, child.process if ours else None)

    def _gateways(self) -> int:
        return sum(role.startswith("gateway") for role in self._children)

    def _ask_to_stop(self, left: Left, now: float, process: subprocess.Popen[bytes] | None = None) -> None:
        if _signal_left(left, signal.SIGTERM):
            logger.info("{role} (process {pid}) is needed no more and is asked to stop.", role=left.role, pid=left.pid)
        patience = self._drain if left.role.startswith("gateway") else 0.0
        self._ending.append(_Ending(left, now + _LET_GO_SECONDS + patience, process))
        self._remember()

    def _wanted(self) -> tuple[int, dict[str, Sequence[str]]]:
        """The table's revision, and the command of each worker that it needs, by its role."""
        table = read_cached(self._table) or RoutingTable()
        workers = {f"worker-{one[:16]}": self._worker_command(one) for one in wanted_workers(table, self._bundles)}
        shadows = {f"{_SHADOW}{one.digest[:16]}": self._shadow_command(one.digest) for one in table.mirrors()}
        return table.revision, {**workers, **shadows}

    def _let_go(self, now: float) -> None:
        """Stop what a former supervisor left, as soon as ours serve in its place."""
        if not self.ready(self._gateways()) and now < self._left_until:
            return
        left, self._left = self._left, []
        for one in left:
            self._ask_to_stop(one, now)

    def _end(self, now: float) -> None:
        """Look after those who were asked to stop, and kill who does not."""
        for one in tuple(self._ending):
            gone = one.process.poll() is not None if one.process is not None else not _runs(one.left)
            if gone:
                self._ending.remove(one)
                self._remember()
            elif now > one.kill_at and _signal_left(one.left, signal.SIGKILL):
                logger.warning(
                    "{role} (process {pid}) did not stop and is killed.", role=one.left.role, pid=one.left.pid
                )
                one.kill_at = now + _LET_GO_SECONDS

    def _remember(self) -> None:
        """Write down what runs, so that the next supervisor knows it after a `kill -9` of this one."""
        running = [left for child in self._children.values() for left in _lefts_of(child)]
        path = self._run / "processes.json"
        fresh = path.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            fresh.write_bytes(msgspec.json.encode([*running, *self._left, *(one.left for one in self._ending)]))
            fresh.replace(path)


def wanted_workers(table: RoutingTable, bundles: Path) -> set[str]:
    """The digests of the bundles in a routing table whose original answers in a worker.

    Raises:
        FairleadError: A manifest cannot be read.
    """
    digests = {variant.digest for variant in table.variants()}
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
    return int(_fields_of(pid)[19])


def _parent_of(pid: int) -> int:
    """The process that began it; 0 where there is none."""
    return int(_fields_of(pid)[1])


def _fields_of(pid: int) -> list[str]:
    """The kernel's figures of a process, from its state on (proc(5)); all 0 where there is none, or only its place is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _NOBODY
    return _NOBODY if fields[0] == "Z" else fields


def _begun(child: Child) -> subprocess.Popen[bytes]:
    """Start a process; a keeper is given the pipe by which it tells.

    Raises:
        OSError: It cannot be started.
    """
    foreign = child.role.startswith(_WORKERS)
    child.notes = Notes() if child.role.startswith(_SHADOW) else None
    writing = () if child.notes is None else (child.notes.writing,)
    try:
        # A session of its own, so that Ctrl-C reaches only the supervisor, which then lets requests finish.
        return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [*child.command, *map(str, writing)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if foreign else None,
            stderr=subprocess.STDOUT if foreign else None,
            env=child.environment,
            start_new_session=True,
            pass_fds=writing,
        )
    except OSError:
        _hear_no_more(child)
        raise
    finally:
        for end in writing:
            os.close(end)


def _hear_no_more(child: Child) -> None:
    if child.notes is not None:
        child.notes.close()
        child.notes = None


def _left_of(role: str, pid: int) -> Left:
    return Left(role, pid, _start_time(pid))


def _lefts_of(child: Child) -> list[Left]:
    """A child's process, as it is found again; and the fork of it that answers, where it is a keeper."""
    if child.process is None:
        return []
    if child.answering in {0, child.process.pid}:
        return [_left_of(child.role, child.process.pid)]
    keeper = child.role.replace(_SHADOW, _KEEPER, 1)
    return [_left_of(child.role, child.answering), _left_of(keeper, child.process.pid)]


def _runs(left: Left) -> bool:
    return _start_time(left.pid) == left.start_time


def _signal_left(left: Left, number: signal.Signals) -> bool:
    if not _runs(left):
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
