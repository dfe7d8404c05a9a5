"""A rollout on a running service as its people hear of it: the watching terminal, the webhook, the verbs."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import os
import pty
import select
import signal
import subprocess
import threading
import time

import pandas as pd
import pytest
from rollout_room import carry, furnish, look

from running import CLI, Background, cli, post, serving

SECRET = "a secret of more than 16 characters"


@pytest.fixture(scope="module")
def lateness(tmp_path_factory):
    """`late:1` and `late:2`, two compiled models of one column, and the first one deployed."""
    from sklearn.linear_model import LogisticRegression

    import fairlead

    home = tmp_path_factory.mktemp("late") / "home"
    table = pd.DataFrame({"delay": [float(number) for number in range(100)]})
    table["late"] = (table["delay"] > 50).astype(int)
    for strength in (1.0, 0.5):
        model = LogisticRegression(C=strength).fit(table[["delay"]], table["late"])
        fairlead.pack(model, name="late", data=table, target="late", home=home)
    cli(home, "deploy", "late:1")
    return home


class Receiver:
    """Keeps what a webhook gets; refuses the first of it, as a receiver that starts up does."""

    def __init__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.headers["fairlead-signature"], body))
                self.send_response(503 if len(outer.requests) == 1 else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.requests = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    @property
    def kinds(self):
        """Of the alerts, each once: one that was taken late may have been told again."""
        told = {one["id"]: one["kind"] for one in (json.loads(body) for _, body in list(self.requests))}
        return list(told.values())

    def close(self):
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def is_signed(header, body):
    """As the how-to tells a receiver to verify, with the standard library alone."""
    seconds, _, given = header.removeprefix("t=").partition(",v1=")
    return hmac.new(SECRET.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest() == given


def watching(home):
    """Somebody who watches, and has seen that a rollout is under way."""
    command = [*CLI, "--home", str(home), "status", "--watch", "--until", "ended"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert ": rollout " in process.stdout.readline()
    return process


def answers(service):
    return json.loads(post(service.port, "/predict/late", b'{"delay": 70.0}')[2])["model"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rollout_is_watched_told_by_webhook_promoted_rolled_back_and_another_aborted(lateness, receiver):
    home = lateness
    rows = [json.dumps({"delay": float(number)}).encode() for number in range(100)]
    environment = os.environ | {"FAIRLEAD_ALERT_WEBHOOK": receiver.url, "FAIRLEAD_ALERT_SECRET": SECRET}
    with (
        serving(home, "--console-port", "0", env=environment) as service,
        Background(service.port, rows, connections=4, path="/predict/late") as found,
    ):
        steps = ("--strategy", "canary", "--steps", "20,approve,50", "--bake", "1s", "--samples", "5")
        begun = json.loads(cli(home, "deploy", "late:2", *steps, "--json").stdout)
        assert begun["gateways"] == 1
        watch = watching(home)
        service.wait_for(lambda: cli(home, "approve", "late", check=False).returncode == 0, 100)
        out, err = watch.communicate(timeout=100)
        assert (watch.returncode, err) == (0, "")
        assert out.splitlines()[-1].partition(": promoted")[0].endswith("canary of late:2 against late:1")
        service.wait_for(lambda: receiver.kinds[-1:] == ["rollout_promoted"], 60)
        assert receiver.kinds == ["rollout_began", *["rollout_stepped"] * 3, "rollout_promoted"]
        assert all(is_signed(*request) for request in receiver.requests)
        assert len(receiver.requests) > len(receiver.kinds), "the first was refused, and told again"
        assert answers(service) == "late:2"

        back = json.loads(cli(home, "rollback", "late", "--json").stdout)
        assert (back["rollout"]["model"], back["gateways"]) == ("late:1", 1)
        assert answers(service) == "late:1"

        cli(home, "deploy", "late:2", "--strategy", "canary", "--steps", "20", "--bake", "1h")
        watch = watching(home)
        cli(home, "abort", "late", "--because", "a test")
        out, err = watch.communicate(timeout=100)
        assert watch.returncode == 5
        assert "was aborted: a test" in err
        # What a person did is told to the others, too.
        service.wait_for(lambda: receiver.kinds[-1:] == ["rollout_aborted"], 60)
        assert "a test" in json.loads(receiver.requests[-1][1])["text"]
        looks = json.loads(cli(home, "history", "late", "--rollout", "2", "--looks", "--json").stdout)
        assert {entry["kind"] for entry in looks["entries"]} == {"began", "moved", "look", "approved"}
        assert looks["rollout"]["verdicts"][0]["verdict"] == "pass"
    assert found.failures == []


def test_on_a_terminal_the_screen_is_drawn_until_ctrl_c(tmp_path):
    home = furnish(tmp_path / "home")
    cli(home, "deploy", "flights:2", "--strategy", "canary", "--wait", "0")
    carry(home, "warming", "progressing")
    look(home, "inconclusive", "[bold]5 %[/bold] of 400")
    ours, theirs = pty.openpty()
    command = [*CLI, "--home", str(home), "status", "--watch"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    drawn, end = "", time.monotonic() + 60
    while drawn.count("Ctrl-C ends") < 2 and time.monotonic() < end:
        if select.select([ours], [], [], 1)[0]:
            drawn += os.read(ours, 65536).decode()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    os.close(ours)
    assert "canary of flights:2 against flights:1: progressing, step 1 of 3, 1 % of the traffic" in drawn
    assert "[bold]5 %[/bold] of 400" in drawn, "what people wrote is no markup"
    assert "Traceback" not in drawn
