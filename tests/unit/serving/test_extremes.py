"""Numbers that explain why a model failed. The bound is numpy's, which frameworks check against as well."""

import numpy as np

from fairlead.serving.extremes import LARGEST_SURE, too_large

NAMES = ("city", "age", "visits")


def test_the_bound_is_what_a_single_precision_float_holds():
    assert float(np.finfo(np.float32).max) == LARGEST_SURE


def test_ordinary_rows_explain_nothing():
    assert too_large(NAMES, [("Oslo", LARGEST_SURE, 2**53), (None, None, None), ("1e300", -1.0, True)]) is None


def test_the_row_and_the_column_of_a_number_that_is_too_large_are_named():
    found = too_large(NAMES, [("Oslo", 1.0, 1), ("Oslo", -1.7976931348623157e308, 1)])
    assert (found.values["row"], found.values["field"], found.values["got"]) == (1, "age", "-1.798e+308")
    assert found.detail.startswith("Row 1: column 'age': expected a number that the model can compute with")
