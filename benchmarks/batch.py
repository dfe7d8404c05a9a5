"""How fast is a table scored, and in how much memory? `fairlead batch` beside pandas and the pipeline itself.

    python benchmarks/batch.py [--rows 3000000] [--rounds 3]

The year of flights is repeated to the number of rows and written as Parquet in a temporary folder. All sides read that file and answer every row
on all cores: Fairlead by its command, as a user runs it, with its start and the writing of the answers; the peers by `pipeline.predict_proba` of a
hundred thousand rows at a time, without writing anything. One reads the table with `pandas.read_parquet`; the other takes it from pyarrow batch
by batch, so that it never holds all of it. Both read the model's columns alone. The answers are compared. Memory is the peak of what the process and those it has started have in memory together,
looked at ten times a second (VmRSS of each, so that pages they share count more than once), and at least the peak of the process itself, from `wait4`.

The sides take turns, and each round has its own ratio, because the machine's pace changes from minute to minute; the median counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

_PEER = """
import pickle, sys
import numpy as np, pandas as pd, pyarrow.parquet as pq
from fairlead.demo.flights import COLUMNS
model = pickle.load(open(sys.argv[1], "rb"))
late = list(model.classes_).index("late")
def frames():
    if sys.argv[4] == "whole":
        table = pd.read_parquet(sys.argv[2], columns=list(COLUMNS))
        for start in range(0, len(table), 100_000):
            yield table.iloc[start : start + 100_000]
        return
    for batch in pq.ParquetFile(sys.argv[2]).iter_batches(100_000, columns=list(COLUMNS)):
        yield batch.to_pandas()
np.save(sys.argv[3], np.concatenate([model.predict_proba(frame)[:, late] for frame in frames()]))
"""
OURS = "fairlead batch"
PEERS = {"pandas.read_parquet + predict_proba": "whole", "pyarrow's batches + predict_proba": "batches"}


class Measured(NamedTuple):
    """One process and those it started: seconds on the clock, seconds of CPU, peak memory in MB."""

    seconds: float
    cpu: float
    memory: float


def measure(command: list[str]) -> Measured:
    """Run a command to its end.

    Raises:
        RuntimeError: It failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    ended, seen = threading.Event(), [0.0]

    def look() -> None:
        while not ended.wait(0.1):
            seen.append(resident(process.pid))

    beside = threading.Thread(target=look)
    beside.start()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    ended.set()
    beside.join()
    peak = max(seen)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return Measured(seconds, used.ru_utime + used.ru_stime, max(peak, used.ru_maxrss / 1024))


def resident(pid: int) -> float:
    """The resident memory of a process and its descendants, in MB; 0 of one that has ended."""
    try:
        told = Path(f"/proc/{pid}/status").read_text()
        children = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except OSError:
        return 0.0
    lines = [line for line in told.splitlines() if line.startswith("VmRSS")]
    own = int(lines[0].split()[1]) / 1024 if lines else 0.0
    return own + sum(resident(int(child)) for child in children)


def prepare(folder: Path, rows: int) -> None:
    """Train, pack, and write the long table."""
    import pickle

    import pyarrow as pa
    import pyarrow.parquet as pq

    import fairlead
    from fairlead.demo.flights import flights
    from fairlead.demo.training import train, training_table

    year = flights()
    training = training_table(year)
    model = train(training)
    fairlead.pack(model, name="flights", data=training, target="late", home=folder / "home")
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    table = pa.Table.from_pandas(year, preserve_index=False)
    with pq.ParquetWriter(folder / "in.parquet", table.schema) as writer:
        while rows > 0:
            writer.write_table(table.slice(0, rows))
            rows -= len(table)


def compare(folder: Path) -> float:
    """The largest difference between the two sides' probabilities."""
    import numpy as np
    import pyarrow.parquet as pq

    ours = pq.read_table(folder / "out.parquet", columns=["probability_late"])["probability_late"].to_numpy()
    return float(np.abs(ours - np.load(folder / "peer.npy")).max())


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    rows = given.rows
    if given.prepare is not None:
        prepare(given.prepare, rows)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory begins with what its parent had when it was forked.
        measure([sys.executable, __file__, "--rows", str(rows), "--prepare", name])
        commands = _commands(folder)
        rounds = [{label: measure(command) for label, command in commands.items()} for _ in range(given.rounds)]
        print(_table(rounds, rows))
        print(f"\nThe largest difference of a probability is {compare(folder):.1e}.")


def _commands(folder: Path) -> dict[str, list[str]]:
    """What each side runs."""
    table, out, found = (str(folder / name) for name in ("in.parquet", "out.parquet", "peer.npy"))
    program = [sys.executable, "-m", "fairlead.cli.main", "--home", str(folder / "home")]
    peers = {
        label: [sys.executable, "-c", _PEER, str(folder / "model.pkl"), table, found, how]
        for label, how in PEERS.items()
    }
    return {OURS: [*program, "batch", "flights:1", table, out, "--overwrite"], **peers}


def _table(rounds: list[dict[str, Measured]], rows: int) -> str:
    """Medians; what a peer takes as often as we do, by the round."""
    lines = [
        "| | rows/s | seconds | CPU µs a row | peak memory MB | times ours, by round |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for label in rounds[0]:
        seconds, cpu, memory = (
            statistics.median(getattr(one[label], figure) for one in rounds) for figure in ("seconds", "cpu", "memory")
        )
        ratios = sorted(one[label].seconds / one[OURS].seconds for one in rounds)
        told = f"**{statistics.median(ratios):.2f}** ({', '.join(f'{one:.2f}' for one in ratios)})"
        lines.append(
            f"| {label} | {rows / seconds:,.0f} | {seconds:.1f} | {cpu / rows * 1e6:.2f} | {memory:,.0f} | {'' if label == OURS else told} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
