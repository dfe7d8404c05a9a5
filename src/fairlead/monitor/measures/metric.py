"""The metrics of model quality: what each is called, which way is better, and how all are measured at once.

```
known labels ───────▶ Outcomes ─┐
calibrated scores ──▶ Outcomes ─┼─▶ measure ─▶ {name: Estimate}
bins of a profile ──▶ Outcomes ─┘
```

A row's truth may be a probability (`stats/estimates.py`), so the same lines measure what is known, what is expected and what was counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from fairlead.stats.confusion import (
    count_confusion,
    f1_influence,
    precision_influence,
    recall_influence,
)
from fairlead.stats.estimates import (
    Estimate,
    Influence,
    Numbers,
    averaged,
    from_influence,
    mean_influence,
    proportion,
    summed,
)
from fairlead.stats.ranking import average_precision, ranked, roc_auc, roc_auc_influence
from fairlead.stats.residuals import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_error,
    r_squared,
    root_mean_square,
)

__all__ = ["METRICS", "Measured", "Metric", "Outcomes", "canonical", "measure_classes", "measure_numbers", "metric_of"]

Measured = dict[str, Estimate | None]
"""By the metric's name, "roc_auc" or "recall of UA"; `None` where the rows do not allow it."""

_SHOWN_CLASSES: Final = 20
_MOST_CLASSES: Final = 50
"""Beyond so many classes a mean over them costs more than it tells; accuracy and the losses go on."""


class Metric(msgspec.Struct, frozen=True):
    """A metric.

    Attributes:
        text: For people.
        better: Which way; "zero" for a mean error, whose distance from 0 counts.
        relative: A loss counts as a share of the reference's value.
        needs: What rows it needs, for people.
    """

    text: str
    better: Literal["high", "low", "zero"] = "high"
    relative: bool = False
    needs: str = "rows with a label"


_BOTH: Final = "labels of both classes"
METRICS: Final[Mapping[str, Metric]] = {
    "roc_auc": Metric("ROC-AUC", needs=_BOTH),
    "average_precision": Metric("average precision", needs=_BOTH),
    "accuracy": Metric("accuracy"),
    "precision": Metric("precision", needs="rows that are called positive"),
    "recall": Metric("recall", needs="positive labels"),
    "specificity": Metric("specificity", needs="negative labels"),
    "f1": Metric("F1", needs="rows that are positive or called so"),
    "log_loss": Metric("log loss", "low", relative=True),
    "brier": Metric("Brier score", "low", relative=True),
    "macro_roc_auc": Metric("mean ROC-AUC of the classes", needs="labels of two classes"),
    "macro_precision": Metric("mean precision of the classes"),
    "macro_recall": Metric("mean recall of the classes"),
    "macro_f1": Metric("mean F1 of the classes"),
    "mae": Metric("mean absolute error", "low", relative=True),
    "rmse": Metric("root mean square error", "low", relative=True),
    "mape": Metric("mean absolute percentage error", "low", relative=True, needs="labels that are not 0"),
    "r2": Metric("R²", needs="labels that differ"),
    "mean_error": Metric("mean error", "zero", relative=True),
}

_ALSO: Final[Mapping[str, str]] = {
    "auc": "roc_auc", "roc_auc_score": "roc_auc", "auroc": "roc_auc", "ap": "average_precision", "pr_auc": "average_precision",
    "average_precision_score": "average_precision", "auprc": "average_precision", "acc": "accuracy",
    "accuracy_score": "accuracy", "f1_score": "f1", "precision_score": "precision", "recall_score": "recall",
    "sensitivity": "recall", "logloss": "log_loss", "cross_entropy": "log_loss", "brier_score": "brier",
    "brier_score_loss": "brier", "roc_auc_ovr": "macro_roc_auc", "f1_macro": "macro_f1", "precision_macro": "macro_precision",
    "recall_macro": "macro_recall", "balanced_accuracy": "macro_recall", "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse", "mean_absolute_percentage_error": "mape", "r2_score": "r2", "r_squared": "r2",
}  # fmt: skip


class Outcomes(msgspec.Struct, frozen=True):
    """Rows of a classification.

    Attributes:
        classes: Their texts; the second of two is positive.
        said: Positions in `classes`; -1 for what is none.
        scores: One array for each class; empty where there are none.
        truth: Tells for a class's position how probable it is that each row is of it.
        weights: How many rows each stands for.
    """

    classes: tuple[str, ...]
    said: NDArray[np.int64]
    scores: tuple[Numbers, ...]
    truth: Callable[[int], Numbers]
    weights: Numbers


def metric_of(name: str) -> Metric:
    """The metric behind a name; of a class, "recall of UA", with the class in its text."""
    short, of, one = name.partition(" of ")
    found = METRICS[short]
    return msgspec.structs.replace(found, text=f'{found.text} of "{one}"') if of else found


def canonical(name: str, *, binary: bool = True) -> str | None:
    """Our name of a metric that an author has named; `None` where it is none of ours, or it is not sure what is meant.

    Args:
        name: As the author wrote it: "Test ROC-AUC".
        binary: Whether there are two classes, or the task is regression. Of more than two, "f1" may be one of three numbers.
    """
    plain = re.sub(r"[\W_]+", "_", re.sub(r"\(.*?\)", "", name).strip().lower()).strip("_")
    plain = re.sub(r"^(test|val|valid|validation|holdout|cv|oof)_", "", plain)
    found = _ALSO.get(plain, plain)
    if found not in METRICS or (not binary and found in {"roc_auc", "average_precision", "precision", "recall", "f1"}):
        return None
    return found


def measure_classes(rows: Outcomes) -> Measured:
    """All metrics of a classification."""
    return _binary(rows) if len(rows.classes) == 2 else _many(rows)


def measure_numbers(truth: Numbers, said: Numbers) -> Measured:
    """All metrics of a regression."""
    return {
        "mae": mean_absolute_error(truth, said),
        "rmse": root_mean_square(averaged((said - truth) ** 2)),
        "mape": mean_absolute_percentage_error(truth, said)[0],
        "r2": r_squared(truth, said),
        "mean_error": mean_error(truth, said),
    }


def _binary(rows: Outcomes) -> Measured:
    truth, weights = rows.truth(1), rows.weights
    counts = count_confusion(truth, (rows.said == 1).astype(np.float64), weights)
    found: Measured = {}
    if rows.scores:
        scores = ranked(rows.scores[1])
        found["roc_auc"] = roc_auc(truth, scores, weights)
        found["average_precision"] = average_precision(truth, scores, weights)
    found |= {
        "accuracy": counts.accuracy(),
        "precision": counts.precision(),
        "recall": counts.recall(),
        "specificity": counts.specificity(),
        "f1": counts.f1(),
    }
    return found | _losses(rows)


def _many(rows: Outcomes) -> Measured:
    """More than two classes, or one: accuracy, the losses, the means over classes, and each class against the rest."""
    weights, right = rows.weights, 0.0
    for place in range(len(rows.classes)):
        right += summed(weights, rows.truth(place) * (rows.said == place))
    found: Measured = {"accuracy": proportion(right, float(weights.sum()))}
    if len(rows.classes) <= _MOST_CLASSES:
        found |= _means(rows)
    return found | _losses(rows) | _each(rows)


def _means(rows: Outcomes) -> Measured:
    """Means over the classes that were true or said, as scikit-learn's `average="macro"`; the area over those that it exists for."""
    truths = [rows.truth(place) for place in range(len(rows.classes))]
    said = [(rows.said == place).astype(np.float64) for place in range(len(rows.classes))]
    there = [place for place in range(len(truths)) if (truths[place].any() or said[place].any())]
    found: Measured = {}
    for name, influence in (
        ("macro_precision", precision_influence),
        ("macro_recall", recall_influence),
        ("macro_f1", f1_influence),
    ):
        parts = [influence(truths[place], said[place], rows.weights) for place in there]
        found[name] = _mean(parts, [truths[place] for place in there], rows.weights)
    if rows.scores:
        areas = {
            place: area
            for place, (truth, scores) in enumerate(zip(truths, rows.scores, strict=True))
            if (area := roc_auc_influence(truth, scores, rows.weights)) is not None
        }
        found["macro_roc_auc"] = _mean([*areas.values()], [truths[place] for place in areas], rows.weights)
    return found


def _mean(parts: list[Influence], truths: list[Numbers], weights: Numbers) -> Estimate | None:
    if not parts:
        return None
    value, variance = mean_influence(parts, truths, weights)
    return from_influence(value, variance, float(weights.sum()), "logit")


def _each(rows: Outcomes) -> Measured:
    """Each class against the rest; where there are many, the most frequent."""
    sizes = [summed(rows.weights, rows.truth(place)) for place in range(len(rows.classes))]
    shown = sorted(sorted(range(len(sizes)), key=lambda place: -sizes[place])[:_SHOWN_CLASSES])
    found: Measured = {}
    for place in shown:
        name, truth = rows.classes[place], rows.truth(place)
        counts = count_confusion(truth, (rows.said == place).astype(np.float64), rows.weights)
        found |= {
            f"precision of {name}": counts.precision(),
            f"recall of {name}": counts.recall(),
            f"f1 of {name}": counts.f1(),
        }
        if rows.scores:
            found[f"roc_auc of {name}"] = roc_auc(truth, rows.scores[place], rows.weights)
    return found


def _losses(rows: Outcomes) -> Measured:
    """Log loss in nats, scores clipped as scikit-learn does; Brier's score, for two classes of the positive one alone."""
    if not rows.scores:
        return {}
    tiny = float(np.finfo(np.float64).eps)
    log, log_squared = np.zeros(len(rows.weights)), np.zeros(len(rows.weights))
    all_squares = np.zeros(len(rows.weights))
    for place, scores in enumerate(rows.scores):
        truth, loss = rows.truth(place), -np.log(np.clip(scores, tiny, 1 - tiny))
        log += truth * loss
        log_squared += truth * loss**2
        all_squares += scores**2
    brier, brier_squared = np.zeros(len(rows.weights)), np.zeros(len(rows.weights))
    half = 0.5 if len(rows.classes) == 2 else 1.0
    for place, scores in enumerate(rows.scores):
        # Of a row of this class: Σ s² − 2s + 1.
        own = half * (all_squares - 2 * scores + 1)
        brier += rows.truth(place) * own
        brier_squared += rows.truth(place) * own**2
    return {
        "log_loss": averaged(log, rows.weights, log_squared),
        "brier": averaged(brier, rows.weights, brier_squared),
    }
