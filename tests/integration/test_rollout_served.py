"""Rollouts on a running service: real gateways, real workers, the real controller, and callers who must not notice."""

from __future__ import annotations

import json
import random
import shutil

import msgspec
import pandas as pd
import pytest

from running import Background, cli, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

QUICK = {"strategy": "canary", "analysis": {"advance_on": "no_fail", "warm_up": 0}}


@pytest.fixture(scope="module")
def doubling_home(tmp_path_factory):
    """doubling:1 is steady, doubling:2 fails on everything new, doubling:3 on one row in twenty, doubling:4 is steady too."""
    from rollout_models import Fickle, Steady

    import fairlead

    home = tmp_path_factory.mktemp("doubling")
    table = pd.DataFrame({"x": [float(number) for number in range(50)]})
    table["y"] = table["x"] * 2
    for model in (Steady(), Fickle(1), Fickle(20), Steady(0.0001)):
        fairlead.pack(model, name="doubling", data=table, target="y", home=home)
    cli(home, "deploy", "doubling:1")
    return home


@pytest.fixture
def home(doubling_home, tmp_path):
    return shutil.copytree(doubling_home, tmp_path / "home")


class Operator:
    """Does what the command line does, in this process."""

    def __init__(self, home):
        from fairlead.app import open_stores
        from fairlead.config import load_config

        self.home = home
        self.stores = open_stores(load_config({"home": str(home)}))

    def begin(self, candidate, **plan):
        from fairlead.rollout.operations import begin
        from fairlead.rollout.reading import plan_of

        wanted = plan_of({"endpoint": "doubling", "candidate": candidate, **QUICK, **plan})
        return begin(self.stores.database, self.stores.blobs, wanted, actor="test").rollout.number

    def rollout(self, number):
        from fairlead.rollout.store import find_rollout

        with self.stores.database.read() as connection:
            return find_rollout(connection, number)

    def until(self, service, number, *states):
        service.wait_for(lambda: self.rollout(number).state in states, 90)
        return self.rollout(number)

    def events(self):
        from fairlead.eventlog.tail import Tail

        return [one for one in Tail(self.home / "events", 0).read() if not hasattr(one, "classes")]


def rows(low, high, count=500):
    chosen = random.Random(1)
    return [json.dumps({"x": float(chosen.randrange(low, high))}).encode() for _ in range(count)]


def test_a_good_candidate_walks_its_steps_and_is_promoted_and_nobody_notices(home):
    operator = Operator(home)
    with (
        serving(home, workers=2) as service,
        Background(service.port, rows(0, 1000), path="/predict/doubling") as found,
    ):
        number = operator.begin(
            "doubling:4",
            steps=[{"weight": 5, "bake": {"samples": 30}}, {"weight": 50, "bake": {"samples": 100}}],
            metrics=[{"name": "error_rate", "max": 5}],
        )
        done = operator.until(service, number, "promoted", "aborted", "paused")
        assert (done.state, done.because) == ("promoted", "Every step was passed.")
        mark = len(found.answers)
        service.wait_for(lambda: len(found.answers) > mark + 200)
        late = {answer["model"] for _, answer in found.answers[mark + 150 :]}
    assert found.failures == []
    assert late == {"doubling:4"}
    assert [(one.step, one.weight) for one in done.stretches] == [(0, 0.0), (0, 5.0), (1, 50.0), (1, 0.0)]
    given = {(one.variant, one.revision) for one in operator.events() if one.status == "ok"}
    # Each answer of the candidate names a revision in which it had traffic.
    assert {revision for variant, revision in given if variant == "candidate"} <= {
        one.revision for one in done.stretches if one.weight
    }


def test_a_candidate_that_fails_every_request_is_out_at_its_third_failure(home):
    operator = Operator(home)
    with serving(home, workers=2) as service:
        with Background(service.port, rows(200, 1000), connections=2, path="/predict/doubling") as found:
            number = operator.begin("doubling:2", steps=[{"weight": 10, "bake": {"time": "1h"}}])
            done = operator.until(service, number, "aborted")
            mark = len(found.answers)
            service.wait_for(lambda: len(found.answers) > mark + 100)
        assert "working: All of its first" in done.because
        failed = [one for one in operator.events() if one.variant == "candidate" and one.status != "ok"]
        times = sorted(one.time for one in failed)
        assert times[-1] - times[2] < 10  # within a second where the machine is calm; benchmarks/rollout.py measures it
        looks = [entry for entry in _history(operator, number) if entry.kind == "look"]
        assert looks[-1].content["decision"]["kind"] == "abort"
        assert looks[-1].content["evidence"]["opening"]["failed"]["candidate"] >= 3
        # Nobody is sent there any more: what failed did so before the endpoint was set back.
        assert {one.revision for one in failed} == {one.revision for one in done.stretches if one.weight}
        assert ask(service)["model"] == "doubling:1"
    with pytest.raises(Exception, match="failed at 'doubling'"):
        operator.begin("doubling:2")


def _history(operator, number):
    from fairlead.rollout.store import history

    return history(operator.stores.database, number)


def test_a_shared_key_stays_with_one_version_through_every_step(home):
    operator = Operator(home)
    with serving(home, workers=2) as service:
        number = operator.begin(
            "doubling:4", assignment={"key": "header:x-user"}, steps=[{"weight": 50, "bake": {"time": "1h"}}]
        )
        operator.until(service, number, "progressing")
        service.wait_for(lambda: service_revision(service) >= operator.rollout(number).stretches[-1].revision)
        by_user = {}
        for _ in range(4):
            for user in range(30):
                answer = ask(service, x_user=f"u{user}")
                by_user.setdefault(user, set()).add(answer["model"])
        assert all(len(models) == 1 for models in by_user.values())
        assert {model for models in by_user.values() for model in models} == {"doubling:1", "doubling:4"}
        assert ask(service, fairlead_variant="candidate")["model"] == "doubling:4"
        assert ask(service, fairlead_variant="stable")["model"] == "doubling:1"
        assert ask(service, fairlead_variant="green")["status"] == 404


def service_revision(service):
    from fairlead.serving.processes.status import read_statuses

    return min(one.revision for one in read_statuses(service.home / "run"))


def ask(service, **headers):
    import urllib.error
    import urllib.request

    told = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-type": "application/json"}
    request = urllib.request.Request(f"{service.url}/predict/doubling", rows(0, 1000, 1)[0], told)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as refused:
        return json.load(refused)


def test_promote_abort_and_rollback_by_hand_under_load_fail_nobody(home):
    from fairlead.rollout import operations

    operator = Operator(home)
    database, blobs = operator.stores.database, operator.stores.blobs
    with (
        serving(home, workers=2) as service,
        Background(service.port, rows(0, 1000), path="/predict/doubling") as found,
    ):
        steps = [{"weight": 20, "bake": {"time": "1h"}}]
        first = operator.begin("doubling:4", steps=steps)
        operator.until(service, first, "progressing")
        operations.abort(database, "doubling", actor="test")
        operator.until(service, first, "aborted")
        second = operator.begin("doubling:4", steps=steps)
        operator.until(service, second, "progressing")
        operations.promote(database, "doubling", actor="test")
        operator.until(service, second, "promoted")
        operations.roll_back(database, blobs, "doubling", actor="test")
        mark = len(found.answers)
        service.wait_for(lambda: [one["model"] for _, one in found.answers[-50:]] == ["doubling:1"] * 50)
        assert len(found.answers) > mark
    assert found.failures == []
    assert msgspec.json.encode(operator.rollout(second))
