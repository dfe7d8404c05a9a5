"""The road "graph": what the intermediate representation cannot hold, as the general ONNX graph that skl2onnx makes.

Support vector machines, neural networks, neighbours, principal components, polynomials. skl2onnx's defaults are not exact;
these make it so where it can be: doubles in, imputers of our own (skl2onnx's work in float32), a cast put before trees that
look at float32. What comes out is only served when packing has proven it.
"""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from fairlead.errors import ConversionUnsupported
from fairlead.formats.layout import ColumnsLayout, Result, TensorInput
from fairlead.formats.onnx import Compiled
from fairlead.formats.sklearn_features import class_name, is_missing
from fairlead.schema import Column, Schema

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
    named = _takes_columns(estimator, schema)
    model = _converted(estimator, schema, named=named)
    inputs = tuple(_tensor_input(k, column) for k, column in enumerate(schema.columns))
    if not named:
        _split_matrix(model, schema, _order(estimator, schema))
    label, score = (model.graph.output[0].name, model.graph.output[1].name) if classes else (None, None)
    result: Result = "classes" if classes else "value"
    layout = ColumnsLayout(inputs, score or model.graph.output[0].name, result, label)
    return Compiled(model.SerializeToString(), layout)


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


def _initial_types(estimator: Any, schema: Schema, *, named: bool) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    if not named:
        return [(_MATRIX, DoubleTensorType([None, len(_order(estimator, schema))]))]
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


def _converted(estimator: Any, schema: Schema, *, named: bool) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn

    prepared = _with_casts(estimator)
    types = _initial_types(estimator, schema, named=named)
    options = {id(_final(prepared)): {"zipmap": False}} if schema.output.classes else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: onnx.ModelProto = convert_sklearn(
                prepared,
                initial_types=types,
                options=options,
                target_opset=_OPSETS,
                custom_conversion_functions=_imputer_converters(),
                custom_shape_calculators=_imputer_shapes(),
            )
    except (
        Exception
    ) as err:  # skl2onnx raises RuntimeError, NameError, NotImplementedError, and what its converters meet
        raise _refuse(
            _culprit(err) or type(_final(estimator)).__name__, f"is not converted: {_first_line(err)}"
        ) from err
    if named:
        _rename_inputs(model, schema)
    return model


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
    """The pipeline with a cast before trees that look at float32; skl2onnx would compare doubles."""
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
    if class_name(estimator) in _SINGLE_TREES:
        return Pipeline([("cast", _fitted_cast(CastTransformer)), ("model", estimator)])
    return estimator


def _fitted_cast(kind: Any) -> Any:
    return kind(dtype=np.float32).fit(np.zeros((1, 1)))


# --- imputers ---


def _imputer_converters() -> dict[type, Any]:
    from sklearn.impute import SimpleImputer

    return {SimpleImputer: _convert_imputer}


def _imputer_shapes() -> dict[type, Any]:
    from sklearn.impute import SimpleImputer

    return {SimpleImputer: _imputer_shape}


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
