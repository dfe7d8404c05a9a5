import csv
import io
import zlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.answer import Answer
from fairlead.errors import InvalidInput, TooLarge
from fairlead.schema import Column, Output, Schema
from fairlead.serving.pages import answer_table

SCHEMA = Schema(
    (Column("temp", "number", nullable=True), Column("prediction", "string")),
    Output("classification", "late", (False, True), probabilities=True),
)
ANSWER = Answer(True, "id-1", "flights:3", {"false": 0.25, "true": 0.75}, ("prediction",))


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\tx", "\rx", "-1e", "--1", "+", "=", "-٣"])
def test_a_cell_that_a_spreadsheet_would_run_is_quoted(cell):
    assert answer_table.safe_cell(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["-1", "+1.5", "-.5", "-1e-07", "-3.", "text", "", "a=b", "2013-04-01"])
def test_numbers_and_plain_text_stay_as_they_are(cell):
    assert answer_table.safe_cell(cell) == cell


@given(st.text(max_size=20))
def test_making_a_cell_safe_twice_is_the_same_as_once(cell):
    once = answer_table.safe_cell(cell)
    assert answer_table.safe_cell(once) == once


def test_the_file_holds_the_rows_and_the_answers_beside_them():
    header, line = read(answer_table.answers_csv(SCHEMA, [(-1.5, "=A1")], [ANSWER]))
    assert header == [
        "temp", "prediction", "answer_prediction", "probability_false", "probability_true", "model", "id", "unseen",
    ]  # fmt: skip
    assert line == ["-1.5", "'=A1", "true", "0.25", "0.75", "flights:3", "id-1", "prediction"]


def test_the_template_has_the_header_and_real_rows():
    assert read(answer_table.template_csv(SCHEMA, [(None, "x")])) == [["temp", "prediction"], ["", "x"]]


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=2, max_size=2), max_size=5))
def test_what_a_page_carries_comes_back_the_same(rows):
    answers = [ANSWER] * len(rows)
    text = answer_table.answers_csv(SCHEMA, [(1.0, row[0]) for row in rows], answers)
    assert answer_table.unpack_csv(answer_table.pack_csv(text)) == text


def test_a_formula_that_somebody_put_into_the_carried_table_is_quoted():
    assert answer_table.unpack_csv(answer_table.pack_csv("a\r\n=1+1\r\n")) == "a\r\n'=1+1\r\n"


@pytest.mark.parametrize("packed", ["", "?", "AAAA", b64encode(zlib.compress(b"\xff")).decode()])
def test_a_carried_table_that_is_damaged_is_refused(packed):
    with pytest.raises(InvalidInput, match="did not come back whole"):
        answer_table.unpack_csv(packed)


def test_a_small_field_that_would_unpack_to_much_is_refused_before_it_does():
    bomb = b64encode(zlib.compress(bytes(answer_table.MAX_UNPACKED + 1), 9)).decode()
    assert len(bomb) < 2**17
    with pytest.raises(TooLarge):
        answer_table.unpack_csv(bomb)
