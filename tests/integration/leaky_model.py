"""A model that takes memory it never gives back, or all there is, as its input says."""

import numpy as np

MEGABYTES = 64


class Leaky:
    """Doubles `x`; below 100 each answer takes 64 MB of address space for good, and 500 wants more than there is."""

    feature_names_in_ = np.array(["x"])
    n_features_in_ = 1

    def __init__(self):
        self.held = []

    def predict(self, frame):
        values = frame["x"].to_numpy()
        if (values == 500).any():
            np.empty(2**45, np.uint8)
        if (values < 100).all():
            self.held.append(np.empty(MEGABYTES * 2**20, np.uint8))
        return 2.0 * values
