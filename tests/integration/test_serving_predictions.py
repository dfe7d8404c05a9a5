"""The service as a client meets it: answers are held against scikit-learn's own on flights of April."""

import csv
import io
import json

import numpy as np
import pytest

from fairlead.client import AsyncClient, Client
from fairlead.errors import NotFound, SchemaMismatch
from fairlead.eventlog.reader import read_log
from running import at, cli, post, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(packed_home, tmp_path_factory):
    import shutil

    home = shutil.copytree(packed_home, tmp_path_factory.mktemp("serving") / "home")
    cli(home, "deploy", "flights:1")
    with serving(home, workers=2) as running:
        yield running


def test_one_row_is_answered_as_scikit_learn_answers_it(service, april_rows, late_probabilities):
    with Client(service.url) as client:
        for number in range(100):
            reply = client.predict("flights", april_rows[number])
            expected = late_probabilities["flights:1"][number]
            assert reply.probabilities["late"] == pytest.approx(expected, abs=1e-6)
            assert reply.prediction == ("late" if expected > 0.5 else "on time")
            assert reply.model == "flights:1"


def test_many_rows_are_answered_in_order(service, april_rows, late_probabilities):
    with Client(service.url) as client:
        replies = client.predict_many("flights", april_rows)
    found = np.array([reply.probabilities["late"] for reply in replies])
    assert np.abs(found - late_probabilities["flights:1"]).max() <= 1e-6


def test_csv_is_answered_as_json_is(service, april_rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(april_rows[0]))
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in april_rows[:50])
    status, _, body = post(service.port, "/predict/flights", text.getvalue().encode(), "text/csv; charset=utf-8")
    assert status == 200
    with Client(service.url) as client:
        expected = client.predict_many("flights", april_rows[:50])
    assert [one["probabilities"] for one in json.loads(body)] == [one.probabilities for one in expected]


def test_ids_are_unique_and_every_answer_is_in_the_event_log(service, april_rows):
    with Client(service.url) as client:
        replies = client.predict_many("flights", april_rows[:300])
    ids = {reply.id for reply in replies}
    assert len(ids) == 300
    logged = {one.prediction.id: one for one in read_log(service.home / "events")}
    assert ids <= logged.keys()
    first = logged[replies[0].id]
    assert first.row == april_rows[0]
    assert first.prediction.prediction == replies[0].prediction
    assert first.prediction.model == "flights:1"
    assert first.prediction.variant == "stable"
    assert first.prediction.status == "ok"
    assert first.prediction.latency > 0


def test_an_unseen_category_is_answered_and_flagged(service, april_rows, models):
    import pandas as pd

    from fairlead.demo.flights import COLUMNS

    row = {**april_rows[0], "carrier": "ZZ", "dest": "XXX"}
    with Client(service.url) as client:
        reply = client.predict("flights", row)
    assert reply.unseen == ("carrier", "dest")
    expected = models["flights:1"].predict_proba(pd.DataFrame([row])[list(COLUMNS)])[0, 0]
    assert reply.probabilities["late"] == pytest.approx(expected, abs=1e-6)


def test_requests_in_one_packet_are_answered_in_order(service, april_bodies, late_probabilities):
    import socket

    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        head = at(service.port, b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
        connection.sendall(
            b"".join(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body) for body in april_bodies[:20])
        )
        received = b""
        while received.count(b"HTTP/1.1 200") < 20 or not received.endswith(b"}"):
            received += connection.recv(65536)
    answers = [json.loads(part.split(b"\r\n\r\n", 1)[1]) for part in received.split(b"HTTP/1.1 200 OK")[1:]]
    found = [answer["probabilities"]["late"] for answer in answers]
    assert found == pytest.approx(list(late_probabilities["flights:1"][:20]), abs=1e-6)


def test_a_client_that_offers_http2_is_answered_in_http1(service, april_bodies):
    body = april_bodies[0]
    from running import exchange

    received = exchange(
        service.port,
        b"POST /predict/flights HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body),
    )
    assert received.startswith(b"HTTP/1.1 200 OK")


def test_a_large_body_announced_with_expect_is_invited(service, april_rows):
    body = json.dumps(april_rows * 5).encode()
    import socket

    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        head = (
            b"POST /predict/flights HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body)
        )
        connection.sendall(at(service.port, head))
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_health_tells_the_truth(service):
    status, _, body = post(service.port, "/livez", b"", None, "GET")
    assert (status, json.loads(body)) == (200, {"live": True})
    status, _, body = post(service.port, "/readyz", b"", None, "GET")
    assert status == 200
    assert json.loads(body)["endpoints"] == ["flights"]


def test_the_client_raises_fairleads_own_errors(service, april_rows):
    with Client(service.url) as client:
        with pytest.raises(SchemaMismatch) as refused:
            client.predict("flights", {**april_rows[0], "temp": "warm"})
        assert refused.value.values["field"] == "temp"
        with pytest.raises(NotFound):
            client.predict("trains", april_rows[0])
        assert client.ready()


def test_the_async_client_answers_alike(service, april_rows):
    import asyncio

    async def ask():
        async with AsyncClient(service.url) as client:
            assert await client.ready()
            return await asyncio.gather(*(client.predict("flights", row) for row in april_rows[:8]))

    with Client(service.url) as client:
        expected = client.predict_many("flights", april_rows[:8])
    assert [one.probabilities for one in asyncio.run(ask())] == [one.probabilities for one in expected]


def test_predict_on_the_command_line_asks_the_service(service, april_rows):
    done = cli(service.home, "predict", "flights", json.dumps(april_rows[0]), "--url", service.url)
    assert json.loads(done.stdout)["model"] == "flights:1"


def test_status_names_endpoint_version_and_gateways(service):
    told = json.loads(cli(service.home, "status", "--json").stdout)
    assert told["endpoints"] == [
        {"name": "flights", "variant": "stable", "model": "flights:1", "weight": 100.0, "road": "ir"}
    ]
    assert [one["state"] for one in told["gateways"]] == ["ready", "ready"]


def test_a_second_service_in_the_same_home_is_refused(service):
    done = cli(service.home, "serve", "--port", "0", check=False)
    assert done.returncode == 4
    assert "running" in done.stderr


def test_a_client_that_half_closes_after_its_request_is_answered_and_let_go(service, april_bodies):
    import socket

    body = april_bodies[0]
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        head = f"POST /predict/flights HTTP/1.1\r\nhost: 127.0.0.1:{service.port}\r\ncontent-type: application/json\r\n"
        connection.sendall(head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):  # ends because the service closes, long before its idle timeout
            received += part
    assert received.startswith(b"HTTP/1.1 200 OK")
