"""Monitoring on the operator's API, asked with tokens over HTTP; what it says is held against what the database holds."""

from __future__ import annotations

import http.client
import json
import shutil

import pytest

from fairlead.console.api import build_app
from fairlead.console.exchange import Operator
from fairlead.console.server import ConsoleServer, ConsoleSettings
from fairlead.registry.audit import audit_entries
from fairlead.serving.http.request import Limits
from fairlead.serving.keys.tokens_file import write_tokens
from fairlead.tokens import Token, TokenSet, digest_of, make_secret
from monitor_room import HOUR, MORNING, Room, pack_lateness
from sharing import free_port, made_once

pytestmark = pytest.mark.slow

SCOPES = {"boss": ("admin",), "reader": ("read",), "deployer": ("deploy",), "caller": ("predict",)}
HOUR_ONE = "2026-03-02T06:00..2026-03-02T07:00"


class Asking:
    """The operator's port over a room."""

    def __init__(self, room, folder):
        self.room, self.port, self.secrets, tokens = room, free_port(), {}, []
        for number, (name, scopes) in enumerate(SCOPES.items(), 1):
            secret, identity = make_secret()
            self.secrets[name] = secret
            tokens.append(Token(number, identity, name, digest_of(secret), scopes, ()))
        write_tokens(folder / "tokens.json", TokenSet(len(tokens), tuple(tokens)))
        settings = ConsoleSettings("127.0.0.1", self.port, (), folder / "tokens.json", folder / "rates", Limits())
        stores = room.stores
        self.server = ConsoleServer(
            settings,
            lambda keyring: build_app(
                Operator(
                    stores.database,
                    stores.blobs,
                    dict,
                    keyring,
                    room.events,
                    room.bundles,
                    room.tables(segments=["carrier"]),
                )
            ),
        )
        self.server.look()

    def ask(self, method, path, body=None, *, token="boss", status=200):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"authorization": f"Bearer {self.secrets[token]}", "content-type": "application/json"}
        connection.request(method, f"/api/endpoints/{path}", None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        assert reply.status == status, content
        if status >= 400:
            assert b"Traceback" not in content
            assert str(self.room.home).encode() not in content
        return content if "html" in reply.headers["content-type"] else json.loads(content)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return made_once(tmp_path_factory, "lateness", lambda folder: pack_lateness(folder, versions=2))


@pytest.fixture
def asking(packed, tmp_path):
    room = Room(shutil.copytree(packed, tmp_path / "home"))
    room.answered(500, MORNING, MORNING + HOUR)
    made = Asking(room, tmp_path)
    yield made
    made.server.close()
    room.stores.database.close()


def test_a_report_is_made_kept_listed_and_read_as_json_and_as_a_page(asking):
    made = asking.ask("POST", "late/reports", {"window": HOUR_ONE, "save": True}, status=201)
    assert (made["rows"], made["number"], made["models"]) == (500, 1, ["late:1"])
    assert asking.ask("GET", "late/reports/1", token="reader") == made
    [brief] = asking.ask("GET", "late/reports", token="reader")
    assert (brief["number"], brief["origin"], brief["verdict"]) == (1, "asked", made["verdict"])
    page = asking.ask("GET", "late/reports/1.html", token="reader").decode()
    assert page.lstrip().startswith("<!doctype html>")
    assert "late" in page
    # What is not to be kept is answered and forgotten.
    assert asking.ask("POST", "late/reports", {"window": HOUR_ONE})["number"] == 0
    assert len(asking.ask("GET", "late/reports")) == 1


def test_how_an_endpoint_is_watched_is_shown_set_and_stands_in_the_audit(asking):
    before = asking.ask("GET", "late/monitor", token="reader")
    assert (before["settings"]["window"], before["settings"]["segments"], before["set"]) == ("1h", ["carrier"], {})
    wanted = {"window": "2h", "thresholds": {"ks": 0.2}}
    told = asking.ask("PUT", "late/monitor", wanted, token="deployer")
    assert (told["settings"]["window"], told["settings"]["thresholds"]["ks"]) == ("2h", 0.2)
    assert told["settings"]["segments"] == ["carrier"]  # the file's
    assert asking.ask("GET", "late/monitor")["set"] == wanted
    entry = audit_entries(asking.room.stores.database, subject="late")[0]
    assert (entry.actor, entry.action) == ("token deployer", "set monitoring")
    asking.ask("PUT", "late/monitor", {})
    assert asking.ask("GET", "late/monitor") == before


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"windw": "1h"}, "Did you mean 'window'?"),
        ({"window": "soon"}, "no length of a window"),
        ({"thresholds": {"q": 7}}, "thresholds.q"),
        ([1], "no table of settings"),
    ],
    ids=["unknown", "no length", "out of range", "no table"],
)
def test_settings_that_cannot_be_are_refused_and_nothing_is_changed(asking, body, said):
    told = asking.ask("PUT", "late/monitor", body, status=400)
    assert said in json.dumps(told)
    assert asking.ask("GET", "late/monitor")["set"] == {}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("late/reports", {"window": "yesterday..today"}, 400),
        ("late/reports", {"window": "2026-03-02..2026-03-01"}, 400),
        ("late/reports", {"reference": "never", "window": HOUR_ONE}, 400),
        ("late/reports", {"segments": ["carrier"]}, 400),
        ("late/reports", {"windows": "1d"}, 400),
        ("nobody/reports", {}, 404),
    ],
    ids=["no time", "backwards", "no reference", "no segment", "unknown field", "no endpoint"],
)
def test_a_report_that_cannot_be_made_is_refused(asking, path, body, status):
    asking.ask("POST", path, body, status=status)


@pytest.mark.parametrize(
    "path", ["late/reports/7", "late/reports/x", "late/reports/0.html", "nobody/reports", "other/reports/1"]
)
def test_what_is_not_there_is_not_found(asking, path):
    asking.ask("POST", "late/reports", {"window": HOUR_ONE, "save": True}, status=201)
    asking.ask("GET", path, status=404)


def test_who_may_read_may_not_set_and_who_may_ask_the_model_sees_nothing(asking):
    asking.ask("PUT", "late/monitor", {}, token="reader", status=403)
    asking.ask("POST", "late/reports", {}, token="reader", status=403)
    for path in ("late/monitor", "late/reports", "late/reports/1", "late/reports/1.html"):
        asking.ask("GET", path, token="caller", status=403)
