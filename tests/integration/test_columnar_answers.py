"""Whole columns are answered like rows, bit for bit. The truth is the row path, and scikit-learn's own answer.

ONNX Runtime's own sigmoid and matrix product may differ in the last bit between a call of one row and a call of many, so bits are
compared between calls of the same rows; between calls of one row and of many, the difference is bounded.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fairlead
from fairlead.columns import Names, Numbers
from fairlead.demo.flights import COLUMNS
from fairlead.errors import SchemaMismatch
from fairlead.predictor.columnar import names_of, numbers_of
from fairlead.predictor.ordering import Ordering, Trial
from fairlead.schema import Column


@pytest.fixture(scope="module")
def flights(packed_home):
    return fairlead.load("flights:1", home=packed_home)


@pytest.fixture(scope="module")
def frame(april):
    return april.iloc[:5000][list(COLUMNS)]


LAST_BITS = 1e-15
"""A few units in the last place of a probability."""


def rows(frame):
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def test_a_frame_gets_the_bits_that_its_rows_get(flights, frame):
    together = flights.outcomes(rows(frame))
    assert np.array_equal(flights.predict_proba(frame), np.array([one.probabilities for one in together]))
    assert flights.predict(frame).tolist() == [one.prediction for one in together]


def test_the_order_that_rows_are_answered_in_changes_no_bit(flights, april, monkeypatch):
    table = april.iloc[:20_123][list(COLUMNS)]
    monkeypatch.setattr(Ordering, "begin", lambda _, columns: Trial(0, len(columns[0][0]), None))
    expected = flights.predict_proba(table)
    for column in range(len(COLUMNS)):
        asked = []

        def sorted_by(_, columns, column=column, asked=asked):
            codes = columns[column].codes if isinstance(columns[column], Names) else columns[column].values
            asked.append(column)
            return Trial(0, len(codes), (np.nan_to_num(codes) % 251).astype(np.uint8))

        monkeypatch.setattr(Ordering, "begin", sorted_by)
        assert np.array_equal(flights.predict_proba(table), expected)
        assert asked == [column]


def test_a_row_gets_the_same_answer_alone_and_in_a_frame(flights, frame):
    alone = [flights.outcomes(row)[0] for row in rows(frame.iloc[:500])]
    shares = np.array([one.probabilities for one in alone])
    assert np.abs(flights.predict_proba(frame)[:500] - shares).max() <= LAST_BITS
    assert flights.predict(frame)[:500].tolist() == [one.prediction for one in alone]


def test_a_frame_gets_scikit_learns_own_answers(flights, frame, models):
    original = models["flights:1"]
    assert np.abs(flights.predict_proba(frame) - original.predict_proba(frame)).max() < 1e-12
    assert flights.predict(frame).tolist() == original.predict(frame).tolist()


def test_columns_in_another_order_and_polars_frames_get_the_same_bits(flights, frame):
    expected = flights.predict_proba(frame)
    assert np.array_equal(flights.predict_proba(frame[list(reversed(COLUMNS))]), expected)
    assert np.array_equal(flights.predict_proba(pl.from_pandas(frame)), expected)


def test_a_bad_entry_in_a_frame_is_named_with_row_and_field(flights, frame):
    bad = frame.iloc[:100].copy()
    bad.loc[bad.index[42], "temp"] = math.inf
    with pytest.raises(SchemaMismatch) as caught:
        flights.predict(bad)
    assert (caught.value.values["row"], caught.value.values["field"]) == (42, "temp")


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (LogisticRegression(), lambda x, c: np.where(x > 0.3, "hot", np.where(c == "b", "mild", "cold"))),
        (LinearRegression(), lambda x, c: 3 * x + (c == "b")),
    ],
    ids=["three classes", "regression"],
)
def test_linear_models_answer_columns_as_they_answer_rows(tmp_path, model, target):
    random = np.random.default_rng(3)
    number, name = random.normal(size=400), random.choice(["a", "b", "c"], 400)
    data = pd.DataFrame({"x": number, "n": random.integers(0, 9, 400), "c": name, "y": target(number, name)})
    steps = make_column_transformer((StandardScaler(), ["x", "n"]), (OneHotEncoder(handle_unknown="ignore"), ["c"]))
    pipeline = make_pipeline(steps, model).fit(data[["x", "n", "c"]], data["y"])
    fairlead.pack(pipeline, name="linear", data=data, target="y", home=tmp_path)
    loaded, table = fairlead.load("linear:1", home=tmp_path), data[["x", "n", "c"]].copy()
    table.loc[5, "c"] = "never seen"
    together = loaded.outcomes(rows(table))
    assert together[5].flags == ("c",)
    assert loaded.predict(table).tolist() == [one.prediction for one in together]
    if loaded.schema.output.probabilities:
        assert np.array_equal(loaded.predict_proba(table), np.array([one.probabilities for one in together]))


def test_numbers_that_a_row_may_not_hold_are_doubtful():
    # RowReader's rules: finite, whole where integer, within 2^53, missing only where nullable.
    read = numbers_of(np.array([1.0, 1.5, math.nan, math.inf, 2.0**54]), None, Column("n", "integer", nullable=True))
    assert read is not None
    assert read[1].tolist() == [False, True, False, True, True]
    whole = numbers_of(np.array([2**53, 2**53 + 1, -(2**53) - 1]), None, Column("n", "integer"))
    assert whole is not None
    assert whole[1].tolist() == [False, True, True]
    assert numbers_of(np.array([True]), None, Column("n", "number")) is None
    assert numbers_of(np.array(["1"]), None, Column("n", "number")) is None


def test_texts_become_codes_and_what_is_no_text_needs_a_closer_look():
    names = names_of(["b", None, "a", "b", math.nan], Column("c", "string", nullable=True))
    assert isinstance(names, Names)
    assert [None if code < 0 else names.values[code] for code in names.codes] == ["b", None, "a", "b", None]
    assert names_of(["b", None], Column("c", "string")) is None
    assert names_of(["b", 1], Column("c", "string", nullable=True)) is None
    assert names_of(["\ud800"], Column("c", "string")) is None
    assert isinstance(numbers_of(np.array([1]), None, Column("n", "number"))[0], Numbers)
