"""The road "graph": what the intermediate representation cannot hold, as the general ONNX graph that skl2onnx makes.

Support vector machines, neural networks, neighbours, principal components, polynomials. skl2onnx's defaults are not exact;
these make it so where it can be: doubles in, imputers of our own (skl2onnx's work in float32), and, where only the
preprocessing is beyond the representation, an estimator compiled by `formats/onnx.py` behind skl2onnx's preprocessing.
What comes out is only served when packing has proven it.
"""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from fairlead.errors import ConversionUnsupported
from fairlead.formats.layout import ColumnsLayout, MatrixLayout, NumberInput, Result, TensorInput
from fairlead.formats.onnx import Compiled, compile_model
from fairlead.formats.sklearn_estimators import read_estimator
from fairlead.formats.sklearn_features import Feature, class_name, is_missing
from fairlead.ir.model import Model
from fairlead.schema import Column, Output, Schema

__all__ = ["convert"]

MISSING_TEXT = "\u2400missing"
"""What stands for missing text: a tensor of strings has no place for it. Begins with the sign for NULL, as no table does."""

_OPSETS = {"": 21, "ai.onnx.ml": 3}
_MATRIX = "matrix"
_SINGLE_TREES = {
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ExtraTreeClassifier",
    "ExtraTreeRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
}


def convert(estimator: Any, schema: Schema) -> Compiled:
    """Convert a fitted model by skl2onnx.

    Args:
        estimator: A fitted estimator or pipeline.
        schema: The columns of the table.

    Raises:
        ConversionUnsupported: skl2onnx does not know a step, or the model gives labels without probabilities.
    """
    try:
        import skl2onnx  # noqa: F401 -- asked for first, so that its absence has its own words
    except ImportError as err:
        raise ConversionUnsupported(
            "skl2onnx is not installed.", hint="Install fairlead[pack].", step="skl2onnx", target="graph"
        ) from err
    classes = schema.output.classes
    if classes and not hasattr(estimator, "predict_proba"):
        raise _refuse(estimator, "gives labels without probabilities, which no compiled graph serves yet")
    inputs = tuple(_tensor_input(k, column) for k, column in enumerate(schema.columns))
    tail = _tail(estimator)
    if tail is not None:
        graph, result = _with_tail(estimator, schema, *tail)
        return Compiled(graph.SerializeToString(), ColumnsLayout(inputs, graph.graph.output[0].name, result))
    graph = _converted(estimator, schema)
    if not classes:
        return Compiled(graph.SerializeToString(), ColumnsLayout(inputs, graph.graph.output[0].name, "value"))
    label, score = (one.name for one in graph.graph.output)
    return Compiled(graph.SerializeToString(), ColumnsLayout(inputs, score, "classes", label))


def _refuse(step: Any, why: str) -> ConversionUnsupported:
    name = step if isinstance(step, str) else type(step).__name__
    return ConversionUnsupported(f"The step {name} {why}.", step=name, target="graph")


def _tensor(position: int) -> str:
    """Tensors are numbered: a column's name may hold anything."""
    return f"column{position}"


def _tensor_input(position: int, column: Column) -> TensorInput:
    if column.type == "string":
        return TensorInput(position, _tensor(position), "string", MISSING_TEXT if column.nullable else None)
    return TensorInput(position, _tensor(position), "double")


# --- what goes in ---


def _first(estimator: Any) -> Any:
    while class_name(estimator) == "Pipeline":
        estimator = next(step for _, step in estimator.steps if hasattr(step, "fit"))
    return estimator


def _takes_columns(estimator: Any, schema: Schema) -> bool:
    """Whether the model looks at columns one by one, by name or type, rather than at one matrix of numbers."""
    return class_name(_first(estimator)) == "ColumnTransformer" or any(
        column.type == "string" for column in schema.columns
    )


def _order(estimator: Any, schema: Schema) -> list[int]:
    """The schema's columns in the order of the matrix that the model was fitted on."""
    names = getattr(_first(estimator), "feature_names_in_", None)
    if names is None:
        return list(range(len(schema.columns)))
    at = {name: k for k, name in enumerate(schema.names)}
    missing = [str(name) for name in names if str(name) not in at]
    if missing:
        raise _refuse(estimator, f"was fitted on a column {missing[0]!r} that the schema does not have")
    return [at[str(name)] for name in names]


def _initial_types(schema: Schema, order: list[int], *, named: bool) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    if not named:
        return [(_MATRIX, DoubleTensorType([None, len(order)]))]
    # skl2onnx finds a transformer's columns by the tensors' names; they are renamed afterwards.
    return [
        (column.name, (StringTensorType if column.type == "string" else DoubleTensorType)([None, 1]))
        for column in schema.columns
    ]


def _split_matrix(model: onnx.ModelProto, schema: Schema, order: list[int]) -> None:
    """Let the graph take one tensor a column and join them to the matrix itself."""
    graph = model.graph
    del graph.input[:]
    graph.input.extend(
        helper.make_tensor_value_info(_tensor(k), TensorProto.DOUBLE, [None, 1]) for k in range(len(schema.columns))
    )
    graph.node.insert(0, helper.make_node("Concat", [_tensor(k) for k in order], [_MATRIX], axis=1))


def _rename_inputs(model: onnx.ModelProto, schema: Schema) -> None:
    names = {column.name: _tensor(k) for k, column in enumerate(schema.columns)}
    present = {one.name for one in model.graph.input}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name in names:
                node.input[position] = names[name]
    for one in model.graph.input:
        one.name = names[one.name]
    # A column that nothing looks at is no input for skl2onnx; the layout feeds every column.
    for k, column in enumerate(schema.columns):
        if column.name not in present:
            kind = TensorProto.STRING if column.type == "string" else TensorProto.DOUBLE
            model.graph.input.append(helper.make_tensor_value_info(_tensor(k), kind, [None, 1]))


# --- conversion ---


def _converted(estimator: Any, schema: Schema) -> onnx.ModelProto:
    """The whole model, one tensor a column, in the layout's names."""
    named = _takes_columns(estimator, schema)
    order = [] if named else _order(estimator, schema)
    prepared = _with_casts(estimator)
    options = {id(_final(prepared)): {"zipmap": False}} if schema.output.classes else None
    model = _ask_skl2onnx(prepared, _initial_types(schema, order, named=named), options)
    if named:
        _rename_inputs(model, schema)
    else:
        _split_matrix(model, schema, order)
    return model


def _ask_skl2onnx(prepared: Any, types: list[tuple[str, Any]], options: dict[int, Any] | None) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: onnx.ModelProto = convert_sklearn(
                prepared,
                initial_types=types,
                options=options,
                target_opset=_OPSETS,
                custom_conversion_functions=_own_converters(),
                custom_shape_calculators=_own_shapes(),
            )
    except (
        Exception
    ) as err:  # skl2onnx raises RuntimeError, NameError, NotImplementedError, and what its converters meet
        raise _refuse(
            _culprit(err) or type(_final(prepared)).__name__, f"is not converted: {_first_line(err)}"
        ) from err
    return model


# --- an estimator of ours behind preprocessing of skl2onnx ---


def _tail(estimator: Any) -> tuple[list[tuple[str, Any]], Model] | None:
    """The preprocessing, and the estimator behind it where the representation can hold it; else nothing."""
    steps = _flat_steps(estimator)
    last = steps[-1][1]
    width = getattr(last, "n_features_in_", 0)
    if len(steps) < 2 or not width:
        return None
    dtype = np.dtype(np.float64)
    columns = tuple(Column(f"x{k}", "number", nullable=True) for k in range(width))
    try:
        model = read_estimator(
            last, [Feature(k, dtype, dtype) for k in range(width)], Schema(columns, Output("regression"))
        )
    except ConversionUnsupported:
        return None
    numeric = any(column.used for column in model.columns) and not model.subsets and not model.categories
    return (steps[:-1], model) if numeric else None


def _flat_steps(estimator: Any) -> list[tuple[str, Any]]:
    """The steps of nested pipelines in one line; those that change nothing are left out."""
    if class_name(estimator) != "Pipeline":
        return [("model", estimator)]
    steps = [one for _, step in estimator.steps if hasattr(step, "fit") for one in _flat_steps(step)]
    return [(f"step{k}", step) for k, (_, step) in enumerate(steps)]


def _with_tail(
    estimator: Any, schema: Schema, steps: list[tuple[str, Any]], model: Model
) -> tuple[onnx.ModelProto, Result]:
    """skl2onnx's preprocessing, the cells that our estimator looks at, our estimator."""
    from sklearn.pipeline import Pipeline

    # Without classes: what is converted here ends in features, not in labels.
    graph = _converted(Pipeline(steps), msgspec.structs.replace(schema, output=Output("regression")))
    compiled = compile_model(model)
    assert isinstance(compiled.layout, MatrixLayout)
    tail = compose.add_prefix(onnx.load_from_string(compiled.graph), "tail_")
    cells = [one for one in compiled.layout.inputs if isinstance(one, NumberInput)]
    source = graph.graph.output[0].name
    graph.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([one.column for one in cells], dtype=np.int64), "tail_columns"),
            numpy_helper.from_array(np.array([one.missing or 0.0 for one in cells], dtype=np.float64), "tail_missing"),
            *tail.graph.initializer,
        ]
    )
    graph.graph.node.extend(
        [
            helper.make_node("Cast", [source], ["tail_features"], to=TensorProto.DOUBLE),
            helper.make_node("Gather", ["tail_features", "tail_columns"], ["tail_cells"], axis=1),
            helper.make_node("IsNaN", ["tail_cells"], ["tail_absent"]),
            helper.make_node("Where", ["tail_absent", "tail_missing", "tail_cells"], [tail.graph.input[0].name]),
            *tail.graph.node,
        ]
    )
    del graph.graph.output[:]
    graph.graph.output.extend(tail.graph.output)
    _raise_opset(graph, estimator)
    return graph, compiled.layout.result


def _raise_opset(graph: onnx.ModelProto, estimator: Any) -> None:
    """The tree node needs ai.onnx.ml 5, where the older tree nodes are gone."""
    if any(node.op_type.startswith("TreeEnsemble") and node.op_type != "TreeEnsemble" for node in graph.graph.node):
        raise _refuse(estimator, "has trees in its preprocessing, which do not go together with compiled trees")
    del graph.opset_import[:]
    graph.opset_import.extend([helper.make_opsetid("", _OPSETS[""]), helper.make_opsetid("ai.onnx.ml", 5)])
    graph.ir_version = 10


def _first_line(err: Exception) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:200]


def _culprit(err: Exception) -> str | None:
    """The class that skl2onnx names in its message."""
    found = re.search(r"type '<class '[\w.]*?(\w+)'>'", str(err))
    return found[1] if found else None


def _final(estimator: Any) -> Any:
    while class_name(estimator) == "Pipeline":
        estimator = estimator.steps[-1][1]
    return estimator


def _with_casts(estimator: Any) -> Any:
    """The model as skl2onnx can take it: a cast before trees that look at float32, which it would compare in double."""
    from skl2onnx.sklapi import CastTransformer
    from sklearn.pipeline import Pipeline

    if class_name(estimator) == "Pipeline":
        changed = copy.copy(estimator)
        (*before, (name, last)) = estimator.steps
        if class_name(last) in _SINGLE_TREES:
            changed.steps = [*before, ("cast", _fitted_cast(CastTransformer)), (name, last)]
        else:
            changed.steps = [*before, (name, _with_casts(last))]
        return changed
    if class_name(estimator) == "VotingClassifier":
        changed = copy.copy(estimator)
        changed.flatten_transform = False  # concerns `transform` only, and skl2onnx refuses it
        return changed
    if class_name(estimator) in _SINGLE_TREES:
        return Pipeline([("cast", _fitted_cast(CastTransformer)), ("model", estimator)])
    return estimator


def _fitted_cast(kind: Any) -> Any:
    return kind(dtype=np.float32).fit(np.zeros((1, 1)))


# --- converters of our own ---


def _own_converters() -> dict[type, Any]:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import PolynomialFeatures

    return {SimpleImputer: _convert_imputer, PolynomialFeatures: _convert_polynomial}


def _own_shapes() -> dict[type, Any]:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import PolynomialFeatures

    return {SimpleImputer: _imputer_shape, PolynomialFeatures: _polynomial_shape}


def _polynomial_shape(operator: Any) -> None:
    kind = operator.inputs[0].type
    operator.outputs[0].type = type(kind)([kind.shape[0], operator.raw_operator.n_output_features_])


def _convert_polynomial(scope: Any, operator: Any, container: Any) -> None:
    """Products of columns, in the type of the input (skl2onnx's own mixes float32 in).

    The exponents' table becomes lists of factors; a product with fewer factors is filled up with a column of ones.
    """
    from skl2onnx.common.data_types import guess_proto_type
    from skl2onnx.operator_converters.common import concatenate_variables

    polynomial = operator.raw_operator
    source = concatenate_variables(scope, operator.inputs, container)
    kind, width = guess_proto_type(operator.inputs[0].type), polynomial.n_features_in_
    factors = [np.repeat(np.arange(width), powers).tolist() for powers in polynomial.powers_]

    def node(kind: str, inputs: list[str], version: int, **settings: Any) -> str:
        found: str = scope.get_unique_variable_name("poly")
        name = scope.get_unique_operator_name(kind)
        container.add_node(kind, inputs, found, name=name, op_version=version, **settings)
        return found

    def constant(kind: int, values: list[Any]) -> str:
        name: str = scope.get_unique_variable_name("poly")
        container.add_initializer(name, kind, [len(values)], values)
        return name

    first = node("Gather", [source, constant(TensorProto.INT64, [0])], 13, axis=1)
    zeros = node("Mul", [first, constant(kind, [0.0])], 14)
    ones = node("Add", [zeros, constant(kind, [1.0])], 14)
    filled = node("Concat", [source, ones], 13, axis=1)
    total = ""
    for place in range(max(map(len, factors), default=0)):
        chosen = constant(TensorProto.INT64, [int(one[place]) if place < len(one) else width for one in factors])
        column = node("Gather", [filled, chosen], 13, axis=1)
        total = node("Mul", [total, column], 14) if total else column
    container.add_node(
        "Identity",
        [total],
        operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Identity"),
        op_version=21,
    )


def _kept(imputer: Any) -> list[int]:
    return [
        k
        for k, statistic in enumerate(imputer.statistics_)
        if imputer.strategy == "constant" or imputer.keep_empty_features or not is_missing(statistic)
    ]


def _imputer_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import StringTensorType

    imputer = operator.raw_operator
    if imputer.add_indicator or not is_missing(imputer.missing_values):
        raise NotImplementedError("SimpleImputer with an indicator, or with other missing values than NaN.")
    kind = operator.inputs[0].type
    rows = kind.shape[0]
    text = isinstance(kind, StringTensorType)
    operator.outputs[0].type = (StringTensorType if text else type(kind))([rows, len(_kept(imputer))])


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """`Where(missing, statistic, x)`, in the type of the input."""
    from skl2onnx.common.data_types import StringTensorType, guess_proto_type
    from skl2onnx.operator_converters.common import concatenate_variables

    imputer = operator.raw_operator
    kept = _kept(imputer)
    text = isinstance(operator.inputs[0].type, StringTensorType)
    source = concatenate_variables(scope, operator.inputs, container)
    missing, filled = (scope.get_unique_variable_name(name) for name in ("missing", "filled"))
    statistics = imputer.statistics_[kept].tolist()
    constant, columns = (scope.get_unique_variable_name(name) for name in ("statistics", "columns"))
    kind = TensorProto.STRING if text else guess_proto_type(operator.inputs[0].type)
    held = [str(entry).encode() for entry in statistics] if text else [float(entry) for entry in statistics]
    container.add_initializer(constant, kind, [1, len(kept)], held)
    if len(kept) != len(imputer.statistics_):
        container.add_initializer(columns, TensorProto.INT64, [len(kept)], kept)
        chosen = scope.get_unique_variable_name("chosen")
        container.add_node("Gather", [source, columns], chosen, name=scope.get_unique_operator_name("Gather"), axis=1)
        source = chosen
    if text:
        marker = scope.get_unique_variable_name("marker")
        container.add_initializer(marker, TensorProto.STRING, [1, 1], [MISSING_TEXT.encode()])
        container.add_node(
            "Equal", [source, marker], missing, name=scope.get_unique_operator_name("Equal"), op_version=19
        )
    else:
        container.add_node("IsNaN", [source], missing, name=scope.get_unique_operator_name("IsNaN"), op_version=20)
    container.add_node(
        "Where", [missing, constant, source], filled, name=scope.get_unique_operator_name("Where"), op_version=16
    )
    container.add_node(
        "Identity",
        [filled],
        operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Identity"),
        op_version=21,
    )
