"""A model of a user's own class that does what a file says: for tests of what a sick shadow may do to others (nothing)."""

import os
import time
from pathlib import Path

import numpy as np


class Moody:
    """Doubles `x`, in the mood that stands in a file."""

    feature_names_in_ = np.array(["x"])
    n_features_in_ = 1

    def __init__(self, mood):
        self.mood = mood

    def predict(self, frame):
        values = frame["x"].to_numpy()
        mood = Path(self.mood).read_text()
        if mood == "crash":
            os._exit(9)
        if mood == "hang":
            time.sleep(3600)
        if mood == "slow":
            time.sleep(0.3)
        if mood == "raise":
            raise ValueError("a secret cause")
        if mood == "not a number":
            return np.full(len(values), np.nan)
        return 2.0 * values
