"""The pipeline as MLflow keeps a scikit-learn model: `python -m peers.mlflow_folder FOLDER`.

With the signature that its documentation recommends, so that the server checks the columns; `predict_proba`, because the
label alone would not tell whether the answer is right.
"""

from __future__ import annotations

import os
import sys

import joblib
import mlflow
import pandas as pd

if __name__ == "__main__":
    model = joblib.load(os.environ["BENCH_MODEL"])
    table = pd.read_parquet(os.environ["BENCH_TABLE"])[model.feature_names_in_.tolist()].head(1000)
    signature = mlflow.models.infer_signature(table, model.predict_proba(table))
    mlflow.sklearn.save_model(
        model,
        sys.argv[1],
        signature=signature,
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
        pip_requirements=["mlflow", "scikit-learn"],
    )
