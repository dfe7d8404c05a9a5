"""What does it cost to keep events, and to read them again? CPU time a row, off the request path.

One process writes a log of predictions of ten inputs (three texts, two integers, five numbers), compacts it, and reads it as frames; and, as the
yardstick of the same run, decodes the same segments event by event, as who reads the log without an archive does. The least of several rounds
counts: other work on the machine only adds.

    python benchmarks/events_at_rest.py [--rows 300000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fairlead.archive.compaction import compact
from fairlead.archive.events import read_events
from fairlead.archive.frames import frames
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Prediction
from fairlead.serving.ids import Ids

COLUMNS = Columns("flights:1", "0" * 64, tuple(f"column {number}" for number in range(10)), ("late", "on time"))
PART = 1000


def write(folder: Path, rows: int) -> None:
    """A log as a gateway writes it."""
    chosen, ids, log = random.Random(1), Ids(b"s" * 32, "flights"), EventLog(folder, "gateway-0")  # noqa: S311 - made-up rows
    begin = time.time() - 3600

    def one(number: int) -> Prediction:
        row = (
            chosen.choice(["UA", "DL", "AA", "B6"]), chosen.choice(["JFK", "LGA", "EWR"]), "IAH", chosen.randrange(24), chosen.randrange(7),
            round(chosen.gauss(55, 15), 2), round(chosen.gauss(40, 15), 2), chosen.gauss(0, 1), chosen.random(), 10.0,
        )  # fmt: skip
        chance, when = chosen.random(), begin + number * 3600 / rows
        return Prediction(
            ids.make(), when, "flights", "flights:1", "stable", None, "ok", chosen.random() / 100, row, "late", (chance, 1 - chance), (), 3
        )  # fmt: skip

    for start in range(0, rows, PART):
        log.append(COLUMNS, [one(number) for number in range(start, min(start + PART, rows))])
    log.close()


def least(rounds: int, rows: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """The least CPU time of several rounds, in microseconds a row."""
    found = []
    for _ in range(rounds):
        before()
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found) / rows * 1e6


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept, log = Path(folder) / "kept", Path(folder) / "log"
        write(kept, given.rows)

        def renew() -> None:
            shutil.rmtree(log, ignore_errors=True)
            shutil.copytree(kept, log)

        decoded = least(given.rounds, given.rows, lambda: sum(1 for _ in read_events(kept)))
        compacted = least(given.rounds, given.rows, lambda: compact(log, least=0), renew)
        read = least(given.rounds, given.rows, lambda: sum(map(len, frames(log, "flights", 0, time.time()))))
        segments = sum(path.stat().st_size for path in kept.rglob("*.seg")) / given.rows
        parts = sum(path.stat().st_size for path in log.rglob("*.parquet")) / given.rows
    print(f"decoding segments event by event  {decoded:5.2f} µs a row, {segments:4.0f} bytes")
    print(f"compacting them                   {compacted:5.2f} µs a row, {parts:4.0f} bytes")
    print(f"reading the parts as frames       {read:5.2f} µs a row")


if __name__ == "__main__":
    main()
