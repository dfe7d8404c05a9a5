"""Small models for tensor clients: only numbers in, integers, text and numbers out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier


def iris():
    """Fisher's iris: four numbers, three integer classes; the fitted pipeline and its table."""
    table = load_iris(as_frame=True).frame.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(
        table.drop(columns="target"), table["target"]
    ), table


def diabetes():
    """Ten numbers in, one out."""
    table = load_diabetes(as_frame=True, scaled=False).frame
    return make_pipeline(StandardScaler(), Ridge()).fit(table.drop(columns="target"), table["target"]), table


def customers():
    """Text, a number that may be missing, an integer and a truth in; text out."""
    random = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "city": random.choice(["Köln", "Łódź", "Oslo"], 400),
            "age": np.where(random.random(400) < 0.2, np.nan, random.uniform(18, 90, 400)),
            "visits": random.integers(0, 50, 400),
            "member": random.random(400) < 0.5,
        }
    )
    table["target"] = np.where((table["visits"] > 25) ^ table["member"], "stays", "leaves")
    encoder = ColumnTransformer(
        [
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("age", SimpleImputer(), ["age"]),
            ("rest", "passthrough", ["visits", "member"]),
        ]
    )
    model = make_pipeline(encoder, DecisionTreeClassifier(max_depth=6, random_state=0))
    return model.fit(table.drop(columns="target"), table["target"]), table


def pack_all(home):
    """Pack each, and return by name the pipeline and its inputs as a frame."""
    import fairlead

    found = {}
    for name, make in (("iris", iris), ("diabetes", diabetes), ("customers", customers)):
        model, table = make()
        fairlead.pack(model, name=name, data=table, target="target", home=home)
        found[name] = (model, table.drop(columns="target"))
    return found


def floats(frame: pd.DataFrame) -> np.ndarray:
    return frame.to_numpy(dtype=np.float64)
