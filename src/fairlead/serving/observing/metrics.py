"""`/metrics`: what every gateway process of this machine has counted, as Prometheus text or OpenMetrics.

A process counts in plain dictionaries: half a microsecond a request. Once a second it writes them to a file of its own in
`run/metrics`; whichever process is scraped writes its own first and adds up all files. So a figure that was told once is on
file, and no later scrape, of whatever process, tells a smaller one. Processes that have ended are added up in `past.json`:
their counts stay, their gauges go.

```
 gateway.observe ─┐                     run/metrics/gateway-0.<pid>.json ─┐
 lane.on_answer ──┴▶ Metrics ─ 1 s ───▶ run/metrics/gateway-1.<pid>.json ─┼─▶ sum ─▶ GET /metrics
                                        run/metrics/past.json ────────────┤
 the monitor's reports ───────────────▶ run/monitor.json ─────────────────┘
```

A label's value is an endpoint, a version or a variant that the operator deployed, or a status code: nothing that a caller
sends becomes one. Beyond `_MAX_SERIES` versions, all others are counted as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import platform
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from fairlead.errors import FairleadError
from fairlead.serving.feedback.box import Counted
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import method_not_allowed, status_of
from fairlead.serving.http.request import Peer, Request
from fairlead.serving.live import LiveVariant
from fairlead.serving.observing.exposition import OPENMETRICS, TEXT, Family, render
from fairlead.serving.processes.ended import read_ends
from fairlead.serving.shadow import MirrorCount

__all__ = ["BOUNDS", "Metrics", "MetricsDoor", "Snapshot", "collect", "fold_ended", "keep_snapshot", "write_snapshot"]

BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets, in seconds: from a compiled model's answer to the request deadline."""

_FOLDER = "metrics"
_PAST = "past.json"
_LOCK = "lock"
_MAX_SERIES = 500
_OTHER = ("other", "other", "other")
_encode = msgspec.json.Encoder().encode
_Key = TypeVar("_Key", int, str)


class Series(msgspec.Struct):
    """What was counted of one variant of an endpoint.

    Attributes:
        endpoint: Its name.
        version: Which answered, "flights:3".
        variant: By which it was chosen.
        codes: Requests by status; what succeeded stands apart in `fine`, as its count is the quickest.
        fine: Requests that were answered.
        rows: Rows that were answered.
        buckets: Requests by how long they took: one for each of `BOUNDS`, and one for all that took longer.
        seconds: How long all of them took together.
    """

    endpoint: str
    version: str
    variant: str
    codes: dict[int, int] = {}
    fine: int = 0
    rows: int = 0
    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0


class Snapshot(msgspec.Struct):
    """What a process has counted, as it is written down.

    Attributes:
        process: "gateway-0"; "" for all that have ended.
        pid: Of the process.
        start: When it began, in the kernel's ticks: ids are used again.
        series: Of each variant.
        answers: Answers of the port by status, whatever was asked for.
        counts: Other counters, by name.
        feedback: How much was taken, by endpoint and kind.
        gauges: What is now, by name.
        mirrored: Of each version in the shadow of an endpoint.
        folded: In `past.json`: the files that it contains already.
    """

    process: str
    pid: int = 0
    start: int = 0
    series: list[Series] = []
    answers: dict[int, int] = {}
    counts: dict[str, int] = {}
    feedback: dict[str, dict[str, int]] = {}
    gauges: dict[str, float] = {}
    mirrored: list[MirrorCount] = []
    folded: list[str] = []


class Metrics:
    """The counters of one gateway process.

    Args:
        process: "gateway-0".
        counts: Tells the counters that others keep, by name.
        gauges: Tells what is now, by name.
        feedback: How much feedback was taken, by endpoint and kind; looked at again for each snapshot.
        mirrored: Tells what became of the rows for each shadow.
    """

    def __init__(
        self,
        process: str,
        *,
        counts: Callable[[], Mapping[str, int]],
        gauges: Callable[[], Mapping[str, float]],
        feedback: Mapping[str, Mapping[Counted, int]] = MappingProxyType({}),
        mirrored: Callable[[], list[MirrorCount]] = list,
    ) -> None:
        self._process = process
        self._counts = counts
        self._gauges = gauges
        self._mirrored = mirrored
        self._feedback = feedback
        self._series: dict[tuple[str, str, str], Series] = {}
        self._live: dict[LiveVariant, Series] = {}
        self._answers: dict[int, int] = {}
        self._order = _Order()
        self._start = start_time(os.getpid())

    def observe(self, live: LiveVariant, error: FairleadError | None, rows: int, seconds: float) -> None:
        """Count one request to an endpoint (a `gateway.Observe`)."""
        series = self._live.get(live) or self._find(live)
        series.buckets[bisect_left(BOUNDS, seconds)] += 1
        series.seconds += seconds
        if error is None:
            series.fine += 1
            series.rows += rows
        else:
            code = status_of(error)
            series.codes[code] = series.codes.get(code, 0) + 1

    def answered(self, peer: Peer, request: Request) -> None:  # noqa: ARG002 - the lane's signature
        """Count one answer of a port (a `Lane.on_answer`)."""
        self._answers[request.status] = self._answers.get(request.status, 0) + 1

    def snapshot(self) -> Snapshot:
        """What was counted until now. It shares the counters: write it down before the event loop goes on."""
        self._live.clear()  # else what was swapped out would never be let go of
        return Snapshot(
            process=self._process,
            pid=os.getpid(),
            start=self._start,
            series=list(self._series.values()),
            answers=self._answers,
            counts=dict(self._counts()),
            feedback={
                name: {str(kind): told for kind, told in counts.items()} for name, counts in self._feedback.items()
            },
            gauges=dict(self._gauges()),
            mirrored=self._mirrored(),
        )

    def written(self) -> _Written:
        """The same, ready to be written down."""
        return _Written(self.snapshot(), self._order)

    def _find(self, live: LiveVariant) -> Series:
        key = (live.endpoint, live.model, live.name)
        if key not in self._series and len(self._series) >= _MAX_SERIES:
            key = _OTHER
        found = self._series.setdefault(key, Series(*key))
        self._live[live] = found
        return found


class MetricsDoor:
    """`GET /metrics`.

    Args:
        metrics: This process's counters.
        gateway: Runs the collecting beside the answering.
        run: The folder of what runs.
    """

    def __init__(self, metrics: Metrics, gateway: Gateway, run: Path) -> None:
        self._metrics = metrics
        self._gateway = gateway
        self._run = run

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`)."""
        return self._handle if path == b"/metrics" else None

    def _handle(self, connection: Connection, request: Request) -> None:
        if request.method in {b"GET", b"HEAD"}:
            self._gateway.start(self._tell(connection, request))
        else:
            hint = "Metrics are read with GET."
            connection.respond_error(request, method_not_allowed(request.method, "GET, HEAD", hint))

    async def _tell(self, connection: Connection, request: Request) -> None:
        openmetrics = b"application/openmetrics-text" in (request.header(b"accept") or b"").lower()
        mine = self._metrics.written()
        body = await asyncio.to_thread(_collected, self._run, mine, openmetrics=openmetrics)
        kind = OPENMETRICS if openmetrics else TEXT
        connection.respond(request, 200, body, kind, b"cache-control: no-store\r\n")


async def keep_snapshot(metrics: Metrics, run: Path, seconds: float = 1.0) -> None:
    """Fold what ended processes left, then write the counters down again and again; and once more when it is cancelled."""
    await asyncio.to_thread(fold_ended, run)
    try:
        while True:
            await asyncio.to_thread(metrics.written().write, run)
            await asyncio.sleep(seconds)
    finally:
        metrics.written().write(run)


def write_snapshot(run: Path, snapshot: Snapshot) -> None:
    """Write down what a process has counted, in its own file.

    Args:
        run: The folder of what runs.
        snapshot: What it has counted.
    """
    _Written(snapshot, _Order()).write(run)


def _collected(run: Path, mine: _Written, *, openmetrics: bool) -> bytes:
    mine.write(run)
    return render(collect(run), openmetrics=openmetrics)


def collect(run: Path) -> list[Family]:
    """All counters and gauges of the machine's gateways, and what its processes cost.

    Args:
        run: The folder of what runs.
    """
    with _locked(run / _FOLDER, fcntl.LOCK_SH):
        past, alive, ended = _read(run / _FOLDER)
    total = _sum([past, *alive, *ended])
    return [*_counted(total), *_gauged(alive), *_costs(run), *_ended(run), *_disk(run), *_watched(run), _info()]


# -- files -------------------------------------------------------------------------------------------------------------


class _Order:
    """In which order the snapshots of one process were made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made = 0
        self.written = 0


class _Written:
    """A snapshot as bytes, made on the event loop, to be written in a thread while the counters go on."""

    def __init__(self, snapshot: Snapshot, order: _Order) -> None:
        self._name = _file_name(snapshot)
        self._data = _encode(snapshot)
        self._order = order
        order.made += 1
        self._number = order.made

    def write(self, run: Path) -> None:
        """Replace the process's file; a full disk leaves the old one, which tells less, but nothing wrong.

        Several threads may write at a time, and a slow one must not replace what was counted later.
        """
        with self._order.lock:
            if self._number > self._order.written:
                self._order.written = self._number
                self._replace(run / _FOLDER / self._name)

    def _replace(self, path: Path) -> None:
        fresh = path.with_suffix(f".{time.monotonic_ns():x}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.write_bytes(self._data)
            fresh.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)


def _file_name(snapshot: Snapshot) -> str:
    return f"{snapshot.process}.{snapshot.pid}.json"


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Hold the folder while it is read (`LOCK_SH`) or changed (`LOCK_EX`), so that nothing is counted twice or missed."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / _LOCK).open("ab")
    except OSError:
        yield  # a folder that cannot be written cannot change either
        return
    with lock:
        fcntl.flock(lock, how)
        yield


def _read(folder: Path) -> tuple[Snapshot, list[Snapshot], list[Snapshot]]:
    """All that ended long ago, those that run, and those that ended since."""
    past = _snapshot(folder / _PAST) or Snapshot("")
    alive: list[Snapshot] = []
    ended: list[Snapshot] = []
    for path in sorted(folder.glob("*.json")):
        if path.name == _PAST or path.name in past.folded:
            continue
        if (found := _snapshot(path)) is not None:
            (alive if found.start and start_time(found.pid) == found.start else ended).append(found)
    return past, alive, ended


def _snapshot(path: Path) -> Snapshot | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except (OSError, msgspec.DecodeError):
        return None


def fold_ended(run: Path) -> None:
    """Add the files of ended processes to `past.json`. Killed between any two steps, it counts nothing twice.

    Args:
        run: The folder of what runs.
    """
    folder = run / _FOLDER
    with _locked(folder, fcntl.LOCK_EX), contextlib.suppress(OSError):
        past, _, ended = _read(folder)
        for name in past.folded:
            (folder / name).unlink(missing_ok=True)
        if ended:
            past = _sum([past, *ended])
            past.folded = [_file_name(one) for one in ended]
            fresh = folder / f"past.{os.getpid()}.tmp"
            fresh.write_bytes(_encode(past))
            fresh.replace(folder / _PAST)
            for name in past.folded:
                (folder / name).unlink(missing_ok=True)


def _sum(snapshots: Sequence[Snapshot]) -> Snapshot:
    total = Snapshot("")
    series: dict[tuple[str, str, str], Series] = {}
    mirrored: dict[tuple[str, str], MirrorCount] = {}
    for snapshot in snapshots:
        _add(total.answers, snapshot.answers)
        _add(total.counts, snapshot.counts)
        for endpoint, counts in snapshot.feedback.items():
            known = endpoint in total.feedback or len(total.feedback) < _MAX_SERIES
            _add(total.feedback.setdefault(endpoint if known else "other", {}), counts)
        for one in snapshot.series:
            key = (one.endpoint, one.version, one.variant)
            if key not in series and len(series) >= _MAX_SERIES:
                key = _OTHER
            _merge(series.setdefault(key, Series(*key)), one)
        for count in snapshot.mirrored:
            whose = (count.endpoint, count.version)
            if whose not in mirrored and len(mirrored) >= _MAX_SERIES:
                whose = _OTHER[:2]
            _merge_mirrored(mirrored.setdefault(whose, MirrorCount(*whose)), count)
    total.mirrored = [mirrored[key] for key in sorted(mirrored)]
    total.series = [series[key] for key in sorted(series)]
    return total


def _merge(into: Series, one: Series) -> None:
    _add(into.codes, one.codes)
    into.fine += one.fine
    into.rows += one.rows
    into.seconds += one.seconds
    if len(one.buckets) == len(into.buckets):  # another version of Fairlead may have had other buckets
        into.buckets = [a + b for a, b in zip(into.buckets, one.buckets, strict=True)]


def _merge_mirrored(into: MirrorCount, one: MirrorCount) -> None:
    into.ok += one.ok
    into.failed += one.failed
    into.dropped += one.dropped


def _add(into: dict[_Key, int], more: Mapping[_Key, int]) -> None:
    for key, count in more.items():
        into[key] = into.get(key, 0) + count


def start_time(pid: int) -> int:
    """When a process began, in the kernel's ticks since boot; 0 where there is none."""
    stat = _stat(pid)
    return int(stat[19]) if stat else 0


def _stat(pid: int) -> list[str]:
    """The fields of a process after its name; none where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] == "Z" else fields


# -- families ----------------------------------------------------------------------------------------------------------


def _counted(total: Snapshot) -> Iterator[Family]:
    requests = Family("fairlead_requests", "counter", "Requests to an endpoint by the status they were answered with.")
    rows = Family("fairlead_rows", "counter", "Rows that were answered.")
    seconds = Family(
        "fairlead_request_seconds", "histogram", "From a request's last byte to its answer.", unit="seconds"
    )
    for one in total.series:
        labels = {"endpoint": one.endpoint, "version": one.version, "variant": one.variant}
        codes = {**({200: one.fine} if one.fine else {}), **one.codes}
        for code in sorted(codes):
            requests.add(codes[code], {**labels, "code": str(code)})
        rows.add(one.rows, labels)
        seconds.add_histogram(BOUNDS, one.buckets, one.seconds, labels)
    answers = Family("fairlead_answers", "counter", "All answers of the port by status, whatever was asked for.")
    for code in sorted(total.answers):
        answers.add(total.answers[code], {"code": str(code)})
    yield from (requests, rows, seconds, answers, _feedback(total))
    for name, text in _COUNTS.items():
        family = Family(f"fairlead_{name}", "counter", text)
        family.add(total.counts.get(name, 0))
        yield family
    yield _mirrored(total)


def _mirrored(total: Snapshot) -> Family:
    family = Family("fairlead_mirrored", "counter", "Rows for a shadow: answered, failed, or dropped and never asked.")
    for one in total.mirrored:
        labels = {"endpoint": one.endpoint, "version": one.version}
        for outcome, count in (("ok", one.ok), ("failed", one.failed), ("dropped", one.dropped)):
            family.add(count, {**labels, "outcome": outcome})
    return family


def _feedback(total: Snapshot) -> Family:
    family = Family("fairlead_feedback", "counter", "Feedback by endpoint and kind; each is counted once.")
    for endpoint in sorted(total.feedback):
        for kind, count in sorted(total.feedback[endpoint].items()):
            family.add(count, {"endpoint": endpoint, "kind": kind})
    return family


_COUNTS: Final = {
    "events": "Events that were recorded.",
    "events_dropped": "Events that could not be recorded.",
    "connections_refused": "Connections that were one too many.",
    "access_log_dropped": "Lines of the access log that could not be written.",
}

_GAUGES: Final = {
    "in_flight": "Requests that are being answered.",
    "queue_depth": "Rows that wait for a model.",
    "connections": "Open connections.",
    "revision": "The routing table's revision that is served; -1 before the first.",
}


def _gauged(alive: Sequence[Snapshot]) -> Iterator[Family]:
    for name, text in _GAUGES.items():
        family = Family(f"fairlead_{name}", "gauge", text)
        for one in alive:
            if name in one.gauges:
                family.add(one.gauges[name], {"process": f"{one.process}"}, once=True)
        yield family
    waiting = Family("fairlead_mirror_queue_depth", "gauge", "Rows that wait for a shadow.")
    for one in alive:
        for shadow in one.mirrored:
            labels = {"endpoint": shadow.endpoint, "version": shadow.version, "process": one.process}
            waiting.add(shadow.waiting, labels, once=True)
    yield waiting


class _Process(msgspec.Struct):
    """A process of the service, as the supervisor has written it down."""

    role: str
    pid: int
    start_time: int


def _costs(run: Path) -> Iterator[Family]:
    """What each process of the service costs, by the kernel's own accounts."""
    memory = Family(
        "fairlead_process_resident_memory_bytes", "gauge", "Memory in use, by process of the service.", unit="bytes"
    )
    seconds = Family("fairlead_process_cpu_seconds", "counter", "CPU time, by process of the service.", unit="seconds")
    files = Family("fairlead_process_open_fds", "gauge", "Open file descriptors, by process of the service.")
    begun = Family(
        "fairlead_process_start_time_seconds", "gauge", "When it began, in seconds since 1970.", unit="seconds"
    )
    page, tick, boot = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK"), _boot_time()
    for one in _processes(run):
        stat, labels = _stat(one.pid), {"process": one.role}
        if stat and int(stat[19]) == one.start_time:
            memory.add(int(stat[21]) * page, labels, once=True)
            seconds.add((int(stat[11]) + int(stat[12])) / tick, labels, once=True)
            begun.add(boot + one.start_time / tick, labels, once=True)
            with contextlib.suppress(OSError):
                files.add(sum(1 for _ in Path(f"/proc/{one.pid}/fd").iterdir()), labels, once=True)
    yield from (memory, seconds, files, begun)


@functools.cache
def _boot_time() -> float:
    """When the machine began, in seconds since 1970; 0 where the kernel does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0


def _ended(run: Path) -> Iterator[Family]:
    """Processes that ended without having been asked to."""
    family = Family("fairlead_process_ended", "counter", "Processes that ended by themselves, by kind and cause.")
    for name, count in sorted(read_ends(run).counts.items()):
        kind, _, cause = name.partition(" ")
        family.add(count, {"kind": kind, "cause": cause})
    yield family


def _disk(run: Path) -> Iterator[Family]:
    """The file system on which the home lies."""
    free = Family("fairlead_disk_free_bytes", "gauge", "Free for the home folder's owner.", unit="bytes")
    size = Family("fairlead_disk_size_bytes", "gauge", "Of the file system with the home folder.", unit="bytes")
    with contextlib.suppress(OSError):
        found = os.statvfs(run)
        free.add(found.f_bavail * found.f_frsize)
        size.add(found.f_blocks * found.f_frsize)
    yield from (free, size)


def _processes(run: Path) -> list[_Process]:
    try:
        return msgspec.json.decode((run / "processes.json").read_bytes(), type=list[_Process])
    except (OSError, msgspec.DecodeError):
        return []


class _Watched(msgspec.Struct):
    """A gauge as the monitor has written it down when it made its newest reports."""

    name: str
    text: str
    samples: list[tuple[dict[str, str], float]]


def _watched(run: Path) -> Iterator[Family]:
    """What the monitor says; nothing where there is none."""
    try:
        found = msgspec.json.decode((run / "monitor.json").read_bytes(), type=list[_Watched])
    except (OSError, msgspec.DecodeError):
        return
    for one in found:
        family = Family(one.name, "gauge", one.text)
        for labels, value in one.samples:
            family.add(value, labels, once=True)
        yield family


@functools.cache
def _info() -> Family:
    info = Family("fairlead", "info", "What runs.")
    info.add(1, {"version": version_of("fairlead"), "python": platform.python_version()})
    return info
