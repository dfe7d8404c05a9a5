"""scikit-learn: what a fitted model is, what it answers, and how it is taken apart into `ir/`.

The way in for packing and for the worker. Taking apart is divided: `sklearn_features.py` follows columns through the
preprocessing, `sklearn_estimators.py` reads the trees and coefficients, `frames.py` builds the tables that a model expects.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fairlead.errors import ConversionUnsupported, SchemaMismatch
from fairlead.formats import pickled
from fairlead.formats.frames import FrameForm, form, frame
from fairlead.formats.sklearn_estimators import read_estimator
from fairlead.formats.sklearn_features import Feature, class_name, follow
from fairlead.ir.model import Category, Model
from fairlead.schema import Column, Output, Schema, Task

__all__ = [
    "FORMAT",
    "Description",
    "FrameForm",
    "answers",
    "categories",
    "closed",
    "describe",
    "form",
    "frame",
    "read",
]


class Description(msgspec.Struct, frozen=True):
    """What a fitted model says about itself.

    Attributes:
        task: What it does.
        classes: The labels in the order of the probabilities.
        feature_names: The columns it was fitted on; `None` for a nameless array, whose columns are called x0, x1, …
        feature_count: How many columns it was fitted on; `None` where it does not say.
        probabilities: Whether it gives a probability a class.
        model_class: "sklearn.pipeline.Pipeline".
    """

    task: Task
    classes: tuple[Category, ...]
    feature_names: tuple[str, ...] | None
    feature_count: int | None
    probabilities: bool
    model_class: str


class SklearnFormat:
    """Objects that follow scikit-learn's interface, kept as pickles."""

    name = "pickle"
    runs_code = True

    def recognise(self, model: Any) -> bool:
        """Whether an object descends from scikit-learn's base class."""
        return any(
            kind.__module__ == "sklearn.base" and kind.__name__ == "BaseEstimator" for kind in type(model).__mro__
        )

    def save(self, model: Any, path: Path) -> None:
        """Write the object as a pickle."""
        pickled.save(model, path)

    def load(self, path: Path) -> Any:
        """Open the pickle; it runs code, so only in a process of its own."""
        return pickled.load(path)


FORMAT = SklearnFormat()


def describe(estimator: Any) -> Description:
    """What a fitted model says about itself.

    Raises:
        ConversionUnsupported: It is neither a classifier nor a regressor, is not fitted, or has several targets.
    """
    kind = type(estimator)
    name = f"{_public_module(kind.__module__)}.{kind.__qualname__}"
    task = _task(estimator, name)
    classes = _classes(estimator, name) if task == "classification" else ()
    first = _first(estimator)
    names = getattr(first, "feature_names_in_", None)
    count = getattr(first, "n_features_in_", None)
    return Description(
        task=task,
        classes=classes,
        feature_names=None if names is None else tuple(str(one) for one in names),
        feature_count=None if count is None else int(count),
        probabilities=task == "classification" and hasattr(estimator, "predict_proba"),
        model_class=name,
    )


def read(estimator: Any, schema: Schema, form: FrameForm | None = None) -> Model:
    """Take a fitted model apart into the intermediate representation.

    Args:
        estimator: A fitted estimator, or a pipeline that ends in one.
        schema: The columns of the table.
        form: How the training table looked; without it, numbers are taken as float64 and missing text as NaN.

    Raises:
        ConversionUnsupported: A step is not known by name; the error names it.
        SchemaMismatch: The schema lacks a column that the model was fitted on.
    """
    features = _inputs(estimator, schema, form)
    last = estimator
    while class_name(last) == "Pipeline":
        for _, step in last.steps[:-1]:
            features = follow(step, features)
        last = last.steps[-1][1]
    return read_estimator(last, features, schema)


def categories(estimator: Any) -> dict[str, tuple[Category, ...]]:
    """The input columns that the model treats as names, with the values it knows.

    Where preprocessing cannot be followed, nothing is known and the mapping is empty.
    """
    return {
        name: known
        for name, features in _traced(estimator).items()
        if (known := tuple(dict.fromkeys(value for one in features for value in one.known or ())))
    }


def closed(estimator: Any) -> frozenset[str]:
    """The input columns in which the model refuses a value it does not know."""
    return frozenset(name for name, features in _traced(estimator).items() if any(one.closed for one in features))


def answers(estimator: Any, table: Any) -> tuple[list[Category] | np.ndarray, np.ndarray | None]:
    """Ask the original.

    Args:
        estimator: A fitted model.
        table: What `frame` made.

    Returns:
        For a classifier the labels as plain Python values and its probabilities `[rows, classes]` (`None` where it has
        none); for a regressor the values `[rows]` and `None`.
    """
    with warnings.catch_warnings():
        # An unseen category is worth a warning in a notebook; here it is asked for on purpose.
        warnings.simplefilter("ignore")
        final = _final(estimator)
        if class_name(final) in _LABELS_THE_LIKELIEST:
            found, likely = _likeliest(estimator, final, table)
            probabilities: np.ndarray | None = likely
        else:
            found = np.asarray(estimator.predict(table))
            if not hasattr(final, "classes_"):
                return found.astype(np.float64).reshape(len(found), -1)[:, 0], None
            probabilities = estimator.predict_proba(table) if hasattr(estimator, "predict_proba") else None
    labels = [_label(value) for value in found.tolist()]
    return labels, None if probabilities is None else np.asarray(probabilities, dtype=np.float64)


_LABELS_THE_LIKELIEST = frozenset(
    {"DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier"}
    | {"GradientBoostingClassifier", "HistGradientBoostingClassifier", "LogisticRegression", "MLPClassifier"}
)
"""Classifiers whose label is the likeliest class, so that the model need not be run twice."""

_NEARLY_EQUAL = 1e-9


def _likeliest(estimator: Any, final: Any, table: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities by one run of the model; only where two classes are as good as equal is it asked for the label."""
    probabilities = np.asarray(estimator.predict_proba(table), dtype=np.float64)
    found = np.asarray(final.classes_)[probabilities.argmax(axis=1)]
    best = np.sort(probabilities, axis=1)
    if best.shape[1] > 1:
        (close,) = np.nonzero(~(best[:, -1] - best[:, -2] > _NEARLY_EQUAL))
        if len(close):
            found[close] = estimator.predict(table.iloc[close] if hasattr(table, "iloc") else table[close])
    return found, probabilities


def _label(value: Any) -> Category:
    return value if isinstance(value, str | int | float | bool) else str(value)


def _public_module(module: str) -> str:
    """`sklearn.ensemble._forest` → `sklearn.ensemble`, as people import it."""
    parts = module.split(".")
    return ".".join(part for part in parts if not part.startswith("_")) if parts[0] == "sklearn" else module


def _task(estimator: Any, name: str) -> Task:
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(estimator):
        return "classification"
    if is_regressor(estimator):
        return "regression"
    raise ConversionUnsupported(
        f"{name} is neither a classifier nor a regressor.",
        hint="Pack a model with `predict`.",
        step=name,
        target="schema",
    )


def _classes(estimator: Any, name: str) -> tuple[Category, ...]:
    found = getattr(estimator, "classes_", None)
    if found is None:
        raise ConversionUnsupported(
            f"{name} is not fitted.", hint="Call `fit` before packing.", step=name, target="schema"
        )
    if isinstance(found, list):
        raise ConversionUnsupported(f"{name} predicts several targets at once.", step=name, target="schema")
    return tuple(_label(value) for value in np.asarray(found).tolist())


def _final(estimator: Any) -> Any:
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return estimator


def _first(estimator: Any) -> Any:
    """The first step that looks at its input, which knows the columns' names."""
    while class_name(estimator) == "Pipeline":
        estimator = next((step for _, step in estimator.steps if hasattr(step, "fit")), None)
    return estimator


def _names(estimator: Any) -> list[str]:
    first = _first(estimator)
    names = getattr(first, "feature_names_in_", None)
    return (
        [f"x{k}" for k in range(getattr(first, "n_features_in_", 0))] if names is None else [str(one) for one in names]
    )


def _inputs(estimator: Any, schema: Schema, form: FrameForm | None) -> list[Feature]:
    """The columns that the model was fitted on, in its order."""
    first = _first(estimator)
    if getattr(first, "feature_names_in_", None) is None:
        count = getattr(first, "n_features_in_", len(schema.columns))
        if count != len(schema.columns):
            raise SchemaMismatch(f"The model was fitted on {count} columns, the schema has {len(schema.columns)}.")
        return [_input(k, column, form) for k, column in enumerate(schema.columns)]
    at = {name: k for k, name in enumerate(schema.names)}
    found = []
    for name in _names(estimator):
        if name not in at:
            raise SchemaMismatch(f"The model was fitted on a column {name!r} that the table does not have.", field=name)
        found.append(_input(at[name], schema.columns[at[name]], form))
    return found


def _input(position: int, column: Column, form: FrameForm | None) -> Feature:
    dtype: np.dtype[Any] = np.dtype(np.float64)
    if column.type == "string":
        dtype = np.dtype(object)
    elif form is not None and form.dtypes[position] in {"float32", "float16"}:
        dtype = np.dtype(form.dtypes[position])
    none = form is not None and form.nones[position]
    return Feature(position, dtype, dtype, None if none and dtype.kind == "O" else np.nan)


def _traced(estimator: Any) -> dict[str, Sequence[Feature]]:
    """Each input column with the features made of it; empty where preprocessing cannot be followed."""
    names = _names(estimator)
    anything = Schema(tuple(Column(name, "string", nullable=True) for name in names), Output("regression"))
    found: dict[str, list[Feature]] = {}
    try:
        for feature in _reaching(estimator, anything):
            found.setdefault(names[feature.column], []).append(feature)
    except ConversionUnsupported:
        return {}
    return dict(found)


def _reaching(estimator: Any, schema: Schema) -> list[Feature]:
    features = _inputs(estimator, schema, None)
    while class_name(estimator) == "Pipeline":
        for _, step in estimator.steps[:-1]:
            features = follow(step, features)
        estimator = estimator.steps[-1][1]
    inner = getattr(estimator, "_preprocessor", None)  # histogram boosting encodes its own categories
    return features if inner is None else follow(inner, features)
