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

from fairlead.columns import Names

__all__ = ["Known", "Labelled", "class_positions", "known", "score_table"]

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Labelled(msgspec.Struct, frozen=True):
    """All answered rows of a window, with and without a label.

    Attributes:
        labels: What proved true, a row each. For classes names as `schema.label_text` writes them, missing where there is none yet; else
            doubles, NaN where there is none.
        predictions: What was said, likewise.
        scores: The probability of each class, by the class's text; empty where the model gives none.
        classes: Their texts in the schema's order, the second of two is the positive one; empty for regression.
    """

    labels: Names | Floats
    predictions: Names | Floats
    scores: Mapping[str, Floats] = {}
    classes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many were answered."""
        said = self.predictions
        return len(said.codes if isinstance(said, Names) else said)

    @property
    def numbers(self) -> Floats:
        """The predictions of a regression."""
        return _numbers(self.predictions)


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


def class_positions(values: Names | Floats, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Where each name stands among the classes; -1 for what is none of them."""
    if not isinstance(values, Names):
        return np.full(len(values), -1, np.int64)
    places = {name: place for place, name in enumerate(classes)}
    # The last entry is for what is missing, whose code is -1.
    of_code = np.array([*(places.get(str(one), -1) for one in values.values), -1], np.int64)
    found: NDArray[np.int64] = of_code[values.codes]
    return found


def _numbers(values: Names | Floats) -> Floats:
    if isinstance(values, Names):
        return np.full(len(values.codes), np.nan)
    return values.astype(np.float64, copy=False)


def score_table(labelled: Labelled) -> tuple[Floats, ...]:
    """The scores in the order of the classes; of two, one gives the other; empty where any is missing."""
    found, classes = dict(labelled.scores), labelled.classes
    if len(classes) == 2:
        for one, other in (classes, classes[::-1]):
            if one in found and other not in found:
                found[other] = 1.0 - found[one]
    return tuple(found[one] for one in classes) if all(one in found for one in classes) else ()


def _classes_known(labelled: Labelled) -> Known:
    labels, places = labelled.labels, class_positions(labelled.labels, labelled.classes)
    scores, odd = score_table(labelled), []
    has = labels.codes >= 0 if isinstance(labels, Names) else np.zeros(len(labels), np.bool_)
    strange = has & (places < 0)
    if isinstance(labels, Names) and strange.any():
        names = sorted(str(labels.values[code]) for code in np.unique(labels.codes[strange]).tolist())
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
    truth, said = _numbers(labelled.labels), labelled.numbers
    has = ~np.isnan(truth)
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
