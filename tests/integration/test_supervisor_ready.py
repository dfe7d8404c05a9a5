"""Whether the supervisor's gateways serve, while a former one's gateways of the same names still write; and how long it leaves alone what ends at once."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

import pytest
from loguru import logger

from fairlead.serving.processes.status import GatewayStatus, write_status
from fairlead.serving.processes.supervisor import Supervisor
from running import alive

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


def test_a_shadow_that_ends_at_once_is_left_alone_longer_than_who_answers(supervisor):
    waits = {"control": [], "shadow-1": []}

    def hear(message):
        role, *_, seconds, _ = message.record["message"].split()
        waits.get(role, []).append(float(seconds))

    sink = logger.add(hear, level="WARNING")
    try:
        for role in waits:
            supervisor.add(role, ["/bin/false"])
        end = time.monotonic() + 60
        supervisor.keep(until=lambda: all(len(one) >= 2 for one in waits.values()) or time.monotonic() > end)
    finally:
        logger.remove(sink)
    assert waits["control"][:2] == [0.1, 0.1]
    assert waits["shadow-1"][:2] == [5.0, 30.0]


def test_a_keeper_that_speaks_of_what_is_not_its_own_is_not_believed(supervisor, tmp_path):
    """To load a model is to run foreign code, which may write what it likes to the pipe: here that this process answers for it."""
    lie = f"import os, struct, sys, time; os.write(int(sys.argv[1]), struct.pack('=i?i', {os.getpid()}, False, 0)); time.sleep(60)"
    supervisor.add("shadow-1", [sys.executable, "-c", lie])
    end = time.monotonic() + 3
    supervisor.keep(until=lambda: time.monotonic() > end)
    listed = {one["role"]: one["pid"] for one in json.loads((tmp_path / "processes.json").read_text())}
    assert os.getpid() not in listed.values()
    assert "keeper-1" not in listed
    assert alive(listed["shadow-1"])
