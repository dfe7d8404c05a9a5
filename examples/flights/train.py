"""Train the model on January to March, and measure it on every later month.

    python examples/flights/train.py --to flights

Writes `model.pkl` (what `fairlead pack` takes), `winter.parquet` (the table it was trained on) and `metrics.json`; and
`roc.png`, where matplotlib is installed. The pipeline stands in `fairlead.demo.training`.
"""

from __future__ import annotations

import argparse
import json
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from fairlead.demo.flights import COLUMNS, TARGET, flights
from fairlead.demo.training import metrics, month_aucs, train, training_table


def plot_roc(model: Any, table: pd.DataFrame, path: Path) -> None:
    """Draw the ROC curve of `model` on `table` to `path`."""
    from matplotlib.figure import Figure
    from sklearn.metrics import RocCurveDisplay

    axes = Figure(figsize=(5, 5), layout="constrained").subplots()
    RocCurveDisplay.from_estimator(model, table[list(COLUMNS)], table[TARGET], pos_label="late", ax=axes)
    axes.figure.savefig(path, dpi=150)


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description="Train the flights model on January to March 2013.")
    parser.add_argument("--to", type=Path, default=Path("flights"), help="the folder to write to (default: flights)")
    parser.add_argument("--trees", type=int, default=100, help="how many trees to grow (default: 100)")
    arguments = parser.parse_args()
    folder: Path = arguments.to
    folder.mkdir(parents=True, exist_ok=True)
    table = flights()
    winter = training_table(table)
    model = train(winter, iterations=arguments.trees)
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    winter.to_parquet(folder / "winter.parquet", index=False)
    (folder / "metrics.json").write_text(json.dumps(metrics(model, winter), indent=2) + "\n")
    if find_spec("matplotlib"):
        plot_roc(model, winter, folder / "roc.png")
    print("month  AUC    late")
    for month, (auc, late) in month_aucs(model, table).items():
        print(f"{month:5}  {auc:.3f}  {late:.1%}{'  (trained on)' if month in set(winter['month']) else ''}")


if __name__ == "__main__":
    main()
