"""Words for people on a schema."""

import pytest

from fairlead.errors import InvalidInput
from fairlead.schema import Column, Output, Schema, label_text

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
