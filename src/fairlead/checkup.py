"""What `fairlead doctor` looks at, one function a question. It reads, measures and tries; it changes nothing that stays.

A check returns findings and raises nothing: `examine` turns whatever it raises into a finding, since a machine that is ill
enough to break a check is what the doctor is called for.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import resource
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec

from fairlead.app import open_alerts
from fairlead.config import Config
from fairlead.errors import FairleadError

__all__ = ["CHECKS", "Finding", "State", "examine"]

State = Literal["ok", "warning", "wrong"]

_MEGABYTE = 2**20
_PATCHED = {(3, 11): 13, (3, 12): 11, (3, 13): 4}
"""The first releases whose tarfile keeps to its folder (CVE-2025-4517)."""


class Finding(msgspec.Struct, frozen=True):
    """What one look has found.

    Attributes:
        check: Which check it was.
        state: "ok", "warning" (it serves, but not as it could), or "wrong".
        found: What is, with the values.
        todo: What to do about it.
    """

    check: str
    state: State
    found: str
    todo: str = ""


Check = Callable[[Config], Iterator[tuple[State, str, str]]]


def examine(config: Config) -> list[Finding]:
    """Every check, in the order in which a person would ask."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += (Finding(name, *told) for told in check(config))
        except FairleadError as err:
            findings.append(Finding(name, "wrong", err.detail, err.hint))
        except OSError as err:
            findings.append(Finding(name, "wrong", f"{err.filename or name}: {err.strerror}.", "Mend what it names."))
    return findings


def _python(_: Config) -> Iterator[tuple[State, str, str]]:
    yield judge_python(sys.version_info[:3])


def judge_python(found: tuple[int, int, int]) -> tuple[State, str, str]:
    """Whether a release of Python may serve."""
    shown = ".".join(map(str, found))
    if found < (3, 11, 0):
        return "wrong", f"Python {shown} is too old.", "Fairlead needs 3.11 or newer."
    least = _PATCHED.get(found[:2], 0)
    if found[2] < least:
        todo = f"Update to {found[0]}.{found[1]}.{least} or newer."
        return "warning", f"Python {shown} has known holes (CVE-2025-4517 and others).", todo
    return "ok", f"Python {shown} on {platform.system()} {platform.release()}.", ""


def _packages(_: Config) -> Iterator[tuple[State, str, str]]:
    needed = [one for one in requires("fairlead") or () if "extra ==" not in one]
    bad = [problem for one in needed if (problem := judge_package(one))]
    if bad:
        yield "wrong", "; ".join(bad) + ".", "pip install --upgrade fairlead"
    else:
        yield "ok", f"fairlead {version('fairlead')}; all {len(needed)} packages it needs are there.", ""
    traced = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{one}ENDPOINT") for one in ("", "TRACES_"))
    if traced and find_spec("opentelemetry.sdk") is None:
        yield "warning", "OTEL_* variables ask for traces; OpenTelemetry is missing.", "pip install 'fairlead[otel]'"


def judge_package(requirement: str) -> str:
    """What is wrong with a package that is needed as `name>=version`; "" where nothing is."""
    parts = re.match(r"([A-Za-z0-9._-]+)(?:.*>=\s*([0-9.]+))?", requirement)
    assert parts is not None, requirement
    name, least = parts[1], parts[2] or "0"
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is not installed"
    return f"{name} {found} is older than {least}" if _numbers(found) < _numbers(least) else ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", text)[:3])


def _limits(config: Config) -> Iterator[tuple[State, str, str]]:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)  # a gateway raises its own limit up to the hard one
    yield judge_files(files, config.max_connections)
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if processes != resource.RLIM_INFINITY and processes < 512:
        yield "warning", f"This user may have {processes} processes and threads.", "ulimit -u 4096"
    else:
        yield "ok", "Processes and threads are not scarce.", ""


def judge_files(limit: int, connections: int) -> tuple[State, str, str]:
    """Whether a process may open as many files as it wants to have connections."""
    shown = "any number of" if limit == resource.RLIM_INFINITY else str(limit)
    if limit == resource.RLIM_INFINITY or limit >= connections + 64:
        return "ok", f"A process may open {shown} files.", ""
    todo = f"ulimit -Hn {connections + 64}, LimitNOFILE= under systemd, or a smaller `max_connections`."
    if limit < 256:
        return "wrong", f"A process may open only {shown} files.", todo
    return "warning", f"A process may open {shown} files, and `max_connections` is {connections}.", todo


def _folders(config: Config) -> Iterator[tuple[State, str, str]]:
    home = config.home
    nearest = next(path for path in (home, *home.parents) if path.exists())
    if not nearest.is_dir() or not _writable(nearest):
        yield "wrong", f"{nearest} cannot be written by this user.", "Change its owner, or choose another --home."
    else:
        yield "ok", f"{home} " + ("can be written." if nearest == home else "does not exist yet; it can be made."), ""
    if config.access_log not in {"off", "-"} and not _appendable(home / config.access_log):
        yield "wrong", f"The access log {home / config.access_log} cannot be written.", "Correct `access_log`."
    yield _space("home", nearest, 100 * _MEGABYTE, 1024 * _MEGABYTE)
    temporary = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    if not temporary.is_dir() or not _writable(temporary):
        yield "wrong", f"TMPDIR {temporary} is no folder that can be written.", "Unset TMPDIR, or make the folder."
    else:
        yield _space("TMPDIR", temporary, 50 * _MEGABYTE, 256 * _MEGABYTE)
    shared = Path("/dev/shm")  # noqa: S108 - looked at, not used
    if not shared.is_dir() or not os.access(shared, os.W_OK):
        yield (
            "warning",
            f"{shared} cannot be written: frameworks in a worker may fail.",
            "Mount it (docker: --shm-size).",
        )
    else:
        yield _space(str(shared), shared, 0, 64 * _MEGABYTE)


def _appendable(file: Path) -> bool:
    """Whether a file, or the folder it will lie in, can be written."""
    nearest = next(path for path in (file, *file.parents) if path.exists())
    return os.access(nearest, os.W_OK) and (nearest == file or nearest.is_dir())


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError:
        return False
    return True


def _space(what: str, folder: Path, least: int, enough: int) -> tuple[State, str, str]:
    return judge_space(what, shutil.disk_usage(folder).free, least, enough)


def judge_space(what: str, free: int, least: int, enough: int) -> tuple[State, str, str]:
    """Whether free bytes are enough."""
    shown = f"{what} has {free / _MEGABYTE:,.0f} MB free."
    if free < least:
        return "wrong", shown, f"Make room: {least // _MEGABYTE} MB are the least."
    return ("warning", shown, "Make room soon.") if free < enough else ("ok", shown, "")


def _clock(config: Config) -> Iterator[tuple[State, str, str]]:
    paths = config.paths
    known = [path.stat().st_mtime for path in (Path(__file__), paths.database, paths.table) if path.exists()]
    yield judge_clock(time.time(), max(known))


def judge_clock(now: float, newest: float) -> tuple[State, str, str]:
    """Whether the clock is behind a file that was written before."""
    if newest > now + 60:
        todo = "Set the clock (chrony, systemd-timesyncd): events, audit and tokens carry its times."
        return "wrong", f"The clock is {newest - now:,.0f} s behind a file that was written here.", todo
    return "ok", f"The clock says {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(now))}.", ""


def _service(config: Config) -> Iterator[tuple[State, str, str]]:
    running = _is_running(config.paths.run)
    free = _can_bind(config.host, config.port)
    where = f"{config.host}:{config.port}"
    if running:
        yield "ok", "A service is running in this home.", ""
    elif free:
        yield "ok", f"No service is running here; {where} is free for it.", ""
    else:
        yield "wrong", f"Something else holds {where}: {free.reason}.", "Stop it, or choose another port."
    if not running:
        yield from _left_over(config.paths.run)


class _Bind(msgspec.Struct, frozen=True):
    """Whether an address can be listened on; true where it can."""

    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason


def _can_bind(host: str, port: int) -> _Bind:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as err:
            return _Bind(err.strerror or str(err))
    return _Bind()


def _is_running(run: Path) -> bool:
    """Whether a supervisor holds the lock of this home."""
    try:
        lock = os.open(run / "serve.lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _left_over(run: Path) -> Iterator[tuple[State, str, str]]:
    from fairlead.serving.processes.supervisor import left_processes

    left = left_processes(run)
    if left:
        names = ", ".join(f"{one.role} (process {one.pid})" for one in left)
        yield "warning", f"A service that was killed has left {names}.", "`fairlead serve` takes over from them."
    stale = [path.name for path in sorted(run.glob("*.sock")) if not _listened_to(path)]
    if stale:
        yield "warning", f"Nobody listens at {', '.join(stale)} any more.", "`fairlead serve` replaces them."


def _listened_to(path: Path) -> bool:
    from fairlead.predictor.wire import short_path

    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            with short_path(path) as short:
                probe.connect(str(short))
        except OSError:
            return False
    return True


def _database(config: Config) -> Iterator[tuple[State, str, str]]:
    from fairlead.storage.database import SCHEMA, found_schema

    found = found_schema(config.database_url)
    if found is None:
        yield "ok", "There is no database yet; the first version that is packed makes it.", ""
        return
    if found > SCHEMA:
        todo = "Install the Fairlead that wrote it, or a newer one."
        yield "wrong", f"The database has schema {found}; this Fairlead knows up to {SCHEMA}.", todo
    elif found < SCHEMA:
        yield "ok", f"The database has schema {found}; the next command brings it to {SCHEMA}.", ""
    else:
        yield "ok", f"The database is at schema {found}.", ""
    if config.database is None and (damage := damage_of(config.paths.database)):
        yield "wrong", f"The database is damaged: {damage}.", "Stop the service and restore your copy of it."


def damage_of(file: Path) -> str:
    """What SQLite's own check says of a file; "" where it is sound."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as err:
        return str(err)
    return "" if said == "ok" else str(said)


def _blobs(config: Config) -> Iterator[tuple[State, str, str]]:
    from fairlead.bundle.store import check_bundle
    from fairlead.routing.cache import read_cached
    from fairlead.storage.blobs import open_blobs

    if config.blobs is None and not config.paths.blobs.exists():
        yield "ok", "There are no blobs yet.", ""
        return
    blobs = open_blobs(config.blobs_url)
    table = read_cached(config.paths.table)
    digests = sorted({variant.digest for variant in table.variants()}) if table is not None else []
    wrong = [(digest, one) for digest in digests for one in check_bundle(digest, blobs)]
    for digest, one in wrong:
        yield "wrong", f"The bundle {digest[:16]} is damaged: {one.detail}", "Pack it again, or restore its blobs."
    if not wrong:
        yield "ok", f"{blobs.where} can be read; what is deployed is whole ({len(digests)} bundles).", ""


def _alerts(config: Config) -> Iterator[tuple[State, str, str]]:
    """Whether every address could be used; nothing is sent. Without any there is nothing to tell."""
    count = bool(config.alert_webhook) + len(config.alert_urls.split())
    if count:
        open_alerts(config)  # what cannot be used is refused
        yield "ok", f"Alerts are told at {count} address{'es' if count > 1 else ''}.", ""


CHECKS: dict[str, Check] = {
    "python": _python,
    "packages": _packages,
    "limits": _limits,
    "folders": _folders,
    "clock": _clock,
    "service": _service,
    "database": _database,
    "blobs": _blobs,
    "alerts": _alerts,
}
"""By name."""
