"""How often does a report call drift where there is none? Twenty-five columns of all kinds, both tables drawn from one distribution.

    .venv/bin/python benchmarks/drift_alarms.py                    # 1,000 runs of each size; about half an hour
    .venv/bin/python benchmarks/drift_alarms.py --runs 100 --sizes 50 1000

Each run draws a reference and a window of as many rows (or of `--reference` rows), compares them by their values and by their
profiles, and counts as alarmed when any finding of the whole report drifts. Columns: normal, skewed, heavy-tailed, zero-inflated, rounded,
constant, names of 2 to 500 levels of equal and of very unequal frequency, some of them with missing entries.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from fairlead.columns import Names, Numbers
from fairlead.monitor.measures.drift import drift_tests, exact_tests
from fairlead.monitor.settings import Settings
from fairlead.monitor.verdicts import verdicts
from fairlead.profiles.counting import Batch, count, shape
from fairlead.schema import Column, Output, Schema

SIZES = (50, 200, 1_000, 10_000, 100_000)
LEVELS = (2, 3, 5, 10, 20, 50, 100, 500)
Draw = Callable[[np.random.Generator, int], np.ndarray]

NUMBERS: dict[str, Draw] = {
    "normal": lambda random, n: random.normal(size=n),
    "far from zero": lambda random, n: 1e6 + random.normal(size=n),
    "skewed": lambda random, n: random.lognormal(0, 1, n),
    "waiting": lambda random, n: random.exponential(5, n),
    "heavy-tailed": lambda random, n: random.standard_t(1.5, n),
    "Cauchy": lambda random, n: random.standard_cauchy(n),
    "zero-inflated": lambda random, n: random.exponential(5, n) * (random.random(n) < 0.1),
    "half zero": lambda random, n: random.normal(size=n) * (random.random(n) < 0.5),
    "counts": lambda random, n: random.poisson(3, n).astype(float),
    "rounded": lambda random, n: np.round(random.normal(20, 5, n)),
}


def columns(random: np.random.Generator, rows: int) -> Iterator[tuple[str, Numbers | Names]]:
    """The inputs of one table, in order: nine of numbers, sixteen of names."""
    for place, (name, draw) in enumerate(NUMBERS.items()):
        values = draw(random, rows)
        if place % 3 == 1:
            values[random.random(rows) < (0.02 if place % 2 else 0.3)] = np.nan
        yield name, Numbers(values, None)
    for levels in LEVELS[:7]:
        yield f"{levels} equal", named(random, rows, np.full(levels, 1 / levels))
    for levels in LEVELS:
        weights = 1 / np.arange(1, levels + 1) ** 1.2
        yield f"{levels} unequal", named(random, rows, weights / weights.sum(), missing=0.01)


def named(random: np.random.Generator, rows: int, shares: np.ndarray, missing: float = 0.0) -> Names:
    """A column of names with given shares."""
    codes = np.searchsorted(np.cumsum(shares)[:-1], random.random(rows), side="right")
    if missing:
        codes[random.random(rows) < missing] = -1
    return Names(codes, [f"level {one}" for one in range(len(shares))])


def table(random: np.random.Generator, rows: int) -> Batch:
    """A table of 25 columns."""
    return Batch(rows, dict(columns(random, rows)))


def schema(batch: Batch) -> Schema:
    """What its columns are."""
    kinds = {name: "number" if isinstance(one, Numbers) else "string" for name, one in batch.inputs.items()}
    return Schema(tuple(Column(name, kind) for name, kind in kinds.items()), Output("regression"))  # type: ignore[arg-type]


def alarms(random: np.random.Generator, rows: int, reference_rows: int) -> tuple[list[str], list[str]]:
    """What is said to drift in one run, by values and by profiles."""
    reference, current = table(random, reference_rows), table(random, rows)
    made = count(shape(reference, schema(reference)), reference)
    settings = Settings()
    tests = exact_tests(reference, current, settings), drift_tests(made, count(made, current), settings)
    found = [[one for one in verdicts(each, settings.thresholds.q) if one.verdict == "drift"] for each in tests]
    return tuple([f"{one.subject} ({one.measure})" for one in each] for each in found)  # type: ignore[return-value]


def main() -> None:
    """Print a table of alarmed runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--reference", type=int, help="rows of the reference; as many as the window's where not given")
    parser.add_argument("--seed", type=int, default=20130401)
    options = parser.parse_args()
    print("| rows of the window | of the reference | runs | alarmed, by values | by profiles | which |")
    print("|--:|--:|--:|--:|--:|---|")
    for rows in options.sizes:
        random, began = np.random.default_rng([options.seed, rows]), time.process_time()
        reference = options.reference or rows
        found = [alarms(random, rows, reference) for _ in range(options.runs)]
        exact, binned = (sum(bool(one[place]) for one in found) for place in (0, 1))
        which = Counter(one for pair in found for each in pair for one in each).most_common(3)
        told = ", ".join(f"{name} {often}" for name, often in which) or "none"
        spent = time.process_time() - began
        shares = f"{100 * exact / options.runs:.1f} % | {100 * binned / options.runs:.1f} %"
        print(f"| {rows:,} | {reference:,} | {options.runs:,} | {shares} | {told} ({spent:.0f} s) |", flush=True)


if __name__ == "__main__":
    main()
