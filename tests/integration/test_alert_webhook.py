"""A webhook against real receivers: one that verifies with the standard library alone, one that hangs, one that drips."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import threading
import time

import pytest

from fairlead.alerts import channel, webhook
from fairlead.alerts.alert import Alert
from fairlead.alerts.alerts import Alerts
from fairlead.app import open_alerts
from fairlead.config import load_config
from fairlead.errors import InvalidInput, NotAllowed, Overloaded, PluginError
from fairlead.rollout.controller import Notice
from fairlead.rollout.notices import notice_alert
from fairlead.rollout.plan import Metric, Plan, complete
from fairlead.rollout.rollout import Rollout

# Apprise imports a module that Python deprecates, and means to.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SECRET = "a secret of more than 16 characters"


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """What an attempt may take is no matter here: a machine that stands still for a moment shall fail no test."""
    monkeypatch.setattr(webhook, "SECONDS", 60.0)


ALERT = Alert(kind="x", severity="info", subject="flights", title="one", text="two")


class Receiver:
    """Takes connections and answers each with the bytes that it is given; `None` never answers."""

    def __init__(self, *answers, pause=0.0):
        self.requests = []
        self._answers = list(answers)
        self._pause = pause
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._open = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"

    def _run(self):
        while not self._ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._open.append(connection)
            connection.settimeout(10)
            self.requests.append(self._request(connection))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            for byte in answer or ():
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    break
                if self._ending.wait(self._pause):
                    break
            if answer is not None:
                connection.close()

    def _request(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        while len(body) < int(headers["content-length"]):
            body += connection.recv(65536)
        return headers, body

    def close(self):
        self._ending.set()
        self._thread.join(30)
        for connection in self._open:
            connection.close()
        self._listener.close()


@pytest.fixture
def receive():
    made = []

    def make(*answers, **more):
        made.append(Receiver(*answers, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def answer(status):
    return b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % status


def test_what_arrives_is_json_signed_over_time_and_body(receive):
    receiver = receive(answer(204))
    before = int(time.time())
    webhook.CHANNEL.open(receiver.url, SECRET)(ALERT)
    ((headers, body),) = receiver.requests
    assert headers["content-type"] == "application/json"
    sent = int(headers["fairlead-signature"].split(",")[0].removeprefix("t="))
    assert before <= sent <= time.time()
    expected = hmac.new(SECRET.encode(), b"%d." % sent + body, hashlib.sha256).hexdigest()
    assert headers["fairlead-signature"] == f"t={sent},v1={expected}"
    told = json.loads(body)
    assert set(told) == {"kind", "severity", "subject", "title", "text", "facts", "id", "time"}
    assert (told["title"], told["id"]) == ("one", ALERT.id)


@pytest.mark.parametrize(
    ("status", "kind"), [(400, NotAllowed), (301, NotAllowed), (404, NotAllowed), (502, Overloaded)]
)
def test_a_refusal_is_final_and_a_fault_of_the_receivers_is_not(receive, status, kind):
    with pytest.raises(kind, match=str(status)):
        webhook.CHANNEL.open(receive(answer(status)).url, SECRET)(ALERT)


@pytest.mark.parametrize("how", ["never answers", "drips its header", "drips a header without end"])
def test_a_receiver_that_hangs_is_left_when_the_time_is_over(receive, how, monkeypatch):
    # A header byte each 50 ms would keep a timeout for each read going for ever.
    endless = b"HTTP/1.1 200 x\r\n" + b"a: b\r\n" * 1000
    answers = {"never answers": None, "drips its header": answer(200) * 5, "drips a header without end": endless}
    monkeypatch.setattr(webhook, "SECONDS", 0.5)
    receiver = receive(answers[how], pause=0.2)
    with pytest.raises(Overloaded, match="not answer within"):
        webhook.CHANNEL.open(receiver.url, SECRET)(ALERT)  # the limit of every test ends it where this waits


def test_what_is_no_http_may_be_tried_again(receive):
    with pytest.raises(Overloaded):
        webhook.CHANNEL.open(receive(b"\x16\x03\x01nonsense\r\n\r\n").url, SECRET)(ALERT)


def test_a_receiver_that_comes_back_hears_it_once_more_with_a_fresh_signature(receive):
    receiver = receive(answer(503), answer(503), answer(200))
    alerts = Alerts([("webhook", webhook.CHANNEL.open(receiver.url, SECRET))], pauses=(0.01, 0.01))
    alerts.tell(ALERT)
    end = time.monotonic() + 60
    while not alerts.counts.sent:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert len({body for _, body in receiver.requests}) == 1
    assert all(
        webhook.is_signed(headers["fairlead-signature"], SECRET, body, now=time.time())
        for headers, body in receiver.requests
    )
    alerts.close()


def test_the_limit_of_one_attempt_is_five_seconds():
    assert channel.SECONDS == 5.0


# -- settings ---------------------------------------------------------------------------------------------------------


def config(folder, **environment):
    told = {f"FAIRLEAD_{name.upper()}": value for name, value in environment.items()}
    return load_config(environment=told, folder=folder)


def test_the_settings_open_the_channels_that_they_name(tmp_path, receive):
    receiver = receive(answer(200))
    local = receiver.url.replace("http://", "json://")
    alerts = open_alerts(
        config(
            tmp_path,
            alert_webhook=receiver.url,
            alert_secret=SECRET,
            alert_urls=f"{local}/a?cto=60&rto=60\n {local}/b?cto=60&rto=60",
        )
    )
    alerts.tell(ALERT)
    end = time.monotonic() + 60
    while alerts.counts.sent < 3:
        assert time.monotonic() < end, alerts.counts
        time.sleep(0.01)
    assert len(receiver.requests) == 3
    alerts.close()


def test_an_address_with_the_scheme_of_an_installed_channel_is_that_channels(tmp_path, monkeypatch):
    told = []

    class Pager:
        summary = "Pages."

        def open(self, url, secret):
            return lambda alert: told.append((url, secret, alert.title))

    from fairlead import plugins

    class Point:
        name, value = "pager", "test:PAGER"

        def load(self):
            return Pager()

    found = plugins.entry_points
    monkeypatch.setattr(
        plugins,
        "entry_points",
        lambda **asked: [*found(**asked), *([Point()] if asked.get("name", "pager") == "pager" else [])],
    )
    alerts = open_alerts(config(tmp_path, alert_urls="pager://on-call", alert_secret=SECRET))
    alerts.tell(ALERT)
    alerts.close(60)
    assert told == [("pager://on-call", SECRET, "one")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alert_webhook": "https://example.org/wire-secret"}, "no secret to sign"),
        ({"alert_webhook": "wire-secret", "alert_secret": SECRET}, "no address"),
        ({"alert_urls": "wire-secret"}, "no scheme"),
        ({"alert_urls": "unheard-of://wire-secret"}, "unheard-of"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start_and_not_shown(tmp_path, settings, said):
    with pytest.raises((InvalidInput, PluginError), match=said) as caught:
        open_alerts(config(tmp_path, **settings))
    assert "wire-secret" not in str(caught.value)


def test_a_secret_is_never_shown_and_comes_from_the_environment_only(tmp_path):
    with pytest.raises(InvalidInput, match="FAIRLEAD_ALERT_SECRET") as caught:
        config(tmp_path, alert_secret="too-short-wire")
    assert "wire" not in str(caught.value)
    shown = repr(config(tmp_path, alert_secret=SECRET, alert_urls="json://wire", alert_webhook="http://wire"))
    assert SECRET not in shown
    assert "wire" not in shown
    assert "port=8080" in shown
    (tmp_path / "fairlead.toml").write_text(f'alert_secret = "{SECRET}"')
    with pytest.raises(InvalidInput, match="others may read it") as caught:
        load_config(environment={}, folder=tmp_path)
    assert SECRET not in str(caught.value)


def test_the_secret_is_not_passed_on_to_what_runs_a_model(monkeypatch):
    from fairlead.predictor.launch import bare_environment

    monkeypatch.setenv("FAIRLEAD_ALERT_SECRET", SECRET)
    assert SECRET in os.environ.values()
    assert SECRET not in bare_environment().values()


# -- what a rollout's alerts say --------------------------------------------------------------------------------------


def rollout(state="progressing", **more):
    plan = complete(Plan("flights", "flights:4", metrics=(Metric("error_rate"),)))
    facts = {"number": 3, "model": "flights:4", "digest": "d", "stable": "flights:3", "stable_digest": "e", "salt": ""}
    times = {"started": 0.0, "stepped": 0.0, "changed": 0.0, "actor": "ann", "because": "So it is."}
    return Rollout(plan=plan, state=state, **facts | times | more)


@pytest.mark.parametrize(
    ("kind", "state", "severity", "title", "text"),
    [
        ("began", "pending", "info", "flights: a rollout of flights:4 began (canary)", "ann began rollout 3 against"),
        ("stepped", "progressing", "info", "flights: flights:4 goes on to step 2 of 3", "Now: 10 % of the traffic."),
        (
            "paused",
            "paused",
            "warning",
            "flights: the rollout of flights:4 is paused in step 2 of 3",
            "fairlead resume",
        ),
        ("inconclusive", "paused", "warning", "flights: the rollout of flights:4 is not decided in", "fairlead abort"),
        ("promoted", "promoting", "info", "flights: flights:4 was promoted", "`fairlead rollback flights`"),
        ("aborted", "aborting", "critical", "flights: flights:4 was taken out", "flights:3 answers everything."),
        ("unheard", "paused", "info", "flights: the rollout of flights:4 is paused", "So it is."),
    ],
)
def test_a_notice_is_told_in_sentences_with_the_values_beside_it(kind, state, severity, title, text):
    told = notice_alert(Notice(kind, rollout(state, step=1)))
    assert (told.kind, told.severity, told.subject) == (f"rollout_{kind}", severity, "flights")
    assert told.title.startswith(title)
    assert text in told.text
    assert told.facts["rollout"] == 3
    assert told.facts["because"] == "So it is."


def test_behind_people_there_is_no_stable_version_to_speak_of():
    told = notice_alert(Notice("aborted", rollout("aborting", stable="")))
    assert "People decide as before." in told.text
    assert "None" not in told.text
    assert "behind people" in notice_alert(Notice("began", rollout("pending", stable=""))).text
