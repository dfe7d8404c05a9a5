"""Words for people on a schema."""

import pytest

from fairlead.errors import InvalidInput, SchemaMismatch
from fairlead.schema import Column, Output, Schema, check_label, label_text

SCHEMA = Schema((Column("temp", "number"), Column("hour", "integer")), Output("classification", "late", ("no", "yes")))


def test_columns_and_target_are_described_and_the_rest_is_left():
    told = SCHEMA.described({"temp": "At the origin, °F", "late": "Will it be late?"})
    assert [one.description for one in told.columns] == ["At the origin, °F", ""]
    assert told.output.description == "Will it be late?"
    assert (told.names, told.output.classes) == (SCHEMA.names, SCHEMA.output.classes)


def test_a_description_of_no_column_is_refused_by_name():
    with pytest.raises(InvalidInput, match="'tmp'"):
        SCHEMA.described({"tmp": "x"})


def test_labels_become_keys_as_json_writes_them():
    assert [label_text(one) for one in ("late", 1, True, 0.5)] == ["late", "1", "true", "0.5"]


def outcome(*classes):
    return Schema((), Output("classification" if classes else "regression", "late", classes))


def test_a_label_is_the_class_itself_however_its_number_is_written():
    assert check_label(outcome("no", "yes"), "yes") == "yes"
    assert type(check_label(outcome(0, 1), 1.0)) is int
    assert check_label(outcome(False, True), True) is True
    assert check_label(outcome(), 3) == 3


WRONG = [
    (("no", "yes"), "maybe"),
    (("no", "yes"), None),
    (("no", "yes"), ["yes"]),
    (("no",), "\ud800"),
    ((0, 1), True),
    ((0, 1), "1"),
    ((False, True), 1),
    ((), "3"),
    ((), True),
    ((), None),
    ((), float("nan")),
    ((), 10**400),
]


@pytest.mark.parametrize(("classes", "value"), WRONG, ids=repr)
def test_a_label_of_another_type_is_refused_with_what_is_expected(classes, value):
    with pytest.raises(SchemaMismatch, match="The label is ") as caught:
        check_label(outcome(*classes), value)
    assert caught.value.values["field"] == "label"
    assert caught.value.values["expected"].startswith("one of " if classes else "a number")
