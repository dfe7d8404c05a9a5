"""An event log of flights that were answered on two days of 2023, for tests of what is exported of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Feedback, Prediction

DAY = 86_400.0
MONDAY = 1_700_006_400.0 - 2 * DAY
"""2023-11-13, midnight UTC."""

INPUTS = ("temp", "carrier", "hour", "weekend")
CLASSES = ("on time", "late")


class Flight(NamedTuple):
    temp: float | None
    carrier: str | None
    hour: int
    weekend: bool


def flights(count, seed, warmer=0.0):
    """Rows with some entries missing."""
    rng = np.random.default_rng(seed)
    return [
        Flight(
            None if rng.random() < 0.05 else float(rng.normal(50 + warmer, 10)),
            None if rng.random() < 0.02 else str(rng.choice(["UA", "B6", "DL"], p=[0.5, 0.3, 0.2])),
            int(rng.integers(5, 24)),
            bool(rng.random() < 0.3),
        )
        for _ in range(count)
    ]


def predictions(rows, start, model="flights:1", status="ok"):
    """One answer every two seconds; the score of "late" rises with the hour."""
    for place, row in enumerate(rows):
        score = row.hour / 24
        yield Prediction(
            f"{model}-{start:.0f}-{place}",
            start + 2.0 * place,
            "flights",
            model,
            "stable",
            None,
            status,
            0.001,
            tuple(row) if status == "ok" else None,
            CLASSES[score > 0.5] if status == "ok" else None,
            (1 - score, score) if status == "ok" else None,
            (),
        )


def write(folder, answers, *, columns=None, labels=()):
    """Append answers of one version, then labels by id."""
    answers = list(answers)
    log = EventLog(folder, f"test{len(list(folder.glob('*/*')))}")
    log.append(columns or Columns(answers[0].model, "0" * 64, INPUTS, CLASSES), answers)
    told = [Feedback(one, MONDAY + 5 * DAY, "flights", label) for one, label in labels]
    if told:
        log.note(told)
    log.close()
