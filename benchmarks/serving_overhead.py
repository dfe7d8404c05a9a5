"""What does a server add to a model that takes microseconds?

    python benchmarks/serving_overhead.py            # about six minutes
    python benchmarks/serving_overhead.py --quick    # a smoke run of half a minute; its figures mean little

One run, one machine: the flights model behind Fairlead, behind the servers of the usual tutorials, and behind nothing. The
server is pinned to core 0 and the load generator, `wrk`, to core 1. Before anything is timed each server answers real flights
of April, which are compared with scikit-learn's own answers. `README.md` beside this file says how to read the table.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fairlead.demo.flights import CATEGORIES, COLUMNS, NUMBERS
from material import MODEL, ROWS, Material, prepare
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
    spell,
    stop,
    wrk,
)

PATH = "/predict/flights"
FAIRLEAD, TUTORIAL, CAREFUL = "Fairlead", "FastAPI + joblib", "FastAPI + onnxruntime"
ECHO = "httptools echo (no model)"
CONNECTIONS = (1, 16, 64)
PACKAGES = ("scikit-learn", "onnxruntime", "skl2onnx", "fastapi", "uvicorn", "flask", "gunicorn", "numpy", "pandas")


class Server(msgspec.Struct, frozen=True):
    """One server: how it is started and how exact its answers must be; `tolerance` is `None` where it has no model."""

    name: str
    command: list[str]
    tolerance: float | None


class Running(msgspec.Struct, frozen=True):
    """A server that answers, with its process and port."""

    server: Server
    process: subprocess.Popen[bytes]
    port: int


# --- servers ----------------------------------------------------------------------------------------------------------


def _float_graph(model: Any) -> bytes:
    """The graph that skl2onnx makes by default: float for numbers, string for names."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    inputs = [
        (name, StringTensorType([None, 1]) if name in CATEGORIES else FloatTensorType([None, 1])) for name in COLUMNS
    ]
    assert len(inputs) == len(CATEGORIES) + len(NUMBERS)
    graph = to_onnx(model, initial_types=inputs, options={"zipmap": False}, target_opset={"": 21, "ai.onnx.ml": 3})
    return bytes(graph.SerializeToString())


def servers(folder: Path) -> list[Server]:
    """Everything that is measured, with `{port}` to be filled in."""
    uvicorn = [sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--workers", "1"]
    uvicorn += ["--no-access-log", "--log-level", "warning", "--port", "{port}"]
    gunicorn = [
        sys.executable,
        "-m",
        "gunicorn",
        "--workers",
        "1",
        "--log-level",
        "warning",
        "--bind",
        "127.0.0.1:{port}",
    ]
    gateway = [sys.executable, "-m", "fairlead.cli.main", "--home", str(folder / "home"), "serve"]
    return [
        Server(FAIRLEAD, [*gateway, "--port", "{port}", "--workers", "1"], 1e-6),
        Server(TUTORIAL, [*uvicorn, "peers.fastapi_joblib:app"], 1e-9),
        Server(CAREFUL, [*uvicorn, "peers.fastapi_onnx:app"], 1e-2),
        Server("Flask + gunicorn + joblib", [*gunicorn, "peers.flask_joblib:app"], 1e-9),
        Server("bare ASGI app + onnxruntime", [*uvicorn, "peers.bare_asgi:app"], 1e-2),
        Server(ECHO, [sys.executable, "-m", "peers.echo", "{port}"], None),
    ]


@contextlib.contextmanager
def running(server: Server, material: Material) -> Iterator[Running]:
    """Start `server` on its core, wait until it answers, and stop it in the end."""
    port = free_port()
    command = pinned(SERVER_CORE, [part.format(port=port) for part in server.command])
    known = {"BENCH_MODEL": MODEL, "BENCH_GRAPH": "graph.onnx"}
    environment = {name: str(material.folder / file) for name, file in known.items()}
    environment |= {"BENCH_CLASSES": "|".join(material.classes), "PYTHONPATH": str(HERE)}
    log = material.folder / f"{server.name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _await_answer(server, process, port, material.bodies[0], log)
        yield Running(server, process, port)
    finally:
        stop(process)


def _await_answer(server: Server, process: subprocess.Popen[bytes], port: int, body: bytes, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            if _ask(connection, body)[0] == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"{server.name} did not come up:\n{log.read_text()}")


# --- checks ---------------------------------------------------------------------------------------------------------------


def check(target: Running, material: Material) -> str:
    """Let a server answer every row, and compare with scikit-learn.

    Returns:
        What was found, for people.

    Raises:
        SystemExit: An answer is further off than the server's tolerance. A skl2onnx graph may flip labels: they are counted.
    """
    tolerance = target.server.tolerance
    if tolerance is None:
        return "no model"
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    worst, flipped, beyond = 0.0, 0, 0
    for body, label, scores in zip(material.bodies, material.labels, material.scores, strict=True):
        status, answer = _ask(connection, body)
        if status != 200:
            raise SystemExit(f"{target.server.name} answered {status}: {answer}")
        difference = max(abs(answer["probabilities"][name] - score) for name, score in scores.items())
        worst = max(worst, difference)
        flipped += answer["prediction"] != label
        beyond += difference > tolerance
    connection.close()
    if (beyond or flipped) and tolerance < 1e-3:
        raise SystemExit(f"{target.server.name}: {flipped} labels flipped, largest difference {worst:.2e}")
    text = f"largest difference {worst:.1e}, {flipped} of {len(material.bodies)} labels flipped"
    return text + (f", {beyond} rows off by more than {tolerance:g}" if beyond else "")


def _ask(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, Any]:
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read())


# --- measuring ------------------------------------------------------------------------------------------------------------


def measure(target: Running, material: Material, connections: int, seconds: float) -> Sample:
    """One spell of load, with the CPU that the server's processes used for it."""
    url = f"http://127.0.0.1:{target.port}{PATH}"
    return spell(wrk(url, material.folder / ROWS, connections, seconds), target.process.pid)


def in_process(material: Material) -> dict[str, float]:
    """CPU microseconds of one row in this process, on the server's core.

    Returns:
        `call`: ONNX Runtime alone on Fairlead's graph, the feed being ready; `predictor`: from row to outcome.
    """
    from fairlead.bundle.reader import open_bundle
    from fairlead.predictor.compiled import open_compiled

    bundle = open_bundle(next(path for path in (material.folder / "home/cache/bundles").iterdir() if path.is_dir()))
    assert bundle.graph is not None
    assert bundle.layout is not None
    predictor = open_compiled(bundle.graph, bundle.layout, bundle.schema)
    names = bundle.schema.names
    taken = [tuple(json.loads(body)[name] for name in names) for body in material.bodies]
    # The benchmark splits what the predictor joins, so it reaches inside.
    feeds = [predictor._encode([row])[0] for row in taken]  # noqa: SLF001  the call is to be timed without the encoding
    run, outputs = predictor._run, predictor._outputs  # noqa: SLF001  as above
    os.sched_setaffinity(0, {SERVER_CORE})
    call = _cpu_each(lambda feed: run(outputs, feed), feeds)
    whole = _cpu_each(lambda row: predictor.answer([row]), taken)
    os.sched_setaffinity(0, {SERVER_CORE, LOAD_CORE})
    return {"call": call, "predictor": whole}


def _cpu_each(function: Any, items: list[Any], spells: int = 7) -> float:
    """The median over `spells` of the CPU microseconds of one call."""
    found = []
    for _ in range(spells):
        start = time.process_time()
        for item in items:
            function(item)
        found.append((time.process_time() - start) / len(items) * 1e6)
    return statistics.median(found)


# --- the report -----------------------------------------------------------------------------------------------------------


def report(found: dict[tuple[str, int], Sample], checks: dict[str, str], floors: dict[str, float]) -> str:
    """The table, the ratios and the answers' check, as Markdown."""
    lines = [
        "| server | connections | requests/s | CPU µs a request | p50 ms | p99 ms | failed |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for (name, connections), one in found.items():
        figures = f"{one.rate:,.0f} | {one.cpu:,.0f} | {one.p50 / 1e3:.2f} | {one.p99 / 1e3:.2f} | {one.failed}"
        lines.append(f"| {name} | {connections} | {figures} |")
    lines += [
        "",
        f"In process, one row, CPU: ONNX Runtime's call alone {floors['call']:.1f} µs, from row to answer {floors['predictor']:.1f} µs.",
        "",
    ]
    for connections in sorted({connections for _, connections in found}):
        ours = found[FAIRLEAD, connections]
        ratios = ", ".join(
            f"{ours.rate / one.rate:.1f} times {name}"
            for (name, other), one in found.items()
            if other == connections and name not in {FAIRLEAD, ECHO}
        )
        beyond = ours.cpu - floors["call"]
        lines.append(
            f"- At {connections} connection{'' if connections == 1 else 's'}: {ratios}; CPU beyond the model's own {beyond:.1f} µs."
        )
    lines += ["", "Answers against scikit-learn's:", "", *(f"- {name}: {text}" for name, text in checks.items())]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what a server adds to a model.")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run: 1 round of 1 second at 16 connections, 100 rows"
    )
    parser.add_argument("--seconds", type=float, default=5, help="of each spell of load (default: 5)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each is measured; medians are shown (default: 3)"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """Prepare, check, measure in interleaved rounds, report."""
    chosen = arguments()
    require_tools()
    seconds, rounds = (1, 1) if chosen.quick else (chosen.seconds, chosen.rounds)
    levels = (16,) if chosen.quick else CONNECTIONS
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        print("Training, packing, converting …", file=sys.stderr)
        material = prepare(Path(scratch), 100 if chosen.quick else 1000)
        (material.folder / "graph.onnx").write_bytes(_float_graph(material.model))
        targets = [stack.enter_context(running(server, material)) for server in servers(material.folder)]
        checks = {target.server.name: check(target, material) for target in targets}
        samples: dict[tuple[str, int], list[Sample]] = {}
        for turn in range(rounds):
            print(f"Round {turn + 1} of {rounds} …", file=sys.stderr)
            for connections in levels:
                for target in targets:
                    spell = measure(target, material, connections, seconds)
                    samples.setdefault((target.server.name, connections), []).append(spell)
        floors = in_process(material)
    found = {key: median(spells) for key, spells in sorted(samples.items(), key=lambda item: item[0][1])}
    print(f"{machine(PACKAGES)}\n\n{report(found, checks, floors)}")
    if chosen.json:
        figures = [
            {"server": name, "connections": level, **msgspec.structs.asdict(one)}
            for (name, level), one in found.items()
        ]
        chosen.json.write_text(
            json.dumps({"machine": machine(PACKAGES), "floors": floors, "checks": checks, "figures": figures}, indent=2)
        )


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
