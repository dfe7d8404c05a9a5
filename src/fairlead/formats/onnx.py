"""The intermediate representation as an ONNX graph: the form that is served.

Trees become one `TreeEnsemble` node over one matrix of doubles, in double from threshold to score, every test a plain
`cell <= threshold`:

- a number stands in the matrix as it is; what a missing entry becomes is chosen so that each test sends it the right way,
  and where no one number can do that the column gets two cells;
- a category column stands there as its rank, where the sets it is compared with are nested, else as one 0/1 cell a set.

Linear terms become one matrix product in double. The link is a node behind it, because the tree node would compute it in
float32 and a tie in float32 is not a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from fairlead.formats.layout import CategoryInput, Layout, MatrixLayout, NumberInput
from fairlead.ir.model import ALWAYS, CategoryTerm, Model, NumberTerm, Subset, Tree

__all__ = ["Compiled", "compile_model"]

INPUT = "rows"
SCORE = "score"
_IR_VERSION = 10
_OPSET = 21
_ML_OPSET = 5
_GREATEST = 1.7976931348623157e308
_NOTHING = CategoryInput(0, (), (), (0.0,), (0.0,))
"""A cell that is 0 for every row: a graph must have at least one."""
_LINKS = {"logistic": "Sigmoid", "softmax": "Softmax", "exp": "Exp"}
_MOST_CHAIN_STEPS = 20_000_000
_DIGITS_KEPT = 1e-11
"""Multiplying out `coefficient * (x - offset)` is done where it moves a score by less than this."""


class Compiled(msgspec.Struct, frozen=True):
    """What a serving machine needs: the graph and how rows become its tensors."""

    graph: bytes
    layout: Layout


class _Cells:
    """The matrix, from left to right, as it is being laid out."""

    def __init__(self) -> None:
        self.inputs: list[NumberInput | CategoryInput] = []
        self.width = 0

    def add(self, one: NumberInput | CategoryInput) -> int:
        """Append a block and tell where it begins."""
        start = self.width
        self.inputs.append(one)
        self.width += 1 if isinstance(one, NumberInput) else len(one.unseen)
        return start


class _Test(msgspec.Struct, frozen=True):
    """`matrix[:, cell] <= threshold`; `turned` where those who pass go right."""

    cell: int
    threshold: float
    turned: bool = False


def compile_model(model: Model) -> Compiled:
    """Compile a model to a graph and its layout.

    Args:
        model: In raw units.

    Returns:
        An ONNX model (opset 21, ai.onnx.ml 5) with one double tensor `[rows, width]` in and a double score tensor
        `[rows, outputs]` out, and the matrix's layout.
    """
    cells = _Cells()
    nodes: list[Any] = []
    constants: list[Any] = []
    parts: list[str] = []
    trees = _with_base(model) if model.trees else ()
    averaged = bool(trees) and _averages(model, trees)
    if trees:
        tests = _tests(model, cells)
        if cells.width == 0:  # every tree is a single leaf
            cells.add(_NOTHING)
        nodes.append(_ensemble(trees, tests, len(model.base), averaged=averaged))
        parts.append("leaves")
    if model.numbers or model.categories or not trees:
        parts.append(_linear(model, cells, nodes, constants, with_base=not trees))
    total = parts[0]
    if len(parts) == 2:
        total = "total"
        nodes.append(helper.make_node("Add", parts, [total]))
    if model.divisor != 1 and not averaged:
        constants.append(_tensor("divisor", [model.divisor]))
        nodes.append(helper.make_node("Div", [total, "divisor"], ["mean"]))
        total = "mean"
    if model.link in _LINKS:
        nodes.append(helper.make_node(_LINKS[model.link], [total], ["linked"]))
    nodes[-1].output[0] = SCORE
    graph = _graph(nodes, constants, cells.width, len(model.base))
    return Compiled(graph.SerializeToString(), MatrixLayout(tuple(cells.inputs), INPUT, SCORE, model.result))


# --- trees ---


def _averages(model: Model, trees: Sequence[Tree]) -> bool:
    """Whether the node itself can divide: it does so by the number of its trees, of which each output has its own."""
    return len(model.base) == 1 and model.divisor == len(trees) and not model.numbers and not model.categories


def _with_base(model: Model) -> tuple[Tree, ...]:
    """The trees with each score's base added to the leaves of the first tree that adds to it.

    The node adds leaves in the order of the trees, so this keeps the order of the sum, and every rounding in it.
    """
    waiting = {output: base for output, base in enumerate(model.base) if base != 0}
    trees = []
    for tree in model.trees:
        extra = [waiting.pop(output, 0.0) for output in tree.outputs]
        if any(extra):
            values = tuple(
                tuple(b + v for b, v in zip(extra, leaf, strict=True)) if leaf else leaf for leaf in tree.values
            )
            tree = msgspec.structs.replace(tree, values=values)  # noqa: PLW2901 -- the same tree, its leaves raised
        trees.append(tree)
    if waiting:
        trees.append(_constant_tree(tuple(waiting), tuple(waiting.values())))
    return tuple(trees)


def _constant_tree(outputs: tuple[int, ...], values: tuple[float, ...]) -> Tree:
    return Tree(outputs, (-1,), (0.0,), (False,), (-1,), (-1,), (-1,), (values,))


def _tests(model: Model, cells: _Cells) -> dict[tuple[int, int], _Test]:
    """Every node's test, by tree and node; lays out the cells they look at."""
    found: dict[tuple[int, int], _Test] = {}
    at_numbers: dict[int, list[tuple[int, int]]] = {}
    at_subsets: dict[int, list[tuple[int, int]]] = {}
    for position, tree in enumerate(model.trees):
        for node in range(len(tree.left)):
            if tree.subset[node] >= 0:
                at_subsets.setdefault(tree.subset[node], []).append((position, node))
            elif tree.column[node] >= 0:
                at_numbers.setdefault(tree.column[node], []).append((position, node))
    for column in sorted(at_numbers):
        found |= _number_tests(model, column, at_numbers[column], cells)
    for subset, test in _subset_tests(model, sorted(at_subsets), cells).items():
        found |= dict.fromkeys(at_subsets[subset], test)
    return found


def _number_tests(
    model: Model, column: int, places: Sequence[tuple[int, int]], cells: _Cells
) -> dict[tuple[int, int], _Test]:
    cuts = {place: model.trees[place[0]].threshold[place[1]] for place in places}
    left = {place: model.trees[place[0]].missing_left[place[1]] for place in places}
    instead = _stand_in([cuts[p] for p in places if left[p]], [cuts[p] for p in places if not left[p]])
    if instead is not None or not model.columns[column].nullable:
        cell = cells.add(NumberInput(column, 0.0 if instead is None else instead))
        return {place: _Test(cell, cuts[place]) for place in places}
    # No number is both small enough and great enough: a missing entry is least in one cell and greatest in the other.
    low, high = cells.add(NumberInput(column, -_GREATEST)), cells.add(NumberInput(column, _GREATEST))
    return {place: _Test(low if left[place] else high, cuts[place]) for place in places}


def _stand_in(lefts: Sequence[float], rights: Sequence[float]) -> float | None:
    """A number at most each of `lefts` and greater than each of `rights`, the plainest there is."""
    above, below = max(rights, default=-_GREATEST), min(lefts, default=_GREATEST)
    if not rights:
        return below
    if above >= below:
        return None
    return float(np.nextafter(above, np.inf)) if above >= ALWAYS or lefts else _GREATEST


def _subset_tests(model: Model, used: Sequence[int], cells: _Cells) -> dict[int, _Test]:
    by_column: dict[int, list[int]] = {}
    for subset in used:
        by_column.setdefault(model.subsets[subset].column, []).append(subset)
    found: dict[int, _Test] = {}
    for column, subsets in sorted(by_column.items()):
        found |= _category_tests(model, column, subsets, cells)
    return found


def _category_tests(model: Model, column: int, subsets: Sequence[int], cells: _Cells) -> dict[int, _Test]:
    """One rank cell where the sets are nested (turned round where that helps), else one cell a set."""
    categories = model.columns[column].categories
    members = {subset: _membership(model.subsets[subset], len(categories)) for subset in subsets}
    chain = _chain(members)
    if chain is not None:
        order, turned = chain
        # The rank of an entry is the number of sets it is outside of; it is inside the k-th where its rank is at most k.
        inside = np.array([members[subset] ^ turned[subset] for subset in order])
        ranks = (~inside).sum(axis=0).astype(np.float64)
        cell = cells.add(_category_input(column, categories, ranks[:, None]))
        return {subset: _Test(cell, k + 0.5, turned[subset]) for k, subset in enumerate(order)}
    start = cells.add(_category_input(column, categories, np.array([~members[subset] for subset in subsets]).T))
    return {subset: _Test(start + k, 0.5) for k, subset in enumerate(subsets)}


def _membership(subset: Subset, count: int) -> np.ndarray:
    found = np.zeros(count + 2, dtype=bool)
    found[list(subset.members)] = True
    found[count:] = subset.unseen, subset.missing
    return found


def _chain(members: dict[int, np.ndarray]) -> tuple[list[int], dict[int, bool]] | None:
    """The sets from small to large if each holds the one before, where a set may stand for its complement.

    In a nested order of entries each set is a beginning or an end; turning round all that hold the last entry leaves
    beginnings only. So each entry is tried as the last. Equal sets are nested: an entry is inside both or neither.
    """
    count = len(next(iter(members.values())))
    if len(members) * count * count > _MOST_CHAIN_STEPS or len(members) > count:
        return None
    for seat in [None, *range(count)]:
        turned = {subset: seat is not None and bool(found[seat]) for subset, found in members.items()}
        order = sorted(members, key=lambda subset: int((members[subset] ^ turned[subset]).sum()))
        sets = [members[subset] ^ turned[subset] for subset in order]
        if all((small <= large).all() for small, large in pairwise(sets)):
            return order, turned
    return None


def _category_input(column: int, categories: Sequence[Any], block: np.ndarray) -> CategoryInput:
    """A block `[categories + 2, cells]`: each category, an unseen value, a missing entry."""
    *known, unseen, missing = (tuple(line) for line in block.astype(np.float64).tolist())
    return CategoryInput(column, tuple(categories), tuple(known), unseen, missing)


class _Flat:
    """The arrays of a `TreeEnsemble` node, as they grow. Tests and leaves are numbered apart; a leaf has one output."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.cells: list[int] = []
        self.splits: list[float] = []
        self.sides: tuple[list[int], list[int]] = ([], [])  # those who fail, those who pass
        self.leafs: tuple[list[int], list[int]] = ([], [])
        self.targets: list[int] = []
        self.weights: list[float] = []

    def grow(self, tree: Tree, tests: Sequence[_Test | None], output: int) -> None:
        """Append one tree, as far as it concerns one of its outputs."""
        weights = _weights(tree, output)
        self.roots.append(len(self.cells))
        if weights[0] is not None:  # a single leaf is a test with that leaf on both sides, as the operator asks
            self._join(self._test(_Test(0, 0.0)), tree.outputs[output], weights[0], weights[0])
            return
        waiting = [(0, -1, 0)]
        while waiting:
            node, parent, side = waiting.pop()
            if weights[node] is not None:
                self._put(parent, side, self._leaf(tree.outputs[output], weights[node] or 0.0), leaf=True)
                continue
            test = tests[node]
            assert test is not None
            here = self._test(test)
            if parent >= 0:
                self._put(parent, side, here, leaf=False)
            passing = 0 if test.turned else 1
            waiting += [(tree.right[node], here, 1 - passing), (tree.left[node], here, passing)]

    def _test(self, test: _Test) -> int:
        self.cells.append(test.cell)
        self.splits.append(test.threshold)
        for one in (*self.sides, *self.leafs):
            one.append(0)
        return len(self.cells) - 1

    def _leaf(self, target: int, weight: float) -> int:
        self.targets.append(target)
        self.weights.append(weight)
        return len(self.targets) - 1

    def _join(self, parent: int, target: int, failing: float, passing: float) -> None:
        self._put(parent, 0, self._leaf(target, failing), leaf=True)
        self._put(parent, 1, self._leaf(target, passing), leaf=True)

    def _put(self, parent: int, side: int, child: int, *, leaf: bool) -> None:
        self.sides[side][parent] = child
        self.leafs[side][parent] = int(leaf)


def _weights(tree: Tree, output: int) -> list[float | None]:
    """For each node, the one number that all its leaves hold for an output, else `None`.

    A node whose leaves agree need not be tested: of a forest's trees, one class sees only a part.
    """
    found: list[float | None] = [None] * len(tree.left)
    for node in reversed(range(len(tree.left))):  # children stand after their parent
        if tree.left[node] < 0:
            found[node] = tree.values[node][output]
        else:
            left, right = found[tree.left[node]], found[tree.right[node]]
            found[node] = left if left is not None and left == right else None
    return found


def _ensemble(trees: Sequence[Tree], tests: dict[tuple[int, int], _Test], outputs: int, *, averaged: bool) -> Any:
    flat = _Flat()
    for position, tree in enumerate(trees):
        here = [tests.get((position, node)) for node in range(len(tree.left))]
        for output in range(len(tree.outputs)):
            flat.grow(tree, here, output)
    return helper.make_node(
        "TreeEnsemble",
        [INPUT],
        ["leaves"],
        domain="ai.onnx.ml",
        n_targets=outputs,
        aggregate_function=0 if averaged else 1,
        post_transform=0,
        tree_roots=flat.roots,
        nodes_modes=numpy_helper.from_array(np.zeros(len(flat.cells), dtype=np.uint8), "modes"),  # cell <= split
        nodes_featureids=flat.cells,
        nodes_splits=_tensor("splits", flat.splits),
        nodes_falsenodeids=flat.sides[0],
        nodes_truenodeids=flat.sides[1],
        nodes_falseleafs=flat.leafs[0],
        nodes_trueleafs=flat.leafs[1],
        leaf_targetids=flat.targets,
        leaf_weights=_tensor("weights", flat.weights),
    )


# --- linear ---


def _linear(model: Model, cells: _Cells, nodes: list[Any], constants: list[Any], *, with_base: bool) -> str:
    """Append `(matrix - offsets) · weights + base` and tell the name of its tensor.

    The product looks at the whole matrix; cells that belong to trees have the weight 0.
    """
    lines = [
        (cells.add(NumberInput(number.column, number.missing)), number.coefficients, number.offset)
        for number in model.numbers
    ]
    for term in model.categories:
        lines += _category_lines(model, term, cells)
    if cells.width == 0:
        cells.add(_NOTHING)
    outputs = len(model.base)
    weights, offsets = np.zeros((cells.width, outputs)), np.zeros(cells.width)
    for cell, coefficients, offset in lines:
        weights[cell], offsets[cell] = coefficients, offset
    base = np.asarray(model.base if with_base else (0.0,) * outputs)
    source = INPUT
    if _loses_digits(model.numbers):
        nodes.append(helper.make_node("Sub", [INPUT, "offsets"], ["centred"]))
        constants.append(_tensor("offsets", offsets))
        source = "centred"
    else:
        base = base - offsets @ weights
    constants.extend([_tensor("coefficients", weights), _tensor("base", base)])
    nodes.append(helper.make_node("Gemm", [source, "coefficients", "base"], ["linear"]))
    return "linear"


def _loses_digits(terms: Sequence[NumberTerm]) -> bool:
    """Whether `coefficient * offset` is so large that subtracting it afterwards would cost digits that matter."""
    size = sum(abs(term.offset) * max(map(abs, term.coefficients)) for term in terms)
    return size * float(np.finfo(np.float64).eps) > _DIGITS_KEPT


def _category_lines(model: Model, term: CategoryTerm, cells: _Cells) -> list[tuple[int, tuple[float, ...], float]]:
    """One cell an output, which holds what the category adds to it; its weight is 1."""
    outputs = len(model.base)
    start = cells.add(
        CategoryInput(term.column, model.columns[term.column].categories, term.values, term.unseen, term.missing)
    )
    return [(start + k, tuple(float(k == output) for output in range(outputs)), 0.0) for k in range(outputs)]


# --- the graph ---


def _tensor(name: str, values: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=np.float64), name)


def _graph(nodes: Sequence[Any], constants: Sequence[Any], width: int, outputs: int) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "fairlead",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, ["rows", width])],
        [helper.make_tensor_value_info(SCORE, TensorProto.DOUBLE, ["rows", outputs])],
        initializer=list(constants),
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=opsets, producer_name="fairlead")
    checker.check_model(model)
    return model
