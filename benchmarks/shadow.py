"""What does a shadow cost those who get answers?

    python benchmarks/shadow.py            # about twenty minutes
    python benchmarks/shadow.py --quick    # a smoke run; its figures mean little

One service, one run: the flights model answers, and in the rounds there stands in its shadow nobody, nobody again (which shows what
the machine does by itself), the model itself, or a sick one: a hundred times slower, stopped, crashing (from the first request on, and
for half a minute already), answering NaN. In every round each has its turn, in another order. `README.md` beside this file says how to read the table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fairlead.registry.registry import resolve
from fairlead.routing.table import Mirror
from ground import Ground, serving, wait_until
from material import MODEL, WINTER, Material, prepare
from measuring import HERE, Sample, machine, require_tools, spell, wrk

NOBODY, AGAIN, ITSELF, STOPPED, LONG = "nobody", "nobody, again", "itself", "stopped", "crashing for long"
MOODS = {"slow": "slow", "crashing": "crashing", LONG: "crashing", "garbage": "garbage"}
SHADOWS = (NOBODY, AGAIN, ITSELF, STOPPED, *MOODS)
LOADS = {"paced": 4, "saturated": 16}
"""Connections. Paced callers wait some milliseconds between two requests, as callers do."""
LONG_SECONDS = 30.0


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    require_tools()
    lengths = {"paced": (1, 1.0), "saturated": (1, 1.0)} if quick else {"paced": (8, 6.0), "saturated": (5, 3.0)}
    with tempfile.TemporaryDirectory(prefix="fairlead-benchmark-") as name:
        material = prepare(Path(name), 1000)
        home = _with_moody(material)
        with serving(home, material.folder) as ground:
            for load in LOADS:
                print(_table(load, _measured(ground, load, *lengths[load])), flush=True)
    print(machine(("scikit-learn", "onnxruntime", "numpy")))


def _with_moody(material: Material) -> Path:
    """Pack the sick model beside the well one, for the same schema."""
    sys.path.insert(0, str(HERE))
    import pandas as pd

    import fairlead
    from moody_flights import Moody

    home = material.folder / "home"
    (home / "mood").write_text("")
    os.environ["PYTHONPATH"] = str(HERE)
    table = pd.read_parquet(material.folder / WINTER)
    fairlead.pack(Moody(material.model, str(home / "mood")), name="moody", data=table, target="late", home=home)
    assert (material.folder / MODEL).exists()
    return home


def _measured(ground: Ground, load: str, rounds: int, seconds: float) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {one: [] for one in SHADOWS}
    for _ in range(rounds):
        for one in random.sample(SHADOWS, len(SHADOWS)):  # so that none profits from its place
            with _shadow(ground, one):
                url = f"http://127.0.0.1:{ground.port}/predict/flights"
                environment = {"BENCH_DELAY": "6"} if load == "paced" else {}
                if one == LONG:
                    spell(wrk(url, ground.rows, LOADS[load], LONG_SECONDS), ground.server.pid, environment)
                command = wrk(url, ground.rows, LOADS[load], seconds)
                found[one].append(spell(command, ground.server.pid, environment))
    return found


@contextlib.contextmanager
def _shadow(ground: Ground, kind: str) -> Iterator[None]:
    """Let this one stand in the shadow, in its mood, for as long as it is measured."""
    (ground.home / "mood").write_text("")
    model = {NOBODY: "", AGAIN: "", ITSELF: "flights:1"}.get(kind, "moody:1")
    _mirror(ground, model)
    pid = _pid(ground) if kind == STOPPED else 0
    if kind in MOODS:
        (ground.home / "mood").write_text(MOODS[kind])
    if pid:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        (ground.home / "mood").write_text("")


def _mirror(ground: Ground, model: str) -> None:
    """Put the table in place, and wait until the shadow is asked."""
    digest = resolve(ground.stores.database, model).digest if model else ""
    mirrors = (Mirror("candidate", model, digest),) if model else ()
    ground.change(lambda endpoint: msgspec.structs.replace(endpoint, mirrors=mirrors))
    wait_until(lambda: [one["state"] for one in ground.told()["shadows"]] == ["ready"] * len(mirrors))
    time.sleep(1.0)  # a process that is needed no more has gone, too


def _pid(ground: Ground) -> int:
    listed = json.loads((ground.home / "run/processes.json").read_text())
    return next(int(one["pid"]) for one in listed if one["role"].startswith("shadow-"))


def _table(load: str, found: dict[str, list[Sample]]) -> str:
    """Medians over the rounds; the ratios are to nobody of the same round."""
    lines = [
        f"\n{load}, {LOADS[load]} connections",
        "\n| in the shadow | requests/s | p50 ms | p99 ms | p50 ratio | p99 ratio | failed |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, samples in found.items():
        rate, p50, p99 = (
            statistics.median(getattr(one, figure) for one in samples) for figure in ("rate", "p50", "p99")
        )
        ratios = [
            statistics.median(
                getattr(one, figure) / getattr(base, figure) for one, base in zip(samples, found[NOBODY], strict=True)
            )
            for figure in ("p50", "p99")
        ]
        failed = sum(one.failed for one in samples)
        lines.append(
            f"| {name} | {rate:,.0f} | {p50 / 1000:.2f} | {p99 / 1000:.2f} | {ratios[0]:.3f} | {ratios[1]:.3f} | {failed} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
