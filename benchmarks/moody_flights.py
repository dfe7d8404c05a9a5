"""The flights pipeline as a model of a user's own class that does what a file says: the sick shadow of `shadow.py`, the candidate of `effect.py`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np


class Moody:
    """Answers as the pipeline does, unless the file says otherwise.

    Args:
        pipeline: The trained pipeline.
        mood: The file.
    """

    def __init__(self, pipeline: Any, mood: str) -> None:
        self.pipeline = pipeline
        self.mood = mood
        self.classes_ = pipeline.classes_
        self.feature_names_in_ = pipeline.feature_names_in_
        self.n_features_in_ = pipeline.n_features_in_

    def predict(self, frame: Any) -> Any:
        """The labels."""
        self._act(frame)
        return self.pipeline.predict(frame)

    def predict_proba(self, frame: Any) -> Any:
        """The probabilities, or what the mood makes of them."""
        told = self.pipeline.predict_proba(frame)
        return np.full_like(told, np.nan) if Path(self.mood).read_text() == "garbage" else told

    def _act(self, frame: Any) -> None:
        mood = Path(self.mood).read_text()
        if mood == "slow":
            end = time.perf_counter() + 0.1  # busy, and a hundred times as long as the compiled model takes for a batch
            while time.perf_counter() < end:
                pass
        if mood == "crashing":
            os._exit(9)
        # April is what the benchmarks ask about; the winter's sample rows, by which a version is let in, are answered.
        if mood == "failing in April" and (frame["month"] == 4).any():
            raise RuntimeError("I am in no mood to answer.")
