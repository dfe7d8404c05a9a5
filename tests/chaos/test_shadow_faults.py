"""Whatever a shadow does, callers do not notice: no error, bounded memory; and what it did is on record.

The truth is arithmetic: both models double `x`, one of them in the shadow and in whatever mood a file tells. How long answers take
is measured by `benchmarks/shadow.py`.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from fairlead.eventlog.tail import Tail
from fairlead.events import Mirrored
from fairlead.serving.waiting import MAX_WAITING
from running import Background, alive, cli, post, serving
from tables import change_endpoint, mirror_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]  # on a busy machine a shadow's process takes its time to start
HERE = str(Path(__file__).parent)
BODIES = [json.dumps({"x": float(value)}).encode() for value in range(1, 12)]


@pytest.fixture(scope="module")
def moody_home(tmp_path_factory):
    """`double:1`, which compiles and is deployed, and `moody:1`, which misbehaves."""
    from sklearn.linear_model import LinearRegression

    import fairlead

    home = tmp_path_factory.mktemp("moody")
    (home / "mood").write_text("")
    table = pd.DataFrame({"x": [float(value) for value in range(1, 13)], "y": [2.0 * one for one in range(1, 13)]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", HERE)
        patch.setattr(sys, "path", [*sys.path, HERE])
        from moody_model import Moody

        fairlead.pack(Moody(str(home / "mood")), name="moody", data=table, target="y", home=home)
    packed = fairlead.pack(
        LinearRegression().fit(table[["x"]], table["y"]), name="double", data=table, target="y", home=home
    )
    assert packed.road != "worker"
    cli(home, "deploy", "double:1")
    return home


@pytest.fixture(scope="module")
def service(moody_home):
    environment = {**os.environ, "PYTHONPATH": HERE, "FAIRLEAD_WORKER_TIMEOUT": "0.5"}
    with serving(moody_home, workers=1, env=environment) as running:
        yield running


@pytest.fixture
def watched(service):
    """The service with `moody:1` in the shadow, in good mood and asked; its pairs from now on."""
    set_mood(service, "")
    shadows(service, mirror_of(service.home, "moody:1"))
    pairs = Pairs(service)
    wait_for_sound_pairs(service, pairs)
    yield service, pairs
    set_mood(service, "")


class Pairs:
    """The pairs that have come since this was made."""

    def __init__(self, service):
        self._tail = Tail(service.home / "events", time.time())
        list(self._tail.read())
        self.found = []

    def read(self):
        self.found += [event for event in self._tail.read() if isinstance(event, Mirrored)]
        return self.found

    def of(self, service, ids):
        """Wait for the pairs of these predictions."""
        return service.wait_for(
            lambda: len(found := {one.id: one for one in self.read() if one.id in ids}) == len(ids) and found, 240
        )

    def new(self, service, status, count=1):
        """Wait for pairs of this status that come from now on."""
        before = len(self.read())
        return service.wait_for(
            lambda: len(found := [one for one in self.read()[before:] if one.status == status]) >= count and found, 240
        )


def set_mood(service, mood):
    fresh = service.home / "mood.new"
    fresh.write_text(mood)
    fresh.replace(service.home / "mood")


def shadows(service, *mirrors):
    """Let these stand in the shadow; wait until the gateway knows."""
    revision = change_endpoint(service.home, "double", mirrors=mirrors)
    service.wait_for(lambda: gateway(service)["revision"] >= revision)


def gateway(service):
    return json.loads((service.home / "run" / "gateways" / "gateway-0.json").read_text())


def shadow(service):
    (one,) = gateway(service)["shadows"]
    return one


def ask(service, *values):
    status, _, body = post(service.port, "/predict/double", json.dumps([{"x": value} for value in values]).encode())
    assert status == 200, body
    return json.loads(body)


def wait_for_sound_pairs(service, pairs):
    """Ask until the shadow answers again."""

    def answered():
        ask(service, 3.0)
        return [one for one in pairs.read() if one.status == "ok"] and shadow(service)["state"] == "ready"

    service.wait_for(answered, 240)
    pairs.found.clear()


def load(service):
    return Background(service.port, BODIES, connections=8, path="/predict/double")


def check(found):
    assert found.failures == []
    assert all(abs(answer["prediction"] - 2.0 * (number + 1)) < 1e-9 for number, answer in found.answers)


def test_each_answer_stands_beside_the_shadows_in_the_event_log(watched):
    service, pairs = watched
    answers = ask(service, 1.0, 2.5, 1000.0)
    found = pairs.of(service, [answer["id"] for answer in answers])
    for value, answer in zip((1.0, 2.5, 1000.0), answers, strict=True):
        pair = found[answer["id"]]
        assert (pair.endpoint, pair.model, pair.given_model, pair.variant) == (
            "double",
            "moody:1",
            "double:1",
            "candidate",
        )
        assert pair.prediction == 2.0 * value
        assert pair.given_prediction == answer["prediction"] == pytest.approx(2.0 * value, abs=1e-9)
        assert 0 < pair.latency < 60
    assert {answer["model"] for answer in answers} == {"double:1"}


@pytest.mark.parametrize("mood", ["raise", "not a number", "crash", "hang"])
def test_a_shadow_in_a_bad_mood_costs_no_caller_anything_is_on_record_and_recovers(watched, mood):
    service, pairs = watched
    with load(service) as found:
        service.wait_for(lambda: len(found.answers) > 50)
        set_mood(service, mood)
        failed = pairs.new(service, "prediction_failed", 1)
        assert post(service.port, "/readyz", b"", None, "GET")[0] == 200
        set_mood(service, "")
        pairs.new(service, "ok", 10)
    check(found)
    assert all((one.prediction, one.probabilities, one.model) == (None, None, "moody:1") for one in failed)
    service.wait_for(lambda: shadow(service)["state"] == "ready", 240)
    assert "secret" not in json.dumps(shadow(service))


def test_a_shadow_that_ends_is_begun_again_by_its_keeper_and_not_loaded_again(watched):
    service, pairs = watched
    keepers, (former,) = service.pids("keeper"), service.pids("shadow").values()
    assert len(keepers) == 1
    assert former not in keepers.values()
    ended = ends(service)
    with load(service) as found:
        service.wait_for(lambda: len(found.answers) > 50)
        os.kill(former, signal.SIGSEGV)
        service.wait_for(lambda: set(service.pids("shadow").values()) - {former}, 240)
        pairs.new(service, "ok", 10)
    check(found)
    assert service.pids("keeper") == keepers
    assert ends(service) == ended + 1


def test_a_shadow_that_is_stopped_costs_no_caller_anything_and_goes_on_when_it_may(watched):
    service, pairs = watched
    (pid,) = service.pids("shadow").values()
    with load(service) as found:
        service.wait_for(lambda: len(found.answers) > 50)
        os.kill(pid, signal.SIGSTOP)
        try:
            pairs.new(service, "deadline_exceeded", 1)
            assert shadow(service)["waiting"] <= MAX_WAITING + 64
        finally:
            os.kill(pid, signal.SIGCONT)
        pairs.new(service, "ok", 10)
    check(found)


def test_rows_for_a_slow_shadow_are_dropped_and_counted_and_memory_is_bounded(watched):
    service, _ = watched
    set_mood(service, "slow")
    (pid,) = service.pids("gateway-0").values()
    rows = [float(value) for value in range(5000)]
    ask(service, *rows)  # what the process needs once
    dropped, resident = shadow(service)["dropped"], resident_bytes(pid)
    for _ in range(20):
        ask(service, *rows)
    service.wait_for(lambda: shadow(service)["dropped"] > dropped + 50_000)
    assert shadow(service)["waiting"] <= MAX_WAITING + 64  # one batch, if it failed, waits again
    assert resident_bytes(pid) - resident < 100 * 2**20


def test_the_metrics_account_for_every_row(watched):
    service, _ = watched
    before = sum(counted(service).values())
    ask(service, *(float(value) for value in range(500)))
    # Some that were asked before may be under way, so there may be more.
    service.wait_for(lambda: sum(counted(service).values()) >= before + 500, 240)
    assert set(counted(service)) == {"ok", "failed", "dropped"}


def test_status_tells_how_the_shadow_is_doing(watched):
    service, _ = watched
    told = cli(service.home, "status")
    assert "moody:1" in told.stdout
    assert json.loads(cli(service.home, "status", "--json").stdout)["gateways"][0]["shadows"][0]["state"] == "ready"


def test_stable_against_itself_never_disagrees(watched):
    service, pairs = watched
    shadows(service, mirror_of(service.home, "double:1", name="noise"))

    def asked():
        ask(service, 0.1, 123.456, 9e9)
        return len([one for one in pairs.read() if one.variant == "noise"]) >= 3 and pairs.found

    found = [one for one in service.wait_for(asked, 240) if one.variant == "noise"]
    assert all((one.status, one.prediction) == ("ok", one.given_prediction) for one in found)
    assert list(service.pids("shadow")), "a compiled version has a process of its own in the shadow"
    assert not service.pids("worker")


def test_a_shadow_whose_bundle_is_nowhere_holds_nothing_up_and_the_status_says_so(watched):
    service, _ = watched
    shadows(service, msgspec.structs.replace(mirror_of(service.home, "moody:1"), model="moody:2", digest="0" * 64))
    assert ask(service, 4.0)[0]["prediction"] == pytest.approx(8.0)
    assert gateway(service)["state"] == "ready"
    told = service.wait_for(lambda: (one := shadow(service))["state"] == "failed" and one)
    assert "not a bundle" in told["detail"]
    assert "not a bundle" in cli(service.home, "status").stderr


def test_shadows_come_and_go_under_load_and_nothing_is_left_behind(watched):
    service, pairs = watched
    shadows(service)
    service.wait_for(lambda: not service.pids("shadow"), 240)
    (pid,) = service.pids("gateway-0").values()
    both = mirror_of(service.home, "moody:1"), mirror_of(service.home, "double:1", name="noise", percent=50.0)
    seen = set()
    with load(service) as found:
        service.wait_for(lambda: len(found.answers) > 50)
        files = settled_files(service, pid)
        for _ in range(2):
            shadows(service, *both)
            pairs.new(service, "ok", 1)
            begun = service.wait_for(lambda: len(pids := set(service.pids("shadow").values())) == 2 and pids, 240)
            assert not begun & seen
            seen |= begun
            # Too quickly for the supervisor to see all of it: what is wanted again by then goes on.
            shadows(service, both[0])
            shadows(service, *both)
            shadows(service)
            service.wait_for(lambda: not service.pids("shadow"), 240)
        service.wait_for(lambda: settled_files(service, pid) <= files, 240)
    check(found)
    assert len(seen) == 4
    assert not [one for one in seen if alive(one)]
    assert gateway(service)["shadows"] == []


def test_a_stopped_shadow_that_is_needed_no_more_does_not_stay(watched):
    service, _ = watched
    (pid,) = service.pids("shadow").values()
    os.kill(pid, signal.SIGSTOP)
    shadows(service)
    service.wait_for(lambda: not alive(pid), 240)
    assert ask(service, 2.0)[0]["prediction"] == pytest.approx(4.0)


def ends(service):
    """How many shadows `/metrics` says have crashed."""
    _, _, body = post(service.port, "/metrics", b"", None, "GET")
    wanted = [line for line in body.decode().splitlines() if line.startswith("fairlead_process_ended_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in wanted if 'kind="shadow"' in line and 'cause="crash"' in line)


def counted(service):
    """What `/metrics` says became of the rows for the shadow, by outcome."""
    _, _, body = post(service.port, "/metrics", b"", None, "GET")
    lines = [line for line in body.decode().splitlines() if line.startswith("fairlead_mirrored_total{")]
    mine = [line for line in lines if 'version="moody:1"' in line and 'endpoint="double"' in line]
    return {line.split('outcome="')[1].split('"')[0]: float(line.rpartition(" ")[2]) for line in mine}


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settled_files(service, pid):
    """How many files a gateway has open but for its connections, which come and go with the callers."""
    return sum("socket" not in one for one in files_of(pid)) + unix_sockets(pid)


def unix_sockets(pid):
    listed = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    return sum(one.removeprefix("socket:[").removesuffix("]") in listed for one in files_of(pid))


def files_of(pid):
    return [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
