"""`fairlead.asgi` within FastAPI and Starlette, by uvicorn and by hand: the answers are scikit-learn's, mistakes are problems."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import httpx
import pandas as pd
import pytest
from fastapi import FastAPI
from mounting import HERE, ask, late, script, server
from starlette.applications import Starlette

import fairlead
from fairlead.errors import BadReference
from running import alive, cli, free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def standing(packed_home, tmp_path_factory):
    """A home in which flights:1 stays deployed."""
    home = Path(shutil.copytree(packed_home, tmp_path_factory.mktemp("standing") / "home"))
    cli(home, "deploy", "flights:1")
    return home


@pytest.fixture
def deployed(home):
    """A home of the test's own, to deploy to."""
    cli(home, "deploy", "flights:1")
    return home


def within(app, talk):
    """Run `talk(client)` in an event loop of its own, against the application itself."""

    async def run():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://application") as client:
            return await talk(client)

    return asyncio.run(run())


def mounted(app, endpoint, home):
    flights = fairlead.asgi(endpoint, home=home)
    app.mount("/model", flights)
    return app, flights


@pytest.mark.parametrize("kind", [FastAPI, Starlette])
def test_a_row_an_array_and_csv_are_answered_as_scikit_learn_answers(kind, standing, april_rows, late_probabilities):
    app, flights = mounted(kind(), "flights", standing)
    expected = late_probabilities["flights:1"]
    table = io.StringIO()
    writer = csv.DictWriter(table, april_rows[0])
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in april_rows[:50])

    async def talk(client):
        async with flights.lifespan():
            one = await client.post("/model/", json=april_rows[0])
            many = await client.post("/model/", json=april_rows)
            text = await client.post("/model/", content=table.getvalue(), headers={"content-type": "text/csv"})
            schema = await client.get("/model/schema")
        return one.json(), many.json(), text.json(), schema.json()

    one, many, text, schema = within(app, talk)
    assert late(one) == pytest.approx(expected[0], abs=1e-6)
    assert one["model"] == "flights:1"
    assert [late(told) for told in many] == pytest.approx(list(expected), abs=1e-6)
    assert [late(told) for told in text] == pytest.approx(list(expected[:50]), abs=1e-6)
    assert [column["name"] for column in schema["schema"]["columns"]] == list(april_rows[0])
    assert set(schema["example"]) == set(april_rows[0])


def test_requests_of_one_turn_of_the_loop_get_each_their_own_answer_and_are_recorded(
    standing, april_bodies, late_probabilities
):
    from fairlead.eventlog.reader import read_log

    app = fairlead.asgi("flights", home=standing)

    async def talk(client):
        async with app.lifespan():
            return await asyncio.gather(*(client.post("/", content=body) for body in april_bodies[:300]))

    answers = [reply.json() for reply in within(app, talk)]
    assert [late(told) for told in answers] == pytest.approx(list(late_probabilities["flights:1"][:300]), abs=1e-6)
    recorded = {one.prediction.id for one in read_log(standing / "events")}
    assert {told["id"] for told in answers} <= recorded


def test_a_deploy_swaps_it_without_a_restart_and_no_answer_mixes_versions(deployed, april_bodies, late_probabilities):
    app = fairlead.asgi("flights", home=deployed)

    async def talk(client):
        found = []
        async with app.lifespan():
            deploy = asyncio.create_task(asyncio.to_thread(cli, deployed, "deploy", "flights:2"))
            for turn in range(3000):
                number = turn % len(april_bodies)
                reply = await client.post("/", content=april_bodies[number])
                found.append((number, reply.status_code, reply.json()))
                if reply.json()["model"] == "flights:2" and deploy.done():
                    break
                await asyncio.sleep(0.002)
            await deploy
        return found

    found = within(app, talk)
    assert Counter(status for _, status, _ in found) == {200: len(found)}
    assert {told["model"] for *_, told in found} == {"flights:1", "flights:2"}
    for number, _, told in found:
        assert late(told) == pytest.approx(late_probabilities[told["model"]][number], abs=1e-6)


def test_mistakes_are_problem_details_in_the_words_of_the_service(standing, april_bodies):
    app, _ = mounted(FastAPI(), "flights", standing)

    async def talk(client):
        async def of(method, path, content=b"", kind="application/json"):
            reply = await client.request(method, path, content=content, headers={"content-type": kind})
            assert reply.headers["content-type"] == "application/problem+json"
            return reply.status_code, reply.json()["code"], reply.headers

        return [
            await of("POST", "/model/", b"{}"),
            await of("POST", "/model/", b"no json"),
            await of("POST", "/model/", b"[" * 100_000),
            await of("POST", "/model/", b'{"x": NaN}'),
            await of("POST", "/model/", april_bodies[0], "application/x-pickle"),
            await of("POST", "/model/", b" " * (16 * 2**20 + 1)),
            await of("PUT", "/model/", april_bodies[0]),
            await of("POST", "/model/schema"),
            await of("GET", "/model/elsewhere"),
        ]

    found = within(app, talk)
    assert [(status, code) for status, code, _ in found] == [
        (422, "schema_mismatch"),
        (400, "invalid_input"),
        (400, "invalid_input"),
        (422, "schema_mismatch"),
        (415, "unsupported_media_type"),
        (413, "too_large"),
        (405, "method_not_allowed"),
        (405, "method_not_allowed"),
        (404, "not_found"),
    ]
    assert found[6][2]["allow"] == "POST"
    assert found[7][2]["allow"] == "GET, HEAD"


def test_an_endpoint_that_does_not_exist_is_told_and_comes_with_its_deploy(home, april_bodies):
    app = fairlead.asgi("flights", home=home)

    async def talk(client):
        first = await client.post("/", content=april_bodies[0])
        await asyncio.to_thread(cli, home, "deploy", "flights:2")  # waits for this very mount
        return first, await client.post("/", content=april_bodies[0])

    first, second = within(app, talk)
    assert (first.status_code, first.json()["code"]) == (404, "not_found")
    assert "fairlead deploy" in first.json()["hint"]
    assert second.json()["model"] == "flights:2"


def test_what_cannot_be_loaded_is_503_and_tells_no_path(home, april_bodies):
    cli(home, "deploy", "flights:1")
    for graph in (home / "cache" / "bundles").rglob("*.onnx"):
        graph.chmod(0o600)
        graph.write_bytes(b"corrupt")
    reply = within(fairlead.asgi("flights", home=home), lambda client: client.post("/", content=april_bodies[0]))
    assert (reply.status_code, reply.json()["code"]) == (503, "overloaded")
    assert str(home) not in reply.text
    assert int(reply.headers["retry-after"]) >= 1


def test_a_new_event_loop_gets_a_room_of_its_own(standing, april_bodies):
    app = fairlead.asgi("flights", home=standing)
    for _ in range(2):
        reply = within(app, lambda client: client.post("/", content=april_bodies[0]))
        assert reply.status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_body_raises_nothing(standing):
    app = fairlead.asgi("flights", home=standing)
    sent = []

    async def leave():
        messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

        async def receive():
            return next(messages)

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await app(scope, receive, send)

    asyncio.run(leave())
    assert sent == []


def test_a_name_that_no_endpoint_can_have_is_refused_where_it_is_written(tmp_path):
    with pytest.raises(BadReference):
        fairlead.asgi("../etc", home=tmp_path)


@pytest.fixture(scope="module")
def awkward(tmp_path_factory):
    """A model that no road compiles: it doubles x, raises at 13 and ends its process at 66."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        patch.setattr(sys, "path", [*sys.path, str(HERE)])
        from awkward_model import Awkward

        home = tmp_path_factory.mktemp("awkward")
        table = pd.DataFrame({"x": [float(value) for value in range(1, 13)], "y": [2.0 * n for n in range(1, 13)]})
        packed = fairlead.pack(Awkward(str(home / "opened-by")), name="awkward", data=table, target="y", home=home)
        assert packed.road == "worker"
        cli(home, "deploy", "awkward:1")
        yield home


def test_a_version_that_is_not_compiled_answers_in_a_process_of_its_own_that_is_kept_alive(awkward, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    app = fairlead.asgi("awkward", home=awkward)

    def opened():
        return [int(line) for line in (awkward / "opened-by").read_text().split()]

    async def talk(client):
        async with app.lifespan():
            first = (await client.post("/", json={"x": 2.5})).json()["prediction"]
            raised = await client.post("/", json={"x": 13})
            os.kill(opened()[-1], signal.SIGKILL)
            second = await client.post("/", json={"x": 1000})
        return first, raised, second

    first, raised, second = within(app, talk)
    assert first == 5.0
    assert (raised.status_code, raised.json()["code"]) == (500, "prediction_failed")
    assert "13" not in raised.text
    assert (second.status_code, second.json()["prediction"]) == (200, 2000.0)
    assert os.getpid() not in opened()
    # The lifespan is over: no process is left.
    assert not any(alive(pid) for pid in opened()[-2:])


def test_within_fastapi_under_uvicorn_as_the_page_shows(standing, tmp_path, april_bodies, late_probabilities):
    port = free_port()
    command = script(
        tmp_path,
        "import fairlead\nfrom fastapi import FastAPI\n"
        f"flights = fairlead.asgi('flights', home={str(standing)!r})\n"
        "app = FastAPI(lifespan=flights.lifespan)\napp.mount('/flights', flights)\n"
        "@app.get('/hello')\nasync def hello():\n    return 'hello'\n",
    )
    url = f"http://127.0.0.1:{port}"
    command += ["-m", "uvicorn", "application:app", "--port", str(port), "--workers", "1"]
    with server(command, f"{url}/hello", tmp_path):
        for number in range(20):
            status, _, told = ask(f"{url}/flights/", april_bodies[number])
            assert status == 200
            assert late(told) == pytest.approx(late_probabilities["flights:1"][number], abs=1e-6)
        assert ask(f"{url}/flights/", b"{}")[0] == 422
    log = (tmp_path / "server.log").read_text()
    assert "Traceback" not in log


def test_by_itself_under_uvicorn_with_its_lifespan_and_a_root_path(standing, tmp_path, april_bodies):
    port = free_port()
    command = script(tmp_path, f"import fairlead\napp = fairlead.asgi('flights', home={str(standing)!r})\n")
    url = f"http://127.0.0.1:{port}"
    command += ["-m", "uvicorn", "application:app", "--port", str(port), "--root-path", "/api"]
    with server(command, f"{url}/schema", tmp_path):
        assert json.loads(april_bodies[0])
        assert ask(f"{url}/", april_bodies[0])[2]["model"] == "flights:1"
    log = (tmp_path / "server.log").read_text()
    assert "Application shutdown complete" in log
    assert "Traceback" not in log
