"""Reading rows. Expected values follow from RFC 8259 (JSON), RFC 4180 (CSV) and the schema written here."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import InvalidInput, SchemaMismatch, TooLarge
from fairlead.rows import MAX_PROBLEMS, RowReader
from fairlead.schema import Column, Output, Schema

SCHEMA = Schema(
    (
        Column("temp", "number", nullable=True),
        Column("month", "integer"),
        Column("carrier", "string"),
        Column("night", "boolean"),
    ),
    Output("classification"),
)
READER = RowReader(SCHEMA, max_rows=100)
GOOD = {"temp": 41.5, "month": 4, "carrier": "UA", "night": False}


def problem_of(body):
    with pytest.raises(SchemaMismatch) as caught:
        READER.from_json(body)
    return caught.value


def test_an_object_is_one_row_in_the_order_of_the_schema():
    body = json.dumps(dict(reversed(GOOD.items()))).encode()
    assert READER.from_json(body) == ([(41.5, 4, "UA", False)], True)


def test_an_array_is_many_rows():
    rows, single = READER.from_json(json.dumps([GOOD, {**GOOD, "temp": None}]).encode())
    assert (rows, single) == ([(41.5, 4, "UA", False), (None, 4, "UA", False)], False)


def test_colons_in_text_and_white_space_are_no_duplicate_keys():
    body = json.dumps({**GOOD, "carrier": '12:30 "x": 1'}, indent=3).encode()
    assert READER.from_json(body)[0][0][2] == '12:30 "x": 1'


@pytest.mark.parametrize("where", range(4))
def test_a_duplicate_key_is_refused_wherever_it_stands(where):
    members = [f'"{name}": {json.dumps(value)}' for name, value in GOOD.items()]
    members.insert(where, '"month": 5')
    error = problem_of(("{" + ",".join(members) + "}").encode())
    assert (error.values["field"], error.values["got"]) == ("month", "the same key twice")


@given(
    st.fixed_dictionaries(
        {
            "temp": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
            "month": st.integers(-(2**53), 2**53),
            "carrier": st.text(st.characters(exclude_categories=["Cs"])),
            "night": st.booleans(),
        }
    )
)
def test_every_row_that_fits_survives_json(row):
    (found,), _ = READER.from_json(json.dumps(row).encode())
    assert found == tuple(row[name] for name in SCHEMA.names)
    assert found[0] is None or isinstance(found[0], float)


@given(st.binary(max_size=200))
def test_no_bytes_whatsoever_do_anything_but_read_or_refuse(body):
    with contextlib.suppress(InvalidInput):
        rows, _ = READER.from_json(body)
        assert all(len(row) == 4 for row in rows)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_whatsoever_does_anything_but_read_or_refuse(value):
    with contextlib.suppress(InvalidInput):
        rows, _ = READER.from_json(json.dumps(value).encode())
        assert all(len(row) == 4 for row in rows)


@pytest.mark.parametrize(
    ("text", "got"),
    [("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "-Infinity"), ("1e999", "a number out of range")],
)
def test_numbers_that_are_not_finite_are_refused_by_name(text, got):
    error = problem_of(json.dumps({**GOOD, "temp": "@"}).replace('"@"', text).encode())
    assert (error.values["row"], error.values["field"], error.values["got"]) == (0, "temp", got)


def test_a_number_as_text_is_refused_with_the_remedy():
    error = problem_of(json.dumps({**GOOD, "temp": "41.5"}).encode())
    assert error.hint == "Numbers stand without quotes."


def test_an_unknown_column_gets_the_nearest_name():
    error = problem_of(json.dumps({**GOOD, "tmp": 1}).encode())
    assert "'temp'" in error.hint


def test_an_integer_may_be_written_as_a_float_but_not_with_a_fraction():
    assert READER.from_json(json.dumps({**GOOD, "month": 4.0}).encode())[0][0][1] == 4
    assert problem_of(json.dumps({**GOOD, "month": 4.5}).encode()).values["field"] == "month"


def test_integers_beyond_two_to_the_53_are_refused():
    assert READER.from_json(json.dumps({**GOOD, "month": 2**53}).encode())[0][0][1] == 2**53
    assert problem_of(json.dumps({**GOOD, "month": 2**53 + 1}).encode()).values["field"] == "month"


def test_one_error_names_a_bounded_number_of_problems_with_their_rows():
    error = problem_of(json.dumps([{**GOOD, "temp": "x"}] * 90).encode())
    assert [one["row"] for one in error.values["errors"]] == list(range(MAX_PROBLEMS))


def test_more_rows_than_allowed_are_too_large():
    with pytest.raises(TooLarge) as caught:
        READER.from_json(json.dumps([GOOD] * 101).encode())
    assert (caught.value.values["rows"], caught.value.values["limit"]) == (101, 100)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"temp":' * 100_000])
def test_nesting_without_end_is_refused(body):
    with pytest.raises(InvalidInput):
        READER.from_json(body)


def test_a_column_may_have_any_name():
    schema = Schema((Column('a"b\\c\n: é', "number"),), Output("regression"))
    assert RowReader(schema).from_json(json.dumps({'a"b\\c\n: é': 1}).encode()) == ([(1.0,)], True)


def test_csv_columns_stand_in_any_order_and_empty_cells_are_missing():
    rows = READER.from_csv('night,carrier,month,temp\r\nyes,"U,A",4,\r\n\r\n0,DL,5,-1.5e1\r\n')
    assert rows == [(None, 4, "U,A", True), (-15.0, 5, "DL", False)]


def test_a_byte_order_mark_before_a_table_is_excels_and_is_ignored():
    assert len(READER.from_csv("\ufefftemp,month,carrier,night\n1,2,x,no\n")) == 1


@pytest.mark.parametrize(
    ("text", "row", "field"),
    [
        ("temp,month,carrier\n1,2,x\n", None, "night"),
        ("temp,month,carrier,night,more\n1,2,x,no,1\n", None, "more"),
        ("temp,month,carrier,night,temp\n1,2,x,no,1\n", None, "temp"),
        ("temp,month,carrier,night\n1,2,x,no\nnan,2,x,no\n", 1, "temp"),
        ("temp,month,carrier,night\n1,2,x,no\n1,2.5,x,no\n", 1, "month"),
        ("temp,month,carrier,night\n1,2,x,no\n1,2,x,maybe\n", 1, "night"),
        ("temp,month,carrier,night\n1,2,x,no\n1,2,,no\n", 1, "carrier"),
        ("temp,month,carrier,night\n1,2,x,no\n1_0,2,x,no\n", 1, "temp"),
        ("temp,month,carrier,night\n1,2,x,no\n1,2,x\n", 1, None),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_row_and_field(text, row, field):
    with pytest.raises(SchemaMismatch) as caught:
        READER.from_csv(text)
    assert (caught.value.values["row"], caught.value.values["field"]) == (row, field)


def test_a_very_wide_header_is_refused_with_a_bounded_number_of_problems():
    with pytest.raises(SchemaMismatch) as caught:
        READER.from_csv(",".join(f"a{number}" for number in range(50_000)) + "\n1\n")
    assert len(caught.value.values["errors"]) == MAX_PROBLEMS


def test_a_form_ignores_what_is_no_column():
    assert READER.from_form({"temp": "", "month": "4", "carrier": " UA ", "night": "on", "submit": "1"}) == (
        None,
        4,
        "UA",
        True,
    )


def test_mappings_take_numpy_and_pandas_values():
    import numpy as np
    import pandas as pd

    row = {"temp": np.float32("nan"), "month": np.int64(4), "carrier": "UA", "night": np.bool_(True)}
    assert READER.from_mappings([row, {**row, "temp": pd.NA}]) == [(None, 4, "UA", True)] * 2


def test_columns_are_read_as_mappings_are():
    columns = {"night": [True, False], "temp": [math.nan, 2], "month": [4, 5], "carrier": ["UA", "DL"]}
    assert READER.from_columns(columns) == [(None, 4, "UA", True), (2, 5, "DL", False)]


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("temp", [1.0, math.inf]),
        ("month", [1, None]),
        ("month", [1, 2**60]),
        ("carrier", ["x", 1]),
        ("night", [True, 0]),
    ],
)
def test_a_column_with_an_entry_that_does_not_fit_is_refused_by_row(name, entries):
    columns = {"temp": [1.0, 2.0], "month": [1, 2], "carrier": ["a", "b"], "night": [True, False], name: entries}
    with pytest.raises(SchemaMismatch) as caught:
        READER.from_columns(columns)
    assert (caught.value.values["row"], caught.value.values["field"]) == (1, name)
