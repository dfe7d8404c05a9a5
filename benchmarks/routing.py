"""What does it cost a request that its endpoint has several versions?

    python benchmarks/routing.py            # about five minutes
    python benchmarks/routing.py --quick    # a smoke run; its figures mean little

One service, one run, one model: in each round the endpoint has one variant, one variant again (which shows what the machine does by
itself), and two variants of the same version between which requests are divided by chance, by a column, or by a header that nobody
sends. Where the second has one slot of 10,000, every request is divided and recorded and hardly one reaches it: the difference in CPU a
request is the cost of choosing and of recording the choice. Where it has a tenth, there is also what two models cost: what one turn of the
event loop brings in is answered in two runs. `README.md` says how to read the table.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from pathlib import Path

import msgspec

from fairlead.routing.slots import Run
from fairlead.routing.table import SLOTS, Assignment, Endpoint, Variant
from ground import Ground, serving
from material import prepare
from measuring import Sample, machine, require_tools, spell, wrk

ALONE, AGAIN = "one variant", "one variant, again"
KEYS = {
    "by chance": Assignment(),
    "by a column": Assignment("column", "dest"),
    "by a header": Assignment("header", "x-user-id"),
}
SHARES = {"0.01 %": 1, "10 %": SLOTS // 10}
DIVIDED = {
    f"two, {key}, the second {share}": (assignment, slots)
    for share, slots in SHARES.items()
    for key, assignment in KEYS.items()
}
CONNECTIONS = 16


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    require_tools()
    rounds, seconds = (1, 1.0) if quick else (9, 3.0)
    with tempfile.TemporaryDirectory(prefix="fairlead-benchmark-") as name:
        material = prepare(Path(name), 1000)
        with serving(material.folder / "home", material.folder) as ground:
            print(_table(_measured(ground, rounds, seconds)), flush=True)
    print(machine(("scikit-learn", "onnxruntime", "numpy")))


def _measured(ground: Ground, rounds: int, seconds: float) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {one: [] for one in (ALONE, AGAIN, *DIVIDED)}
    for _ in range(rounds):
        for one in random.sample(list(found), len(found)):  # so that none profits from its place
            ground.change(lambda endpoint, one=one: _divided(endpoint, DIVIDED.get(one)))  # type: ignore[misc]
            url = f"http://127.0.0.1:{ground.port}/predict/flights"
            found[one].append(spell(wrk(url, ground.rows, CONNECTIONS, seconds), ground.server.pid))
    return found


def _divided(endpoint: Endpoint, divided: tuple[Assignment, int] | None) -> Endpoint:
    """The endpoint with its one variant, or with a second one of the same version."""
    stable = msgspec.structs.replace(endpoint.stable, slots=SLOTS)
    alone = Endpoint(endpoint.name, (stable,))
    if divided is None:
        return alone
    assignment, slots = divided
    candidate = Variant("candidate", stable.model, stable.digest, 0)
    made = msgspec.structs.replace(alone, variants=(stable, candidate), salt="00" * 16, assignment=assignment)
    return made.divided((Run("candidate", slots), Run(stable.name, SLOTS - slots)))


def _table(found: dict[str, list[Sample]]) -> str:
    """Medians over the rounds; differences are to one variant of the same round."""
    lines = [
        "\n| the endpoint has | requests/s | CPU us a request | more than one variant, us | failed |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, samples in found.items():
        more = statistics.median(one.cpu - base.cpu for one, base in zip(samples, found[ALONE], strict=True))
        rate, cpu = (statistics.median(getattr(one, figure) for one in samples) for figure in ("rate", "cpu"))
        lines.append(f"| {name} | {rate:,.0f} | {cpu:.1f} | {more:+.2f} | {sum(one.failed for one in samples)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
