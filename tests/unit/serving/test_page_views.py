from datetime import UTC, datetime

import pytest

from fairlead.answer import Answer
from fairlead.errors import PredictionFailed, QueueFull, SchemaMismatch
from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema
from fairlead.serving.pages import page

FLIGHTS = Schema(
    (
        Column("carrier", "string", categories=("UA", "DL")),
        Column("wind_speed", "number", nullable=True, minimum=0, maximum=42.5),
    ),
    Output("classification", "late", (False, True), probabilities=True),
)
ANSWER = Answer(True, "id-1", "flights:3", {"false": 0.25, "true": 0.75})
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def view(row=("UA", 1.0), answer=ANSWER, schema=FLIGHTS):
    return page.answer_view(schema, row, answer, NOON)


def complaint(read):
    with pytest.raises(SchemaMismatch) as raised:
        read(RowReader(FLIGHTS))
    return raised.value


def test_an_answer_is_said_in_words():
    found = view()
    assert found.sentence == "Late: Yes, with a probability of 75.0 %."
    assert (found.model, found.id, found.iso) == ("flights:3", "id-1", "2026-11-02T12:00:00+00:00")


def test_the_answered_class_is_the_models_choice_and_not_the_likeliest():
    # A model may decide at another threshold than one half; the page must not contradict it.
    found = view(answer=Answer(True, "id-1", "flights:3", {"false": 0.6, "true": 0.4}))
    assert found.headline == "Yes"
    assert [(share.label, share.chosen) for share in found.shares] == [("No", False), ("Yes", True)]


@pytest.mark.parametrize(("label", "key"), [(1, "1"), (1.0, "1.0"), ("virginica", "virginica"), (True, "true")])
def test_the_answered_class_is_found_whatever_its_type(label, key):
    schema = Schema(FLIGHTS.columns, Output("classification", "y", (label,), probabilities=True))
    assert view(answer=Answer(label, "i", "m:1", {key: 1.0}), schema=schema).shares[0].chosen


def test_many_classes_show_the_likeliest_and_fold_the_rest():
    chances = {f"c{index}": index / 190 for index in range(20)}
    schema = Schema(FLIGHTS.columns, Output("classification", "kind", tuple(chances), probabilities=True))
    found = view(answer=Answer("c19", "i", "m:1", chances), schema=schema)
    assert [share.label for share in found.shares][:2] == ["c19", "c18"]
    assert len(found.shares) + len(found.more_shares) == 20


def test_a_number_is_answered_without_probabilities():
    schema = Schema(FLIGHTS.columns, Output("regression", "price"))
    found = view(answer=Answer(300000.0, "i", "houses:1"), schema=schema)
    assert (found.sentence, found.shares) == ("Price: 300,000.", ())


def test_unseen_categories_and_numbers_beyond_training_are_flagged_in_words():
    found = view(("ZZ", 99.0), Answer(True, "i", "m:1", None, ("carrier",)))
    assert found.notes == (
        "Carrier “ZZ” never occurred in training; the model knows nothing about it.",
        "Wind speed 99 is outside the range in training (0 to 42.5).",
    )


def test_a_missing_number_is_no_reason_for_caution():
    assert view(("UA", None)).notes == ()


def test_each_mistake_in_the_form_stands_at_its_field():
    error = complaint(lambda reader: reader.from_form({"carrier": "", "wind_speed": "fast"}))
    found = page.complaint_of(error)
    assert found.status == 422
    assert found.title == "2 fields to correct"
    assert found.by_column == {
        "carrier": "Enter a string.",
        "wind_speed": "Enter a number instead of the text 'fast'.",
    }


def test_each_mistake_in_a_table_is_named_with_row_and_column():
    error = complaint(lambda reader: reader.from_csv("carrier,wind_speed\nUA,1\nUA,fast\n,2\n"))
    # Rows are counted from 1 for people, after the header.
    assert page.complaint_of(error, table=True).items == (
        "Row 2, wind_speed: expected a number or null, got the text 'fast'.",
        "Row 3, carrier: expected a string, got nothing (null). This column may not be missing.",
    )


def test_a_wrong_header_is_named_as_such():
    error = complaint(lambda reader: reader.from_csv("carier,wind_speed\nUA,1\n"))
    found = page.complaint_of(error, table=True)
    assert [item.partition(":")[0] for item in found.items] == ["Header, carier", "Header, carrier"]


def test_a_failed_model_says_nothing_of_its_cause():
    found = page.complaint_of(PredictionFailed("secret path"))
    assert found.status == 500
    assert "secret" not in found.title + found.hint


def test_a_busy_service_asks_to_send_again():
    assert page.complaint_of(QueueFull("full")).status == 503


def test_a_table_shows_its_first_rows_and_counts_all():
    rows = [("UA", None)] * 250
    answers = [Answer(index % 5 == 0, f"i{index}", "flights:3", {"false": 0.5, "true": 0.5}) for index in range(250)]
    found = page.table_view(FLIGHTS, rows, answers)
    assert (len(found.lines), found.total) == (page.SHOWN_ROWS, 250)
    assert found.summary == "No: 200 · Yes: 50"
    assert found.lines[0].cells == ("UA", "")


def test_a_page_names_a_bounded_number_of_mistakes():
    mistakes = [{"row": row, "field": "wind_speed", "expected": "a number", "got": "x"} for row in range(1000)]
    found = page.complaint_of(SchemaMismatch("many", errors=mistakes), table=True)
    assert len(found.items) == 20
