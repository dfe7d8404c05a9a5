"""Feedback beside its prediction; the log is written by the real writer, in any order."""

import os

import pytest

from fairlead.archive.events import read_events
from fairlead.archive.joined import join_log
from fairlead.eventlog.joined import join, latest_feedback
from fairlead.eventlog.reader import segments
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Feedback, Mirrored, Prediction

COLUMNS = Columns("flights:1", "0" * 64, ("origin",), ("late", "on time"))


def prediction(name, time=100.0):
    return Prediction(name, time, "flights", "flights:1", "stable", None, "ok", 0.001, ("JFK",), "late", (0.9, 0.1), ())


def feedback(name, time=200.0, endpoint="flights", **more):
    return Feedback(name, time, endpoint, **({"label": "late"} | more))


@pytest.fixture
def logs(tmp_path):
    found = [EventLog(tmp_path, f"gateway-{number}", segment_bytes=500) for number in range(2)]
    yield found
    for log in found:
        log.close()


def test_a_label_finds_its_prediction_whichever_gateway_wrote_either(logs, tmp_path):
    one, other = logs
    other.note([feedback("p7", 300.0)])
    for number in range(20):
        one.append(COLUMNS, [prediction(f"p{number}", 100.0 + number)])
    one.note([feedback("p3", 250.0, label="on time")])
    found = join_log(tmp_path, "flights")
    assert [(one.feedback.id, one.prediction.id, one.after) for one in found] == [
        ("p3", "p3", 147.0),
        ("p7", "p7", 193.0),
    ]


def test_feedback_without_its_prediction_is_told_as_such_but_the_page_needs_none(logs, tmp_path):
    logs[0].note([feedback("gone"), feedback("page", label=None, rating=3, about="page")])
    found = {one.feedback.id: one for one in join_log(tmp_path, "flights")}
    assert (found["gone"].unknown, found["gone"].after) == (True, None)
    assert not found["page"].unknown


def test_another_endpoints_feedback_and_what_came_before_are_left_out(logs, tmp_path):
    logs[0].append(COLUMNS, [prediction("p1", 1.0)])
    logs[0].note([feedback("p1", 50.0), feedback("p1", 150.0, rating=4), feedback("q1", 160.0, endpoint="trains")])
    (one,) = join_log(tmp_path, "flights", since=100.0)
    assert (one.feedback.time, one.prediction.id) == (150.0, "p1")


def test_of_very_much_the_latest_is_kept(logs, tmp_path):
    for number in range(100):
        logs[number % 2].note([feedback(f"p{number}", 1000.0 + number)])
    found = join_log(tmp_path, "flights", limit=10)
    assert [one.feedback.id for one in found] == [f"p{number}" for number in range(90, 100)]


def test_at_the_same_moment_the_order_of_the_log_holds():
    told = [feedback("a", 1.0, label=label) for label in ("late", "on time", "late")]
    assert latest_feedback(told, "flights", since=0.0, limit=10) == told
    assert [one.kind for one in join(told, {})] == ["new", "correction", "correction"]


def test_repetitions_and_corrections_are_told_apart():
    told = [
        feedback("a", 1.0),
        feedback("a", 2.0),
        feedback("a", 3.0, rating=5),
        feedback("a", 4.0, label=None, rating=5),
        feedback("a", 5.0, label="on time"),
        feedback("a", 6.0, label=None, values={"x": 1.0}),
        feedback("a", 7.0, label=None, values={"x": 2.0}),
        feedback("a", 8.0, label=None, rating=1, about="page"),
        feedback("a", 9.0, label="on time", source="doctor"),
    ]
    kinds = ["new", "duplicate", "new", "duplicate", "correction", "new", "correction", "new", "new"]
    assert [one.kind for one in join(told, {})] == kinds


def test_every_kind_of_event_is_read_and_a_segment_of_long_ago_is_not_opened(logs, tmp_path):
    mirrored = Mirrored(
        "p1", 1.0, "flights", "flights:2", "next", "ok", 0.1, "late", None, "flights:1", 0.1, "late", None
    )
    logs[0].append(COLUMNS, [prediction("p1")])
    logs[0].note([mirrored, feedback("p1")])
    logs[1].note([feedback("p2")])
    kinds = {type(one) for one in read_events(tmp_path)}
    assert kinds == {Columns, Prediction, Mirrored, Feedback}
    old, new = sorted(segments(tmp_path), key=lambda path: "gateway-1" in path.name)
    os.utime(old, (1000.0, 1000.0))
    assert segments(tmp_path, since=2000.0) == [new]
    assert [one.id for one in read_events(tmp_path, since=2000.0)] == ["p2"]


def test_no_log_at_all_is_no_feedback(tmp_path):
    assert join_log(tmp_path / "nothing", "flights") == []
