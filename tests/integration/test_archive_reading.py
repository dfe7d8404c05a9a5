"""Reading a log at rest: frames, labels, events. What is expected is told by the events that were written."""

import random

import polars as pl
import pytest

from archive_events import DAY, FLIGHTS, MORNING, Clock, exactly, prediction, told, written
from fairlead.archive.compaction import compact
from fairlead.archive.events import read_events
from fairlead.archive.following import Following
from fairlead.archive.frames import feedback_frame, frames, mirrored_frames
from fairlead.archive.joined import join_log
from fairlead.archive.labels import Joining
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Mirrored, Prediction

LATER = MORNING + 3 * DAY


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    return Clock(monkeypatch, MORNING)


def settle(folder, now=LATER):
    for _ in range(2):
        compact(folder, now=now, grace=0, least=0)


def rows_of(found):
    return [row for frame in found for row in frame.iter_rows(named=True)]


def as_row(one, label=None, label_time=None, rating=None):
    """What a frame should say of a prediction of flights."""
    row = dict.fromkeys(("carrier", "temp", "hour", "weekend")) | dict(
        zip(FLIGHTS.inputs, one.inputs or (), strict=False)
    )
    late, on_time = one.probabilities or (None, None)
    return {
        "id": one.id, "time": one.time, "model": one.model, "variant": one.variant, "key": one.key, "status": one.status,
        "latency": one.latency, "revision": one.revision, "exposure": one.exposure, "flags": list(one.flags),
        **{f"input.{name}": value for name, value in row.items()}, "prediction": one.prediction,
        "probability.late": late, "probability.on time": on_time, "label": label, "label_time": label_time, "rating": rating,
    }  # fmt: skip


def day_of_flights(count=60):
    found = [prediction(number, MORNING + number * 100) for number in range(count)]
    found[3] = prediction(3, MORNING + 300, inputs=None, prediction=None, probabilities=None, status="schema_mismatch")
    found[4] = prediction(4, MORNING + 400, flags=("carrier",), key="k1", exposure="pinned")
    return found


@pytest.mark.parametrize("compacted", ["not", "half", "wholly", "merged"])
def test_frames_say_what_was_answered_wherever_it_rests(tmp_path, compacted):
    events = day_of_flights()
    written(tmp_path, events[:30], writer="w0")
    if compacted != "not":
        compact(tmp_path, now=MORNING + DAY / 2, grace=0, least=0)
    written(tmp_path, events[30:], writer="w1")
    if compacted in {"wholly", "merged"}:
        compact(tmp_path, now=MORNING + DAY / 2, grace=0, least=0)
    if compacted == "merged":
        settle(tmp_path)
    found = rows_of(frames(tmp_path, "flights", 0, LATER))
    assert sorted(found, key=lambda row: row["time"]) == [as_row(one) for one in events]
    some = rows_of(frames(tmp_path, "flights", MORNING + 500, MORNING + 1000))
    assert sorted(row["id"] for row in some) == sorted(one.id for one in events[5:10]), "the end is not within"
    assert rows_of(frames(tmp_path, "trains", 0, LATER)) == []


def test_the_latest_label_stands_whenever_it_came_and_the_others_are_counted(tmp_path):
    events = day_of_flights(20)
    written(tmp_path, events)
    feedback = [
        told(1, MORNING + 2 * DAY, label="on time"),
        told(1, MORNING + 1 * DAY, label="late"),  # told later, said earlier: the other stands
        told(2, MORNING + 250, label="late"),
        told(2, MORNING + 260, label="late"),  # the same once more is no correction
        told(5, MORNING + 300, label=None, rating=4),
        told(5, MORNING + 310, label="late", rating=None),
        told(6, MORNING + 320, label=None, rating=2, about="page"),
        told(999, MORNING + 330, label="late"),  # of a prediction that is not in the log
        told(7, MORNING + 100 * DAY, label="late"),
    ]
    written(tmp_path, feedback, writer="w1")
    for _ in range(2):
        reading = frames(tmp_path, "flights", MORNING, MORNING + DAY)
        found = {row["id"]: (row["label"], row["label_time"], row["rating"]) for row in rows_of(reading)}
        assert {name: one for name, one in found.items() if one != (None, None, None)} == {
            "flights-1": ("on time", MORNING + 2 * DAY, None),
            "flights-2": ("late", MORNING + 260, None),
            "flights-5": ("late", MORNING + 310, 4),
            "flights-7": ("late", MORNING + 100 * DAY, None),
        }
        assert reading.joining() == Joining(labelled=4, corrected=1, unknown=1)
        settle(tmp_path)
    early = frames(tmp_path, "flights", MORNING, MORNING + DAY, labels_until=MORNING + 2 * DAY)
    assert {row["id"]: row["label"] for row in rows_of(early)}["flights-1"] == "late"
    assert early.joining().labelled == 3


def test_a_label_for_a_prediction_before_the_window_is_not_unknown(tmp_path):
    written(tmp_path, [prediction(1, MORNING - 5 * DAY), prediction(2, MORNING + 5), told(1, MORNING + 10)])
    settle(tmp_path)
    reading = frames(tmp_path, "flights", MORNING, MORNING + DAY)
    assert len(rows_of(reading)) == 1
    assert reading.joining() == Joining(0, 0, 0)


def test_feedback_of_a_pruned_prediction_is_unknown(tmp_path):
    written(tmp_path, [prediction(1, MORNING), prediction(2, MORNING + 2 * DAY), told(1, MORNING + 2 * DAY)])
    reading = frames(tmp_path, "flights", MORNING + 2 * DAY, LATER)
    list(reading)
    assert reading.joining().unknown == 0
    compact(tmp_path, now=LATER, grace=0, least=0, days=1)
    reading = frames(tmp_path, "flights", MORNING + 2 * DAY, LATER)
    list(reading)
    assert reading.joining().unknown == 1
    (one,) = join_log(tmp_path, "flights")
    assert one.unknown


@pytest.mark.parametrize(
    ("classes", "answer", "label", "shown"),
    [((0, 1), 1, 0, "0"), ((True, False), False, True, "true"), ((), 2.5, 3.0, 3.0), ((), 2.5, 3, 3.0)],
    ids=["integers", "booleans", "numbers", "a whole number"],
)
def test_labels_stand_as_predictions_do(tmp_path, classes, answer, label, shown):
    of = Columns("m:1", "d", ("x",), classes)
    asked = prediction(1, endpoint="m", of=of, inputs=(1.0,), prediction=answer, probabilities=None)
    written(tmp_path, [asked, told(1, MORNING + 9, endpoint="m", label=label)], of=of)
    settle(tmp_path)
    (frame,) = frames(tmp_path, "m", 0, LATER)
    assert frame["label"].to_list() == [shown]
    assert frame.schema["label"] == frame.schema["prediction"] == (pl.String if classes else pl.Float64)
    assert {exactly(one) for one in read_events(tmp_path) if isinstance(one, Prediction)} == {exactly(asked)}


def test_a_frame_is_never_larger_than_was_promised_and_a_column_without_values_is_a_number(tmp_path, monkeypatch):
    monkeypatch.setattr("fairlead.archive.frames.ROWS", 10)
    events = [prediction(number, MORNING + number, inputs=("UA", None, 1, None)) for number in range(50)]
    written(tmp_path, events)
    found = list(frames(tmp_path, "flights", 0, LATER))
    assert len(found) > 2
    assert max(map(len, found)) <= 20
    assert found[0].schema["input.temp"] == pl.Float64
    assert sum(map(len, found)) == 50


def test_versions_with_other_columns_come_in_frames_of_their_own(tmp_path):
    other = Columns("flights:2", "1" * 64, ("carrier",), ())
    log = EventLog(tmp_path, "w")
    for number in range(6):
        if number % 2:
            theirs = prediction(number, of=other, inputs=("UA",), prediction=float(number), probabilities=None)
            log.append(other, [theirs])
        else:
            log.append(FLIGHTS, [prediction(number)])
    log.close()
    settle(tmp_path)
    ours, theirs = sorted(frames(tmp_path, "flights", 0, LATER), key=lambda frame: -len(frame.columns))
    assert theirs["prediction"].to_list() == [1.0, 3.0, 5.0]
    assert ours["model"].unique().to_list() == ["flights:1"]


def test_a_part_that_cannot_be_read_is_named_and_the_rest_is_told(tmp_path):
    written(tmp_path, [prediction(1, MORNING), prediction(2, MORNING + DAY)])
    settle(tmp_path)
    (broken,) = (tmp_path / "archive" / "flights" / "2027-01-15").glob("*.parquet")
    broken.write_bytes(b"PAR1 and nothing else")
    reading = frames(tmp_path, "flights", 0, LATER)
    assert [row["id"] for row in rows_of(reading)] == ["flights-2"]
    (note,) = reading.notes
    assert "2027-01-15" in note
    assert "1 events" in note


def test_feedback_and_mirrored_pairs_are_frames_of_their_own(tmp_path):
    pair = Mirrored(
        "flights-1", MORNING + 1, "flights", "flights:2", "next", "ok", 0.2, "late", (0.7, 0.3), "flights:1", 0.1, "on time", None, 4
    )  # fmt: skip
    written(
        tmp_path, [prediction(1), pair, told(1, MORNING + 5, values={"cost": 2.5}, comment="no", source="x", rating=2)]
    )
    for _ in range(2):
        told_of = feedback_frame(tmp_path, "flights", 0, LATER)
        assert told_of.rows(named=True) == [
            {"id": "flights-1", "time": MORNING + 5, "label": "late", "rating": 2, "comment": "no", "values": '{"cost":2.5}',
             "about": "answer", "source": "x"}
        ]  # fmt: skip
        (mirrored,) = mirrored_frames(tmp_path, "flights", 0, LATER)
        (row,) = mirrored.rows(named=True)
        assert (row["prediction"], row["given_prediction"], row["given_probabilities"]) == ("late", "on time", None)
        assert (row["probabilities"], row["revision"], row["latency"]) == ([0.7, 0.3], 4, 0.2)
        settle(tmp_path)
    assert feedback_frame(tmp_path, "trains", 0, LATER).is_empty()


def test_who_follows_hears_the_past_first_and_everything_once_across_compactions(tmp_path, clock):
    chosen = random.Random(3)
    log = EventLog(tmp_path, "w0", segment_bytes=1500)
    expected, number = [], 0
    follower, heard = None, []
    for _ in range(30):
        for _ in range(chosen.randrange(4)):
            expected.append(prediction(number, clock.now))
            log.append(FLIGHTS, [expected[-1]])
            number += 1
        clock.now += 60
        if chosen.random() < 0.5:
            compact(tmp_path, now=clock.now, least=0)
        if follower is None and number > 10:
            follower = Following(tmp_path, MORNING)
        if follower is not None:
            heard += list(follower.read())
    log.close()
    heard += list(follower.read())
    introduced = [one for one in heard if isinstance(one, Columns)]
    assert introduced[0] == heard[0] == FLIGHTS
    assert sorted(exactly(one) for one in heard if not isinstance(one, Columns)) == sorted(map(exactly, expected))


def test_who_follows_from_a_later_day_does_not_hear_of_earlier_ones(tmp_path, clock):
    written(tmp_path, [prediction(1, MORNING)])
    clock.now = MORNING + DAY
    written(tmp_path, [prediction(2, MORNING + DAY)])
    for _ in range(2):
        heard = [one.id for one in Following(tmp_path, MORNING + DAY).read() if isinstance(one, Prediction)]
        assert heard == ["flights-2"]
        settle(tmp_path)


def test_who_has_slept_for_long_knows_that_something_may_have_gone_unseen(tmp_path, clock):
    written(tmp_path, [prediction(1, MORNING)])
    follower = Following(tmp_path, MORNING)
    assert len(list(follower.read())) == 2
    clock.now += 1700
    assert not follower.overslept
    clock.now += 200
    assert follower.overslept


def test_feedback_is_listed_from_a_compacted_log_as_from_segments(tmp_path):
    events = day_of_flights(10)
    written(tmp_path, [*events, told(3, MORNING + 9000), told(77, MORNING + 9001)])
    before = join_log(tmp_path, "flights")
    settle(tmp_path)
    assert join_log(tmp_path, "flights") == before
    assert [one.unknown for one in before] == [False, True]
