"""Evidently's DataDriftPreset over two Parquet files, timed: run by drift.py, under a Python that has Evidently and pandas.

Prints JSON: CPU seconds of each run, resident memory in MB before and at the peak.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def main() -> None:
    """Two paths and a number of runs, as arguments."""
    warnings.simplefilter("ignore")
    reference, current = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = []
    for _ in range(int(sys.argv[3])):
        began = time.process_time()
        Report([DataDriftPreset()]).run(current, reference)
        spent.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": spent, "before": before, "peak": peak}))


if __name__ == "__main__":
    main()
