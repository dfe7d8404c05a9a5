"""A model that prints as foreign code does: to both streams, by C's way too, with escape sequences, and without end."""

import os
import sys

import numpy as np


class Noisy:
    """Doubles `x`, and talks."""

    feature_names_in_ = np.array(["x"])
    n_features_in_ = 1

    def predict(self, frame):
        print("to stdout: 50% \x1b[31mred\x1b[0m {braces}", flush=True)
        print('{"level": "critical", "message": "forged"}', file=sys.stderr, flush=True)
        os.write(2, b"by C, \xff no UTF-8\n" + b"y" * 20_000 + b"\n")
        return 2.0 * frame["x"].to_numpy()
