"""The comparison with other model servers: a smoke run with what is installed here, and what it makes of a peer that lies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.alone
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CLASSES = ["late", "on time"]


@pytest.fixture
def comparison(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import serving_peers

    return serving_peers


@pytest.fixture
def answering():
    """Starts servers that give every row the same answer; ends them."""
    started = []

    def start(label, scores):
        answer = json.dumps({"prediction": label, "probabilities": dict(zip(CLASSES, scores, strict=True))}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        started.append((server, thread))
        return server.server_port

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join(5)


def checked(comparison, port):
    """What the check says of a server, when scikit-learn's answer to the one row were 0.25 late."""
    peer = SimpleNamespace(protocol=comparison.plain("/"))
    truth = SimpleNamespace(
        rows=[{"month": 4}], labels=["on time"], scores=[{"late": 0.25, "on time": 0.75}], classes=CLASSES
    )
    return comparison.check(SimpleNamespace(peer=peer, port=port), truth)


def test_a_server_with_the_models_own_answers_passes(comparison, answering):
    assert checked(comparison, answering("on time", [0.25, 0.75])) == 0


def test_a_server_whose_probabilities_are_off_is_refused_with_the_difference(comparison, answering):
    with pytest.raises(comparison.Unavailable, match=r"0 of 1 labels, largest difference 1\.0e-02"):
        checked(comparison, answering("on time", [0.26, 0.74]))


def test_a_server_with_another_label_is_refused(comparison, answering):
    with pytest.raises(comparison.Unavailable, match="1 of 1 labels"):
        checked(comparison, answering("late", [0.75, 0.25]))


def test_a_bar_that_is_missed_is_told_as_such(comparison):
    def sample(rate, p50=1000.0, p99=2000.0):
        return comparison.Sample(rate, 1.0, p50, p99, 0)

    found = {
        ("Fairlead", 16): sample(1900),
        ("MLServer", 16): sample(100, p50=2500.0),
        ("MLflow", 16): sample(50, p50=9000.0),
    }
    told = comparison.bars(found)
    # 1900 / 100 by hand; 2.0 ms is below 2.5 ms.
    assert told[0] == "Fairlead against MLServer, the best of 2, 16 connections: 19.0 times, of 20 wanted: NOT MET"
    assert told[1].endswith("2.00 ms; the quickest of their p50 2.50 ms: met")
    assert len(told) == 2


@pytest.mark.slow
def test_a_requirement_that_nobody_offers_is_told_as_the_reason(comparison, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(comparison.Unavailable, match=r"pip: ERROR: No matching distribution found for no-such-peer"):
        comparison.environment(tmp_path / "venv", ["no-such-peer"], None)
    assert not (tmp_path / "venv" / "requirements.txt").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_comparison_measures_what_is_installed_and_names_what_is_not():
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None and os.environ.get("CI") != "true":
            pytest.skip(f"{program} is not installed")
    if not {0, 1} <= os.sched_getaffinity(0):
        pytest.skip("the benchmark needs cores 0 and 1")
    chosen = ("Fairlead, gRPC", "Fairlead, kept in a worker", "FastAPI + joblib", "Ray Serve")
    command = [sys.executable, str(BENCHMARKS / "serving_peers.py"), "--quick", "--installed"]
    command += [part for name in chosen for part in ("--only", name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    # The benchmark itself compares each answer with scikit-learn's; who gave another one would not be in the table.
    for row in ("Fairlead | 16", "Fairlead, gRPC | 1", "Fairlead, kept in a worker | 16", "FastAPI + joblib | 16"):
        assert f"| {row} |" in done.stdout
    assert "- Ray Serve: it is not installed here" in done.stdout
    assert "Fairlead against" not in done.stdout
