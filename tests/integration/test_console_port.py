"""When the operator's port opens, and that a port which is taken stops nothing."""

import http.client
import socket
import time

import pytest

from fairlead.console.server import ConsoleServer, ConsoleSettings
from fairlead.serving.http.request import Limits
from fairlead.serving.keys.tokens_file import write_tokens
from fairlead.tokens import Token, TokenSet, digest_of, make_secret
from running import free_port

SECRET, ID = make_secret()


async def app(scope, receive, send):
    """Answers everything; the gate stands before it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def tokens(*scopes):
    return TokenSet(1, (Token(1, ID, "x", digest_of(SECRET), scopes),))


@pytest.fixture
def console(tmp_path):
    made = []

    def make(port):
        settings = ConsoleSettings("127.0.0.1", port, (), tmp_path / "tokens.json", tmp_path / "rates", Limits())
        made.append(ConsoleServer(settings, lambda _: app))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ask(port, path="/api/x", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    found = reply.status, reply.read()
    connection.close()
    return found


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_opens_when_a_token_could_use_it_and_not_before(console, tmp_path):
    port = free_port()
    server = console(port)
    for told in (None, TokenSet(), tokens("predict", "feedback")):
        if told is not None:
            write_tokens(tmp_path / "tokens.json", told)
        server.look()
        assert not listens(port)
    write_tokens(tmp_path / "tokens.json", tokens("admin"))
    server.look()
    assert ask(port)[0] == 401
    assert ask(port, authorization=f"Bearer {SECRET}") == (200, b"/api/x")
    server.close()
    assert not listens(port)


def test_port_0_opens_none(console, tmp_path):
    write_tokens(tmp_path / "tokens.json", tokens("admin"))
    server = console(0)
    server.look()
    assert server._thread is None


def test_a_port_that_is_taken_is_tried_again(console, tmp_path, monkeypatch):
    write_tokens(tmp_path / "tokens.json", tokens("admin"))
    monkeypatch.setattr("fairlead.console.server._RETRY_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = console(port)
        server.look()
        assert server._thread is None
    end = time.monotonic() + 5
    while server._thread is None and time.monotonic() < end:
        server.look()
        time.sleep(0.02)
    assert ask(port)[0] == 401
