"""Flask and a joblib file, for gunicorn."""

from __future__ import annotations

import os
from typing import Any

import joblib
import pandas as pd
from flask import Flask, request

app = Flask(__name__)
model = joblib.load(os.environ["BENCH_MODEL"])
classes = model.classes_.tolist()


@app.post("/predict/flights")
def predict() -> dict[str, Any]:
    """Answer one flight; nothing is validated."""
    scores = model.predict_proba(pd.DataFrame([request.get_json()]))[0].tolist()
    return {"prediction": classes[scores.index(max(scores))], "probabilities": dict(zip(classes, scores, strict=True))}
