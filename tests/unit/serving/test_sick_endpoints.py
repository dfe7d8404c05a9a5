"""What tensor clients are told of an endpoint whose worker is gone: the truth, in each protocol's words."""

import json

import pytest

from fairlead.bundle.manifest import Samples
from fairlead.schema import Column, Output, Schema
from fairlead.serving.doors.openinference import OpenInference
from fairlead.serving.doors.repository import Repository
from fairlead.serving.doors.tensor_endpoint import TensorEndpoints
from fairlead.serving.doors.v1 import V1
from fairlead.serving.gateway import Gateway
from fairlead.serving.http import errorbody
from fairlead.serving.http.request import Request
from live_endpoints import live_endpoint

SCHEMA = Schema((Column("x", "number"),), Output("regression"))


class Worker:
    """A worker's stand-in; only whether it is healthy is ever asked."""

    queue = None

    def __init__(self, *, healthy):
        self.healthy = healthy

    async def answer(self, rows):
        raise NotImplementedError


class Connection:
    """Keeps what was answered."""

    draining = False

    def respond(self, request, status, body, *_, **__):
        self.told = status, json.loads(body)

    def respond_error(self, request, error):
        status, body, _ = errorbody.told(error)
        self.told = status, json.loads(body)


def live(name, *, healthy):
    return live_endpoint(
        name, model=f"{name}:1", schema=SCHEMA, samples=Samples((), ()), predictor=Worker(healthy=healthy), max_rows=10
    )


@pytest.fixture
def ask():
    def ask(method, path, *, well=True, body=b""):
        gateway = Gateway(None)
        gateway.swap(1, {"sick": live("sick", healthy=False)} | ({"well": live("well", healthy=True)} if well else {}))
        endpoints = TensorEndpoints(gateway)
        doors = (
            Repository(gateway, endpoints),
            OpenInference(gateway, endpoints, max_body=10),
            V1(gateway, endpoints, max_body=10),
        )
        request = Request(method, path, [], body, keep_alive=True, version="1.1")
        connection = Connection()
        handler = next(found for door in doors if (found := door.handler(request, path)))
        handler(connection, request)
        return connection.told

    return ask


def test_a_sick_endpoint_is_not_ready_and_its_neighbour_is(ask):
    status, told = ask(b"GET", b"/v2/models/sick/ready")
    assert (status, list(told)) == (503, ["error"])
    assert ask(b"GET", b"/v2/models/well/ready") == (200, {"name": "well", "ready": True})
    assert ask(b"GET", b"/v1/models/sick")[1]["ready"] is False
    assert ask(b"GET", b"/v1/models/well")[1]["ready"] is True


def test_the_service_is_ready_as_long_as_something_answers(ask):
    assert ask(b"GET", b"/v2/health/ready") == (200, {"ready": True})
    assert ask(b"GET", b"/v2/health/ready", well=False)[0] == 503
    assert ask(b"GET", b"/v2/health/live", well=False) == (200, {"live": True})


def test_the_index_says_what_answers(ask):
    states = {one["name"]: one["state"] for one in ask(b"POST", b"/v2/repository/index")[1]}
    assert states == {"sick": "UNAVAILABLE", "well": "READY"}
    assert [one["name"] for one in ask(b"POST", b"/v2/repository/index", body=b'{"ready": true}')[1]] == ["well"]
