"""Frames of the archive as columns. What is expected is the frame itself: each code stands for the text that was there."""

import numpy as np
import polars as pl
import pytest

from fairlead.columns import Names
from fairlead.monitor.batches import answered, column_of, labelled_of, traffic_of
from fairlead.schema import Column, Output, Schema
from labelled_rows import texts

CLASSES = Schema((Column("x", "number"),), Output("classification", "late", classes=("late", "on time")))


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [None],
        [None, None, None],
        ["UA", "UA", "UA"],
        ["UA", "UA", None],
        [None, "UA", "UA"],
        ["UA", "DL", None, "UA", "B6", ""],
        ["", ""],
    ],
)
def test_each_code_stands_for_the_text_that_was_there(entries):
    found = column_of(pl.Series("carrier", entries, pl.String))
    assert isinstance(found, Names)
    assert len(set(found.values)) == len(found.values)
    assert texts(found).tolist() == entries


def test_labels_and_answers_are_names_and_what_is_not_there_is_missing():
    frame = pl.DataFrame(
        {
            "prediction": ["late", "on time", "late"],
            "probability.late": [0.9, 0.2, 0.6],
            "probability.on time": [0.1, 0.8, 0.4],
            "label": [None, "on time", "maybe"],
        }
    )
    found = labelled_of(frame, CLASSES)
    assert texts(found.predictions).tolist() == ["late", "on time", "late"]
    assert texts(found.labels).tolist() == [None, "on time", "maybe"]
    assert found.rows == 3
    without = labelled_of(frame.drop("label"), CLASSES)
    assert texts(without.labels).tolist() == [None] * 3


def test_numbers_are_what_they_were_and_text_among_them_is_none():
    schema = Schema((Column("x", "number"),), Output("regression", "delay"))
    found = labelled_of(pl.DataFrame({"prediction": [1.5, 2.5], "label": ["3.5", "late"]}), schema)
    assert found.numbers.tolist() == [1.5, 2.5]
    np.testing.assert_array_equal(found.labels, [3.5, np.nan])


def test_traffic_tells_who_failed_by_whom():
    frame = pl.DataFrame({"time": 1.0, "latency": 0.1, "status": ["ok", "overloaded", "schema_mismatch", "ok"]})
    found = traffic_of(frame)
    assert found.fine().tolist() == [True, False, False, True]
    assert found.failed().tolist() == [False, True, False, False]  # a refused row is its caller's doing
    assert found.counts() == [("ok", 2), ("overloaded", 1), ("schema_mismatch", 1)]
    assert answered(frame).height == 2
    assert answered(frame.filter(pl.col("status") == "ok")).height == 2
