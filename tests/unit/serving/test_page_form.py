import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema
from fairlead.serving.pages import form

LATE = Output("classification", "late", (False, True))
FEW = Column("origin", "string", categories=("LGA", "EWR", "other", "=EWR"))
MANY = Column("dest", "string", categories=tuple(f"D{index}" for index in range(form.CHOICES + 1)))


def field(column, entry="", error=""):
    return form.fields(Schema((column,), LATE), {column.name: entry}, {column.name: error} if error else {})[0]


def browser(found):
    """What a browser posts for a field: the chosen option, and the typed text."""
    chosen = [choice.value for choice in found.choices if choice.chosen] if found.widget == "choice" else []
    typed = {found.typed_name: found.typed} if found.widget != "choice" or found.open else {}
    return ({found.choice_name: chosen[0]} if chosen else {}) | typed


def test_the_widget_follows_from_the_column():
    columns = {
        "number": Column("a", "number"),
        "text": Column("a", "string"),
        "choice": FEW,
        "suggest": MANY,
    }
    assert {widget: field(column).widget for widget, column in columns.items()} == {key: key for key in columns}
    assert field(Column("a", "boolean")).widget == "choice"
    assert field(Column("a", "integer")).whole


def test_a_column_with_many_categories_suggests_a_bounded_number_of_them():
    huge = Column("city", "string", categories=tuple(f"c{index:06}" for index in range(20_000)))
    assert len(field(huge).choices) == form.SUGGESTIONS


def test_choices_stand_in_the_order_in_which_people_look():
    assert [choice.label for choice in field(FEW, "LGA").choices] == ["=EWR", "EWR", "LGA", "other", "Another value…"]
    months = Column("month", "integer", categories=(10, 2, 1))
    assert [choice.label for choice in field(months, "2").choices][:3] == ["1", "2", "10"]


def test_a_nullable_choice_may_be_empty_and_a_required_one_asks():
    assert field(Column("a", "boolean", nullable=True)).choices[0].label == "Not known"
    assert field(Column("a", "boolean")).choices[0].label == "Choose…"
    assert [choice.label for choice in field(Column("a", "boolean"), "true").choices] == ["Yes", "No"]


@pytest.mark.parametrize("entry", ["EWR", "other", "=EWR", "", "JFK", "=", "other "])
def test_what_is_posted_is_what_was_filled_in(entry):
    assert form.posted_entries(browser(field(FEW, entry))) == {"origin": entry}


@given(st.text(), st.sampled_from([FEW, MANY, Column("x", "string", nullable=True)]))
def test_any_text_survives_the_form(entry, column):
    assert form.posted_entries(browser(field(column, entry))) == {column.name: entry}


@given(st.floats(allow_nan=False, allow_infinity=False), st.none() | st.booleans(), st.integers(-(2**53), 2**53))
def test_any_row_survives_the_form(number, flag, whole):
    columns = (Column("n", "number"), Column("b", "boolean", nullable=True), Column("i", "integer"))
    schema = Schema(columns, LATE)
    fields = form.fields(schema, form.entries_of(schema, (number, flag, whole)), {})
    posted = {name: text for one in fields for name, text in browser(one).items()}
    assert RowReader(schema).from_form(form.posted_entries(posted)) == (number, flag, whole)


def test_the_range_in_training_is_told_for_numbers_only():
    assert field(Column("a", "number", minimum=13, maximum=99.5)).seen == "13 to 99.5"
    assert field(Column("a", "number", minimum=2, maximum=2)).seen == "always 2"
    assert field(FEW).seen == ""


def test_an_error_stands_at_its_field():
    assert field(FEW, "x", error="Enter a string.").error == "Enter a string."
