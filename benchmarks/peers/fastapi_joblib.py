"""FastAPI and a joblib file: the server of the usual tutorial.

`def`, not `async def`: FastAPI then calls it in its pool of threads, as its documentation advises for code that computes. The
probabilities are asked for once, and the label follows from them.
"""

from __future__ import annotations

import os
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI

from peers.flight import Flight

app = FastAPI()
model = joblib.load(os.environ["BENCH_MODEL"])
classes = model.classes_.tolist()


@app.post("/predict/flights")
def predict(flight: Flight) -> dict[str, Any]:
    """Answer one flight."""
    scores = model.predict_proba(pd.DataFrame([flight.model_dump()]))[0].tolist()
    return {"prediction": classes[scores.index(max(scores))], "probabilities": dict(zip(classes, scores, strict=True))}
