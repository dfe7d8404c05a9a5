"""A model that no road compiles answers in a worker process; what it does wrong costs its own requests only."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from running import Background, cli, post, serving

pytestmark = pytest.mark.slow
HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def awkward_home(tmp_path_factory):
    import sys

    import fairlead

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", HERE)
        patch.setattr(sys, "path", [*sys.path, HERE])
        from awkward_model import Awkward

        home = tmp_path_factory.mktemp("awkward")
        table = pd.DataFrame(
            {"x": [float(value) for value in range(1, 13)], "y": [2.0 * value for value in range(1, 13)]}
        )
        packed = fairlead.pack(Awkward(str(home / "opened-by")), name="awkward", data=table, target="y", home=home)
        assert packed.road == "worker"
        cli(home, "deploy", "awkward:1")
    return home


@pytest.fixture(scope="module")
def service(awkward_home):
    environment = {**os.environ, "PYTHONPATH": HERE, "FAIRLEAD_WORKER_TIMEOUT": "2", "FAIRLEAD_REQUEST_DEADLINE": "8"}
    with serving(awkward_home, workers=2, env=environment) as running:
        yield running


def ask(service, *values):
    rows = [{"x": value} for value in values]
    status, headers, body = post(service.port, "/predict/awkward", json.dumps(rows).encode())
    told = json.loads(body)
    return status, [one["prediction"] for one in told] if status == 200 else told, headers


def test_the_original_answers_in_a_process_of_its_own(service):
    assert ask(service, 1, 2.5, 1000)[:2] == (200, [2.0, 5.0, 2000.0])
    assert list(service.pids("worker"))


def test_a_worker_killed_under_load_fails_nobody(service):
    service.wait_for(lambda: ask(service, 7)[1] == [14.0])
    bodies = [json.dumps({"x": value}).encode() for value in range(1, 12)]
    with Background(service.port, bodies, connections=8, path="/predict/awkward") as found:
        service.wait_for(lambda: len(found.answers) > 100)
        (pid,) = service.pids("worker").values()
        os.kill(pid, signal.SIGKILL)
        before = len(found.answers)
        service.wait_for(lambda: len(found.answers) > before + 100)
    assert found.failures == []
    assert all(answer["prediction"] == 2.0 * (number + 1) for number, answer in found.answers)


def test_readiness_tells_within_a_second_that_the_model_is_gone_and_that_it_is_back(service):
    service.wait_for(lambda: post(service.port, "/readyz", b"", None, "GET")[0] == 200)
    (pid,) = service.pids("worker").values()
    os.kill(pid, signal.SIGKILL)
    _, _, body = service.wait_for(
        lambda: (found := post(service.port, "/readyz", b"", None, "GET"))[0] == 503 and found, seconds=1
    )
    assert json.loads(body)["unhealthy"] == ["awkward"]
    service.wait_for(lambda: post(service.port, "/readyz", b"", None, "GET")[0] == 200)


def test_a_model_that_raises_fails_its_own_request_and_tells_no_cause(service):
    status, told, _ = ask(service, 13)
    assert (status, told["code"]) == (500, "prediction_failed")
    assert "secret" not in json.dumps(told)
    assert ask(service, 4)[1] == [8.0]


def test_only_the_guilty_row_of_a_batch_fails(service):
    async def all_at_once():
        from fairlead.client import AsyncClient
        from fairlead.errors import PredictionFailed

        async with AsyncClient(service.url) as client:
            waiting = [client.predict("awkward", {"x": value}) for value in [*range(1, 13), 13, *range(14, 40)]]
            return await asyncio.gather(*waiting, return_exceptions=True), PredictionFailed

    replies, failure = asyncio.run(all_at_once())
    assert isinstance(replies[12], failure)
    assert [one.prediction for number, one in enumerate(replies) if number != 12] == [
        2.0 * value for value in [*range(1, 13), *range(14, 40)]
    ]


def test_a_model_that_hangs_is_ended_and_replaced(service):
    service.wait_for(lambda: ask(service, 6)[1] == [12.0])
    before = service.pids("worker")
    status, told, _ = ask(service, 99)
    assert status in {500, 503, 504}, told
    assert service.wait_for(lambda: ask(service, 6)[1] == [12.0])
    assert service.pids("worker") != before


def test_an_input_that_kills_the_process_twice_is_refused_and_the_next_is_answered(service):
    status, told, _ = ask(service, 66)
    assert status in {500, 503}, told
    assert service.wait_for(lambda: ask(service, 5)[1] == [10.0])


def test_an_input_that_killed_twice_is_not_asked_again(service):
    def both_gateways_have_learned():
        return all(ask(service, 66)[1].get("code") == "prediction_failed" for _ in range(16))

    service.wait_for(both_gateways_have_learned, seconds=60)
    service.wait_for(lambda: ask(service, 8)[1] == [16.0])
    before = service.pids("worker")
    assert both_gateways_have_learned()
    assert service.pids("worker") == before


def test_no_process_of_ours_but_the_worker_opens_the_pickle(service):
    opened = {int(line) for line in (service.home / "opened-by").read_text().split()}
    roles = service.pids()
    assert {pid for role, pid in roles.items() if role.startswith("worker")} <= opened
    others = {pid for role, pid in roles.items() if not role.startswith("worker")}
    assert not opened & {*others, service.process.pid, os.getpid()}


def test_load_in_an_application_gives_the_original_a_process_of_its_own(awkward_home, monkeypatch):
    import sys

    import fairlead
    from fairlead.errors import PredictionFailed

    monkeypatch.setenv("PYTHONPATH", HERE)
    monkeypatch.delitem(sys.modules, "awkward_model", raising=False)
    model = fairlead.load("awkward:1", home=awkward_home)
    assert model.predict(pd.DataFrame({"x": [1.0, 2.0]})).tolist() == [2.0, 4.0]
    assert "awkward_model" not in sys.modules
    with pytest.raises(PredictionFailed):
        model.predict({"x": 13.0})
    assert model.predict({"x": 3.0}).tolist() == [6.0]
