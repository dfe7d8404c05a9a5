"""The script that makes Evidently's report, as it is written beside the tables; it runs where Evidently is, which is not here."""

from __future__ import annotations

from typing import Final

__all__ = ["BODY"]

BODY: Final = '''"""Evidently's report on the answers in current.parquet. Made by `fairlead export evidently`.

    python report.py          held against reference.parquet, which lies beside it
    python report.py TABLE    or against a table of yours (.parquet, .csv) with the same columns
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("DO_NOT_TRACK", "1")

import pandas as pd
from evidently import BinaryClassification, DataDefinition, Dataset, MulticlassClassification, Regression, Report
from evidently.presets import DataDriftPreset

# FACTS
HERE = Path(__file__).resolve().parent


def table(path):
    """A table in which names are text: 3 and 3.0, True and true are one."""
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    for name in frame.columns.intersection(NAMES):
        text = frame[name].convert_dtypes().astype("string")
        frame[name] = text.astype(object).where(text.notna(), None)
    return frame


def shared(names, current, reference):
    """The columns that have values in both tables: Evidently stops at one that has none."""
    return [name for name in names if all(name in one and one[name].notna().any() for one in (current, reference))]


def task(numbers, names):
    """What the model does, as far as both tables know what it said and what proved true."""
    known = {*numbers, *names}
    if not {PREDICTION, TARGET} <= known:
        return {}
    if TASK == "regression":
        return {"regression": [Regression(target=TARGET, prediction=PREDICTION)]}
    if TASK == "binary":
        score = SCORES.get(POSITIVE)
        score = score if score in known else None
        one = BinaryClassification(target=TARGET, prediction_labels=PREDICTION, prediction_probas=score, pos_label=POSITIVE)
    else:
        one = MulticlassClassification(target=TARGET, prediction_labels=PREDICTION)
    return {"classification": [one]}


def main(path):
    current, reference = table(HERE / "current.parquet"), table(path)
    numbers, names = shared(NUMBERS, current, reference), shared(NAMES, current, reference)
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=names, **task(numbers, names))
    data = [Dataset.from_pandas(one[numbers + names], data_definition=definition) for one in (current, reference)]
    snapshot = Report([DataDriftPreset()], metadata={"title": TITLE}).run(*data)
    snapshot.save_html(str(HERE / "report.html"))
    for metric in snapshot.dict()["metrics"]:
        print(metric["metric_name"], metric["value"])


if __name__ == "__main__":
    reference = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "reference.parquet"
    if not reference.is_file():
        sys.exit(f"{reference} is not there: say what the answers are held against: report.py TABLE")
    main(reference)
'''
