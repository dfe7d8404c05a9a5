"""What the exactness tests share: small tables full of trouble, and a runner of compiled graphs that is not the predictor."""

from __future__ import annotations

import msgspec
import numpy as np
import onnxruntime
import pandas as pd

from fairlead.formats import sklearn as reader
from fairlead.formats.layout import MatrixLayout, NumberInput
from fairlead.formats.onnx import compile_model
from fairlead.ir.evaluate import labels, scores
from fairlead.ir.hardrows import hard_rows
from fairlead.ir.model import from_json, to_json
from fairlead.schema import Column, Output, Schema

TOLERANCE = 1e-9
"""Far inside the bar of 1e-6; what remains is the rounding of the last digits of a sum."""


def table(rows=400, seed=0, *, missing=True):
    """Numbers on a grid (so that thresholds are hit), whole numbers, skewed and huge numbers, text, a constant."""
    rng = np.random.default_rng(seed)
    found = pd.DataFrame(
        {
            "tenths": rng.normal(size=rows).round(1),
            "count": rng.integers(-3, 9, rows),
            "huge": rng.normal(1.6e9, 5e4, rows).round(),
            "skewed": rng.exponential(3.0, rows) ** 3,
            "city": rng.choice(["Ulm", "Bonn", "Köln", "Trier"], rows, p=[0.4, 0.3, 0.25, 0.05]),
            "plan": rng.choice(["a", "b"], rows),
            "constant": np.full(rows, 7.5),
        }
    )
    if missing:
        for name in ("tenths", "skewed", "city"):
            found.loc[rng.random(rows) < 0.15, name] = np.nan
    return found


def target(frame, classes, seed=1):
    """Labels 0, 1, … or a positive number, which depend on number, text and missing entries."""
    rng = np.random.default_rng(seed)
    signal = (
        frame["tenths"].fillna(1.0)
        + frame["count"] / 4
        + (frame["city"] == "Bonn")
        - frame["skewed"].isna()
        + rng.normal(scale=0.7, size=len(frame))
    ).to_numpy()
    if classes == 0:
        return np.exp(signal / 2)
    return np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes))


def schema_of(frame, classes=()):
    """The schema of a table, as packing would infer it."""
    kinds = {"f": "number", "i": "integer", "b": "boolean", "u": "integer"}
    columns = tuple(
        Column(str(name), kinds.get(series.dtype.kind, "string"), nullable=bool(series.isna().any()))
        for name, series in frame.items()
    )
    task = "classification" if classes else "regression"
    return Schema(columns, Output(task, classes=tuple(classes), probabilities=bool(classes)))


def rows_of(frame):
    """Rows as requests carry them."""
    return [
        tuple(None if pd.isna(entry) else entry for entry in row)
        for row in frame.astype(object).itertuples(index=False, name=None)
    ]


def matrix(layout, rows):
    """The float64 matrix that a layout describes, cell by cell from its documentation."""
    lines = []
    for row in rows:
        cells = []
        for one in layout.inputs:
            entry = row[one.column]
            if isinstance(one, NumberInput):
                cells.append((np.nan if one.missing is None else one.missing) if entry is None else float(entry))
            elif entry is None:
                cells.extend(one.missing)
            else:
                cells.extend(dict(zip(one.values, one.cells, strict=True)).get(entry, one.unseen))
        lines.append(cells)
    return np.array(lines, dtype=np.float64)


def run(compiled, rows):
    """The score tensor of a compiled graph with a matrix layout."""
    layout = msgspec.json.decode(msgspec.json.encode(compiled.layout), type=MatrixLayout)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(compiled.graph, options, providers=["CPUExecutionProvider"])
    return session.run([layout.score], {layout.tensor: matrix(layout, rows)})[0]


def assert_exact(estimator, frame, *, more_rows=(), limit=4000):
    """The compiled graph and the evaluator answer real and hard rows as scikit-learn does.

    Returns:
        The intermediate representation, for further looks.
    """
    described = reader.describe(estimator)
    as_frame = (
        frame
        if isinstance(frame, pd.DataFrame)
        else pd.DataFrame(frame, columns=[f"x{k}" for k in range(frame.shape[1])])
    )
    schema = schema_of(as_frame, described.classes)
    form = reader.form(frame, schema)
    model = reader.read(estimator, schema, form)
    assert from_json(to_json(model)) == model, "the JSON form does not give back the same model"
    rows = rows_of(as_frame)
    hard = hard_rows(model, rows, limit)
    rows += [*hard, *more_rows]
    said, probabilities = reader.answers(estimator, reader.frame(rows, schema, form))
    for answer in (scores(model, rows), run(compile_model(model), rows)):
        if model.result == "value":
            np.testing.assert_allclose(answer[:, 0], said, rtol=TOLERANCE, atol=TOLERANCE)
            continue
        names = [described.classes[k] for k in labels(model.result, answer)]
        assert names == said, f"{sum(a != b for a, b in zip(names, said, strict=True))} of {len(rows)} labels differ"
        full = np.hstack([1 - answer, answer]) if model.result == "positive" else answer
        np.testing.assert_allclose(full, probabilities, rtol=0, atol=TOLERANCE)
    return model
