"""The profile that travels with a version: what its columns, answers and truths looked like when it was packed.

Made where the model is, from the rows that it was examined on, so that no training row has to leave. Of more rows than the original was
asked about, the proven compiled form answers, which is quick; where there is none, the profile is of the rows that were asked.

```
training table, or a held-out one ─▶ Batch (inputs, answers, target) ─▶ profile_of ─▶ Profile ─▶ Examination
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from fairlead.columns import Names, Numbers
from fairlead.errors import BundleError, PredictionFailed, SchemaMismatch
from fairlead.packing.examination import Proof
from fairlead.packing.original import Answers
from fairlead.packing.table import Table, column_type, order_columns, plain_value, spread
from fairlead.predictor.columnar import ColumnarPredictor
from fairlead.predictor.compiled import open_session
from fairlead.profiles.counting import Batch, profile_of
from fairlead.profiles.profile import Profile
from fairlead.schema import Column, Schema, Value, label_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_ROWS", "Asked", "make_profile", "ordered_reference"]

MOST_ROWS: Final = 1_000_000
"""Rows that are counted at most."""

_Columns = dict[str, Numbers | Names]


class Asked(msgspec.Struct, frozen=True):
    """Rows of a table by their positions, and what the original said to them."""

    positions: Sequence[int]
    answers: Answers


def ordered_reference(reference: Table, schema: Schema) -> Table:
    """The reference with the training table's columns, in its order.

    Raises:
        SchemaMismatch: It lacks a column, has one of another type, or one with missing entries that the model does not take.
    """
    ordered = order_columns(reference, list(schema.names), len(schema.columns))
    for column in schema.columns:
        _check_column(ordered.frame[column.name], column)
    return ordered


def make_profile(table: Table, schema: Schema, proof: Proof | None, ask: Callable[[], Asked]) -> Profile:
    """Count a table with the model's answers.

    Args:
        table: In the order of `schema`; the training table or a reference.
        schema: What the columns are, and which of them are sensitive.
        proof: The compiled form that gives the original's answers; `None` where there is none.
        ask: Gives the rows that the original was asked about, and its answers.
    """
    rows = spread(len(table.frame), MOST_ROWS)
    asked = ask()
    if proof is not None and len(asked.positions) < len(rows):
        batch = _batch(table, schema, rows)
        answered = _by_graph(proof, schema, batch.inputs)
        if answered is not None:
            return profile_of(batch._replace(prediction=answered[0], scores=answered[1]), schema)
    prediction, scores = _by_original(asked.answers, schema)
    batch = _batch(table, schema, asked.positions)
    return profile_of(batch._replace(prediction=prediction, scores=scores), schema)


def _check_column(series: pd.Series[Any], column: Column) -> None:
    missing = np.flatnonzero(series.isna().to_numpy())
    if len(missing) and not column.nullable:
        raise SchemaMismatch(
            f"Column {column.name!r} of the reference is missing in row {missing[0]}, which the model does not take.",
            hint="Drop the row.",
            row=int(missing[0]),
            field=column.name,
        )
    kind = column_type(series)
    numeric = {kind, column.type} <= {"number", "integer"}
    if kind != column.type and not numeric and len(missing) < len(series):
        raise SchemaMismatch(
            f"Column {column.name!r} of the reference is {kind}; in the training table it is {column.type}.",
            hint="Give rows as the model was trained on.",
            field=column.name,
            expected=column.type,
            got=kind,
        )


def _batch(table: Table, schema: Schema, positions: Sequence[int]) -> Batch:
    """Inputs and target of some rows as columns."""
    whole = len(positions) == len(table.frame)
    frame = table.frame if whole else table.frame.iloc[list(positions)]
    inputs: _Columns = {one.name: _column(frame[one.name], one) for one in schema.columns}
    target = table.target if whole or table.target is None else table.target.iloc[list(positions)]
    return Batch(len(frame), inputs, target=None if target is None else _target(target, schema))


def _column(series: pd.Series[Any], column: Column) -> Numbers | Names:
    if column.type == "string":
        return _names(series)
    values = _doubles(series)
    missing = np.isnan(values)
    return Numbers(values, missing if missing.any() else None)


def _names(series: pd.Series[Any]) -> Names:
    import pandas as pd

    codes, values = pd.factorize(series)
    return Names(codes.astype(np.int64), [value if type(value) is str else str(value) for value in list(values)])


def _doubles(series: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column of numbers or booleans, whatever pandas keeps them as."""
    import pandas as pd

    plain = series.astype(object) if series.dtype.name in ("category", "boolean") else series
    return np.asarray(pd.to_numeric(plain, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan))


def _target(series: pd.Series[Any], schema: Schema) -> Numbers | Names:
    """What was true, classes named as the model names them: 1.0 in the table is the class 1."""
    import pandas as pd

    if schema.output.task == "regression":
        return Numbers(_doubles(series), None)
    codes, values = pd.factorize(series)
    classes: dict[Value, Value] = {one: one for one in schema.output.classes}
    plain = [plain_value(value) for value in list(values)]
    return Names(codes.astype(np.int64), [classes.get(value, value) for value in plain])


def _by_original(answers: Answers, schema: Schema) -> tuple[Numbers | Names, Mapping[str, Any]]:
    """Answers one a row as columns."""
    classes = schema.output.classes
    if schema.output.task == "regression":
        return Numbers(np.array(answers.labels, np.float64), None), {}
    position: dict[Value, int] = {one: at for at, one in enumerate(classes)}
    codes = np.fromiter((position.get(one, -1) for one in answers.labels), np.int64, len(answers.labels))
    return Names(codes, classes), _scores(answers.probabilities, schema)


def _by_graph(proof: Proof, schema: Schema, inputs: Mapping[str, Numbers | Names]) -> tuple[Any, Any] | None:
    """What the compiled form says of whole columns; `None` where it fails on a row that it was not proven on."""
    try:
        predictor = ColumnarPredictor(open_session(proof.graph), proof.layout, schema)
        answers = predictor.answer([inputs[name] for name in schema.names])
    except (BundleError, PredictionFailed):
        return None
    if schema.output.task == "regression":
        return Numbers(answers.predictions, None), {}
    return Names(answers.predictions, schema.output.classes), _scores(answers.probabilities, schema)


def _scores(probabilities: Any, schema: Schema) -> dict[str, Any]:
    if probabilities is None:
        return {}
    return {label_text(one): np.ascontiguousarray(probabilities[:, at]) for at, one in enumerate(schema.output.classes)}
