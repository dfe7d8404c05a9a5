"""How soon is a promotion, an abort or a rollback effective, and what do callers notice of it?

    python benchmarks/effect.py            # about three minutes
    python benchmarks/effect.py --quick    # one round

One service with two gateways on one core, 16 connections from the other that never rest. In each round a second version of the flights
model gets half of the traffic and is promoted; it is rolled back; it gets half again and is aborted; and a version that fails every
request gets a tenth, and the controller finds out by itself. Every answer tells the version that made it. *Effective after* is the
time from the call to the last request, by when it was sent, that the version answered which should not have; for the broken
version, from its third failure to its last.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from fairlead.rollout import operations
from fairlead.rollout.plan import Analysis, Bake, Plan, Step, complete
from fairlead.rollout.rollout import Rollout
from fairlead.rollout.store import active_of, find_rollout
from ground import Ground, serving, wait_until
from material import MODEL, WINTER, Material, prepare
from measuring import HERE, LOAD_CORE, machine, require_tools

CONNECTIONS, GATEWAYS = 16, 2
FIRST, SECOND, BROKEN = "flights:1", "flights:2", "moody:1"
WHO = "benchmark"
QUICK_LOOK = Analysis(min_duration=0.0, max_duration=3600.0)


class Told(msgspec.Struct, frozen=True):
    """One answer: when its request was sent and when it came, by `time.time`; its status; the version that made it."""

    sent: float
    came: float
    status: int
    model: str


class Callers:
    """Connections that ask without rest, from a thread of its own.

    Args:
        port: Of the service.
        bodies: Asked in turn.
    """

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self._port = port
        self._requests = [_request(port, body) for body in bodies]
        self._stopping = False
        self.told: list[Told] = []
        """Every answer, in the order in which they came."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()))

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """For as long as this lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopping = True
            self._thread.join(30)

    async def _ask(self) -> None:
        await asyncio.gather(*(self._connection(number) for number in range(CONNECTIONS)))

    async def _connection(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        at = number
        while not self._stopping:
            at = (at + CONNECTIONS) % len(self._requests)
            sent = time.time()
            writer.write(self._requests[at])
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(_after(head.lower(), b"content-length: ")))
            model = _after(body, b'"model":"').partition(b'"')[0].decode()
            self.told.append(Told(sent, time.time(), int(head[9:12]), model))
        writer.close()


def _after(text: bytes, mark: bytes) -> bytes:
    return text.partition(mark)[2].partition(b"\r\n")[0]


def _request(port: int, body: bytes) -> bytes:
    lines = ["POST /predict/flights HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round")
    rounds = 1 if parser.parse_args().quick else 10
    require_tools()
    with tempfile.TemporaryDirectory(prefix="fairlead-benchmark-") as name:
        material = prepare(Path(name), 1000)
        home = _with_others(material)
        with serving(home, material.folder, GATEWAYS) as ground:
            os.sched_setaffinity(0, {LOAD_CORE})
            callers = Callers(ground.port, material.bodies)
            with callers.asking():
                found = [_round(ground, callers) for _ in range(rounds)]
    print(_table(found, len(callers.told)))
    print(machine(("scikit-learn", "onnxruntime", "numpy")))


def _with_others(material: Material) -> Path:
    """A second version of the model, and one whose mood is to fail."""
    sys.path.insert(0, str(HERE))
    import pandas as pd

    import fairlead
    from moody_flights import Moody

    home = material.folder / "home"
    (home / "mood").write_text("")
    os.environ["PYTHONPATH"] = str(HERE)
    table = pd.read_parquet(material.folder / WINTER)
    fairlead.pack(material.folder / MODEL, name="flights", data=table, target="late", description="Again.", home=home)
    fairlead.pack(Moody(material.model, str(home / "mood")), name="moody", data=table, target="late", home=home)
    return home


def _round(ground: Ground, callers: Callers) -> dict[str, tuple[float, int]]:
    """For each thing that is done: after how many seconds it was effective, and how many requests failed meanwhile."""
    database, blobs = ground.stores.database, ground.stores.blobs
    found = {}
    _halve(ground, callers)
    found["promote"] = _effect(ground, callers, FIRST, lambda: operations.promote(database, "flights", actor=WHO))
    found["rollback"] = _effect(
        ground, callers, SECOND, lambda: operations.roll_back(database, blobs, "flights", actor=WHO)
    )
    _halve(ground, callers)
    found["abort"] = _effect(ground, callers, SECOND, lambda: operations.abort(database, "flights", actor=WHO))
    found["the third failure"] = _broken(ground, callers)
    return found


def _halve(ground: Ground, callers: Callers) -> None:
    """Give the second version half of the traffic, and wait until it answers in both gateways."""
    _begin(ground, SECOND, 50.0)
    began = len(callers.told)
    wait_until(lambda: any(one.model == SECOND for one in callers.told[began:]))
    time.sleep(1.0)


def _begin(ground: Ground, candidate: str, weight: float) -> Rollout:
    step = Step(weight=weight, bake=Bake(time=3600.0, samples=10**6))
    plan = complete(Plan("flights", candidate, "canary", steps=(step,), analysis=QUICK_LOOK))
    stores = ground.stores
    return operations.begin(stores.database, stores.blobs, plan, actor=WHO, retry="The benchmark's next round.").rollout


def _effect(ground: Ground, callers: Callers, gone: str, act: Callable[[], Rollout]) -> tuple[float, int]:
    """Do it, wait until it is over, and see when the version answered last that should answer no more."""
    began, called = len(callers.told), time.time()
    act()
    _wait_until_over(ground)
    time.sleep(1.0)
    told = callers.told[began:]
    last = max((one.sent for one in told if one.model == gone), default=called)
    return max(0.0, last - called), sum(one.status != 200 for one in told)


def _broken(ground: Ground, callers: Callers) -> tuple[float, int]:
    """Let in a version that fails every request: when was the last sent that it failed, after the third had failed, and how many did?"""
    (ground.home / "mood").write_text("failing in April")
    began = len(callers.told)
    rollout = _begin(ground, BROKEN, 10.0)
    _wait_until_over(ground)
    time.sleep(1.0)
    (ground.home / "mood").write_text("")
    # A failure names no version; but nobody else fails.
    failed = [one for one in callers.told[began:] if one.status != 200]
    assert len(failed) >= 3, f"the rollout ended as {_state(ground, rollout)} after {len(failed)} failures"
    third = sorted(one.came for one in failed)[2]
    return max(0.0, max(one.sent for one in failed) - third), len(failed)


def _state(ground: Ground, rollout: Rollout) -> str:
    with ground.stores.database.read() as connection:
        return find_rollout(connection, rollout.number).state


def _wait_until_over(ground: Ground) -> None:
    def over() -> bool:
        with ground.stores.database.read() as connection:
            return active_of(connection, "flights") is None

    wait_until(over)


def _table(found: list[dict[str, tuple[float, int]]], asked: int) -> str:
    lines = [
        f"\n{len(found)} rounds, {asked:,} requests",
        "\n| what | effective after, median s | at most s | failed requests |",
        "|---|--:|--:|--:|",
    ]
    for name in found[0]:
        times, failed = zip(*(one[name] for one in found), strict=True)
        lines.append(f"| {name} | {statistics.median(times):.2f} | {max(times):.2f} | {sum(failed)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
