"""Why a process ended: signals by the kernel's numbers, exit codes by sysexits.h, files as they may lie on a disk."""

import os
import signal

import pytest

from fairlead.serving.observing.metrics import collect
from fairlead.serving.processes.ended import (
    FILE,
    Ended,
    cause_of,
    kind_of,
    note_end,
    oom_kills,
    read_ends,
)

MB = 2**20


@pytest.mark.parametrize(
    ("code", "memory", "oom", "cause", "words"),
    [
        (-9, 512 * MB, 1, "memory", "SIGKILL, while the kernel killed for want of memory; its memory limit is 512 MB"),
        (-9, 512 * MB, 0, "killed", "by signal SIGKILL; its memory limit is 512 MB"),
        (-9, None, 0, "killed", "by signal SIGKILL"),
        (-15, None, 3, "killed", "by signal SIGTERM"),
        (-14, 512 * MB, 0, "time", "SIGALRM: it took longer than it may"),
        (-11, None, 0, "crash", "by signal SIGSEGV"),
        (71, 512 * MB, 0, "memory", "it ran out of memory; its memory limit is 512 MB"),
        (75, 512 * MB, 0, "memory", "it used nine tenths of its memory"),
        (71, None, 0, "exit", "with exit code 71"),
        (1, 512 * MB, 0, "exit", "with exit code 1"),
        (0, None, 0, "exit", "with exit code 0"),
        (-99, None, 0, "killed", "by signal 99"),
    ],
)
def test_what_is_known_is_said_and_nothing_more(code, memory, oom, cause, words):
    found, told = cause_of(code, memory=memory, oom=oom)
    assert found == cause
    assert words in told


def test_the_signals_are_this_machines():
    assert (signal.SIGKILL, signal.SIGALRM, signal.SIGSEGV, signal.SIGTERM) == (9, 14, 11, 15)
    assert (os.EX_OSERR, os.EX_TEMPFAIL) == (71, 75)


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        ("gateway-0", "gateway"),
        ("gateway-12", "gateway"),
        ("worker-0123abcd01234567", "worker"),
        ("shadow-99", "shadow"),
        ("control", "control"),
    ],
)
def test_processes_are_counted_by_kind(role, kind):
    assert kind_of(role) == kind


def test_what_is_noted_is_read_and_counted_and_told_as_metrics(tmp_path):
    for number in range(150):
        note_end(tmp_path, Ended(f"worker-{number:016x}", number, 1000.0 + number, "memory", "told"))
    note_end(tmp_path, Ended("gateway-0", 7, 2000.0, "crash", "told"))
    found = read_ends(tmp_path)
    assert found.counts == {"worker memory": 150, "gateway crash": 1}
    assert (len(found.last), found.last[-1].role) == (100, "gateway-0")
    families = {one.name: one.samples for one in collect(tmp_path)}
    assert families["fairlead_process_ended"] == {
        ("_total", '{kind="gateway",cause="crash"}'): 1,
        ("_total", '{kind="worker",cause="memory"}'): 150,
    }


def test_the_disk_of_the_home_is_told(tmp_path):
    families = {one.name: one.samples for one in collect(tmp_path)}
    (free,) = families["fairlead_disk_free_bytes"].values()
    (size,) = families["fairlead_disk_size_bytes"].values()
    assert 0 <= free <= size


@pytest.mark.parametrize("content", [b"", b"{half", b"[]", b'{"counts": 3}'])
def test_a_file_that_cannot_be_read_is_no_file(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    assert read_ends(tmp_path).counts == {}
    assert read_ends(tmp_path / "nowhere").counts == {}
    note_end(tmp_path / "nowhere", Ended("control", 1, 0.0, "exit", "told"))


def test_the_kernels_count_is_a_number():
    assert oom_kills() >= 0
