"""Comparisons count what differs and are fooled by neither NaN nor `True == 1`."""

import math

import numpy as np
import pytest

from fairlead.errors import ParityFailed
from fairlead.ir.parity import compare


def test_equal_answers_are_proven():
    found = compare([[0.2, 0.8]], [[0.2, 0.8]], tolerance=0, expected_labels=["b"], got_labels=["b"])
    assert (found.proven, found.largest_difference, found.label_agreement, found.worst) == (True, 0.0, 1.0, ())


def test_the_rows_with_other_labels_come_first_then_the_largest_differences():
    expected = [[0.5, 0.5], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]
    got = [[0.5, 0.5], [0.5, 0.5], [0.4, 0.6], [0.3, 0.7]]
    found = compare(expected, got, tolerance=1e-6, expected_labels=list("abbb"), got_labels=list("aabb"))
    assert found.worst == (1, 2)
    assert found.differing == 2
    assert found.label_agreement == 0.75
    assert found.largest_difference == pytest.approx(0.3)
    assert not found.proven


@pytest.mark.parametrize(
    ("expected", "got", "difference"),
    [
        (math.nan, math.nan, 0.0),
        (math.inf, math.inf, 0.0),
        (math.nan, 1.0, math.inf),
        (1.0, math.nan, math.inf),
        (math.inf, -math.inf, math.inf),
        (math.inf, 1.0, math.inf),
    ],
)
def test_what_is_not_finite_equals_only_itself(expected, got, difference):
    assert compare([expected], [got], tolerance=1.0).largest_difference == difference


def test_a_value_is_measured_relative_to_its_size_beyond_one_and_a_probability_is_not():
    assert compare([1e6], [1e6 + 1], tolerance=1e-5).proven
    assert not compare([[1e6]], [[1e6 + 1]], tolerance=1e-5).proven
    assert compare([0.0], [1e-6], tolerance=1e-5).largest_difference == 1e-6


@pytest.mark.parametrize(("one", "other"), [(True, 1), (0, False), ("1", 1)])
def test_labels_of_other_types_are_other_labels(one, other):
    assert compare([[0.0]], [[0.0]], tolerance=1, expected_labels=[one], got_labels=[other]).label_agreement == 0.0


def test_a_whole_number_and_its_double_are_one_label():
    assert compare([[0.0]], [[0.0]], tolerance=1, expected_labels=[1], got_labels=[1.0]).label_agreement == 1.0


@pytest.mark.parametrize("got", [[0.1], [[0.1], [0.2]], [0.1, 0.2, 0.3]])
def test_other_shapes_are_refused(got):
    with pytest.raises(ParityFailed, match="shape"):
        compare([0.1, 0.2], got, tolerance=1)


def test_labels_on_one_side_only_are_refused():
    with pytest.raises(ParityFailed, match="label"):
        compare([0.1], [0.1], tolerance=1, expected_labels=["a"])


def test_nothing_compared_proves_nothing():
    assert not compare(np.empty((0, 2)), np.empty((0, 2)), tolerance=1, expected_labels=[], got_labels=[]).proven
