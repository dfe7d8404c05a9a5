"""Following the event log while it is written."""

from __future__ import annotations

import time

import pytest

from fairlead.eventlog import segment
from fairlead.eventlog.tail import Tail
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Feedback, Prediction

COLUMNS = Columns("flights:1", "0" * 64, ("origin",), ("late", "on time"))


def prediction(number):
    return Prediction(
        f"p{number}", time.time(), "flights", "flights:1", "stable", None, "ok", 0.001, ("JFK",), "late", (0.9, 0.1), ()
    )


@pytest.fixture
def log(tmp_path):
    log = EventLog(tmp_path, "gateway-0-1", segment_bytes=2000)
    yield log
    log.close()


def told(tail):
    return [event.id for event in tail.read() if not isinstance(event, Columns)]


def test_each_event_is_told_once_over_many_segments(log, tmp_path):
    tail, seen = Tail(tmp_path, 0), []
    for number in range(100):
        log.append(COLUMNS, [prediction(number)])
        if number % 7 == 0:
            seen += told(tail)
    seen += told(tail)
    assert seen == [f"p{number}" for number in range(100)]
    assert told(tail) == []
    assert len(list(tmp_path.glob("*/*.seg"))) > 3


def test_an_event_that_is_half_written_is_told_when_it_is_whole(log, tmp_path):
    log.append(COLUMNS, [prediction(1)])
    tail = Tail(tmp_path, 0)
    assert told(tail) == ["p1"]
    (path,) = tmp_path.glob("*/*.seg")
    frame = b"".join(segment.encode([Feedback("p1", 1.0, "flights", label="late")]))
    for cut in (3, 8, len(frame) - 1):
        whole = path.read_bytes()
        path.write_bytes(whole + frame[:cut])
        assert told(tail) == []
        path.write_bytes(whole)
    path.write_bytes(path.read_bytes() + frame)
    assert told(tail) == ["p1"]


def test_days_before_the_beginning_are_passed_over(log, tmp_path):
    log.append(COLUMNS, [prediction(1)])
    (path,) = tmp_path.glob("*/*.seg")
    old = tmp_path / "2001-01-01"
    old.mkdir()
    (old / path.name).write_bytes(path.read_bytes().replace(b"p1", b"p0"))
    assert told(Tail(tmp_path, time.time())) == ["p1"]


def test_a_writer_of_little_begins_a_segment_every_day_so_that_nothing_is_missed(tmp_path, monkeypatch):
    # Else its events of the third day would stand in the first day's segment, which nobody looks at any more.
    now = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    log, tail = EventLog(tmp_path, "gateway-0-1"), Tail(tmp_path, 0)
    for number in range(5):
        log.append(COLUMNS, [prediction(number)])
        assert told(tail) == [f"p{number}"]
        now += 86_400
        log.sync()
    log.note([Feedback("p0", now, "flights", label="late")])
    assert told(tail) == ["p0"]
    assert len(list(tmp_path.glob("*/*.seg"))) == 6
    log.close()


def test_a_log_that_is_not_there_yet_tells_nothing(tmp_path):
    assert told(Tail(tmp_path / "events", 0)) == []
