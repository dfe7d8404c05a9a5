"""Models for rollouts, of a user's own class: a steady one, and one that fails on what it never saw in training."""

import numpy as np


class Steady:
    """Doubles `x`; another `shift` makes another version."""

    feature_names_in_ = np.array(["x"])
    n_features_in_ = 1

    def __init__(self, shift=0.0):
        self.shift = shift

    def predict(self, frame):
        return 2.0 * frame["x"].to_numpy() + self.shift


class Fickle(Steady):
    """Raises for every x over 100 whose remainder by `every` is 0."""

    def __init__(self, every):
        super().__init__()
        self.every = every

    def predict(self, frame):
        values = frame["x"].to_numpy()
        if ((values > 100) & (values % self.every == 0)).any():
            raise ValueError("never seen in training")
        return 2.0 * values
