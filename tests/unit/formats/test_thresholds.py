"""Bisection over the doubles finds the exact cut of any question that is monotone."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fairlead.formats.thresholds import REACH, largest_passing, order_key, value_of_key

DOUBLES = st.floats(allow_nan=False, allow_infinity=False, min_value=-REACH, max_value=REACH)
SCALES = st.floats(min_value=1e-6, max_value=1e6)


@given(st.lists(DOUBLES, min_size=1, max_size=20))
def test_keys_are_in_the_order_of_the_doubles_and_lead_back_to_them(numbers):
    array = np.array(numbers)
    keys = order_key(array)
    assert (value_of_key(keys) == array).all()
    assert (np.argsort(keys, kind="stable") == np.argsort(array, kind="stable")).all()


@given(DOUBLES)
def test_neighbouring_doubles_have_neighbouring_keys(number):
    here, above = order_key(np.array([number, math.nextafter(number, math.inf)])).tolist()
    assert above == here + 1


@given(st.lists(st.floats(min_value=-1e299, max_value=1e299), min_size=1, max_size=8))
def test_a_plain_threshold_is_its_own_cut(thresholds):
    cuts = np.array(thresholds)
    assert (largest_passing(lambda x: x <= cuts, len(cuts)) == cuts).all()


@given(DOUBLES, SCALES, st.floats(min_value=-1e4, max_value=1e4), st.booleans())
def test_the_cut_is_the_last_double_that_passes(mean, scale, threshold, single):
    """Independent truth: the question itself, asked of the cut and of the double above it."""

    def passes(x):
        with np.errstate(over="ignore"):
            scaled = (x - mean) / scale
            return (scaled.astype(np.float32) if single else scaled) <= threshold

    (cut,) = largest_passing(passes, 1)
    if math.isinf(cut):
        assert passes(np.array([math.copysign(REACH, cut)]))[0] == (cut > 0)
        return
    assert passes(np.array([cut]))[0]
    assert not passes(np.array([math.nextafter(cut, math.inf)]))[0]


def test_questions_that_all_or_none_pass_have_infinite_cuts():
    answer = np.array([True, False])
    assert largest_passing(lambda _: answer, 2).tolist() == [math.inf, -math.inf]


def test_a_cut_at_zero_lets_negative_zero_pass_too():
    (cut,) = largest_passing(lambda x: x <= 0.0, 1)
    assert cut == 0.0
    assert largest_passing(lambda x: x < 0.0, 1).tolist() == [-5e-324]


def test_no_question_has_no_cut():
    assert largest_passing(lambda x: x <= 0, 0).tolist() == []
