"""What does it cost to say what has drifted? 100,000 rows of 20 numbers and 5 names, held against as many.

    .venv/bin/python benchmarks/drift.py --evidently PYTHON    # PYTHON: an interpreter that has Evidently (and pandas < 3)
    .venv/bin/python benchmarks/drift.py --stream 20000000     # two Parquet files of so many rows and 10 columns

Each contender runs in a process of its own on the same files, three times, and the median counts. CPU is the process's own, of all its
threads; reading the files is not in it. Memory is the peak of the process, and how much of that is beyond what it held when the
tables were read.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

RUNS = 3
PEER = Path(__file__).parent / "peers" / "evidently_drift.py"


def drawn(random: np.random.Generator, rows: int, numbers: int = 20, names: int = 5) -> pl.DataFrame:
    """A table; every fourth column of numbers is skewed, the names have 3 to 300 levels."""
    columns: dict[str, Any] = {}
    for place in range(numbers):
        values = random.normal(size=rows)
        columns[f"number{place}"] = np.exp(values) if place % 4 == 0 else values
    for place in range(names):
        levels = (3, 10, 30, 100, 300)[place % 5]
        columns[f"name{place}"] = pl.Series(random.integers(0, levels, rows)).cast(pl.String)
    return pl.DataFrame(columns)


def exactly(reference: Path, current: Path) -> Callable[[], object]:
    """`fairlead.drift` on two pandas frames, as one gives them to Evidently."""
    import pandas as pd

    import fairlead

    ours, theirs = pd.read_parquet(reference), pd.read_parquet(current)
    return lambda: fairlead.drift(ours, theirs)


def by_profile(reference: Path, current: Path) -> Callable[[], object]:
    """A window against the profile that a version carries: columns, counts, tests, verdicts."""
    from fairlead.monitor.comparison import Parts, Trained, against_profile
    from fairlead.monitor.given import given
    from fairlead.profiles.counting import Batch, profile_of
    from fairlead.schema import Column, Output, Schema

    table = given(reference, "reference").whole()
    kinds = {name: "number" if name.startswith("number") else "string" for name in table.columns}
    schema = Schema(tuple(Column(name, kind) for name, kind in kinds.items()), Output("regression"))  # type: ignore[arg-type]
    trained = Trained(profile_of(Batch(table.rows, table.columns), schema), schema, "the training data")
    window = pl.read_parquet(current)
    return lambda: against_profile(trained, window, Parts())


def in_pieces(reference: Path, current: Path) -> Callable[[], object]:
    """`fairlead.drift` on two paths."""
    import fairlead

    return lambda: fairlead.drift(reference, current)


CONTENDERS = {"exactly": exactly, "by_profile": by_profile, "in_pieces": in_pieces}


def contend(name: str, paths: tuple[Path, Path], runs: int) -> None:
    """Run one contender here, and print what it took as JSON."""
    work = CONTENDERS[name](*paths)
    before, spent, walls = peak(), [], []
    for _ in range(runs):
        began, wall = time.process_time(), time.perf_counter()
        work()
        spent.append(time.process_time() - began)
        walls.append(time.perf_counter() - wall)
    print(json.dumps({"cpu": spent, "wall": walls, "before": before, "peak": peak()}))


def peak() -> float:
    """The most memory this process has held, in MB; `getrusage` would also tell of the process that started it."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def asked(*command: str) -> dict[str, Any]:
    """What a contender's process prints."""
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(found.stdout.splitlines()[-1]))


def ours(name: str, folder: Path, runs: int = RUNS) -> dict[str, Any]:
    """One of ours, in a process of its own."""
    return asked(sys.executable, __file__, "--contend", name, str(folder), "--runs", str(runs))


def compared(folder: Path, evidently: str | None, rows: int) -> None:
    """Print the table of contenders."""
    random = np.random.default_rng(20130401)
    for name in ("reference", "current"):
        drawn(random, rows).write_parquet(folder / f"{name}.parquet")
    paths = [str(folder / f"{name}.parquet") for name in ("reference", "current")]
    found = {"by profile": ours("by_profile", folder), "exactly": ours("exactly", folder)}
    if evidently:
        found["Evidently's DataDriftPreset"] = asked(evidently, str(PEER), *paths, str(RUNS))
    slowest = statistics.median(list(found.values())[-1]["cpu"])
    print("| how | CPU seconds | times less | beyond the tables, MB | peak, MB |\n|---|--:|--:|--:|--:|")
    for name, one in found.items():
        cpu = statistics.median(one["cpu"])
        print(f"| {name} | {cpu:.3f} | {slowest / cpu:.0f} | {one['peak'] - one['before']:.0f} | {one['peak']:.0f} |")


def streamed(folder: Path, rows: int) -> None:
    """Print what two large files take."""
    import pyarrow.parquet as pq

    random = np.random.default_rng(7)
    for name in ("reference", "current"):
        writer = None
        for start in range(0, rows, 1_000_000):
            table = drawn(random, min(1_000_000, rows - start), numbers=8, names=2).to_arrow()
            writer = writer or pq.ParquetWriter(folder / f"{name}.parquet", table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
    size = sum(one.stat().st_size for one in folder.iterdir()) / 1e9
    one = ours("in_pieces", folder, runs=1)
    print(f"2 files of {rows:,} rows x 10 columns ({size:.1f} GB): {one['wall'][0]:.0f} s, {one['cpu'][0]:.0f} CPU s,")
    print(f"peak {one['peak']:.0f} MB, of which {one['before']:.0f} MB are the libraries.")


def main() -> None:
    """Choose what is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evidently", help="an interpreter that has Evidently")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--stream", type=int, default=0, help="rows of two files that are read in pieces")
    parser.add_argument("--folder", help="where the files are written; they are removed afterwards")
    parser.add_argument("--contend", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=RUNS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contend:
        name, place = options.contend
        return contend(name, (Path(place, "reference.parquet"), Path(place, "current.parquet")), options.runs)
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        if options.stream:
            return streamed(Path(made), options.stream)
        return compared(Path(made), options.evidently, options.rows)


if __name__ == "__main__":
    main()
