"""Two small models for tests of the service itself: one that answers in microseconds, one that takes its time."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

IRIS_ROW = b'{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'
"""The first flower of Fisher's table: a setosa, class 0."""


class Sleeper:
    """Doubles `x` in a twentieth of a second, however many rows there are."""

    feature_names_in_ = np.array(["x"])
    n_features_in_ = 1

    def predict(self, frame):
        time.sleep(0.05)
        return 2.0 * frame["x"].to_numpy()


def pack_iris(home):
    """`iris:1`: a pipeline that compiles."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import fairlead

    table = load_iris(as_frame=True).frame.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(table.drop(columns="target"), table["target"])
    fairlead.pack(model, name="iris", data=table, target="target", home=home)


def pack_sleeper(home):
    """`sleeper:1`: it answers in a worker, which must find this module on PYTHONPATH."""
    import fairlead

    table = pd.DataFrame({"x": [float(one) for one in range(12)], "y": [2.0 * one for one in range(12)]})
    assert fairlead.pack(Sleeper(), name="sleeper", data=table, target="y", home=home).road == "worker"
