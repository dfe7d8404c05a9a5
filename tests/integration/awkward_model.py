"""A model of a user's own class, which no reader takes apart; some inputs make it misbehave on purpose."""

import os
import time

import numpy as np


class Awkward:
    """Doubles `x`; x = 13 raises, x = 66 ends the process, x = 99 never returns."""

    feature_names_in_ = np.array(["x"])
    n_features_in_ = 1

    def __init__(self, trace):
        self.trace = trace

    def __setstate__(self, state):
        """Write down which process opened the pickle."""
        self.__dict__.update(state)
        with open(self.trace, "a") as file:  # noqa: PTH123 - the least that a pickle can do
            file.write(f"{os.getpid()}\n")

    def predict(self, frame):
        values = frame["x"].to_numpy()
        if (values == 13).any():
            raise ValueError("thirteen, with a secret path /root/secret")
        if (values == 66).any():
            os._exit(9)
        if (values == 99).any():
            time.sleep(3600)
        return 2.0 * values
