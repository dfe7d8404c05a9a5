"""What a mounted endpoint has as the service has it: tokens, deadlines, limits, the access log, counters, and that a deploy waits for it.

Everything is asked in both ways: by ASGI, through httpx, and by WSGI, by hand. The truth is what this client sent, and what the
command line says.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from mounting import wait_for
from prometheus_client.parser import text_string_to_metric_families as parse

import fairlead
from fairlead.serving.processes.status import GatewayStatus, write_status
from running import cli
from toys import IRIS_ROW, pack_iris

pytestmark = pytest.mark.slow
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def iris_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("iris")
    pack_iris(home)
    cli(home, "deploy", "iris:1")
    return home


@pytest.fixture
def home(iris_home, tmp_path):
    return Path(shutil.copytree(iris_home, tmp_path / "home"))


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def told(self):
        return json.loads(self.body)


@contextmanager
def by_asgi(home, **options):
    """Asks the application in one event loop of its own, as a server would."""
    app = fairlead.asgi("iris", home=home, **options)
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://application")

        def ask(body=IRIS_ROW, method="POST", path="/", **headers):
            sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
            reply = runner.run(client.request(method, path, content=body, headers=sent))
            return Answer(reply.status_code, reply.headers.items(), reply.content)

        async def follow():
            for _ in range(5):
                await asyncio.sleep(0.1)

        ask.turn = lambda: runner.run(follow())
        lifespan = app.lifespan()
        runner.run(lifespan.__aenter__())
        try:
            yield ask
        finally:
            runner.run(client.aclose())
            runner.run(lifespan.__aexit__(None, None, None))


@contextmanager
def by_wsgi(home, **options):
    """Asks the application from this thread; its room lives in another."""
    app = fairlead.wsgi("iris", home=home, **options)

    def ask(body=IRIS_ROW, method="POST", path="/", **headers):
        heard = []
        environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1"}
        environ |= {
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        parts = app(environ, lambda status, fields: heard.append((status, fields)))
        (status, fields), text = heard[0], b"".join(parts)
        return Answer(int(status[:3]), fields, text)

    ask.turn = lambda: time.sleep(0.1)
    ask(method="GET", path="/schema")
    try:
        yield ask
    finally:
        app._opened._end()


WAYS = pytest.mark.parametrize("way", [by_asgi, by_wsgi])


def eventually(ask, what, seconds=30):
    """Let the application's loop go on until something holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        ask.turn()
    raise AssertionError(f"it did not happen in {seconds} s")


def token(home, scope, *more):
    return cli(home, "token", "create", f"t{time.monotonic_ns()}", "--scope", scope, *more).stdout.split()[0]


# -- who may ask


@WAYS
def test_the_first_token_closes_the_door(way, home):
    with way(home) as ask:
        assert ask().status == 200
        assert ask(method="GET", path="/metrics", body=b"").status == 404
        good, other = token(home, "predict"), token(home, "predict", "--endpoint", "flights")
        reader = token(home, "read")
        refused = eventually(ask, lambda: (one := ask()).status == 401 and one)
        assert refused.told["code"] == "unauthenticated"
        assert refused.headers["www-authenticate"].startswith("Bearer ")
        assert eventually(ask, lambda: ask(authorization=f"Bearer {good}").status == 200)
        assert ask(method="GET", path="/schema", body=b"").status == 401
        # They were created one after the other, and may have come here so.
        assert eventually(ask, lambda: ask(authorization=f"Bearer {other}").status == 403)
        assert eventually(ask, lambda: ask(authorization=f"Bearer {reader}").status == 403)
        assert ask(method="GET", path="/metrics", body=b"", authorization=f"Bearer {good}").status == 403
        assert ask(method="GET", path="/metrics", body=b"", authorization=f"Bearer {reader}").status == 200


@WAYS
def test_an_application_with_a_doorkeeper_of_its_own_says_so(way, home):
    token(home, "predict")
    with way(home, tokens=False) as ask:
        assert ask().status == 200
        assert ask(authorization="Bearer of-the-application").status == 200


@WAYS
def test_where_tokens_are_asked_for_nobody_passes_without_one(way, home):
    with way(home, tokens=True) as ask:
        assert ask().status == 401


@WAYS
def test_where_no_tokens_were_ever_delivered_nobody_passes(way, home):
    (home / "cache" / "tokens.json").unlink()
    with way(home) as ask:
        assert ask().status == 401


# -- what a client may do


@WAYS
def test_who_does_not_wait_is_told_so(way, home):
    with way(home) as ask:
        late = ask(fairlead_deadline_ms="0")
        assert (late.status, late.told["code"]) == (504, "deadline_exceeded")
        assert ask(fairlead_deadline_ms="60000").status == 200
        wrong = ask(fairlead_deadline_ms="soon")
        assert (wrong.status, wrong.told["code"]) == (400, "invalid_input")


@WAYS
def test_large_bodies_together_have_a_bound(way, home, monkeypatch):
    monkeypatch.setenv("FAIRLEAD_MAX_BUFFERED", str(2**20))
    with way(home) as ask:
        for _ in range(3):  # what was refused is let go of
            many = ask(b"[" + b",".join([IRIS_ROW] * 20_000) + b"]")
            assert (many.status, many.told["code"]) == (503, "overloaded")
            assert int(many.headers["retry-after"]) >= 1
        assert ask(b"[" + b",".join([IRIS_ROW] * 2000) + b"]").status == 200


def test_a_body_that_does_not_come_is_given_up(home, monkeypatch):
    monkeypatch.setenv("FAIRLEAD_BODY_TIMEOUT", "0.1")
    app, sent = fairlead.asgi("iris", home=home), []

    async def ask():
        async def receive():
            await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        async with app.lifespan():
            await app({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)

    asyncio.run(asyncio.wait_for(ask(), 60))
    assert sent[0]["status"] == 408


# -- what is seen of it


@WAYS
def test_each_request_is_one_line_with_the_id_that_it_was_told(way, home, monkeypatch):
    monkeypatch.setenv("FAIRLEAD_ACCESS_LOG", "access.log")

    def line():
        log = home / "access.log"
        lines = [json.loads(one) for one in log.read_text("ascii").splitlines()] if log.exists() else []
        return next((one for one in lines if one["id"] == "order-7"), None)

    with way(home) as ask:
        answer = ask(x_request_id="order-7", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert answer.headers["x-request-id"] == "order-7"
        one = eventually(ask, line)
    assert (one["method"], one["path"], one["status"], one["rows"]) == ("POST", "/", 200, 1)
    assert (one["endpoint"], one["version"], one["bytes"]) == ("iris", "iris:1", len(answer.body))
    assert (one["trace"], one["parent"], one["peer"]) == (TRACE, PARENT, "127.0.0.1")
    assert one["process"].startswith(f"mount-{os.getpid()}-")


@WAYS
def test_the_counts_are_what_this_client_counted(way, home):
    reader, asker = token(home, "read"), token(home, "predict")
    with way(home) as ask:
        for body in (IRIS_ROW, b"[" + b",".join([IRIS_ROW] * 3) + b"]", b"{}"):
            ask(body, authorization=f"Bearer {asker}")
        ask()
        text = ask(method="GET", path="/metrics", body=b"", authorization=f"Bearer {reader}").body.decode()
    found = {(one.name, *sorted(one.labels.values())): one.value for family in parse(text) for one in family.samples}
    assert found["fairlead_requests_total", "200", "iris", "iris:1", "stable"] == 2
    assert found["fairlead_requests_total", "422", "iris", "iris:1", "stable"] == 1
    assert found["fairlead_rows_total", "iris", "iris:1", "stable"] == 4
    assert found["fairlead_answers_total", "401"] == (
        1 if way is by_asgi else 2
    )  # WSGI's room was opened by a question


# -- deploys


def meanwhile(ask, home, *arguments):
    """What a command says while the application's loop goes on: one that stands still is not waited for."""
    command = [sys.executable, "-m", "fairlead.cli.main", "--home", str(home), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        eventually(ask, lambda: process.poll() is not None, 60)
        return process.communicate()


@WAYS
def test_a_deploy_waits_for_it_and_lists_it_and_forgets_it(way, home):
    with way(home) as ask:

        def listed():
            found = json.loads(meanwhile(ask, home, "status", "--json")[0])["gateways"]
            return [one for one in found if one["pid"] == os.getpid()]

        (one,) = eventually(ask, listed)
        assert (one["role"], one["endpoint"], one["state"], one["revision"]) == ("mount", "iris", "ready", 1)
        said = "1 mounted endpoint serves revision 2"  # said again where nothing changes
        deploy = ("deploy", "iris:1", "--endpoint", "more")
        assert eventually(ask, lambda: said in meanwhile(ask, home, *deploy)[1])
        told = json.loads(meanwhile(ask, home, *deploy, "--json")[0])
        assert (told["revision"], told["changed"], told["gateways"]) == (2, False, 0)
        assert told["mounts"] in {0, 1}  # none where this machine stood still for five seconds
    assert "no service is running" in cli(home, "deploy", "iris:1", "--endpoint", "last").stderr


def test_one_that_is_gone_or_silent_holds_nothing_up(home):
    code = (
        f"import io, time, fairlead\napp = fairlead.wsgi('iris', home={str(home)!r})\n"
        "app({'REQUEST_METHOD': 'GET', 'PATH_INFO': '/schema'}, lambda *_: None)\nprint('open', flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout.readline() == b"open\n"
        statuses = home / "run" / "gateways"
        assert len(list(statuses.glob("mount-*.json"))) == 1
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()
    # This very process lives, but the mount of this name has not been heard of for an hour.
    silent = f"mount-{os.getpid()}-99"
    write_status(
        home / "run",
        GatewayStatus(silent, os.getpid(), 0, 0, "ready", "", time.time() - 3600, role="mount", endpoint="iris"),
    )
    done = cli(home, "deploy", "iris:1", "--endpoint", "more", "--wait", "60")
    assert "no service is running" in done.stderr
    with by_wsgi(home):
        names = wait_for(lambda: [path.stem for path in statuses.glob("mount-*.json")])
        assert all(name.split("-")[1] == str(os.getpid()) for name in names)
