"""Evidently's DataDriftPreset over two Parquet files, timed: run by drift.py, under a Python that has Evidently and pandas.

Prints JSON: CPU seconds of each run, resident memory in MB before and at the peak.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def main() -> None:
    """Two paths and a number of runs, as arguments."""
    warnings.simplefilter("ignore")
    reference, current = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
    before = peak()
    spent = []
    for _ in range(int(sys.argv[3])):
        began = time.process_time()
        Report([DataDriftPreset()]).run(current, reference)
        spent.append(time.process_time() - began)
    print(json.dumps({"cpu": spent, "before": before, "peak": peak()}))


def peak() -> float:
    """The most memory this process has held, in MB."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
