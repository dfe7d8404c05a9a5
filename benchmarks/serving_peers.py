"""How do model servers compare, each as its own documentation recommends it, on one pipeline and the same rows?

    python benchmarks/serving_peers.py                    # about eight minutes, once the peers are installed
    python benchmarks/serving_peers.py --quick            # a smoke run; its figures mean little
    python benchmarks/serving_peers.py --only MLServer    # one of them, and Fairlead

BentoML, MLServer, LitServe, MLflow, Ray Serve, FastAPI and Flask, each in a virtual environment of its own, and Fairlead four ways:
compiled, in a worker, and over gRPC with one row a call beside MLServer. One server runs at a time, pinned to core 0; the load comes from
core 1. Each speaks its own protocol, and each one's answers are compared with scikit-learn's before anything is timed. `README.md` beside
this file says how to read the tables.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import msgspec
import pandas as pd

from environments import Unavailable, environment, last_line, megabytes, version_of
from material import MODEL, ROWS, WINTER, Material, deploy, prepare
from measuring import (
    HERE,
    LOAD_CORE,
    SERVER_CORE,
    Sample,
    free_port,
    machine,
    median,
    pinned,
    require_tools,
    resident_megabytes,
    spell,
    stop,
    wrk,
)
from peers.kept import kept
from peers.protocols import BENTOML, MLFLOW, TENSORS, Protocol, Row, plain

ROOT = HERE.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead-benchmarks"
CONNECTIONS = (1, 16, 64)
PACKAGES = ("scikit-learn", "numpy", "pandas", "joblib", "fairlead")
TOLERANCE = 1e-6
"""How far a probability may be from scikit-learn's."""

START_SECONDS = 90
FAIRLEAD, WORKER, FAIRLEAD_GRPC = "Fairlead", "Fairlead, kept in a worker", "Fairlead, gRPC"
FASTAPI, MLSERVER_GRPC = "FastAPI + joblib", "MLServer, gRPC"
SERVERS = ("BentoML", "MLServer", "LitServe", "MLflow", "Ray Serve")
"""Those that the first bar is about."""


class Peer(msgspec.Struct, frozen=True):
    """One server.

    Attributes:
        name: In the table.
        package: The distribution whose version is told.
        kept: The environment's folder.
        requirements: What pip is asked for.
        command: Starts it. `{port}` is where it is asked, `{other}` and `{third}` are free ports, `{python}` is its interpreter, `{bin}` the folder
            of that, `{folder}` the material's, `{own}` a folder of its own.
        protocol: How it is asked over HTTP; `None` for gRPC.
        prepare: A command that makes `{own}/model` first.
        variables: Of its environment.
        ours: Whether it is installed with our own pins.
    """

    name: str
    package: str
    kept: str
    requirements: list[str]
    command: list[str]
    protocol: Protocol | None
    prepare: list[str] = []
    variables: dict[str, str] = {}
    ours: bool = False


class Installed(msgspec.Struct, frozen=True):
    """A peer that can be started; `megabytes` is `None` where it has no environment of its own."""

    peer: Peer
    python: Path
    version: str
    megabytes: float | None


class Running(msgspec.Struct, frozen=True):
    """A server that answers."""

    peer: Peer
    process: subprocess.Popen[bytes]
    port: int
    seconds: float


class Visit(msgspec.Struct, frozen=True):
    """What one start of a server showed: seconds until the first answer, megabytes after the load, the worst difference."""

    start: float
    memory: float
    worst: float
    samples: dict[int, Sample]


# --- the peers ------------------------------------------------------------------------------------------------------------


def peers() -> list[Peer]:
    """All of them, Fairlead first."""
    model = [f"scikit-learn=={version('scikit-learn')}", "joblib>=1.4", "pandas>=2.2"]
    return [*_fairlead(), *_servers(model), *_by_hand(model)]


def _fairlead() -> list[Peer]:
    def serve(home: str, *more: str) -> list[str]:
        start = ["{python}", "-m", "fairlead.cli.main", "--home", f"{{folder}}/{home}", "serve", "--workers", "1"]
        return [*start, *more]

    compiled, worker = ("fairlead", "fairlead", ["--editable", str(ROOT)]), ["--editable", f"{ROOT}[pack]"]
    grpc = ["--editable", f"{ROOT}[grpc]"]
    http = plain("/predict/flights")
    return [
        Peer(FAIRLEAD, *compiled, serve("home", "--port", "{port}"), http, ours=True),
        Peer(WORKER, "fairlead", "fairlead-pack", worker, serve("home-kept", "--port", "{port}"), http, ours=True),
        Peer(
            FAIRLEAD_GRPC,
            "fairlead",
            "fairlead-grpc",
            grpc,
            serve("home", "--port", "{other}", "--grpc-port", "{port}"),
            None,
            ours=True,
        ),
    ]


def _servers(model: list[str]) -> list[Peer]:
    """Those that are made for models."""
    # With uvloop 0.22 and later MLServer 1.7.1 does not start unless it is told to do without a process for the model.
    mlserver = ["mlserver>=1.7,<1.8", "mlserver-sklearn>=1.7,<1.8", "uvloop<0.22", *model]
    start = ["{bin}/mlserver", "start", "{own}/model"]
    folder = ["{python}", "-m", "peers.mlserver_folder", "{own}/model"]
    mlflow = ["{bin}/mlflow", "models", "serve", "--model-uri", "{own}/model", "--env-manager", "local"]
    ports = ("MLSERVER_HTTP_PORT", "MLSERVER_GRPC_PORT", "MLSERVER_METRICS_PORT")
    http, grpc = (
        dict(zip(ports, order, strict=True))
        for order in (("{port}", "{other}", "{third}"), ("{other}", "{port}", "{third}"))
    )
    return [
        Peer(
            "BentoML",
            "bentoml",
            "bentoml",
            ["bentoml>=1.4,<1.5", *model],
            ["{bin}/bentoml", "serve", "peers.bentoml_service:Flights", "--host", "127.0.0.1", "--port", "{port}"],
            BENTOML,
            variables={"BENTOML_HOME": "{own}", "BENTOML_DO_NOT_TRACK": "True"},
        ),
        Peer("MLServer", "mlserver", "mlserver", mlserver, start, TENSORS, [*folder, "64"], http),
        Peer(MLSERVER_GRPC, "mlserver", "mlserver", mlserver, start, None, [*folder, "0"], grpc),
        Peer(
            "LitServe",
            "litserve",
            "litserve",
            ["litserve>=0.2.10,<0.3", *model],
            ["{python}", "-m", "peers.litserve_server", "{port}"],
            plain("/predict"),
        ),
        Peer(
            "MLflow",
            "mlflow",
            "mlflow",
            ["mlflow>=3.10,<4", model[0]],
            [*mlflow, "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"],
            MLFLOW,
            ["{python}", "-m", "peers.mlflow_folder", "{own}/model"],
            {"MLFLOW_DISABLE_TELEMETRY": "true"},
        ),
        Peer(
            "Ray Serve",
            "ray",
            "ray",
            ["ray[serve]>=2.50,<3", *model],
            ["{python}", "-m", "peers.ray_server", "{port}"],
            plain("/predict"),
            variables={"RAY_USAGE_STATS_ENABLED": "0"},
        ),
    ]


def _by_hand(model: list[str]) -> list[Peer]:
    """What people write themselves."""
    uvicorn = ["{python}", "-m", "uvicorn", "--workers", "1", "--no-access-log", "--log-level", "warning"]
    gunicorn = ["{python}", "-m", "gunicorn", "--workers", "1", "--log-level", "warning", "--bind", "127.0.0.1:{port}"]
    http = plain("/predict/flights")
    fastapi, flask = ["fastapi>=0.115,<1", "uvicorn[standard]>=0.34,<1"], ["flask>=3.1,<4", "gunicorn>=23,<28"]
    return [
        Peer(
            FASTAPI,
            "fastapi",
            "fastapi",
            [*fastapi, *model],
            [*uvicorn, "--port", "{port}", "peers.fastapi_joblib:app"],
            http,
        ),
        Peer(
            "Flask + gunicorn + joblib",
            "flask",
            "flask",
            [*flask, *model],
            [*gunicorn, "peers.flask_joblib:app"],
            http,
        ),
    ]


def install(peer: Peer, venvs: Path | None) -> Installed:
    """See that a peer can be started; without a folder for environments, with what this interpreter has.

    Raises:
        Unavailable: It cannot be installed, or is not.
    """
    if venvs is None:
        python, size = Path(sys.executable), None
    else:
        folder = venvs / peer.kept
        python = environment(folder, peer.requirements, ROOT / "constraints.txt" if peer.ours else None)
        size = megabytes(folder)
    known = version_of(python, peer.package)
    if known is None:
        raise Unavailable("it is not installed here")
    return Installed(peer, python, known, size)


# --- starting and asking --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(installed: Installed, material: Material) -> Iterator[Running]:
    """Start a server on its core, wait until it answers, and stop it in the end.

    Raises:
        Unavailable: It does not come up.
    """
    peer, ports = installed.peer, {name: str(free_port()) for name in ("port", "other", "third")}
    with tempfile.TemporaryDirectory(dir=material.folder) as own:
        places = {"python": str(installed.python), "bin": str(installed.python.parent), "own": own}
        places |= ports | {"folder": str(material.folder)}
        variables = os.environ | _variables(installed, material)
        variables |= {name: value.format(**places) for name, value in peer.variables.items()}
        if peer.prepare:
            _prepare([part.format(**places) for part in peer.prepare], variables)
        command = pinned(SERVER_CORE, [part.format(**places) for part in peer.command])
        log, begun = Path(own) / "log", time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(command, env=variables, stdout=out, stderr=out, start_new_session=True, cwd=own)
        try:
            _await_answer(peer, process, int(ports["port"]), material, log)
            yield Running(peer, process, int(ports["port"]), time.monotonic() - begun)
        finally:
            stop(process)


def _variables(installed: Installed, material: Material) -> dict[str, str]:
    """As an activated environment has them, and where the material lies."""
    path = f"{installed.python.parent}{os.pathsep}{os.environ['PATH']}"
    known = {"BENCH_MODEL": material.folder / MODEL, "BENCH_TABLE": material.folder / WINTER}
    return {"PATH": path, "PYTHONPATH": str(HERE), **{name: str(value) for name, value in known.items()}}


def _prepare(command: list[str], variables: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired as err:
        raise Unavailable("its model is not saved after two minutes") from err
    if done.returncode:
        raise Unavailable(f"its model cannot be saved: {last_line(done.stderr, 'Error')}")


def _await_answer(peer: Peer, process: subprocess.Popen[bytes], port: int, material: Material, log: Path) -> None:
    deadline, why = time.monotonic() + START_SECONDS, "it never listened"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            ask(peer, port, material.rows[0], material.classes)
        except Exception as err:  # noqa: BLE001 - whatever a server that is not ready yet says
            why = last_line(str(err)) if str(err) else type(err).__name__
            time.sleep(0.02)
        else:
            return
    ended = process.poll() is not None
    told = last_line(log.read_text(errors="replace"), "Error") if ended else why
    raise Unavailable(f"it {'ended' if ended else f'gave no answer in {START_SECONDS} s'}: {told}")


def ask(peer: Peer, port: int, row: Row, classes: list[str]) -> list[float]:
    """One flight's probabilities, in the order of the classes.

    Raises:
        Unavailable: The server refused.
        OSError: Nobody listens.
    """
    if peer.protocol is None:
        return _ask_grpc(port, row, len(classes))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        body = json.dumps(peer.protocol.body(row)).encode()
        connection.request("POST", peer.protocol.path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        text = reply.read().decode(errors="replace")
    if reply.status != 200:
        raise Unavailable(f"it answers {reply.status}: {text[:200]}")
    return peer.protocol.scores(json.loads(text), classes)


def _ask_grpc(port: int, row: Row, count: int) -> list[float]:
    from tritonclient.grpc import InferenceServerClient

    from peers.grpc_client import inputs, scores

    with contextlib.closing(InferenceServerClient(f"127.0.0.1:{port}")) as client:
        return scores(client, inputs(row), count)


def check(target: Running, material: Material) -> float:
    """Let a server answer every row, eight at a time, and compare with scikit-learn.

    Returns:
        The largest difference of a probability.

    Raises:
        Unavailable: A label differs, or a probability is further off than the tolerance.
    """
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: ask(target.peer, target.port, row, material.classes), material.rows))
    worst, flipped = 0.0, 0
    for scores, label, expected in zip(found, material.labels, material.scores, strict=True):
        wanted = [expected[name] for name in material.classes]
        worst = max(worst, *(abs(one - other) for one, other in zip(scores, wanted, strict=True)))
        flipped += material.classes[scores.index(max(scores))] != label
    if flipped or worst > TOLERANCE:
        raise Unavailable(f"its answers are wrong: {flipped} of {len(found)} labels, largest difference {worst:.1e}")
    return worst


# --- measuring ------------------------------------------------------------------------------------------------------------


def visit(installed: Installed, material: Material, levels: tuple[int, ...], seconds: float) -> Visit:
    """Start a server, check it, warm it up, load it, and see what memory it then has.

    Raises:
        Unavailable: It does not come up, or its answers are wrong.
    """
    with running(installed, material) as target, _its_own_fault():
        worst = check(target, material)
        chosen = levels if target.peer.protocol else (1,)
        load(target, material, chosen[-1], 1)
        samples = {level: load(target, material, level, seconds) for level in chosen}
        return Visit(target.seconds, resident_megabytes(target.process.pid), worst, samples)


@contextlib.contextmanager
def _its_own_fault() -> Iterator[None]:
    """One peer that breaks must not cost the figures of the others."""
    try:
        yield
    except Unavailable:
        raise
    except subprocess.CalledProcessError as err:
        raise Unavailable(f"the load ended early: {last_line(err.stderr)}") from err
    except Exception as err:
        raise Unavailable(f"it cannot be asked: {type(err).__name__}: {last_line(str(err))}") from err


def load(target: Running, material: Material, connections: int, seconds: float) -> Sample:
    """One spell of load."""
    protocol, pid = target.peer.protocol, target.process.pid
    if protocol is None:
        command = [sys.executable, "-m", "peers.grpc_client", str(target.port), str(material.folder / ROWS)]
        return spell(pinned(LOAD_CORE, [*command, f"{seconds:g}"]), pid, {"PYTHONPATH": str(HERE)})
    rows = material.folder / f"{target.peer.name}.jsonl"
    if not rows.exists():
        rows.write_text("".join(json.dumps(protocol.body(row)) + "\n" for row in material.rows))
    return spell(wrk(f"http://127.0.0.1:{target.port}{protocol.path}", rows, connections, seconds), pid)


# --- the report -----------------------------------------------------------------------------------------------------------

Figures = dict[tuple[str, int], Sample]


def figures(visits: dict[str, list[Visit]]) -> Figures:
    """The median of the rounds for each server and number of connections."""
    return {
        (name, level): median([one.samples[level] for one in found])
        for name, found in visits.items()
        for level in found[0].samples
    }


def report(installed: list[Installed], visits: dict[str, list[Visit]], failures: dict[str, str]) -> str:
    """The tables, the bars, and who could not be measured, as Markdown."""
    found = figures(visits)
    lines = ["| server | connections | requests/s | CPU µs a request | p50 ms | p99 ms | failed |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|"]
    for (name, level), one in sorted(found.items(), key=lambda item: item[0][1]):
        tail = f"{one.cpu:,.0f} | {one.p50 / 1e3:.2f} | {one.p99 / 1e3:.2f} | {one.failed}"
        lines.append(f"| {name} | {level} | {one.rate:,.0f} | {tail} |")
    lines += ["", "| server | version | seconds to the first answer | memory MB | installed MB | largest difference |"]
    lines += ["|---|---|--:|--:|--:|--:|"]
    lines += [_footprint(one, visits[one.peer.name]) for one in installed if one.peer.name in visits]
    if failures:
        lines += ["", "Not measured:", "", *(f"- {name}: {why}" for name, why in failures.items())]
    return "\n".join([*lines, "", *(f"- {bar}" for bar in bars(found))])


def _footprint(installed: Installed, visits: list[Visit]) -> str:
    start, memory = (statistics.median(getattr(one, name) for one in visits) for name in ("start", "memory"))
    size = "-" if installed.megabytes is None else f"{installed.megabytes:,.0f}"
    worst = max(one.worst for one in visits)
    return f"| {installed.peer.name} | {installed.version} | {start:.1f} | {memory:,.0f} | {size} | {worst:.1e} |"


def bars(found: Figures) -> list[str]:
    """What was asked of Fairlead, and what came of it, for those that were measured."""
    at16 = {name: found[name, 16] for name in SERVERS if (name, 16) in found}
    lines = []
    if at16 and (FAIRLEAD, 16) in found:
        ours = found[FAIRLEAD, 16]
        best = max(at16, key=lambda name: at16[name].rate)
        lines.append(_bar(f"{FAIRLEAD} against {best}, the best of {len(at16)}, 16 connections", ours, at16[best], 20))
        quickest = min(one.p50 for one in at16.values())
        lines.append(
            f"p99 at 16 connections {ours.p99 / 1e3:.2f} ms; the quickest of their p50 {quickest / 1e3:.2f} ms: "
            f"{'met' if ours.p99 < quickest else 'NOT MET'}"
        )
    pairs = [(WORKER, FASTAPI, 64, 15), (WORKER, FASTAPI, 1, 1), (FAIRLEAD_GRPC, MLSERVER_GRPC, 1, 3)]
    for name, other, level, wanted in pairs:
        if (name, level) in found and (other, level) in found:
            title = f"{name} against {other}, {level} connection{'s' if level > 1 else ''}"
            lines.append(_bar(title, found[name, level], found[other, level], wanted))
    return lines


def _bar(title: str, ours: Sample, theirs: Sample, wanted: float) -> str:
    ratio = ours.rate / theirs.rate
    return f"{title}: {ratio:.1f} times, of {wanted} wanted: {'met' if ratio >= wanted else 'NOT MET'}"


def arguments() -> argparse.Namespace:
    """The command line."""
    names = [peer.name for peer in peers()]
    parser = argparse.ArgumentParser(description="Compare model servers on one pipeline.")
    parser.add_argument("--quick", action="store_true", help="1 round of 1 second at 16 connections, 50 rows")
    parser.add_argument("--seconds", type=float, default=4, help="of each spell of load (default: 4)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is started and measured (default: 2)")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}; may be repeated"
    )
    parser.add_argument("--venvs", type=Path, default=CACHE, help=f"where the environments are kept (default: {CACHE})")
    parser.add_argument(
        "--installed", action="store_true", help="make no environments: measure what this interpreter has"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """Install, prepare, measure round by round, report."""
    chosen = arguments()
    require_tools()
    seconds, rounds, count = (1, 1, 50) if chosen.quick else (chosen.seconds, chosen.rounds, 200)
    levels = (16,) if chosen.quick else CONNECTIONS
    wanted = [peer for peer in peers() if not chosen.only or peer.name in {*chosen.only, FAIRLEAD}]
    installed, failures = _install(wanted, None if chosen.installed else chosen.venvs)
    visits: dict[str, list[Visit]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        material = _material(Path(scratch), count)
        # From here on this process only asks; the server's core is the server's.
        os.sched_setaffinity(0, {LOAD_CORE})
        for turn in range(rounds):
            for one in installed:
                name = one.peer.name
                if name in failures:
                    continue
                print(f"Round {turn + 1} of {rounds}: {name} …", file=sys.stderr)
                try:
                    visits.setdefault(name, []).append(visit(one, material, levels, seconds))
                except Unavailable as err:
                    failures[name] = str(err)
    measured = {name: found for name, found in visits.items() if name not in failures}
    print(f"{machine(PACKAGES)}\n\n{report(installed, measured, failures)}")
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.encode({"failures": failures, "visits": measured}))
    if FAIRLEAD in failures:
        raise SystemExit(1)


def _install(wanted: list[Peer], venvs: Path | None) -> tuple[list[Installed], dict[str, str]]:
    """Those that can be started, and why the others cannot."""
    installed, failures = [], {}
    for peer in wanted:
        try:
            installed.append(install(peer, venvs))
        except Unavailable as err:
            failures[peer.name] = str(err)
    return installed, failures


def _material(folder: Path, count: int) -> Material:
    """The model packed twice: as it is, and behind a step that nobody can look into."""
    print("Training, packing …", file=sys.stderr)
    material = prepare(folder, count)
    (folder / "kept.pkl").write_bytes(pickle.dumps(kept(material.model, pd.DataFrame(material.rows))))
    os.environ["PYTHONPATH"] = str(HERE)  # the step is found there, by whoever opens the file
    deploy(folder, "kept.pkl", "home-kept")
    return material


if __name__ == "__main__":
    main()
