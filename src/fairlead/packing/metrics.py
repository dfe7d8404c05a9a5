"""How good the model is, as plain numbers with their source.

An author's own figures are taken as given, once each is a finite number. Where none are given they are computed on the given
table and say so: figures on the rows a model was trained on flatter it, and nobody shall mistake them for a test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fairlead.errors import InvalidInput, SchemaMismatch
from fairlead.packing.table import plain_value

__all__ = ["check_metrics", "classification_metrics", "regression_metrics", "roc_auc"]


def check_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The author's metrics as finite floats.

    Raises:
        InvalidInput: One is no number, or NaN or infinite.
    """
    checked = {}
    for name, value in metrics.items():
        plain = plain_value(value)
        if isinstance(plain, bool) or not isinstance(plain, int | float) or not math.isfinite(plain):
            raise InvalidInput(
                f"Metric {name!r} is {str(value)[:60]!r}, which is not a finite number.",
                hint="Give a number, or leave the metric out.",
                field=str(name),
            )
        checked[str(name)] = float(plain)
    return checked


def classification_metrics(
    target: Sequence[Any],
    labels: Sequence[Any],
    probabilities: np.ndarray[Any, np.dtype[np.float64]] | None,
    classes: Sequence[Any],
) -> dict[str, float]:
    """Accuracy, log loss in nats and, for two classes, the area under the ROC curve.

    Args:
        target: What was true, one label a row.
        labels: What the model says.
        probabilities: `[rows, classes]`, `None` where the model gives none.
        classes: In the order of the probabilities.

    Raises:
        SchemaMismatch: The target holds a label that is not one of the classes.
    """
    position = {value: index for index, value in enumerate(classes)}
    truth = [plain_value(value) for value in target]
    for row, value in enumerate(truth):
        if value not in position:
            raise SchemaMismatch(
                f"The target is {value!r} in row {row}, which is not one of the model's classes: {list(classes)[:10]!r}.",
                hint="Give the target the model was trained on.",
                row=row,
                field="target",
                got=value,
            )
    metrics = {"accuracy": float(np.mean([plain_value(said) == was for said, was in zip(labels, truth, strict=True)]))}
    if probabilities is None:
        return metrics
    index = np.array([position[value] for value in truth])
    if len(classes) == 2 and 0 < index.sum() < len(index):
        metrics["roc_auc"] = roc_auc(index == 1, probabilities[:, 1])
    floor = np.finfo(np.float64).eps
    metrics["log_loss"] = float(-np.mean(np.log(np.clip(probabilities[np.arange(len(index)), index], floor, 1.0))))
    return metrics


def regression_metrics(target: Sequence[Any], values: Sequence[Any]) -> dict[str, float]:
    """Mean absolute error and root mean squared error in the target's unit, and R² where the target varies.

    Raises:
        InvalidInput: The target is no number.
    """
    try:
        truth = np.asarray(list(target), dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise InvalidInput("The target of a regression has to be numbers.", hint="Name the column of numbers.") from err
    error = np.asarray(list(values), dtype=np.float64) - truth
    metrics = {"mae": float(np.mean(np.abs(error))), "rmse": float(np.sqrt(np.mean(error**2)))}
    spread = float(np.sum((truth - truth.mean()) ** 2))
    if spread > 0:
        metrics["r2"] = float(1 - np.sum(error**2) / spread)
    return metrics


def roc_auc(positive: np.ndarray[Any, np.dtype[np.bool_]], scores: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """The share of pairs (positive, negative) that the scores order rightly, ties counting half.

    The Mann-Whitney form of the area under the ROC curve (Hanley and McNeil, Radiology 143, 1982), from mean ranks.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(positive.sum())
    negatives = len(positive) - positives
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
