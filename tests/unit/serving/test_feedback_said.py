"""What feedback may say. Numbers, texts and classes are JSON's own kinds; the expectations are spelled out, not computed."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import FairleadError, InvalidInput, SchemaMismatch, TooLarge
from fairlead.schema import Output
from fairlead.serving.feedback.said import FeedbackReader, Said

TEXTS = FeedbackReader(Output("classification", "late", ("late", "on time")))
BOOLEANS = FeedbackReader(Output("classification", "late", (False, True)))
NUMBERS = FeedbackReader(Output("classification", "grade", (0, 1, 2)))
DIGITS = FeedbackReader(Output("classification", "digit", ("1", "2")))
PRICE = FeedbackReader(Output("regression", "price"), most=3)


def label(reader, value):
    return reader.from_json(json.dumps({"id": "a", "label": value}).encode())[0].label


def refusal(reader, body):
    with pytest.raises(FairleadError) as caught:
        reader.from_json(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


@pytest.mark.parametrize(
    ("reader", "value", "read"),
    [
        (TEXTS, "late", "late"),
        (BOOLEANS, True, True),
        (NUMBERS, 1, 1),
        (NUMBERS, 1.0, 1),
        (DIGITS, "1", "1"),
        (PRICE, 3, 3.0),
        (PRICE, -2.5, -2.5),
    ],
)
def test_a_label_is_a_class_of_exactly_its_kind_or_a_number(reader, value, read):
    found = label(reader, value)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("reader", "value", "hint"),
    [
        (TEXTS, "lat", 'Did you mean "late"?'),
        (TEXTS, "LATE", ""),
        (TEXTS, 1, ""),
        (BOOLEANS, 1, ""),
        (BOOLEANS, "true", "Numbers and booleans stand without quotes."),
        (NUMBERS, True, ""),
        (NUMBERS, "1", "Numbers and booleans stand without quotes."),
        (NUMBERS, 3, ""),
        (DIGITS, 1, "Text stands in quotes."),
        (PRICE, "3", "Numbers stand without quotes."),
        (PRICE, True, ""),
        (PRICE, [1], ""),
        (PRICE, {"a": 1}, ""),
    ],
)
def test_any_other_label_is_refused_with_what_is_expected(reader, value, hint):
    error = refusal(reader, {"id": "a", "label": value})
    assert isinstance(error, SchemaMismatch)
    assert (error.values["row"], error.values["field"]) == (0, "label")
    assert hint in error.hint


def test_a_mistake_is_told_with_its_row_its_field_and_what_came():
    error = refusal(TEXTS, [{"id": "a", "rating": 3}, {"id": "b", "rating": 9}, {"rating": 2, "raiting": 3}, 7])
    assert error.detail == "Row 1: field 'rating': expected a whole number from 1 to 5, got the number 9 (3 more)."
    found = [(one["row"], one.get("field")) for one in error.values["errors"]]
    assert found == [(1, "rating"), (2, "raiting"), (2, "id"), (3, None)]
    assert error.values["errors"][1]["hint"] == "Did you mean 'rating'?"


def test_of_very_many_mistakes_twenty_are_told():
    error = refusal(TEXTS, [{"id": "a", "label": "x"}] * 1000)
    assert len(error.values["errors"]) == 20


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[]", b"nothing", b"\xff\xfe", b'{"id": "a", "label": NaN}', b'{"id": "a", "label": 1e999}',
        b'{"id": "a", "comment": "\\ud800"}', b"[" * 100_000, b'{"id": "a", "rating": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:30]),
)  # fmt: skip
def test_what_is_no_json_is_refused(body):
    assert isinstance(refusal(TEXTS, body), InvalidInput)


def test_a_key_that_stands_twice_is_refused_as_nobody_knows_which_counts():
    assert "stands twice" in refusal(TEXTS, b'{"id": "a", "label": "late", "label": "on time"}').detail
    assert "stands twice" in refusal(TEXTS, b'{"id": "a", "values": {"x": 1, "x": 2}}').detail


def test_more_than_may_come_at_once_are_refused():
    assert isinstance(refusal(PRICE, [{"id": "a", "label": 1}] * 4), TooLarge)


def test_null_says_nothing_and_blanks_around_a_comment_neither():
    read = TEXTS.from_json(b'{"id": "a", "label": null, "rating": 2, "comment": "  fine \\n", "values": null}')
    assert read == [Said("a", rating=2, comment="fine")]


def test_a_table_speaks_in_texts_and_an_empty_cell_says_nothing():
    table = (
        '\ufeffrating,id,label,values.revenue,values.clicks,comment\r\n,a,late,,,\n4, b , on time ,12.50,3,"So, so"\n'
    )
    assert TEXTS.from_csv(table) == [
        Said("a", label="late"),
        Said("b", label="on time", rating=4, comment="So, so", values={"revenue": 12.5, "clicks": 3.0}),
    ]
    assert [one.label for one in BOOLEANS.from_csv("id,label\na,Yes\nb,false\nc,0\n")] == [True, False, False]
    assert [one.label for one in NUMBERS.from_csv("id,label\na,2\nb,1.0\n")] == [2, 1]
    assert PRICE.from_csv("id,label\na,-1e3\n")[0].label == -1000.0


@pytest.mark.parametrize(
    ("table", "row", "field"),
    [
        ("id,label,revenue\na,late,3\n", None, "revenue"),
        ("label\nlate\n", None, "id"),
        ("id,label,label\na,late,late\n", None, "label"),
        ("id,values\na,3\n", None, "values"),
        ("id,label\na,late\nb,lat\n", 1, "label"),
        ("id,rating\na,4.5\n", 0, "rating"),
        ("id,values.revenue\na,nan\n", 0, "values.revenue"),
        ("id,values.a b\na,3\n", 0, "values.a b"),
        ("id,label\na\n", 0, None),
    ],
)
def test_a_table_that_does_not_fit_is_told_with_its_row_and_column(table, row, field):
    with pytest.raises(SchemaMismatch) as caught:
        TEXTS.from_csv(table)
    assert (caught.value.values["row"], caught.value.values["field"]) == (row, field)


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_read_or_refused(body):
    for reader in (TEXTS, PRICE):
        with contextlib.suppress(InvalidInput):
            assert all(isinstance(one, Said) for one in reader.from_json(body))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["id", "label", "rating", "comment", "values", "about", "x"]), JSON))
def test_whatever_is_told_it_is_read_or_refused_with_its_place(told):
    try:
        (read,) = NUMBERS.from_json(json.dumps(told).encode())
    except InvalidInput:
        return
    assert read.label in {None, 0, 1, 2}
    assert read.rating in {None, 1, 2, 3, 4, 5}
    assert read.label is not None or read.rating is not None or read.comment or read.values


@given(st.lists(st.text(max_size=12), max_size=4), st.lists(st.text(max_size=12), max_size=4))
def test_whatever_a_table_holds_it_is_read_or_refused(header, cells):
    with contextlib.suppress(InvalidInput):
        TEXTS.from_csv(",".join(["id", *header]) + "\n" + ",".join(["a", *cells]))
