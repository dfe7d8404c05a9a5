"""From table to schema."""

import numpy as np
import pandas as pd

from fairlead.packing.infer import allow_missing, infer_schema
from fairlead.packing.table import take_table


def schema(frame, **facts):
    return infer_schema(take_table(frame), task="regression", **facts)


def test_the_observed_range_leaves_missing_entries_aside():
    (column,) = schema(pd.DataFrame({"a": [3.5, np.nan, -1.0]})).columns
    assert (column.type, column.nullable, column.minimum, column.maximum) == ("number", True, -1.0, 3.5)


def test_text_has_no_range_and_no_categories_unless_the_model_treats_it_as_names():
    (column,) = schema(pd.DataFrame({"a": ["x", "y"]})).columns
    assert (column.minimum, column.maximum, column.categories) == (None, None, ())


def test_categories_stand_by_frequency_and_those_the_table_lacks_stand_last():
    frame = pd.DataFrame({"a": ["x", "y", "y", None]})
    (column,) = schema(frame, categories={"a": ("q", "x", "y", "z", None, float("nan"))}).columns
    assert column.categories == ("y", "x", "q", "z")


def test_numbers_and_truth_values_can_be_names():
    frame = pd.DataFrame({"month": [1, 2, 2], "holiday": [True, False, True]})
    month, holiday = schema(frame, categories={"month": np.array([1, 2, 3]), "holiday": [False, True]}).columns
    assert month.categories == (2, 1, 3)
    assert all(type(one) is int for one in month.categories)
    assert holiday.categories == (True, False)


def test_a_column_of_nothing_but_missing_entries_is_a_nullable_number():
    (column,) = schema(pd.DataFrame({"a": [np.nan, np.nan]})).columns
    assert (column.type, column.nullable, column.minimum) == ("number", True, None)


def test_columns_found_to_take_missing_entries_become_nullable():
    found = allow_missing(schema(pd.DataFrame({"a": [1.0], "b": [2.0]})), {"b"})
    assert [column.nullable for column in found.columns] == [False, True]


def test_the_output_carries_target_classes_and_probabilities():
    table = take_table(pd.DataFrame({"a": [1.0, 2.0], "late": ["yes", "no"]}), "late")
    output = infer_schema(table, task="classification", classes=("no", "yes"), probabilities=True).output
    assert (output.target, output.classes, output.probabilities) == ("late", ("no", "yes"), True)
