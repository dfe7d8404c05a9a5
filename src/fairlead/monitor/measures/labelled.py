"""Answers with what proved true of them, as arrays: what model quality is measured and estimated on.

```
frames of a window ─▶ Labelled ─▶ sorted out ─▶ Known: rows whose label the model could have said
                                        └─▶ what was odd, in words
```
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Known", "Labelled", "class_positions", "known", "score_table"]

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Labelled(msgspec.Struct, frozen=True):
    """All answered rows of a window, with and without a label.

    Attributes:
        labels: What proved true, a row each. Classes as `schema.label_text` writes them, `None` where there is none yet; numbers as
            doubles, NaN where there is none.
        predictions: What was said, likewise.
        scores: The probability of each class, by the class's text; empty where the model gives none.
        classes: Their texts in the schema's order, the second of two is the positive one; empty for regression.
    """

    labels: Array
    predictions: Array
    scores: Mapping[str, Floats] = {}
    classes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many were answered."""
        return len(self.predictions)


class Known(msgspec.Struct, frozen=True):
    """The rows that quality is measured on.

    Attributes:
        truth: For classes, positions in `classes`; for regression, numbers.
        said: Likewise; -1 for what is no class.
        scores: One array for each class; empty where there are none.
        labels: How many answered rows have a label at all.
        rows: How many rows were answered.
        odd: What was left out, half a sentence each.
    """

    truth: Array
    said: Array
    scores: tuple[Floats, ...]
    labels: int
    rows: int
    odd: tuple[str, ...]

    @property
    def coverage(self) -> float:
        """The share of answered rows that have a label, 0 to 1."""
        return self.labels / self.rows if self.rows else 0.0


def known(labelled: Labelled) -> Known:
    """Sort out the rows whose label can be used. Raises nothing, whatever the rows hold."""
    return _classes_known(labelled) if labelled.classes else _numbers_known(labelled)


def class_positions(values: Array, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Where each text stands among the classes; -1 for what is none of them."""
    places = _Places((name, place) for place, name in enumerate(classes))
    return np.fromiter(map(places.__getitem__, values.tolist()), np.int64, len(values))


class _Places(dict[str, int]):
    """Where each class stands; what is none stands at -1. A lookup without a call of ours, since every row has two."""

    def __missing__(self, _: object) -> int:
        return -1


def score_table(labelled: Labelled) -> tuple[Floats, ...]:
    """The scores in the order of the classes; of two, one gives the other; empty where any is missing."""
    found, classes = dict(labelled.scores), labelled.classes
    if len(classes) == 2:
        for one, other in (classes, classes[::-1]):
            if one in found and other not in found:
                found[other] = 1.0 - found[one]
    return tuple(found[one] for one in classes) if all(one in found for one in classes) else ()


def _has(labelled: Labelled) -> NDArray[np.bool_]:
    """Which rows have a label."""
    if labelled.classes:
        has: NDArray[np.bool_] = np.not_equal(labelled.labels, np.array(None, object)).astype(np.bool_)
        return has
    return ~np.isnan(labelled.labels.astype(np.float64))


def _classes_known(labelled: Labelled) -> Known:
    has, places = _has(labelled), class_positions(labelled.labels, labelled.classes)
    scores, odd = score_table(labelled), []
    strange = has & (places < 0)
    if strange.any():
        names = sorted({str(one) for one in labelled.labels[strange][:1000].tolist()})
        odd.append(f"{_count(strange, 'label')} no class of the model ({_named(names)})")
    keep = has & (places >= 0)
    if scores:
        unscored = keep & ~np.all([np.isfinite(one) for one in scores], axis=0)
        if unscored.any():
            odd.append(f"{_count(unscored, 'labelled row')} without a score")
        keep &= ~unscored
    said = class_positions(labelled.predictions, labelled.classes)
    return Known(
        places[keep], said[keep], tuple(one[keep] for one in scores), int(has.sum()), labelled.rows, tuple(odd)
    )


def _numbers_known(labelled: Labelled) -> Known:
    has = _has(labelled)
    truth, said = labelled.labels.astype(np.float64), labelled.predictions.astype(np.float64)
    usable = np.isfinite(truth) & np.isfinite(said)
    odd = []
    if (has & ~usable).any():
        odd.append(f"{_count(has & ~usable, 'labelled row')} not finite in label or prediction")
    keep = has & usable
    return Known(truth[keep], said[keep], (), int(has.sum()), labelled.rows, tuple(odd))


def _count(which: NDArray[np.bool_], noun: str) -> str:
    count = int(which.sum())
    return f"{count:,} {noun} is" if count == 1 else f"{count:,} {noun}s are"


def _named(names: list[str]) -> str:
    shown = ", ".join(f'"{one[:40]}"' for one in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
