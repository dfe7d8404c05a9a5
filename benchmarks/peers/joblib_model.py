"""The pipeline's file, opened in the peer's own process, and answers to a batch of flights: what every peer that batches needs."""

from __future__ import annotations

import os
from typing import Any

import joblib
import pandas as pd


class Pipeline:
    """The pipeline as its data scientist handed it over."""

    def __init__(self) -> None:
        self._model = joblib.load(os.environ["BENCH_MODEL"])
        self._classes = self._model.classes_.tolist()

    def answers(self, flights: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer flights by one call; the probabilities are asked for once, and the labels follow from them."""
        scores = self._model.predict_proba(pd.DataFrame(flights)).tolist()
        return [self._answer(row) for row in scores]

    def _answer(self, scores: list[float]) -> dict[str, Any]:
        label = self._classes[scores.index(max(scores))]
        return {"prediction": label, "probabilities": dict(zip(self._classes, scores, strict=True))}
