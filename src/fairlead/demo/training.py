"""The demo's model: an ordinary scikit-learn pipeline, as a data scientist would hand it over.

It is trained on January to March and measured on each later month, so that the figures show what a model meets in real
life: a world that moves away from the one it has seen.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fairlead.demo.flights import CATEGORIES, COLUMNS, NUMBERS, TARGET, TRAINING_MONTHS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["metrics", "month_aucs", "pipeline", "train", "training_table"]


def pipeline(*, iterations: int = 100) -> Any:
    """The unfitted pipeline: impute, scale, one-hot encode, then gradient-boosted trees.

    Args:
        iterations: How many trees.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    names = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("numbers", numbers, list(NUMBERS)), ("names", names, list(CATEGORIES))])
    return Pipeline(
        [("columns", columns), ("trees", HistGradientBoostingClassifier(max_iter=iterations, random_state=0))]
    )


def training_table(table: pd.DataFrame, *, months: Sequence[int] = TRAINING_MONTHS) -> pd.DataFrame:
    """The flights of some months, the winter's if not said: `COLUMNS` and the target."""
    return table.loc[table["month"].isin(months), [*COLUMNS, TARGET]].reset_index(drop=True)


def train(table: pd.DataFrame, *, iterations: int = 100) -> Any:
    """Fit the pipeline on the rows of `table`, all of them."""
    # scikit-learn's threads otherwise spin while they wait for each other: on two busy cores the fit took 53 s, and 10 s so.
    # OpenMP reads this once, when scikit-learn is first imported; whoever has set it knows better.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return pipeline(iterations=iterations).fit(table[list(COLUMNS)], table[TARGET])


def metrics(model: Any, table: pd.DataFrame) -> dict[str, float]:
    """How well `model` tells the late flights of `table` from the others.

    Returns:
        `roc_auc`, the chance that a late flight is scored above a punctual one; `log_loss`, in nats; `accuracy` and
        `late_share`, as shares from 0 to 1.
    """
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    late = (table[TARGET] == "late").to_numpy()
    score = model.predict_proba(table[list(COLUMNS)])[:, list(model.classes_).index("late")]
    return {
        "roc_auc": float(roc_auc_score(late, score)),
        "log_loss": float(log_loss(late, score)),
        "accuracy": float(accuracy_score(late, score > 0.5)),
        "late_share": float(late.mean()),
    }


def month_aucs(model: Any, table: pd.DataFrame) -> dict[int, tuple[float, float]]:
    """For each month of `table`: the area under the ROC curve, and the share of late flights."""
    parts = ((month, metrics(model, part)) for month, part in table.groupby("month"))
    return {int(str(month)): (part["roc_auc"], part["late_share"]) for month, part in parts}
