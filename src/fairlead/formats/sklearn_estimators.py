"""A fitted scikit-learn estimator and the features that reach it, as an intermediate representation.

Each estimator says its trees or coefficients in terms of its features; this module turns them into terms of raw columns: a
cut of a number feature is pulled back to a raw threshold, a cut of a table feature becomes a set of categories, a
coefficient becomes a term of its column. Which estimator is which is decided by its class's name and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from fairlead.formats.sklearn_features import (
    Feature,
    class_name,
    follow,
    missing_value,
    refuse,
    table,
    takes_missing,
    values,
)
from fairlead.formats.thresholds import REACH, largest_passing
from fairlead.ir.model import ALWAYS, Category, CategoryTerm, Column, Link, Model, NumberTerm, Result, Subset, Tree
from fairlead.schema import Schema

__all__ = ["read_estimator"]

_FLOAT32_REACH = float(np.finfo(np.float32).max)
_MOST_EXACT_TREES = 2**20


def read_estimator(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    """Take a fitted estimator apart.

    Args:
        estimator: The last step.
        features: What reaches it, in order.
        schema: The table's columns.

    Raises:
        ConversionUnsupported: The estimator is not known by name, or not in this setting.
    """
    reader = _READERS.get(class_name(estimator))
    if reader is None:
        raise refuse(estimator)
    if isinstance(getattr(estimator, "classes_", None), list) or getattr(estimator, "n_outputs_", 1) != 1:
        raise refuse(estimator, "predicts several targets at once")
    return reader(estimator, features, schema)


# --- columns ---


def _columns(features: list[Feature], schema: Schema, *, missing: bool) -> tuple[Column, ...]:
    """The columns with the categories that any encoder knows.

    Args:
        features: What reaches the estimator.
        schema: The table's columns.
        missing: Whether the estimator takes a missing feature.
    """
    by_column: dict[int, list[Feature]] = {}
    for feature in features:
        by_column.setdefault(feature.column, []).append(feature)
    found = []
    for position, column in enumerate(schema.columns):
        here = by_column.get(position, [])
        known = dict.fromkeys(value for feature in here for value in feature.known or ())
        accepted = all(takes_missing(one) and (missing or not _gives_missing(one)) for one in here)
        found.append(
            Column(
                column.name,
                categories=tuple(known),
                type=column.type,
                nullable=column.nullable and accepted,
                closed=any(one.closed or (not missing and _unseen_is_missing(one)) for one in here),
                used=bool(here),
            )
        )
    return tuple(found)


def _gives_missing(feature: Feature) -> bool:
    return math.isnan(missing_value(feature))


def _unseen_is_missing(feature: Feature) -> bool:
    return feature.known is not None and bool(np.isnan(table(feature)[-2]))


class _Tables:
    """Table features over all the categories of their column, which may be more than their own encoder knows."""

    def __init__(self, features: list[Feature], columns: Sequence[Column]) -> None:
        self._features = features
        self._columns = columns
        self._made: dict[int, np.ndarray] = {}

    def __getitem__(self, position: int) -> np.ndarray:
        """`[categories + 2]`: each category, an unseen value, a missing entry."""
        if position not in self._made:
            feature = self._features[position]
            own, (*found, unseen, missing) = feature.known or (), table(feature).tolist()
            at = dict(zip(own, found, strict=True))
            categories = self._columns[feature.column].categories
            self._made[position] = np.array([*(at.get(value, unseen) for value in categories), unseen, missing])
        return self._made[position]


# --- trees ---


class _Grown(NamedTuple):
    """A tree as an estimator holds it: parallel arrays over its nodes, in terms of features."""

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    values: np.ndarray
    outputs: tuple[int, ...]
    passes: dict[int, Callable[[np.ndarray], np.ndarray]]
    """For nodes that test a set of codes: which feature values pass."""


class _Test(NamedTuple):
    """A node's test in raw terms: a threshold with the way of a missing entry, a subset, or always one side."""

    threshold: float = 0.0
    missing_left: bool = False
    subset: int = -1
    always: bool | None = None


class _Pruner:
    """Turns grown trees into `Tree`s; shares pulled-back thresholds and subsets among all of them."""

    def __init__(self, estimator: Any, features: list[Feature], columns: tuple[Column, ...], *, single: bool) -> None:
        self._estimator = estimator
        self._features = features
        self._tables = _Tables(features, columns)
        self._single = single
        self._cuts: dict[tuple[int, float], float] = {}
        self._missing: dict[int, float] = {}
        self._subsets: dict[Subset, int] = {}

    @property
    def subsets(self) -> tuple[Subset, ...]:
        return tuple(self._subsets)

    def trees(self, grown: Sequence[_Grown]) -> tuple[Tree, ...]:
        """All trees, after all their thresholds were pulled back feature by feature."""
        self._pull_back(grown)
        return tuple(self._tree(one) for one in grown)

    def _pull_back(self, grown: Sequence[_Grown]) -> None:
        wanted: dict[int, set[float]] = {}
        for tree in grown:
            for node in np.flatnonzero(tree.left >= 0):
                if int(node) not in tree.passes:
                    wanted.setdefault(int(tree.feature[node]), set()).add(float(tree.threshold[node]))
        for position, cuts in wanted.items():
            feature = self._features[position]
            if feature.known is not None:
                continue
            self._missing[position] = float(self._cast(np.array([missing_value(feature)]))[0])
            ordered = np.array(sorted(cuts))
            found = self._raw_cuts(feature, ordered)
            self._cuts |= {(position, cut): raw for cut, raw in zip(ordered.tolist(), found.tolist(), strict=True)}

    def _raw_cuts(self, feature: Feature, cuts: np.ndarray) -> np.ndarray:
        if feature.flat:  # one value for every entry: a cut lets all pass or none
            everywhere = self._cast(values(feature, [0.0]))[0]
            return np.where(everywhere <= cuts, np.inf, -np.inf)
        reach = _FLOAT32_REACH if feature.raw_dtype == np.float32 else REACH
        return largest_passing(lambda raw: self._cast(values(feature, raw)) <= cuts, len(cuts), reach)

    def _cast(self, found: np.ndarray) -> np.ndarray:
        """Most trees of scikit-learn look at features in float32; the comparison itself is in double."""
        with np.errstate(over="ignore"):
            return found.astype(np.float32).astype(np.float64) if self._single else found.astype(np.float64)

    def _test(self, tree: _Grown, node: int) -> _Test:
        position = int(tree.feature[node])
        feature = self._features[position]
        flag = bool(tree.missing_left[node])
        if feature.known is not None:
            return self._set_test(tree, node, position)
        if node in tree.passes:
            raise refuse(self._estimator, "tests a number as a category")
        cut = float(tree.threshold[node])
        absent = self._missing[position]
        missing_left = flag if np.isnan(absent) else absent <= cut
        raw = self._cuts[position, cut]
        if raw == np.inf:
            return _Test(always=True) if missing_left else _Test(ALWAYS)
        if raw == -np.inf:
            # Only a missing entry goes left; the test is turned round by `_tree`.
            return _Test(ALWAYS, missing_left=True) if missing_left else _Test(always=False)
        return _Test(raw, missing_left)

    def _set_test(self, tree: _Grown, node: int, position: int) -> _Test:
        found = self._cast(self._tables[position])
        asked = tree.passes.get(node)
        passes = found <= tree.threshold[node] if asked is None else asked(found)
        passes = np.where(np.isnan(found), bool(tree.missing_left[node]), passes)
        if passes.all() or not passes.any():
            return _Test(always=bool(passes[0]))
        *members, unseen, missing = passes.tolist()
        codes = tuple(code for code, passing in enumerate(members) if passing)
        subset = Subset(self._features[position].column, codes, unseen, missing)
        return _Test(subset=self._subsets.setdefault(subset, len(self._subsets)))

    def _tree(self, grown: _Grown) -> Tree:
        """Lay out the nodes that can be reached, parents first."""
        nodes: list[tuple[int, float, bool, int, int, int, tuple[float, ...]]] = []
        waiting: list[tuple[int, int, bool]] = [(0, -1, True)]
        while waiting:
            source, parent, is_left = waiting.pop()
            source, test = self._skip(grown, source)
            here = len(nodes)
            if parent >= 0:
                side = 4 if is_left else 5
                changed = list(nodes[parent])
                changed[side] = here
                nodes[parent] = tuple(changed)  # type: ignore[assignment]
            if test is None:
                nodes.append((-1, 0.0, False, -1, -1, -1, tuple(grown.values[source].tolist())))
                continue
            column = -1 if test.subset >= 0 else self._features[int(grown.feature[source])].column
            turned = test.threshold == ALWAYS and test.missing_left
            left, right = int(grown.left[source]), int(grown.right[source])
            left, right = (right, left) if turned else (left, right)
            nodes.append((column, test.threshold, test.missing_left and not turned, test.subset, -1, -1, ()))
            waiting += [(right, here, False), (left, here, True)]
        columns, thresholds, missing, subsets, lefts, rights, leaves = zip(*nodes, strict=True)
        return Tree(grown.outputs, columns, thresholds, missing, subsets, lefts, rights, leaves)

    def _skip(self, grown: _Grown, node: int) -> tuple[int, _Test | None]:
        """Go past the tests that everything answers alike."""
        while grown.left[node] >= 0:
            test = self._test(grown, node)
            if test.always is None:
                return node, test
            node = int(grown.left[node] if test.always else grown.right[node])
        return node, None


def _of_tree(tree: Any, leaf_values: np.ndarray, outputs: tuple[int, ...]) -> _Grown:
    missing = np.asarray(getattr(tree, "missing_go_to_left", np.zeros(tree.node_count)), dtype=bool)
    return _Grown(
        tree.children_left, tree.children_right, tree.feature, tree.threshold, missing, leaf_values, outputs, {}
    )


def _tree_model(  # noqa: PLR0913 -- a tree model is all of this
    estimator: Any,
    grown: Sequence[_Grown],
    features: list[Feature],
    schema: Schema,
    *,
    single: bool,
    missing: bool,
    **rest: Any,
) -> Model:
    columns = _columns(features, schema, missing=missing)
    pruner = _Pruner(estimator, features, columns, single=single)
    trees = pruner.trees(grown)
    looked_at = {c for tree in trees for c in tree.column} | {subset.column for subset in pruner.subsets}
    columns = tuple(
        column if position in looked_at else msgspec.structs.replace(column, used=False)
        for position, column in enumerate(columns)
    )
    return Model(columns=columns, trees=trees, subsets=pruner.subsets, **rest)


def _read_tree(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    return _averaged(estimator, [estimator], features, schema)


def _read_forest(forest: Any, features: list[Feature], schema: Schema) -> Model:
    return _averaged(forest, forest.estimators_, features, schema)


def _averaged(estimator: Any, members: Sequence[Any], features: list[Feature], schema: Schema) -> Model:
    """The mean of the members' leaves: a forest, or one tree as the mean of itself."""
    found = [np.asarray(member.tree_.value[:, 0, :], dtype=np.float64) for member in members]
    classes = _classes(estimator)
    result: Result = "value"
    if classes:
        result = "positive" if len(classes) == 2 and _sums_exactly(found) else "classes"
    if result == "positive":
        found = [one[:, 1:] for one in found]
    outputs = tuple(range(found[0].shape[1]))
    grown = [_of_tree(member.tree_, leaves, outputs) for member, leaves in zip(members, found, strict=True)]
    return _tree_model(
        estimator,
        grown,
        features,
        schema,
        single=True,
        missing=members[0].__sklearn_tags__().input_tags.allow_nan,
        base=(0.0,) * len(outputs),
        link="identity",
        result=result,
        classes=classes,
        divisor=float(len(members)),
    )


def _sums_exactly(leaves: Sequence[np.ndarray]) -> bool:
    """Whether the votes for both classes add up without rounding, so that one of them tells who has more.

    scikit-learn compares two sums. Where they round, `second > 0.5` may disagree with `second > first` in a tie, and both
    are kept.
    """
    parts = [one * 2.0**20 for one in leaves]
    return len(leaves) < _MOST_EXACT_TREES and all((one == np.round(one)).all() for one in parts)


def _read_gradient_boosting(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    initial = estimator.init_
    if not (isinstance(initial, str) and initial == "zero") and class_name(initial) not in {
        "DummyClassifier",
        "DummyRegressor",
    }:
        raise refuse(initial, "begins the boosting and is not a constant")
    base = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))[0]  # noqa: SLF001 -- no public name
    classes = _classes(estimator)
    # With the exponential loss the probability is expit(2 * score); doubling is exact.
    factor = 2.0 if classes and estimator.loss == "exponential" else 1.0
    if len(classes) == 2:
        # The second class wins a tie here (`raw >= 0`); this least step makes its probability exceed 0.5.
        base = base + 2.0**-51
    grown = [
        _of_tree(member.tree_, factor * (estimator.learning_rate * member.tree_.value[:, 0, :]), (output,))
        for stage in estimator.estimators_
        for output, member in enumerate(stage)
    ]
    return _tree_model(
        estimator,
        grown,
        features,
        schema,
        single=True,
        missing=False,
        base=tuple((factor * base).tolist()),
        **_boosted(classes),
    )


def _read_histogram_boosting(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    if estimator._preprocessor is not None:  # noqa: SLF001 -- the encoder of its own categories has no public name
        features = follow(estimator._preprocessor, features)  # noqa: SLF001 -- as above
    classes = _classes(estimator)
    link: Link = "exp" if not classes and estimator.loss in {"poisson", "gamma"} else "identity"
    known, rows = estimator._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001 -- what predict itself uses
    grown = [
        _of_predictor(predictor, known, rows, output)
        for stage in estimator._predictors  # noqa: SLF001 -- the trees have no public name
        for output, predictor in enumerate(stage)
    ]
    base = estimator._baseline_prediction.reshape(-1).tolist()  # noqa: SLF001 -- as above
    return _tree_model(
        estimator, grown, features, schema, single=False, missing=True, base=tuple(base), **(_boosted(classes, link))
    )


def _of_predictor(predictor: Any, known: np.ndarray, rows: np.ndarray, output: int) -> _Grown:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    left = np.where(leaf, -1, nodes["left"].astype(np.int64))
    right = np.where(leaf, -1, nodes["right"].astype(np.int64))
    passes = {
        int(node): _bitset_test(
            predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]],
            known[rows[nodes["feature_idx"][node]]],
            missing_left=bool(nodes["missing_go_to_left"][node]),
        )
        for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
    }
    return _Grown(
        left,
        right,
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"],
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"].reshape(-1, 1),
        (output,),
        passes,
    )


def _bitset_test(lefts: np.ndarray, known: np.ndarray, *, missing_left: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Which codes pass: those in the left set; one that is not known goes where a missing entry goes."""

    def within(bits: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return np.asarray((bits[codes // 32] >> (codes % 32).astype(np.uint32)) & 1 == 1)

    def passes(found: np.ndarray) -> np.ndarray:
        absent = np.isnan(found) | (found < 0)
        codes = np.where(absent, 0, found).astype(np.int64) % 256
        left, seen = within(lefts, codes), within(known, codes)
        return np.asarray(np.where(absent | ~(left | seen), missing_left, left))

    return passes


def _boosted(classes: tuple[Category, ...], link: Link = "identity") -> dict[str, Any]:
    if not classes:
        return {"link": link, "result": "value"}
    if len(classes) == 2:
        return {"link": "logistic", "result": "positive", "classes": classes}
    return {"link": "softmax", "result": "classes", "classes": classes}


# --- linear ---


def _read_linear(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    return _linear_model(estimator, features, schema, "identity")


def _read_log_linear(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    return _linear_model(estimator, features, schema, "exp")


def _read_logistic(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    return _linear_model(estimator, features, schema, "logistic" if len(estimator.classes_) == 2 else "softmax")


def _read_sgd(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    if estimator.loss != "log_loss":
        raise refuse(estimator, f"with loss {estimator.loss!r} gives no probabilities by a logistic link")
    if len(estimator.classes_) != 2:
        raise refuse(estimator, "with more than two classes compares each class with the rest")
    return _linear_model(estimator, features, schema, "logistic")


def _linear_model(estimator: Any, features: list[Feature], schema: Schema, link: Link) -> Model:
    classes = _classes(estimator)
    coefficients = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
    if not classes and len(coefficients) != 1:
        raise refuse(estimator, "predicts several targets at once")
    base = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64).reshape(-1), (len(coefficients),))
    columns = _columns(features, schema, missing=False)
    numbers, categories = _terms(estimator, features, coefficients.T, columns)
    result: Result = "value"
    if classes:
        result = "positive" if link == "logistic" else "classes"
    return Model(
        columns=columns,
        base=tuple(base.tolist()),
        link=link,
        result=result,
        classes=classes,
        numbers=numbers,
        categories=categories,
    )


def _terms(
    estimator: Any, features: list[Feature], coefficients: np.ndarray, columns: Sequence[Column]
) -> tuple[tuple[NumberTerm, ...], tuple[CategoryTerm, ...]]:
    """Coefficients `[features, outputs]` as terms of raw columns; the tables of one column are added up."""
    tables = _Tables(features, columns)
    numbers: list[NumberTerm] = []
    added: dict[int, Any] = {}
    for position, (feature, weights) in enumerate(zip(features, coefficients, strict=True)):
        if feature.known is None and not feature.flat:
            numbers.append(_number_term(estimator, feature, weights))
            continue
        found = tables[position] if feature.known is not None else _flat_table(feature, columns[feature.column])
        # NaN stands where the original refuses an unseen value or a missing entry; nobody asks for those.
        added[feature.column] = added.get(feature.column, 0.0) + np.nan_to_num(found, nan=0.0)[:, None] * weights
    categories = [
        CategoryTerm(
            column, tuple(map(tuple, total[:-2].tolist())), tuple(total[-2].tolist()), tuple(total[-1].tolist())
        )
        for column, total in added.items()
    ]
    return tuple(numbers), tuple(categories)


def _flat_table(feature: Feature, column: Column) -> np.ndarray:
    """An indicator of a number column: every entry is like an unseen category, but for a missing one."""
    (present,) = values(feature, [0.0])
    return np.array([present] * (len(column.categories) + 1) + [missing_value(feature)])


def _number_term(estimator: Any, feature: Feature, weights: np.ndarray) -> NumberTerm:
    if feature.affine is None:
        raise refuse(estimator, "weighs a feature that is not a straight line of its column (clipped)")
    offset, factor = feature.affine
    absent = missing_value(feature)
    # Where the original refuses a missing entry, what stands for it is never asked for.
    missing = offset if np.isnan(absent) else absent / factor + offset
    return NumberTerm(feature.column, tuple((weights * factor).tolist()), offset, missing)


# --- constants ---


def _read_dummy(estimator: Any, features: list[Feature], schema: Schema) -> Model:
    columns = tuple(
        msgspec.structs.replace(column, used=False, categories=(), closed=False)
        for column in _columns(features, schema, missing=True)
    )
    classes = _classes(estimator)
    if not classes:
        constant = float(np.asarray(estimator.constant_).reshape(-1)[0])
        return Model(columns=columns, base=(constant,), link="identity", result="value")
    if estimator.strategy in {"stratified", "uniform"}:
        raise refuse(estimator, f"with strategy {estimator.strategy!r} answers at random")
    found = estimator.predict_proba(np.zeros((1, 1)))[0]
    return Model(columns=columns, base=tuple(found.tolist()), link="identity", result="classes", classes=classes)


def _classes(estimator: Any) -> tuple[Category, ...]:
    found = getattr(estimator, "classes_", None)
    return () if found is None else tuple(np.asarray(found).tolist())


_READERS: dict[str, Callable[[Any, list[Feature], Schema], Model]] = {
    **dict.fromkeys(
        ["DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"], _read_tree
    ),
    **dict.fromkeys(
        ["RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"],
        _read_forest,
    ),
    **dict.fromkeys(["GradientBoostingClassifier", "GradientBoostingRegressor"], _read_gradient_boosting),
    **dict.fromkeys(["HistGradientBoostingClassifier", "HistGradientBoostingRegressor"], _read_histogram_boosting),
    **dict.fromkeys(
        [
            "LinearRegression",
            "Ridge",
            "RidgeCV",
            "Lasso",
            "LassoCV",
            "LassoLars",
            "Lars",
            "ElasticNet",
            "ElasticNetCV",
            "BayesianRidge",
            "ARDRegression",
            "HuberRegressor",
            "QuantileRegressor",
            "TheilSenRegressor",
            "SGDRegressor",
        ],
        _read_linear,
    ),
    **dict.fromkeys(["PoissonRegressor", "GammaRegressor"], _read_log_linear),
    **dict.fromkeys(["LogisticRegression", "LogisticRegressionCV"], _read_logistic),
    "SGDClassifier": _read_sgd,
    **dict.fromkeys(["DummyClassifier", "DummyRegressor"], _read_dummy),
}
