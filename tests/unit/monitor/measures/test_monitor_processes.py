"""Processes, disk and losses: this test's own process as the kernel tells it, and machines that are made up."""

import json
import os
import resource
import shutil
import time
from pathlib import Path

import pytest

from fairlead.monitor.measures.processes import Ending, Machine, Running, look, process_findings
from fairlead.monitor.report import Window

WINDOW = Window(1000.0, 2000.0)


def written(folder, pid=None, start=None):
    """The files of a service whose only process is this test."""
    pid = os.getpid() if pid is None else pid
    fields = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()
    start = int(fields[19]) if start is None else start
    for name in ("gateways", "metrics"):
        (folder / name).mkdir()
    (folder / "processes.json").write_text(json.dumps([{"role": "gateway-0", "pid": pid, "start_time": start}]))
    (folder / "gateways" / "gateway-0.json").write_text(json.dumps({"pid": pid, "dropped": 3}))
    (folder / "metrics" / "gateway-0.1.json").write_text(json.dumps({"pid": pid, "gauges": {"queue_depth": 7.0}}))
    ended = {"role": "worker-01", "pid": 5, "time": 1500.0, "cause": "memory", "told": "because"}
    (folder / "ended.json").write_text(json.dumps({"counts": {"worker memory": 1}, "last": [ended]}))


def told(machine, before=None, window=WINDOW):
    return {(one.subject, one.measure): one for one in process_findings(machine, window, before)}


def test_this_process_is_seen_as_the_kernel_accounts_for_it(tmp_path):
    written(tmp_path)
    found = look(tmp_path, tmp_path, time.time())
    (mine,) = found.processes
    usage = resource.getrusage(resource.RUSAGE_SELF)
    assert 0 < mine.memory <= usage.ru_maxrss * 1024 + 2**20
    assert 0 <= mine.cpu <= usage.ru_utime + usage.ru_stime + 0.1
    assert mine.files >= 3
    assert mine.uptime >= 0
    assert found.disk_size == shutil.disk_usage(tmp_path).total
    assert (found.waiting, found.dropped) == (7, 3)
    assert [one.cause for one in found.endings] == ["memory"]


def test_an_id_that_is_another_processs_now_is_left_out(tmp_path):
    written(tmp_path, start=1)
    found = look(tmp_path, tmp_path, 0.0)
    assert (found.processes, found.waiting, found.dropped) == ((), 0, 0)


@pytest.mark.parametrize("content", ["", "{half", "[]", "3"])
def test_files_that_cannot_be_read_stop_nothing(tmp_path, content):
    written(tmp_path)
    for path in tmp_path.rglob("*.json"):
        path.write_text(content)
    assert look(tmp_path, tmp_path, 0.0).processes == ()
    assert look(tmp_path / "nowhere", tmp_path / "nowhere", 0.0) == Machine(0.0)
    assert process_findings(Machine(0.0), WINDOW) == []


def running(**more):
    return Running(
        **{"role": "gateway-0", "pid": 1, "memory": 96 * 2**20, "cpu": 30.0, "files": 12, "uptime": 3600.0, **more}
    )


def test_a_process_is_told_in_one_sentence():
    one = told(Machine(5000.0, (running(),)))["gateway-0", "memory"]
    assert one.because == "gateway-0 holds 96 MB and takes 0.8 % of a core, 12 open files; it has run for 1 hour."
    assert (one.value, one.unit, one.further["open files"]) == (96 * 2**20, "bytes", 12.0)


def test_the_share_of_a_core_is_that_since_the_last_look():
    before, now = Machine(5000.0, (running(cpu=30.0),)), Machine(5100.0, (running(cpu=80.0),))
    assert told(now, before)["gateway-0", "memory"].further["cpu cores"] == pytest.approx(0.5)
    other = Machine(5000.0, (running(pid=2, cpu=500.0),))
    assert told(now, other)["gateway-0", "memory"].further["cpu cores"] == pytest.approx(80 / 3600)


def test_a_disk_that_is_nearly_full_is_a_breach():
    assert told(Machine(0.0, disk_size=100, disk_free=4))["disk", "free space"].verdict == "breach"
    assert told(Machine(0.0, disk_size=100, disk_free=6))["disk", "free space"].verdict == "stable"


def test_events_that_were_lost_since_the_last_look_are_a_breach():
    lost = ("event log", "dropped events")
    now = Machine(0.0, (running(),), dropped=5)
    assert told(now)[lost].verdict == "breach"
    assert told(now, Machine(0.0, dropped=5))[lost].verdict == "stable"
    assert told(now, Machine(0.0, dropped=2))[lost].value == 3.0
    assert told(now, Machine(0.0, dropped=9))[lost].value == 5.0  # the gateways began anew


def test_workers_that_were_lost_in_the_window_are_told_with_the_cause():
    endings = (
        Ending("worker-01", 999.0, "memory", "too early"),
        Ending("worker-01", 1500.0, "memory", "because it ran out of memory; its memory limit is 512 MB"),
        Ending("gateway-0", 1600.0, "killed", "by signal SIGKILL"),
        Ending("worker-02", 1999.0, "memory", "because it ran out of memory"),
    )
    found = told(Machine(0.0, endings=endings))
    one = found["worker", "ended: memory"]
    assert (one.verdict, one.value) == ("breach", 2.0)
    assert "2 worker processes ended for want of memory; the last, worker-02, because it ran" in one.because
    assert found["gateway", "ended: killed"].verdict == "stable"
