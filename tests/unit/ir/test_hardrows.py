"""Hard rows stand on and beside every threshold, and only where the original can answer."""

import math

import numpy as np
import pytest

from fairlead.ir.hardrows import hard_rows, hard_rows_of_schema, neighbours, unseen_value
from fairlead.ir.model import ALWAYS, Column, Model, Subset, Tree
from fairlead.schema import Column as SchemaColumn
from fairlead.schema import Output, Schema


def two_stumps(columns, threshold, subset=None):
    number = Tree(
        (0,),
        (0, -1, -1),
        (threshold, 0.0, 0.0),
        (False,) * 3,
        (-1,) * 3,
        (1, -1, -1),
        (2, -1, -1),
        ((), (1.0,), (2.0,)),
    )
    trees, subsets = (number,), ()
    if subset is not None:
        name = Tree(
            (0,), (-1,) * 3, (0.0,) * 3, (False,) * 3, (0, -1, -1), (1, -1, -1), (2, -1, -1), ((), (1.0,), (2.0,))
        )
        trees, subsets = (number, name), (subset,)
    return Model(columns, (0.0,), "identity", "value", trees=trees, subsets=subsets)


def test_a_threshold_comes_with_its_neighbours_in_double_and_in_single_precision():
    found = neighbours(0.1, "number")
    single = np.float32(0.1)
    assert found == [
        0.1,
        math.nextafter(0.1, -1),
        math.nextafter(0.1, 1),
        float(single),
        float(np.nextafter(single, np.float32(-1))),
        float(np.nextafter(single, np.float32(1))),
    ]


@pytest.mark.parametrize(
    ("threshold", "kind", "expected"),
    [
        (2.5, "integer", [2, 3]),
        (3.0, "integer", [2, 3, 4]),
        (-0.5, "integer", [-1, 0]),
        (0.5, "boolean", [False, True]),
    ],
)
def test_whole_numbers_and_truth_values_have_neighbours_of_their_own_kind(threshold, kind, expected):
    found = neighbours(threshold, kind)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize("threshold", [ALWAYS, 1e300, -1e39])
def test_a_threshold_that_single_precision_cannot_hold_has_no_neighbours(threshold):
    """The original refuses such entries where it works in float32."""
    assert neighbours(threshold, "number") == []


def test_each_hard_row_is_a_real_row_with_one_entry_changed():
    columns = (Column("n", nullable=True), Column("c", type="string", categories=("a", "b"), nullable=True))
    base = [(0.5, "a"), (9.0, "b")]
    model = two_stumps(columns, 1.0, Subset(1, (0,), unseen=False, missing=True))
    found = hard_rows(model, base, 1000)
    assert all(min(sum(a != b for a, b in zip(row, real, strict=True)) for real in base) <= 1 for row in found)
    assert {row[0] for row in found} >= {None, 1.0, math.nextafter(1.0, 2), math.nextafter(1.0, 0)}
    assert {row[1] for row in found} == {"a", "b", "unseen", None}
    assert len(found) == len(set(found))


def test_nothing_is_missing_or_unseen_where_the_original_refuses_it():
    columns = (Column("n"), Column("c", type="string", categories=("a", "b"), closed=True))
    found = hard_rows(two_stumps(columns, 1.0, Subset(1, (0,), unseen=False, missing=True)), [(0.5, "a")], 1000)
    assert all(None not in row and row[1] in {"a", "b"} for row in found)


def test_the_row_that_is_changed_reaches_the_test():
    """Only the second row goes right at the root, where the test at 7 stands."""
    tree = Tree(
        outputs=(0,),
        column=(0, -1, 1, -1, -1),
        threshold=(1.0, 0.0, 7.0, 0.0, 0.0),
        missing_left=(False,) * 5,
        subset=(-1,) * 5,
        left=(1, -1, 3, -1, -1),
        right=(2, -1, 4, -1, -1),
        values=((), (1.0,), (), (2.0,), (3.0,)),
    )
    model = Model((Column("a"), Column("b")), (0.0,), "identity", "value", trees=(tree,))
    found = hard_rows(model, [(0.0, 0.0), (5.0, 0.0)], 1000)
    assert {row[0] for row in found if row[1] == 7.0} == {5.0}


def test_a_limit_thins_evenly_and_deterministically():
    columns = (Column("c", type="integer", categories=tuple(range(500))),)
    model = Model(columns, (0.0,), "identity", "value", subsets=(Subset(0, (1,), unseen=False, missing=False),))
    found = hard_rows(model, [(0,)], 50)
    assert len(found) == 50
    assert max(row[0] for row in found) > 450
    assert found == hard_rows(model, [(0,)], 50)


@pytest.mark.parametrize(("base", "limit"), [([], 10), ([(0.0,)], 0)])
def test_without_rows_or_room_there_are_none(base, limit):
    assert hard_rows(two_stumps((Column("n"),), 1.0), base, limit) == []


def test_the_schema_alone_gives_bounds_missing_categories_and_an_unseen_one():
    schema = Schema(
        (
            SchemaColumn("n", "number", nullable=True, minimum=-1.5, maximum=2.5),
            SchemaColumn("i", "integer", minimum=0.0, maximum=9.0),
            SchemaColumn("f", "boolean"),
            SchemaColumn("c", "string", categories=("a", "unseen")),
            SchemaColumn("k", "string", categories=("a", "b")),
        ),
        Output("regression"),
    )
    found = hard_rows_of_schema(schema, [(0.0, 5, True, "a", "a")], 1000, closed=["k"])
    by_column = [{row[k] for row in found} for k in range(5)]
    assert by_column == [{None, -1.5, 2.5, 0.0}, {0, 9, 5}, {False, True}, {"a", "unseen", "unseen?"}, {"a", "b"}]


@pytest.mark.parametrize(
    ("categories", "expected"),
    [((3, 9), 10), ((1.5, 2.5), 3), (("a", 3), "unseen"), ((), "unseen"), ((True, False), 2)],
)
def test_an_unseen_value_is_of_the_categories_kind_and_not_among_them(categories, expected):
    assert unseen_value(categories) == expected
