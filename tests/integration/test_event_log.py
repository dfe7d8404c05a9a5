"""The event log on a real disk: full, torn, rolled over, and read back."""

import fcntl
import json
import resource
import subprocess
import sys

import pytest

from fairlead.eventlog.reader import Recorded, read_log, read_segment, segments
from fairlead.eventlog.segment import TornTail
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Prediction
from running import Background, cli, serving

COLUMNS = Columns("m:1", "0" * 64, ("x",), ())


def predictions(start, count):
    return [
        Prediction(f"{number}", 1.0, "m", "m:1", "stable", None, "ok", 0.0, (1.0,), 2.0, None, ())
        for number in range(start, start + count)
    ]


def read_ids(folder):
    return [one.prediction.id for one in read_log(folder)]


def test_segments_roll_over_and_each_can_be_read_by_itself(tmp_path):
    log = EventLog(tmp_path, "w", segment_bytes=4096)
    for start in range(0, 1000, 10):
        assert log.append(COLUMNS, predictions(start, 10))
    log.close()
    paths = segments(tmp_path)
    assert len(paths) > 5
    assert all(isinstance(one, Recorded) for path in paths for one in read_segment(path))
    assert read_ids(tmp_path) == [str(number) for number in range(1000)]


def test_a_writer_that_begins_anew_in_the_same_second_loses_nothing(tmp_path):
    for start in range(5):
        log = EventLog(tmp_path, "w")
        assert log.append(COLUMNS, predictions(start, 1))
        log.close()
    assert read_ids(tmp_path) == [str(number) for number in range(5)]


def test_a_segment_that_is_looked_at_while_it_is_made_is_passed_over(tmp_path, monkeypatch):
    lock, refused = fcntl.flock, []

    def flock(file, how):
        if not refused:
            refused.append(file)
            raise BlockingIOError
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    log = EventLog(tmp_path, "w")
    assert log.append(COLUMNS, predictions(0, 3))
    log.close()
    assert refused
    assert read_ids(tmp_path) == ["0", "1", "2"]


def test_a_torn_tail_is_told_and_the_rest_is_read(tmp_path):
    log = EventLog(tmp_path, "w")
    log.append(COLUMNS, predictions(0, 10))
    log.close()
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    events = list(read_segment(path))
    assert isinstance(events[-1], TornTail)
    assert [one.prediction.id for one in events[:-1]] == [str(number) for number in range(9)]


SCRIPT = """
import resource, sys, json
from pathlib import Path
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Prediction
COLUMNS = Columns("m:1", "0" * 64, ("x",), ())
def predictions(start, count):
    return [
        Prediction(f"{n}", 1.0, "m", "m:1", "stable", None, "ok", 0.0, (1.0,), 2.0, None, ())
        for n in range(start, start + count)
    ]
log = EventLog(Path(sys.argv[1]), "w")
first = [log.append(COLUMNS, predictions(n * 10, 10)) for n in range(20)]
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
full = [log.append(COLUMNS, predictions(1000 + n, 1)) for n in range(200)]
told = (log.dropped, log.failing)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
after = log.append(COLUMNS, predictions(5000, 1))
log.close()
print(json.dumps([all(first), full, told, after, log.failing, log.written]))
"""


def test_a_full_disk_drops_and_counts_and_leaves_no_torn_frame(tmp_path):
    # The kernel itself cuts the write in the middle: a limit of the file's size behaves as a full disk does.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, full, (dropped, failing), after, failing_after, written = json.loads(done.stdout)
    assert first
    assert not any(full)
    assert (dropped, failing) == (200, True)
    assert after
    assert not failing_after
    assert written == 201
    events = [event for path in segments(tmp_path) for event in read_segment(path)]
    assert not any(isinstance(event, TornTail) for event in events)
    assert [one.prediction.id for one in events] == [*(str(number) for number in range(200)), "5000"]


def test_a_folder_that_cannot_be_made_drops_and_counts(tmp_path):
    (tmp_path / "events").write_text("in the way")
    log = EventLog(tmp_path / "events", "w")
    assert not log.append(COLUMNS, predictions(0, 3))
    assert (log.dropped, log.failing) == (3, True)


@pytest.mark.slow
def test_answers_go_on_when_the_disk_is_full_and_status_says_so(home, april_bodies):
    cli(home, "deploy", "flights:1")

    def little_space():
        # Files of at most 64 KiB: the first segment is full after some 300 answers, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    with serving(home, preexec_fn=little_space) as service:
        with Background(service.port, april_bodies, connections=4) as found:
            service.wait_for(lambda: len(found.answers) > 2000)
        assert found.failures == []
        told = json.loads(cli(home, "status", "--json").stdout)
        assert service.wait_for(
            lambda: json.loads(cli(home, "status", "--json").stdout)["gateways"][0]["dropped"] > 500
        ), told
    logged = set(read_ids(home / "events"))
    assert 100 < len(logged) < 2000
    assert logged <= {answer["id"] for _, answer in found.answers}
