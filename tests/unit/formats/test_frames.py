"""Rows become the table that the model was trained on, missing entries included."""

import math

import msgspec
import numpy as np
import pandas as pd
import pytest

from fairlead.errors import SchemaMismatch
from fairlead.formats.frames import FrameForm, form, frame, plain
from fairlead.schema import Column, Output, Schema

SCHEMA = Schema(
    (
        Column("n", "number", nullable=True),
        Column("i", "integer"),
        Column("f", "boolean"),
        Column("t", "string", nullable=True),
        Column("k", "string", nullable=True),
    ),
    Output("regression"),
)
ROWS = [(1.5, 3, True, "a", "x"), (None, -2, False, None, None)]


def training():
    return pd.DataFrame(
        {
            "n": [1.5, np.nan],
            "i": np.array([3, -2], dtype="int32"),
            "f": [True, False],
            "t": pd.Series(["a", None], dtype=object),
            "k": pd.Series(["x", None], dtype="category"),
            "beside": [0, 0],
        }
    )


def test_a_frame_comes_back_with_the_same_types_and_the_same_missing_entries():
    table = training()
    again = frame(ROWS, SCHEMA, form(table, SCHEMA))
    pd.testing.assert_frame_equal(again, table.drop(columns="beside"))
    assert again["t"][1] is None


def test_nan_stays_nan_in_text():
    table = training().astype({"t": object})
    table.loc[1, "t"] = math.nan
    assert isinstance(frame(ROWS, SCHEMA, form(table, SCHEMA))["t"][1], float)


def test_a_form_is_plain_data():
    found = form(training(), SCHEMA)
    assert msgspec.json.decode(msgspec.json.encode(found), type=FrameForm) == found


def test_without_a_form_the_types_follow_from_the_schema():
    found = frame(ROWS, SCHEMA)
    assert [str(one) for one in found.dtypes] == ["float64", "int64", "bool", "object", "object"]


def test_a_missing_whole_number_makes_the_column_a_double_as_pandas_does():
    found = frame([(1.0, None, None, "a", "x")], SCHEMA, form(training(), SCHEMA))
    assert str(found["i"].dtype) == "float64"
    assert math.isnan(found["i"][0])


def test_an_array_stays_an_array():
    schema = Schema((Column("x0", "number"), Column("x1", "number")), Output("regression"))
    found = form(np.array([[1.0, 2.0]], dtype=np.float32), schema)
    made = frame([(1.5, None), (2, 3)], schema, found)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, np.array([[1.5, np.nan], [2, 3]], dtype=np.float32))


def test_a_missing_entry_makes_an_array_of_whole_numbers_one_of_doubles():
    schema = Schema((Column("x0", "integer"),), Output("regression"))
    made = frame([(1,), (None,)], schema, form(np.array([[1]]), schema))
    assert made.dtype == np.float64


def test_no_rows_make_an_empty_frame():
    assert frame([], SCHEMA, form(training(), SCHEMA)).shape == (0, 5)


def test_a_table_without_a_column_is_refused_by_its_name():
    with pytest.raises(SchemaMismatch, match="'k'"):
        form(training().drop(columns="k"), SCHEMA)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(1.5), 1.5),
        (np.int64(3), 3),
        (np.bool_(1), True),
        (np.str_("a"), "a"),
        (math.nan, None),
        (pd.NA, None),
        (pd.NaT, None),
        (None, None),
        (pd.Timestamp("2013-04-01"), "2013-04-01 00:00:00"),
    ],
)
def test_entries_become_pythons_own(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
