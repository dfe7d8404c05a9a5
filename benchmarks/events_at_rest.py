"""What does it cost to keep events, to read them again, and to report on them? CPU time a row, off the request path.

One process packs a model of ten inputs (three texts, two integers, five numbers), writes a log of its predictions, compacts it, reads it as frames, and
reports on it against the training data: data quality, drift, service levels, estimated quality; once more with a label for every tenth answer. As the
yardstick of the same run it decodes the same segments event by event, as who reads the log without an archive does. The least of several rounds counts:
other work on the machine only adds.

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
from typing import Any

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import fairlead
from fairlead.app import open_stores, open_version, records_of
from fairlead.archive.compaction import compact
from fairlead.archive.events import read_events
from fairlead.archive.frames import frames
from fairlead.config import load_config
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Feedback, Prediction
from fairlead.monitor.asked import Wish, make_asked
from fairlead.serving.ids import Ids

PART = 1000
TEXTS, TARGET = ["carrier", "origin", "dest"], "late"
LABELLED = 10
"""Every so many answers get a label, in the second of the two logs."""


def table(rows: int, seed: int) -> pd.DataFrame:
    """Made-up flights: ten inputs and a target that goes with them."""
    chosen = random.Random(seed)  # noqa: S311 - made-up rows
    made = [
        (
            chosen.choice(["UA", "DL", "AA", "B6"]), chosen.choice(["JFK", "LGA", "EWR"]), chosen.choice(["IAH", "ORD", "SFO"]), chosen.randrange(24),
            chosen.randrange(7), round(chosen.gauss(55, 15), 2), round(chosen.gauss(40, 15), 2), chosen.gauss(0, 1), chosen.random(), chosen.uniform(0, 10),
        )
        for _ in range(rows)
    ]  # fmt: skip
    found = pd.DataFrame(made, columns=[*TEXTS, "hour", "weekday", "temp", "dewp", "wind", "humid", "visib"])
    late = (found["wind"] + found["hour"] / 12 + found["temp"] / 50 > 2.2).to_numpy() ^ [
        chosen.random() < 0.1 for _ in range(rows)
    ]
    found[TARGET] = pd.Series(late).map({True: "late", False: "on time"})
    return found


def pack(home: Path) -> Any:
    """The model, packed with the profile of its training data."""
    known = table(50_000, 1)
    inputs = known.drop(columns=TARGET)
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), TEXTS), remainder="passthrough"), LogisticRegression(max_iter=1000)
    )
    fairlead.pack(model.fit(inputs, known[TARGET]), name="flights", data=known, target=TARGET, home=home)
    return model


def write(folder: Path, model: Any, columns: Columns, rows: int, *, labelled: bool) -> None:
    """A log as a gateway writes it."""
    ids, log = Ids(b"s" * 32, "flights"), EventLog(folder, "gateway-0")
    begin, given = time.time() - 3600, table(rows, 2)
    truth, inputs = given[TARGET].tolist(), list(given.drop(columns=TARGET).itertuples(index=False, name=None))
    chances = model.predict_proba(given.drop(columns=TARGET)).tolist()
    for start in range(0, rows, PART):
        some = range(start, min(start + PART, rows))
        answers = [
            Prediction(
                ids.make(), begin + number * 3500 / rows, "flights", "flights:1", "stable", None, "ok", 0.001 + number % 100 / 1e5, inputs[number],
                columns.classes[chances[number].index(max(chances[number]))], tuple(chances[number]), (), 3,
            )
            for number in some
        ]  # fmt: skip
        log.append(columns, answers)
        if labelled:
            told = zip(answers[::LABELLED], some[::LABELLED], strict=True)
            log.note([Feedback(one.id, one.time + 60, "flights", truth[number]) for one, number in told])
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


def measure(home: Path, kept: Path, rows: int, rounds: int) -> dict[str, float]:
    """Each figure, in microseconds a row."""
    config = load_config({"home": str(home)})
    log, stores = config.paths.events, open_stores(config)

    def renew() -> None:
        shutil.rmtree(log, ignore_errors=True)
        shutil.copytree(kept, log)

    def report() -> None:
        made = make_asked(records_of(config, stores), config.monitor, "flights", Wish("2h"), time.time())
        assert made.rows == rows

    found = {
        "decoding segments event by event": least(rounds, rows, lambda: sum(1 for _ in read_events(kept))),
        "compacting them": least(rounds, rows, lambda: compact(log, least=0), renew),
        "reading the parts as frames": least(
            rounds, rows, lambda: sum(map(len, frames(log, "flights", 0, time.time())))
        ),
        "a report": least(rounds, rows, report),
    }
    stores.database.close()
    segments = sum(path.stat().st_size for path in kept.rglob("*.seg")) / rows
    parts = sum(path.stat().st_size for path in log.rglob("*.parquet")) / rows
    print(f"{segments:.0f} bytes a row in segments, {parts:.0f} in parts")
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, kept = Path(folder) / "home", Path(folder) / "kept"
        model = pack(home)
        _, bundle = open_version(load_config({"home": str(home)}), "flights:1")
        columns = Columns("flights:1", bundle.digest, bundle.schema.names, bundle.schema.output.classes)
        for labelled in (False, True):
            shutil.rmtree(kept, ignore_errors=True)
            write(kept, model, columns, given.rows, labelled=labelled)
            print(f"\nµs of CPU a row, {f'every {LABELLED}th answer with a label' if labelled else 'no labels'}")
            for name, figure in measure(home, kept, given.rows, given.rounds).items():
                print(f"{name:34}{figure:5.2f}")


if __name__ == "__main__":
    main()
