"""How fast is a table scored, and in how much memory? `fairlead batch` beside pandas and the pipeline itself.

    python benchmarks/batch.py [--rows 3000000] [--rounds 3]

The year of flights is repeated to the number of rows and written as Parquet in a temporary folder. Both sides read that file and answer every row
on all cores: Fairlead by its command, as a user runs it, with its start and the writing of the answers; the peer by
`pandas.read_parquet` of a hundred thousand rows at a time (pyarrow's batches) and `pipeline.predict_proba`, without writing anything. The answers
are compared. Memory is the peak of what the process and those it has started have in memory together, looked at ten times a second (VmRSS of each, so
that pages they share count more than once), and at least the peak of the process itself, from `wait4`.

The sides take turns, and each round has its own ratio, because the machine's pace changes from minute to minute; the median round is the result.
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
import numpy as np, pyarrow.parquet as pq
from fairlead.demo.flights import COLUMNS
model = pickle.load(open(sys.argv[1], "rb"))
late = list(model.classes_).index("late")
found = [
    model.predict_proba(batch.to_pandas())[:, late]
    for batch in pq.ParquetFile(sys.argv[2]).iter_batches(100_000, columns=list(COLUMNS))
]
np.save(sys.argv[3], np.concatenate(found))
"""


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
    """Measure both, and print a table."""
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
        table, out = str(folder / "in.parquet"), str(folder / "out.parquet")
        program = [sys.executable, "-m", "fairlead.cli.main", "--home", str(folder / "home")]
        asked = [sys.executable, "-c", _PEER, str(folder / "model.pkl"), table, str(folder / "peer.npy")]
        rounds = [
            (measure([*program, "batch", "flights:1", table, out, "--overwrite"]), measure(asked))
            for _ in range(given.rounds)
        ]
        ratios = sorted(peer.seconds / ours.seconds for ours, peer in rounds)
        median = statistics.median_low(ratios)
        ours, peer = next((ours, peer) for ours, peer in rounds if peer.seconds / ours.seconds == median)
        print("| | rows/s | seconds | CPU µs a row | peak memory MB |\n|---|--:|--:|--:|--:|")
        for label, one in (("fairlead batch", ours), ("pandas + predict_proba", peer)):
            print(
                f"| {label} | {rows / one.seconds:,.0f} | {one.seconds:.1f} | {one.cpu / rows * 1e6:.2f} | {one.memory:,.0f} |"
            )
        told = ", ".join(f"{one:.2f}" for one in ratios)
        print(f"\n{median:.1f} times (rounds: {told}); largest difference of a probability {compare(folder):.1e}")


if __name__ == "__main__":
    main()
