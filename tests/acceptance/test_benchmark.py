"""The benchmark's smoke run: it starts every server, checks every answer and prints the table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_benchmark_compares_every_server_with_the_model_and_prints_the_table():
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None and os.environ.get("CI") != "true":
            pytest.skip(f"{program} is not installed")
    if not {0, 1} <= os.sched_getaffinity(0):
        pytest.skip("the benchmark needs cores 0 and 1")
    command = [sys.executable, str(ROOT / "benchmarks" / "serving_overhead.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    for server in (
        "Fairlead",
        "FastAPI + joblib",
        "FastAPI + onnxruntime",
        "Flask + gunicorn + joblib",
        "httptools echo",
    ):
        assert f"| {server}" in done.stdout
    assert "- Fairlead: largest difference" in done.stdout
    assert "0 of 100 labels flipped" in done.stdout
