"""The intermediate representation as data: what it means and that its JSON form loses nothing."""

import math

import numpy as np
import pytest

from fairlead.errors import BundleError, SchemaMismatch
from fairlead.ir.evaluate import labels, scores, visits
from fairlead.ir.model import (
    ALWAYS,
    CategoryTerm,
    Column,
    Model,
    NumberTerm,
    Subset,
    Tree,
    from_json,
    to_json,
)

COLUMNS = (Column("size", nullable=True), Column("city", type="string", categories=("Ulm", "Bonn"), nullable=True))


def stump(threshold, left, right, *, missing_left=False):
    """One test of the first column with two leaves."""
    return Tree(
        outputs=(0,),
        column=(0, -1, -1),
        threshold=(threshold, 0.0, 0.0),
        missing_left=(missing_left, False, False),
        subset=(-1, -1, -1),
        left=(1, -1, -1),
        right=(2, -1, -1),
        values=((), (left,), (right,)),
    )


def city_stump(left, right):
    """One test of the second column against the first subset."""
    return Tree(
        (0,), (-1,) * 3, (0.0,) * 3, (False,) * 3, (0, -1, -1), (1, -1, -1), (2, -1, -1), ((), (left,), (right,))
    )


def test_a_row_on_the_threshold_goes_left():
    model = Model(COLUMNS, (0.0,), "identity", "value", trees=(stump(1.5, 10.0, 20.0),))
    rows = [(1.5, None), (math.nextafter(1.5, 2), None), (-5, None), (True, None)]
    assert scores(model, rows)[:, 0].tolist() == [10, 20, 10, 10]


@pytest.mark.parametrize(("missing_left", "expected"), [(True, 10.0), (False, 20.0)])
def test_a_missing_number_goes_where_the_test_says(missing_left, expected):
    model = Model(COLUMNS, (0.0,), "identity", "value", trees=(stump(1.5, 10.0, 20.0, missing_left=missing_left),))
    assert scores(model, [(None, None), (math.nan, None)])[:, 0].tolist() == [expected, expected]


def test_the_always_threshold_tells_missing_from_present():
    model = Model(COLUMNS, (0.0,), "identity", "value", trees=(stump(ALWAYS, 1.0, 2.0),))
    assert scores(model, [(1e300, None), (None, None)])[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize(("unseen", "missing"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_category_test_holds_for_its_members_and_as_said_for_unseen_and_missing(unseen, missing):
    model = Model(
        COLUMNS, (0.0,), "identity", "value", trees=(city_stump(1.0, 0.0),), subsets=(Subset(1, (1,), unseen, missing),)
    )
    found = scores(model, [(0, "Ulm"), (0, "Bonn"), (0, "Rome"), (0, None)])[:, 0].tolist()
    assert found == [0, 1, float(unseen), float(missing)]


def test_terms_trees_base_and_divisor_add_up_as_the_formula_says():
    model = Model(
        COLUMNS,
        base=(100.0,),
        link="identity",
        result="value",
        trees=(stump(0.0, 1.0, 2.0),),
        numbers=(NumberTerm(0, (3.0,), offset=10.0, missing=12.0),),
        categories=(CategoryTerm(1, ((1000.0,), (2000.0,)), unseen=(4000.0,), missing=(8000.0,)),),
        divisor=2.0,
    )
    rows = [(11.0, "Ulm"), (None, "Bonn"), (-1.0, "Rome"), (10.0, None)]
    by_hand = [
        (100 + 2 + 3 * 1 + 1000) / 2,
        (100 + 2 + 3 * 2 + 2000) / 2,  # the missing number goes right in the tree and is 12 in the term
        (100 + 1 + 3 * -11 + 4000) / 2,
        (100 + 2 + 0 + 8000) / 2,
    ]
    assert scores(model, rows)[:, 0].tolist() == by_hand


@pytest.mark.parametrize("score", [-800.0, -1.0, 0.0, 2.0, 800.0])
def test_the_logistic_link_is_the_logistic_function_and_never_overflows(score):
    model = Model(COLUMNS, (score,), "logistic", "positive", classes=(0, 1))
    expected = 1 / (1 + math.exp(-score)) if score > -700 else 0.0
    assert scores(model, [(None, None)])[0, 0] == pytest.approx(expected, rel=1e-15)


def test_softmax_adds_up_to_one_and_exp_is_exp():
    model = Model(COLUMNS, (1.0, 2.0, 1000.0), "softmax", "classes", classes=(0, 1, 2))
    assert scores(model, [(None, None)])[0].tolist() == [0.0, 0.0, 1.0]
    assert scores(Model(COLUMNS, (2.0,), "exp", "value"), [(None, None)])[0, 0] == np.exp(2.0)


def test_a_tie_goes_to_the_first_class():
    assert labels("positive", np.array([[0.5], [0.6]])).tolist() == [0, 1]
    assert labels("classes", np.array([[0.4, 0.4, 0.2], [0.1, 0.4, 0.5]])).tolist() == [0, 2]


def test_visits_name_a_row_for_each_test_that_any_row_reaches():
    model = Model(COLUMNS, (0.0,), "identity", "value", trees=(stump(1.5, 10.0, 20.0), stump(0.0, 1.0, 2.0)))
    assert [(tree, node) for tree, node, _ in visits(model, [(1, None), (2, None)])] == [(0, 0), (1, 0)]


def test_json_gives_back_every_bit():
    awkward = (0.1, -0.0, 5e-324, 1.7976931348623155e308, math.nextafter(1 / 3, 1), 1e22)
    model = Model(
        COLUMNS,
        base=awkward,
        link="softmax",
        result="classes",
        classes=("a", 1, 2.5, True),
        trees=tuple(stump(number, number, -number) for number in awkward),
        subsets=(Subset(1, (0, 1), unseen=True, missing=False),),
    )
    again = from_json(to_json(model))
    assert again == model
    assert [math.copysign(1, number) for number in again.base] == [math.copysign(1, number) for number in awkward]
    assert [type(value) for value in again.classes] == [str, int, float, bool]


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(BundleError, match="cannot be read"):
        from_json(b'{"columns": 3}')


@pytest.mark.parametrize("row", [(1.0,), (1.0, "Ulm", 3)])
def test_a_row_of_another_width_is_refused_with_its_position(row):
    with pytest.raises(SchemaMismatch, match=f"Row 1 has {len(row)} entries"):
        scores(Model(COLUMNS, (0.0,), "identity", "value"), [(1.0, "Ulm"), row])


def test_text_where_the_model_compares_numbers_is_refused_with_the_column():
    model = Model(COLUMNS, (0.0,), "identity", "value", trees=(stump(1.5, 10.0, 20.0),))
    with pytest.raises(SchemaMismatch, match="'size'"):
        scores(model, [("big", "Ulm")])
