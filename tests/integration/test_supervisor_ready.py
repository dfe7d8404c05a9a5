"""Whether the supervisor's gateways serve, while a former supervisor's gateways of the same names still write where they do."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

import pytest

from fairlead.serving.processes.status import GatewayStatus, write_status
from fairlead.serving.processes.supervisor import Supervisor

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(
        run=tmp_path,
        table=tmp_path / "table.json",
        bundles=tmp_path / "bundles",
        worker_command=lambda _: SLEEP,
        shadow_command=lambda _: SLEEP,
        drain=0.1,
    )
    with contextlib.closing(made):
        for role in ("gateway-0", "gateway-1"):
            made.add(role, SLEEP)
        yield made


def test_gateways_are_ready_although_others_of_their_names_write_in_turn(supervisor, tmp_path):
    pids = {one["role"]: one["pid"] for one in json.loads((tmp_path / "processes.json").read_text())}

    def say(name, pid, revision):
        write_status(tmp_path, GatewayStatus(name, pid, revision, revision, "ready", "", 0.0))

    say("gateway-0", os.getpid(), 3)  # what a former supervisor left is alive, as this process is
    say("gateway-1", os.getpid(), 3)
    assert not supervisor.ready(2)
    say("gateway-0", pids["gateway-0"], 3)
    assert not supervisor.ready(2)
    say("gateway-0", os.getpid(), 3)
    say("gateway-1", pids["gateway-1"], 2)
    assert supervisor.ready(2)
    assert not supervisor.ready(2, revision=3)
    say("gateway-1", pids["gateway-1"], 3)
    assert supervisor.ready(2, revision=3)
    assert not supervisor.ready(3)


def test_a_shadow_that_ends_at_once_is_left_alone_longer_than_who_answers(supervisor, tmp_path):
    starts = {role: tmp_path / role for role in ("control", "shadow-1")}
    for role, path in starts.items():
        supervisor.add(role, ["/bin/sh", "-c", f"echo >> {path}; exit 1"])
    end = time.monotonic() + 1.9
    supervisor.keep(until=lambda: time.monotonic() > end)
    # Waits of 0.1, 0.1, 0.5 and 1 s against one of 1 s and one of 2 s; each start takes the time that it takes.
    began = {role: len(path.read_text().splitlines()) for role, path in starts.items()}
    assert began["control"] >= 3
    assert began["shadow-1"] == 2
