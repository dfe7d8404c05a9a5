"""Events as columns and back. What is expected is the event itself, as MessagePack writes it: that tells 1 from 1.0 and from True."""

import msgspec
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_events import columns, exactly, feedback, mirrored, predictions
from fairlead.archive.appended import Group
from fairlead.archive.restored import restored
from fairlead.archive.tables import record_batch
from fairlead.events import Columns, Feedback, Prediction


def raw(events):
    return [msgspec.msgpack.decode(msgspec.msgpack.encode(event)) for event in events]


def back(kind, of, events):
    batch = record_batch(Group(kind, "m", of, raw(events)))
    return list(restored(kind, "m", of, pl.from_arrow(batch)))


@settings(max_examples=60)
@given(st.data())
def test_predictions_come_back_as_they_were_whatever_their_rows_hold(data):
    of = data.draw(columns())
    events = data.draw(st.lists(predictions(of), min_size=1, max_size=5))
    assert list(map(exactly, back("prediction", of, events))) == list(map(exactly, events))


@settings(max_examples=40)
@given(st.lists(mirrored, min_size=1, max_size=4))
def test_mirrored_pairs_come_back_as_they_were(events):
    assert list(map(exactly, back("mirrored", None, events))) == list(map(exactly, events))


@settings(max_examples=40)
@given(st.lists(feedback, min_size=1, max_size=4))
def test_feedback_comes_back_as_it_was(events):
    assert list(map(exactly, back("feedback", None, events))) == list(map(exactly, events))


def test_names_that_files_would_cut_off_are_told_apart():
    # A column's name ends at a zero byte for whoever reads it in C: polars and Parquet.
    of = Columns("m:1", "d", ("", "\0", "a\0b", "a\0c"), ("x\0y", "x\0z"))
    events = [msgspec.structs.replace(row(1, 2, 3, 4, prediction="x\0z"), model="m:1")]
    assert list(map(exactly, back("prediction", of, events))) == list(map(exactly, events))


OF = Columns("m:1", "d", ("x", "n", "name", "flag"), (0, 1))


def row(*inputs, **changed):
    made = Prediction("i", 1.0, "m", "m:1", "stable", None, "ok", 0.1, inputs, 1, (0.2, 0.8), ())
    return msgspec.structs.replace(made, **changed)


def test_rows_of_one_type_a_column_need_no_copy_beside_their_columns():
    events = [row(1.5, 2, "a", True), row(None, 3, None, False), row(0.0, 0, "", None, inputs=None, prediction=None)]
    frame = pl.from_arrow(record_batch(Group("prediction", "m", OF, raw(events))))
    assert frame["exact"].null_count() == 3
    assert frame.select("input.x", "input.n", "input.name", "input.flag").dtypes == [
        pl.Float64,
        pl.Int64,
        pl.String,
        pl.Boolean,
    ]
    assert frame["prediction"].to_list() == ["1", "1", None]
    assert frame["probability.1"].to_list() == [0.8, 0.8, 0.8]


def test_facts_of_before_they_had_all_their_fields_get_what_was_meant_then():
    old = raw([row(1.5, 2, "a", True)])[0][:13]
    (event,) = restored("prediction", "m", OF, pl.from_arrow(record_batch(Group("prediction", "m", OF, [old]))))
    assert (event.revision, event.exposure) == (0, "")
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(Feedback("i", 1.0, "m", label="x")))[:5]
    (event,) = restored("feedback", "m", None, pl.from_arrow(record_batch(Group("feedback", "m", None, [told]))))
    assert event == Feedback("i", 1.0, "m", label="x")


def test_a_field_that_we_do_not_know_yet_is_kept():
    # A newer writer in the same log: what its field means we cannot tell, and lose nothing.
    new = [*raw([row(1.5, 2, "a", True)])[0], "more"]
    frame = pl.from_arrow(record_batch(Group("prediction", "m", OF, [new])))
    assert msgspec.msgpack.decode(frame["exact"][0]) == new
    assert frame["input.x"].to_list() == [1.5]
