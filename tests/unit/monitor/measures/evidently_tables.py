"""Twenty pairs of tables, and what Evidently's default says of each column of them.

    python tests/unit/monitor/measures/evidently_tables.py    # where Evidently is installed: writes evidently_expected.json anew

The generator is numpy's frozen one, so the tables are the same for ever.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

EXPECTED = Path(__file__).with_name("evidently_expected.json")
"""Evidently 0.7.23 with pandas 2.3.3 and scipy 1.17.1; the method, and the p-value or distance."""


def tables():
    """Pairs of reference and current, around the size where the rules change."""
    for seed in range(20):
        random = np.random.RandomState(seed)
        rows, reference_rows = (50, 400, 1000, 2500)[seed % 4], (60, 300, 999, 1000, 1001, 1500, 4000)[seed % 7]
        shift = (0, 0, 0.1, 0.25, 0.6)[seed % 5]
        yield table(random, reference_rows, 0.0, new=False), table(random, rows, shift, new=seed % 3 == 0)


def table(random, rows, shift, *, new):
    weights = 1 / np.arange(1, 31)
    named = random.choice(["p", "q", "r"], rows).astype(object)
    named[random.rand(rows) < 0.05] = None
    named[:3] = "new" if new else "p"
    drawn = {
        "normal": random.normal(shift, 1, rows),
        "skewed": random.lognormal(shift / 2, 1, rows),
        "gaps": np.where(random.rand(rows) < 0.1, np.nan, random.normal(shift, 2, rows)),
        "infinite": np.where(random.rand(rows) < 0.02, np.inf, random.normal(0, 1, rows)),
        "five_doubles": random.choice(np.arange(5.0), rows, p=[0.2 + shift / 10, 0.2 - shift / 10, 0.2, 0.2, 0.2]),
        "seven_doubles": random.choice(np.arange(7.0), rows),
        "seven_whole": random.choice(np.arange(7), rows).astype(np.int64),
        "two_whole": (random.rand(rows) < 0.3 + shift / 10).astype(np.int64),
        "many_whole": random.poisson(10 + shift, rows).astype(np.int64),
        "flag": random.rand(rows) < 0.5 + shift / 8,
        "constant": np.full(rows, 3.0),
        "three": random.choice(["a", "b", "c"], rows, p=[0.5 - shift / 5, 0.3 + shift / 5, 0.2]),
        "two": random.choice(["x", "y"], rows, p=[0.5 - shift / 8, 0.5 + shift / 8]),
        "thirty": random.choice([f"l{one}" for one in range(30)], rows, p=weights / weights.sum()),
        "named_gaps": named,
    }
    return pd.DataFrame(drawn)


def asked():
    """What Evidently itself says of every pair."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for reference, current in tables():
            found = Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]
            configs = [(one["config"], one["value"]) for one in found if "column" in one["config"]]
            said.append({config["column"]: [config["method"], float(value)] for config, value in configs})
    return said


if __name__ == "__main__":
    EXPECTED.write_text(json.dumps(asked(), indent=1) + "\n")
