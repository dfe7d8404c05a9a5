"""Compiled graphs answer as the evaluator does, for models built by hand to try each way cells are laid out."""

import itertools
import math

import numpy as np
import onnx
import onnxruntime
import pytest

from fairlead.formats.layout import CategoryInput, NumberInput
from fairlead.formats.onnx import compile_model
from fairlead.ir.evaluate import scores
from fairlead.ir.model import ALWAYS, CategoryTerm, Column, Model, NumberTerm, Subset, Tree

CITIES = ("Ulm", "Bonn", "Trier")
COLUMNS = (Column("n", nullable=True), Column("c", type="string", categories=CITIES, nullable=True), Column("m"))
ROWS = [
    (n, c, m)
    for n, c, m in itertools.product(
        [None, -1e9, 0.0, 1.0, math.nextafter(1.0, 2), 2.0, 3.5, 1e300], [None, *CITIES, "Rome"], [0.0, 1.6e9]
    )
]


def stump(column, threshold, left, *, missing_left=False, subset=-1, output=0):
    return Tree(
        outputs=(output,),
        column=(column, -1, -1),
        threshold=(threshold, 0.0, 0.0),
        missing_left=(missing_left, False, False),
        subset=(subset, -1, -1),
        left=(1, -1, -1),
        right=(2, -1, -1),
        values=((), (left,), (0.0,)),
    )


def model_of(*trees, **rest):
    return Model(COLUMNS, **({"base": (0.0,), "link": "identity", "result": "value"} | rest), trees=trees)


def cells(layout, row):
    for one in layout.inputs:
        entry = row[one.column]
        if isinstance(one, NumberInput):
            yield one.missing if entry is None else entry
        elif entry is None:
            yield from one.missing
        else:
            yield from dict(zip(one.values, one.cells, strict=True)).get(entry, one.unseen)


def answered(compiled, rows=ROWS):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # as in a gateway; more would add the trees in another order
    session = onnxruntime.InferenceSession(compiled.graph, options, providers=["CPUExecutionProvider"])
    matrix = np.array([list(cells(compiled.layout, row)) for row in rows], dtype=np.float64)
    return session.run([compiled.layout.score], {compiled.layout.tensor: matrix})[0]


def assert_same(model, rows=ROWS):
    compiled = compile_model(model)
    np.testing.assert_allclose(answered(compiled, rows), scores(model, rows), rtol=1e-15, atol=1e-15)
    return compiled


def test_one_number_stands_in_for_missing_where_it_satisfies_every_test():
    model = model_of(stump(0, 1.0, 1.0), stump(0, 2.0, 2.0, missing_left=True), stump(0, 3.0, 4.0, missing_left=True))
    compiled = assert_same(model)
    assert len(compiled.layout.inputs) == 1
    assert 1.0 < compiled.layout.inputs[0].missing <= 2.0


def test_a_column_gets_two_cells_where_no_one_number_would_do():
    compiled = assert_same(model_of(stump(0, 1.0, 1.0, missing_left=True), stump(0, 2.0, 2.0), stump(0, 0.0, 4.0)))
    assert [one.column for one in compiled.layout.inputs] == [0, 0]


def test_a_test_for_missing_alone_is_compiled():
    assert_same(model_of(stump(0, ALWAYS, 1.0), stump(0, 1.0, 2.0)))
    assert_same(model_of(stump(0, ALWAYS, 1.0), stump(0, 1.0, 2.0, missing_left=True)))


def subsets_of(*members):
    return tuple(Subset(1, codes, unseen, missing) for codes, unseen, missing in members)


def test_nested_sets_share_one_rank_cell():
    subsets = subsets_of(((0,), False, False), ((0, 1), False, False), ((0, 1), False, True))
    trees = [stump(-1, 0.0, 2.0**k, subset=k) for k in range(3)]
    compiled = assert_same(model_of(*trees, subsets=subsets))
    assert len(compiled.layout.inputs) == 1
    assert compiled.layout.inputs[0].unseen == (3.0,)


def test_sets_that_are_nested_after_turning_some_round_share_one_rank_cell():
    subsets = subsets_of(((0,), False, False), ((1, 2), True, True), ((2,), True, True))
    compiled = assert_same(model_of(*(stump(-1, 0.0, 2.0**k, subset=k) for k in range(3)), subsets=subsets))
    assert len(compiled.layout.inputs[0].unseen) == 1


def test_every_family_of_sets_is_compiled_nested_or_not():
    """All pairs of the 32 sets over three categories, unseen and missing."""
    everything = [
        (codes, unseen, missing)
        for size in range(4)
        for codes in itertools.combinations(range(3), size)
        for unseen in (False, True)
        for missing in (False, True)
    ]
    for pair in itertools.combinations(everything[1:-1], 2):
        model = model_of(*(stump(-1, 0.0, 2.0**k, subset=k) for k in range(2)), subsets=subsets_of(*pair))
        compiled = compile_model(model)
        (block,) = compiled.layout.inputs
        assert isinstance(block, CategoryInput)
        rows = [(0.0, entry, 0.0) for entry in [*CITIES, "Rome", None]]
        expected = scores(model, rows)[:, 0].tolist()
        # The block's cells decide alone; running 435 sessions would only try ONNX Runtime.
        graph = onnx.load_from_string(compiled.graph)
        assert [round(by_hand(graph, tuple(cells(compiled.layout, row)))) for row in rows] == expected


def by_hand(model, row):
    """A `TreeEnsemble` of stumps, read as the ONNX specification says."""
    (node,) = model.graph.node
    at = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    splits, weights = (onnx.numpy_helper.to_array(at[name]) for name in ("nodes_splits", "leaf_weights"))
    total = 0.0
    for root in at["tree_roots"]:
        passes = row[at["nodes_featureids"][root]] <= splits[root]
        total += weights[at["nodes_truenodeids" if passes else "nodes_falsenodeids"][root]]
    return total


def test_the_base_is_added_before_the_first_tree_as_the_evaluator_does():
    model = model_of(*(stump(0, 1.0, 0.1 * k) for k in range(1, 9)), base=(0.3,))
    assert (answered(compile_model(model)) == scores(model, ROWS)).all()


def test_an_average_divides_once_at_the_end():
    """Ten votes of one: 0.1 added ten times is not 1."""
    model = model_of(*(stump(0, 1.0, 1.0) for _ in range(10)), divisor=10.0)
    assert set(answered(compile_model(model)).ravel().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("link", "outputs"), [("logistic", 1), ("exp", 1), ("softmax", 3), ("identity", 3)])
def test_every_link_is_computed_in_double(link, outputs):
    trees = [stump(0, 1.0, 0.1 * (k + 1), output=k) for k in range(outputs)]
    result = "classes" if outputs > 1 else "value"
    assert_same(model_of(*trees, base=(0.25,) * outputs, link=link, result=result))


def test_an_output_without_a_tree_keeps_its_base():
    assert_same(model_of(stump(0, 1.0, 0.5, output=1), base=(0.5, 0.0, -0.25), link="softmax", result="classes"))


def test_linear_terms_keep_their_digits_with_a_large_offset():
    term = NumberTerm(2, (3e-3,), offset=1.6e9 - 0.7, missing=0.0)
    compiled = compile_model(model_of(numbers=(term,)))
    assert answered(compiled, [(0.0, "Ulm", 1.6e9)])[0, 0] == pytest.approx(2.1e-3, rel=1e-7)
    assert (
        answered(compiled, [(0.0, "Ulm", 1.6e9)])[0, 0]
        == scores(model_of(numbers=(term,)), [(0.0, "Ulm", 1.6e9)])[0, 0]
    )


def test_linear_terms_of_numbers_and_categories_add_up_for_every_output():
    model = Model(
        COLUMNS,
        base=(0.5, -0.5),
        link="softmax",
        result="classes",
        numbers=(NumberTerm(0, (1e-9, -2e-9), offset=3.0, missing=7.0), NumberTerm(2, (1e-9, 1e-10), 0.0, 0.0)),
        categories=(CategoryTerm(1, ((0.1, 0.2), (0.3, 0.4), (0.5, 0.6)), (0.7, 0.8), (0.9, 1.0)),),
    )
    rows = [row for row in ROWS if row[0] is None or abs(row[0]) < 1e10]
    np.testing.assert_allclose(answered(compile_model(model), rows), scores(model, rows), rtol=1e-12, atol=1e-12)


def test_trees_and_terms_together_add_up():
    assert_same(model_of(stump(0, 1.0, 1.0), stump(2, 5.0, 2.0), numbers=(NumberTerm(2, (0.5,), 0.0, 0.0),)))


@pytest.mark.parametrize("base", [(0.25,), (0.2, 0.3, 0.5)])
def test_a_model_that_looks_at_nothing_still_takes_rows(base):
    compiled = assert_same(model_of(base=base, result="classes" if len(base) > 1 else "value"))
    assert len(compiled.layout.inputs) == 1


def test_the_graph_declares_versions_that_older_runtimes_open():
    """ONNX Runtime 1.22 knows IR version 10, opset 21 and ai.onnx.ml 5."""
    graph = onnx.load_from_string(compile_model(model_of(stump(0, 1.0, 1.0))).graph)
    assert graph.ir_version == 10
    assert {one.domain: one.version for one in graph.opset_import} == {"": 21, "ai.onnx.ml": 5}
