"""The original model, asked in its own way: with the frame or array, and the dtypes, it was trained on.

scikit-learn's estimators describe themselves through `formats/sklearn.py`. Anything else that has `predict` is taken by what
it shows: `predict_proba`, `classes_`, `feature_names_in_`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from fairlead.bundle.manifest import Expected
from fairlead.errors import FairleadError, InvalidInput, PredictionFailed
from fairlead.formats import sklearn
from fairlead.formats.frames import FrameForm, frame
from fairlead.packing.table import Table, order_columns, plain_value
from fairlead.schema import Row, Schema, Task, Value

__all__ = ["Answers", "Original", "answer_rows", "open_original"]

MOST_PARAMS = 500
"""How many parameters are kept; a pipeline of many steps has a hundred."""


class Answers(msgspec.Struct, frozen=True):
    """What the original said, one a row.

    Attributes:
        labels: Labels as plain values, or numbers for a regression.
        probabilities: Float64 `[rows, classes]`; `None` where the model gives none.
    """

    labels: list[Value]
    probabilities: Any

    def take(self, positions: Sequence[int]) -> Answers:
        """The answers to some of the rows."""
        chosen = list(positions)
        kept = None if self.probabilities is None else self.probabilities[chosen]
        return Answers([self.labels[position] for position in chosen], kept)

    def expected(self) -> tuple[Expected, ...]:
        """One answer a row, as a bundle keeps them."""
        if self.probabilities is None:
            return tuple(map(Expected, self.labels))
        rows = map(tuple, self.probabilities.tolist())
        return tuple(Expected(label, row) for label, row in zip(self.labels, rows, strict=True))


class Original(msgspec.Struct, frozen=True):
    """A model as it was handed over, and the table in its column order.

    Attributes:
        model: The object.
        table: The user's table in the model's order.
        model_class: For people.
        task: What it does.
        classes: In the order of its probabilities.
        probabilities: Whether it gives them.
        categories: By column, the values it knows where it treats the column as names.
        named: Whether it takes a frame with names, not a bare array.
        params: Its own parameters.
    """

    model: Any
    table: Table
    model_class: str
    task: Task
    classes: tuple[str | int | float | bool, ...]
    probabilities: bool
    categories: Mapping[str, tuple[Any, ...]]
    named: bool
    params: dict[str, Value]

    def ask(self, frame: Any) -> Answers:
        """Ask with rows of the table's own frame.

        Raises:
            PredictionFailed: The model raised.
        """
        return _ask(self.model, self.given(frame))

    def given(self, frame: Any) -> Any:
        """Rows of the table as the model was given them: a frame, or a bare array."""
        return frame if self.named else frame.to_numpy()


def answer_rows(model: Any, rows: Sequence[Row], schema: Schema, form: FrameForm) -> Answers:
    """Ask a model with plain rows, as a request carries them.

    Args:
        model: The object.
        rows: In the order of `schema`.
        schema: What they look like.
        form: How the table looked that the model takes.

    Raises:
        PredictionFailed: The model raised, or gave another number of answers.
    """
    return _ask(model, frame(rows, schema, form))


def open_original(model: Any, table: Table) -> Original:
    """Describe a model and order the table as it was trained.

    Raises:
        ConversionUnsupported: It is no kind of model that can be served, or is not fitted.
        InvalidInput: The object has no `predict`.
        SchemaMismatch: The table's columns are not the model's.
    """
    if not callable(getattr(model, "predict", None)):
        raise InvalidInput(
            f"A {type(model).__module__}.{type(model).__qualname__} has no `predict`.",
            hint="Give a fitted estimator, a pipeline, or an object with a `predict` method.",
        )
    if not sklearn.FORMAT.recognise(model):
        return _open_foreign(model, table)
    description = sklearn.describe(model)
    ordered = order_columns(table, description.feature_names, description.feature_count)
    named = description.feature_names is not None
    # A model that is not fitted fails here with scikit-learn's own words, before anything is read out of it.
    _ask(model, ordered.frame.head(1) if named else ordered.frame.head(1).to_numpy())
    return Original(
        model,
        ordered,
        description.model_class,
        description.task,
        tuple(description.classes),
        description.probabilities,
        sklearn.categories(model),
        named,
        params_of(model),
    )


def _open_foreign(model: Any, table: Table) -> Original:
    """Describe an object of somebody's own class by what it shows.

    Raises:
        InvalidInput: It answers labels and does not show its classes.
    """
    names = getattr(model, "feature_names_in_", None)
    width = getattr(model, "n_features_in_", None)
    ordered = order_columns(table, None if names is None else [str(name) for name in names], width)
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    shown = getattr(model, "classes_", None)
    proba = callable(getattr(model, "predict_proba", None))
    if shown is None:
        said = _ask(model, ordered.frame.head(100) if ordered.named else ordered.frame.head(100).to_numpy())
        if proba or not all(isinstance(value, float) for value in said.labels):
            raise InvalidInput(
                f"The {kind} answers labels such as {said.labels[0]!r} and does not say which classes there are.",
                hint="Give it an attribute `classes_`: the labels, in the order of its probabilities.",
            )
    classes = () if shown is None else tuple(map(plain_value, np.asarray(shown).tolist()))
    return Original(
        model,
        ordered,
        kind,
        "regression" if shown is None else "classification",
        tuple(value for value in classes if value is not None),
        proba,
        {},
        ordered.named,
        params_of(model),
    )


def _ask(model: Any, given: Any) -> Answers:
    """Ask the model in its own way; whatever it raises becomes one error."""
    try:
        known = sklearn.FORMAT.recognise(model)
        labels, probabilities = sklearn.answers(model, given) if known else _ask_foreign(model, given)
        return _plain_answers(labels, probabilities, len(given))
    except FairleadError:
        raise
    except Exception as err:
        raise PredictionFailed(
            f"The model raised {type(err).__name__}: {_first_line(err)}", hint="Check that it predicts the table."
        ) from err


def _ask_foreign(model: Any, given: Any) -> tuple[Any, Any]:
    """Labels or values, and probabilities where the class has them."""
    found = np.asarray(model.predict(given))
    probabilities = model.predict_proba(given) if callable(getattr(model, "predict_proba", None)) else None
    if probabilities is None and not hasattr(model, "classes_") and found.dtype.kind in "iuf":
        return found.astype(np.float64), None
    return found, probabilities


def params_of(model: Any) -> dict[str, Value]:
    """The model's parameters as plain values; steps within a pipeline stand under their own names, so objects are left out."""
    ask = getattr(model, "get_params", None)
    if not callable(ask):
        return {}
    try:
        found = dict(ask())
    except Exception:  # noqa: BLE001 - a foreign class; what it cannot say of itself does not keep it from being packed
        return {}
    kept = {str(name): value for name, value in found.items() if not _is_step(value)}
    return {name: _plain_param(kept[name]) for name in sorted(kept)[:MOST_PARAMS]}


def _is_step(value: Any) -> bool:
    """Whether a parameter is an estimator, or the list that holds the steps."""
    if isinstance(value, list | tuple):
        return any(_is_step(entry) for entry in value)
    return hasattr(value, "get_params") or hasattr(value, "fit")


def _plain_param(value: Any) -> Value:
    """A parameter as a JSON value; what is none becomes text."""
    if value is None:
        return None
    plain = plain_value(value) if isinstance(value, str | bool | int | float | np.generic) else None
    if isinstance(plain, float) and not math.isfinite(plain):
        plain = None
    return plain if plain is not None else str(value)[:200]


def _plain_answers(labels: Any, probabilities: Any, rows: int) -> Answers:
    """Answers as plain values, their shapes checked."""
    said = [plain_value(value) for value in np.asarray(labels).reshape(-1).tolist()]
    table = None if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    if len(said) != rows or (table is not None and table.shape[0] != rows):
        raise PredictionFailed(
            f"The model gave {len(said)} answers to {rows} rows.", hint="`predict` has to give one answer a row."
        )
    return Answers(said, table)


def _first_line(err: BaseException) -> str:
    """The start of an error's text."""
    return (str(err).strip().splitlines() or [""])[0][:200]
