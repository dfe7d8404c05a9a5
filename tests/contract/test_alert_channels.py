"""What every alert channel keeps to, ours and others': it opens without a network, shows no address, and keeps to its errors."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from fairlead.alerts.alert import Alert
from fairlead.alerts.channel import Channel
from fairlead.errors import InvalidInput, Overloaded
from fairlead.plugins import plugin, plugin_names
from running import free_port

# Apprise imports a module that Python deprecates, and means to.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SECRET = "a secret of more than 16 characters"
# How the address of each channel is written; `{where}` is host and port. A channel of yours needs a line here.
ADDRESSES = {
    "webhook": "http://{where}/hook?key=wire-secret",
    "apprise": "json://user:wire-secret@{where}/hook?cto=60&rto=60",
}
ALERT = Alert(
    kind="rollout_aborted",
    severity="critical",
    subject="flights",
    title="flights: flights:4 was taken out",
    text="error_rate: 5 % of 400, “worse”.",
    facts={"rollout": 3, "stable": None},
)


@pytest.fixture(params=plugin_names("alerts"))
def channel(request, monkeypatch):
    monkeypatch.setattr("fairlead.alerts.webhook.SECONDS", 60.0)  # how long an attempt takes is no matter here
    found = plugin("alerts", request.param, Channel)
    assert isinstance(found, Channel)
    return request.param, found


@pytest.fixture
def receiver():
    """A web server that keeps what it gets and answers the status it is told."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(server.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    got = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.got = 200, got
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()


def address(name, port):
    return ADDRESSES[name].format(where=f"127.0.0.1:{port}")


def test_it_says_what_it_is(channel):
    assert channel[1].summary.endswith(".")


def test_it_opens_without_a_network_and_tells_the_alert_that_it_is_given(channel, receiver):
    name, found = channel
    send = found.open(address(name, receiver.server_address[1]), SECRET)
    assert receiver.got == []
    send(ALERT)
    ((_, body),) = receiver.got
    told = json.loads(body)
    assert told["title"] == ALERT.title
    assert ALERT.text in {told.get("text"), told.get("message")}  # ours, Apprise's


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_receiver_that_is_busy_may_be_asked_again(channel, receiver, status):
    name, found = channel
    receiver.status = status
    with pytest.raises((Overloaded, OSError)) as caught:
        found.open(address(name, receiver.server_address[1]), SECRET)(ALERT)
    assert "wire-secret" not in str(caught.value)


def test_nobody_there_is_an_error_that_shows_no_address(channel):
    name, found = channel
    with pytest.raises((Overloaded, OSError)) as caught:
        found.open(address(name, free_port()), SECRET)(ALERT)
    assert "wire-secret" not in str(caught.value)


def test_an_address_that_cannot_be_used_is_refused_and_not_shown(channel):
    _, found = channel
    with pytest.raises(InvalidInput) as caught:
        found.open("nothing-known://wire-secret", SECRET)
    assert "wire-secret" not in str(caught.value)
    assert caught.value.hint
