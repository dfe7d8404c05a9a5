"""The controller is killed at every write of every plan, before and after the write counts, and another one goes on.

Nothing here waits: the clock is the test's, gateways report what they are told to, and what callers would have done stands in a real
event log. What is real is what must hold: the database, its transactions, the log on disk, the controller.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))
from bundle_samples import sealed

from fairlead.bundle.store import put_bundle
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Feedback, Mirrored, Prediction
from fairlead.registry.audit import verify_chain
from fairlead.registry.registry import publish, resolve
from fairlead.rollout import operations
from fairlead.rollout.controller import Controller
from fairlead.rollout.direct import deploy
from fairlead.rollout.reading import plan_of
from fairlead.rollout.store import find_rollout, history
from fairlead.routing.slots import SLOTS
from fairlead.routing.store import GatewayReport, read_table, report_gateway
from fairlead.storage.blobs import open_blobs
from fairlead.storage.database import Database, open_database

pytestmark = pytest.mark.timeout(180)

OPEN = {"advance_on": "no_fail", "warm_up": 0}
ERRORS = {"name": "error_rate", "max": 20}
PLANS = {
    "shadow": {
        "steps": [{"mirror": 100, "bake": {"time": "1m", "samples": 20}}],
        "metrics": [{"name": "disagreement", "max": 50}],
        "promote": True,
    },
    "canary": {
        "steps": [
            {"mirror": 50, "bake": {"samples": 20}},
            {"weight": 10, "bake": {"time": "1m", "samples": 20}},
            {"weight": 50, "bake": {"samples": 50}},
        ],
        "metrics": [ERRORS],
    },
    "blue_green": {
        "steps": [{"mirror": 100, "bake": {"samples": 20}}, {"weight": 100, "bake": {"samples": 50}}],
        "metrics": [ERRORS],
    },
    "ab": {
        "steps": [{"weight": 50}],
        "metrics": [ERRORS, {"name": "earned", "from": "feedback", "role": "goal", "label_delay": "1m"}],
    },
    "broken": {"strategy": "canary", "steps": [{"weight": 10, "bake": {"time": "1h"}}], "metrics": [ERRORS]},
}
ENDS = {"broken": "aborted"}


class Killed(BaseException):
    """Not an Exception: nothing may catch it and go on, as nothing survives a SIGKILL."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A database and blobs with two versions, of which the first answers."""
    folder = tmp_path_factory.mktemp("stores")
    database, blobs = open_database(f"sqlite:///{folder}/fairlead.db"), open_blobs(str(folder / "blobs"))
    for number in (1, 2):
        digest = put_bundle(sealed(folder / str(number), b"original %d" % number), blobs)
        publish(database, model="m", digest=digest, road="worker", task="classification", actor="a")
    deploy(database, blobs, "m:1", "m", actor="a")
    database.close()
    return folder


class World:
    """A home without processes: a database, an event log, one gateway that obeys, and a clock."""

    def __init__(self, stores, folder, *, broken):
        shutil.copytree(stores, folder)
        self.now = 1_800_000_000.0
        self.broken = broken
        self.database = open_database(f"sqlite:///{folder}/fairlead.db")
        self.blobs = open_blobs(str(folder / "blobs"))
        self.events = folder / "events"
        self.log = EventLog(self.events, "gateway-0-1")
        self.count = 0

    def endpoint(self):
        with self.database.read() as connection:
            return read_table(connection).endpoint("m")

    def rollout(self):
        with self.database.read() as connection:
            return find_rollout(connection, 2)

    def pass_time(self, seconds=20.0, requests=200):
        """The gateway obeys, callers call, and the clock goes on."""
        self.now += seconds
        with self.database.write() as connection:
            revision = read_table(connection).revision
            report_gateway(connection, GatewayReport("g", "h", 1, revision, "ready", "", self.now))
        endpoint = self.endpoint()
        self.check(endpoint)
        for variant in endpoint.variants:
            many = round(requests * variant.slots / SLOTS)
            failing = self.broken and variant.model == "m:2"
            self._answer(endpoint, variant, many, "prediction_failed" if failing else "ok")
        for mirror in endpoint.mirrors:
            self._mirror(endpoint, mirror, round(requests * mirror.percent / 100))

    def check(self, endpoint):
        """What must hold at every moment: somebody answers, and the traffic is divided wholly."""
        assert sum(one.slots for one in endpoint.variants) == SLOTS
        assert endpoint.stable.model in {"m:1", "m:2"}
        assert len({one.name for one in endpoint.variants}) == len(endpoint.variants)

    def _ids(self, many):
        self.count += many
        return [f"p{number}" for number in range(self.count - many, self.count)]

    def _answer(self, endpoint, variant, many, status):
        if not many:
            return
        columns = Columns(variant.model, variant.digest, ("distance", "carrier"), (0, 1))
        ids = self._ids(many)
        self.log.append(columns, [
            Prediction(
                one, self.now, "m", variant.model, variant.name, None, status, 0.001, (1.0, "UA"), 0, (0.9, 0.1), (),
                endpoint.since,
            )
            for one in ids
        ])  # fmt: skip
        earned = 10.0 if variant.model == "m:2" else 1.0
        self.log.note(
            [Feedback(one, self.now + 1, "m", values={"earned": earned + place % 3}) for place, one in enumerate(ids)]
        )

    def _mirror(self, endpoint, mirror, many):
        self.log.note([
            Mirrored(
                one, self.now, "m", mirror.model, mirror.name, "ok", 0.001, 0, (0.9, 0.1), "m:1", 0.001, 0, (0.9, 0.1),
                endpoint.since,
            )
            for one in self._ids(many)
        ])  # fmt: skip


class Killer:
    """Kills a controller at its `number`th write: before it counts, or right after."""

    def __init__(self, number, *, counted):
        self.number = number
        self.counted = counted
        self.seen = 0

    @contextmanager
    def watching(self, monkeypatch):
        whole = Database.write

        @contextmanager
        def write(database):
            self.seen += 1
            with whole(database) as connection:
                yield connection
                if self.seen == self.number and not self.counted:
                    raise Killed
            if self.seen == self.number:
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(Database, "write", write)
            yield


def run(world, monkeypatch, number=0, *, counted=False):
    """Carry the rollout out to its end; a controller that is killed is followed by another. Returns kills, and writes."""
    killed, killer = 0, Killer(number, counted=counted)
    controller = Controller(world.database, world.events, "c0", clock=lambda: world.now)
    for _ in range(2000):
        world.pass_time(43_200.0 if world.rollout().plan.strategy == "ab" else 20.0)
        try:
            with killer.watching(monkeypatch):
                controller.step()
        except Killed:
            killed += 1
            controller = Controller(world.database, world.events, f"c{killed}", clock=lambda: world.now)
        if not world.rollout().active:
            return killed, killer.seen
    raise AssertionError(f"{world.rollout().state}: {world.rollout().because}")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PLANS))
def test_killed_at_any_write_the_rollout_ends_as_if_nothing_had_been(stores, tmp_path, monkeypatch, name):
    facts = {"strategy": name, "analysis": OPEN | ({"min_duration": "1d"} if name == "ab" else {})} | PLANS[name]
    plan = plan_of({"endpoint": "m", "candidate": "m:2", **facts})
    wanted = ENDS.get(name, "promoted")
    as_it_was, points = ended(stores, tmp_path / "whole", monkeypatch, plan, wanted, 0, counted=False)
    assert points > 5
    for number in range(1, points + 1):
        for counted in (False, True):
            found, _ = ended(
                stores, tmp_path / f"{number}-{counted}", monkeypatch, plan, wanted, number, counted=counted
            )
            assert found == as_it_was, (number, counted)


def ended(stores, folder, monkeypatch, plan, wanted, number, *, counted):
    """Run a plan to its end with one kill, check what must be true then, and tell its way: states, steps, and all writes."""
    world = World(stores, folder, broken=wanted == "aborted")
    operations.begin(world.database, world.blobs, plan, actor="a")
    killed, points = run(world, monkeypatch, number, counted=counted)
    assert killed == (1 if number else 0)
    rollout = world.rollout()
    assert rollout.state == wanted, (number, rollout.because)
    entries = history(world.database, 2)
    assert [entry.sequence for entry in entries] == sorted({entry.sequence for entry in entries})
    assert verify_chain(world.database)[1] is None
    assert world.endpoint().stable.model == ("m:1" if wanted == "aborted" else "m:2")
    assert resolve(world.database, "m:champion").number == (1 if wanted == "aborted" else 2)
    world.log.close()
    world.database.close()
    return [(entry.content["state"], entry.content["step"]) for entry in entries if entry.kind == "moved"], points


def test_a_leader_that_was_stopped_for_a_minute_is_refused(stores, tmp_path):
    world = World(stores, tmp_path / "home", broken=False)
    plan = plan_of({"endpoint": "m", "candidate": "m:2", "strategy": "canary", "analysis": OPEN} | PLANS["canary"])
    operations.begin(world.database, world.blobs, plan, actor="a")
    clocks = {"old": world.now, "new": world.now}
    old = Controller(world.database, world.events, "old", clock=lambda: clocks["old"])
    new = Controller(world.database, world.events, "new", clock=lambda: clocks["new"])
    old.step()
    assert world.rollout().state == "warming"
    new.step()  # the other leads: nothing happens
    world.pass_time()
    clocks["new"] = world.now + 60
    with world.database.write() as connection:
        revision = read_table(connection).revision
        report_gateway(connection, GatewayReport("g", "h", 1, revision, "ready", "", clocks["new"]))
    new.step()
    assert world.rollout().state == "progressing"
    before = history(world.database, 2)
    clocks["old"] = world.now + 4.9  # it wakes up, and by its own clock still leads
    operations.pause(world.database, "m", actor="a")
    for _ in range(5):
        old.step()
    assert len(history(world.database, 2)) == len(before) + 1  # the pause, and nothing of the old leader's
    world.log.close()
    world.database.close()


def test_two_controllers_never_lead_at_once(tmp_path):
    from fairlead.rollout.lease import check_lease, give_up_lease, take_lease

    database = open_database(f"sqlite:///{tmp_path}/fairlead.db")
    with database.write() as connection:
        assert take_lease(connection, "a", 100.0, 10.0) == 1
        assert take_lease(connection, "b", 105.0, 10.0) is None
        assert take_lease(connection, "a", 109.0, 10.0) == 1
        assert take_lease(connection, "b", 119.5, 10.0) == 2
        check_lease(connection, "b", 2)
        with pytest.raises(Exception, match="Another controller leads"):
            check_lease(connection, "a", 1)
        give_up_lease(connection, "a")
        assert take_lease(connection, "a", 120.0, 10.0) is None
        give_up_lease(connection, "b")
        assert take_lease(connection, "a", 120.0, 10.0) == 3
    database.close()
