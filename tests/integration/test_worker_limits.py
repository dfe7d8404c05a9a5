"""A worker whose model leaks, or wants more memory than there is: it costs nobody else an answer.

What is expected are the promises of the page on threats; times are waited for, never measured.
"""

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from fairlead.serving.processes.ended import read_ends
from running import cli, exchange, post, serving

pytestmark = pytest.mark.slow
HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    import sys

    import fairlead

    found_by = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))
    home = tmp_path_factory.mktemp("leaky")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", found_by)
        patch.setattr(sys, "path", [*sys.path, HERE])
        from leaky_model import Leaky

        table = pd.DataFrame({"x": [float(n) for n in range(201, 213)], "y": [2.0 * n for n in range(201, 213)]})
        fairlead.pack(Leaky(), name="leaky", data=table, target="y", home=home)
        cli(home, "deploy", "leaky:1")
    settings = {"PYTHONPATH": found_by, "FAIRLEAD_WORKER_MEMORY": str(3 * 2**30), "FAIRLEAD_WORKER_TIMEOUT": "60"}
    settings["FAIRLEAD_REQUEST_DEADLINE"] = "90"
    with serving(home, "--console-port", "0", env={**os.environ, **settings}) as running:
        yield running


def ask(service, value):
    status, headers, body = post(service.port, "/predict/leaky", json.dumps({"x": value}).encode(), timeout=90)
    return status, headers, json.loads(body)


def worker(service):
    return next(iter(service.pids("worker").values()), None)


def test_a_model_that_leaks_is_replaced_between_two_answers_and_nobody_sees_it(service):
    before = service.wait_for(lambda: worker(service))
    # 60 times 64 MB is more than the limit of 3 GB, whatever the process held before.
    found = [ask(service, value) for value in range(60)]
    assert [one[2].get("prediction") for one in found] == [2.0 * value for value in range(60)], found
    assert service.wait_for(lambda: worker(service)) != before
    ended = service.wait_for(lambda: [one for one in read_ends(service.home / "run").last if one.pid == before])
    assert ended[0].cause == "memory"
    assert "its memory limit is 3,072 MB" in ended[0].told


def test_a_worker_that_somebody_kills_is_noted_as_killed_and_told_on_metrics(service):
    before = service.wait_for(lambda: worker(service))
    os.kill(before, signal.SIGKILL)
    ended = service.wait_for(lambda: [one for one in read_ends(service.home / "run").last if one.pid == before])
    assert "SIGKILL" in ended[0].told
    body = exchange(service.port, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b'fairlead_process_ended_total{kind="worker",cause="memory"}' in body
    assert b"fairlead_process_start_time_seconds{" in body
    service.wait_for(lambda: ask(service, 300.0)[2].get("prediction") == 600.0, 60)


def test_an_input_that_wants_more_memory_than_there_is_costs_its_own_request(service):
    status, _, told = ask(service, 500.0)
    assert status in {500, 503}
    assert "Traceback" not in json.dumps(told)
    service.wait_for(lambda: ask(service, 300.0)[2].get("prediction") == 600.0, 60)
