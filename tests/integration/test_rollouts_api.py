"""Rollouts on the operator's API, on its real port: who may do what, and what the records say afterwards."""

from __future__ import annotations

import http.client
import json
import shutil
import sqlite3
import threading

import pytest
from rollout_room import carry, furnish, look, recorded, served, stores

from fairlead.console.api import build_app
from fairlead.console.exchange import Operator
from fairlead.console.server import ConsoleServer, ConsoleSettings
from fairlead.serving.http.request import Limits
from fairlead.serving.keys.tokens_file import write_tokens
from fairlead.tokens import Token, TokenSet, digest_of, make_secret
from running import free_port

PLAN = {"candidate": "flights:2", "strategy": "canary"}
SCOPES = {
    "boss": (("read", "deploy"), ()),
    "second": (("read", "deploy"), ()),
    "here": (("deploy", "read"), ("flights",)),
    "reader": (("read",), ()),
    "elsewhere": (("deploy", "read"), ("planes",)),
    "app": (("predict", "feedback"), ()),
}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("room") / "home")


@pytest.fixture
def home(furnished, tmp_path):
    return shutil.copytree(furnished, tmp_path / "home")


class Api:
    def __init__(self, home, folder):
        self.home, self.port = home, free_port()
        self.secrets = {}
        tokens = []
        for number, (name, (scopes, endpoints)) in enumerate(SCOPES.items(), 1):
            secret, identity = make_secret()
            self.secrets[name] = secret
            tokens.append(Token(number, identity, name, digest_of(secret), scopes, endpoints))
        write_tokens(folder / "tokens.json", TokenSet(len(tokens), tuple(tokens)))
        self.database, blobs = stores(home)
        settings = ConsoleSettings("127.0.0.1", self.port, (), folder / "tokens.json", folder / "rates", Limits())
        self.server = ConsoleServer(
            settings,
            lambda keyring: build_app(Operator(self.database, blobs, dict, keyring, home / "events")),
        )
        self.server.look()

    def close(self):
        self.server.close()
        self.database.close()

    def ask(self, method, path, body=None, *, token="boss", kind="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.secrets[token]}"} | ({"content-type": kind} if kind else {})
        connection.request(method, path, content, headers)
        reply = connection.getresponse()
        found = reply.status, json.loads(reply.read() or b"null"), {k.lower(): v for k, v in reply.headers.items()}
        connection.close()
        return found

    def get(self, path, **more):
        status, told, _ = self.ask("GET", path, **more)
        assert status == 200, told
        return told

    def post(self, path, body=None, *, status=200, **more):
        found, told, headers = self.ask("POST", path, body, **more)
        assert found == status, told
        if status >= 400:
            assert headers["content-type"] == "application/problem+json"
            assert "Traceback" not in json.dumps(told)
            assert str(self.home) not in json.dumps(told)
        return told

    def begin(self, plan=PLAN, query="", **more):
        return self.post(f"/api/endpoints/flights/rollouts{query}", plan, **{"status": 201, **more})


@pytest.fixture
def api(home, tmp_path):
    made = Api(home, tmp_path)
    yield made
    made.close()


def audited(home):
    """Who did what last, as SQLite itself reads it."""
    with sqlite3.connect(home / "fairlead.db") as plain:
        found = plain.execute("SELECT actor, action FROM audit ORDER BY sequence DESC").fetchone()
    plain.close()
    return found


def test_a_plan_begins_a_rollout_that_can_be_read_back(api, home):
    status, told, headers = api.ask("POST", "/api/endpoints/flights/rollouts", PLAN)
    assert (status, told["superseded"], headers["location"]) == (201, None, "/api/rollouts/2")
    assert recorded(home) == [(1, "promoted"), (2, "pending")]
    assert audited(home) == ("token boss", "began rollout")
    one = api.get("/api/rollouts/2", token="reader")
    assert one["rollout"] == told["rollout"]
    assert one["rollout"]["actor"] == "token boss"
    assert one["rollout"]["next"] == ["fairlead abort flights"]
    assert one["plan"]["candidate"] == "flights:2"
    assert one["plan"]["steps"][0] == {"weight": 1, "bake": {"time": "10m", "samples": 100}}
    assert [each["number"] for each in api.get("/api/endpoints/flights/rollouts")] == [2, 1]
    assert [each["number"] for each in api.get("/api/endpoints/flights/rollouts?limit=1")] == [2]
    (entry,) = api.get("/api/rollouts/2/history")
    assert (entry["kind"], entry["actor"]) == ("began", "token boss")


def test_a_dry_run_tells_the_whole_plan_and_its_needs_and_changes_nothing(api, home):
    before = served(home), recorded(home), audited(home)
    told = api.begin(query="?dry_run=true", status=200)
    assert told["dry_run"] is True
    assert told["plan"]["analysis"]["alpha"] == 0.05
    assert told["plan"]["endpoint"] == "flights"
    assert (told["traffic"], told["sentences"][0]) == (None, "In the last hour: no answer was recorded.")
    assert len(told["needs"]["steps"]) == 3
    # What is told is a plan again, as it stands.
    assert api.begin(told["plan"], query="?dry_run=true", status=200) == told
    assert (served(home), recorded(home), audited(home)) == before


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"[]", 400, "must have fields"),
        (b"\xff", 400, "no text in UTF-8"),
        (b"[" * 100_000, 400, "nested too deeply"),
        ({}, 400, "candidate"),
        (PLAN | {"weight": 5}, 400, "unknown field 'weight'"),
        (PLAN | {"endpoint": "planes"}, 400, "another endpoint"),
        (PLAN | {"endpoint": 3}, 400, "another endpoint"),
        (PLAN | {"steps": [{"weight": 101}]}, 400, "weight is 101"),
        (PLAN | {"steps": [{"weight": 50}, {"weight": 10}]}, 400, "10"),
        (PLAN | {"metrics": [{"name": "error_rat"}]}, 400, "error_rat"),
        (b'{"candidate": "flights:2", "candidate": "flights:3"}', 400, "stands twice"),
        (b'{"candidate": "flights:2", "analysis": {"alpha": NaN}}', 400, "NaN"),
        (PLAN | {"strategy": "direct"}, 400, "direct deployment is no rollout"),
        (PLAN | {"candidate": "flights:9"}, 404, "no version 9"),
        (PLAN | {"candidate": "../x"}, 400, "../x"),
        (PLAN | {"candidate": "flights:1"}, 409, "answers at 'flights' already"),
        (PLAN | {"candidate": "flights:4"}, 422, "the column 'hour'"),
    ],
)
def test_a_body_that_is_no_plan_for_here_is_refused_and_nothing_changes(api, home, body, status, said):
    before = served(home), recorded(home), audited(home)
    told = api.begin(body, status=status)
    assert said in told["detail"]
    assert (served(home), recorded(home), audited(home)) == before


def test_a_query_that_is_not_known_and_a_body_that_is_not_announced_are_refused(api, home):
    assert "dry_run=true" in api.begin(query="?dryrun=true", status=400)["hint"]
    api.begin(query="?supersede=perhaps", status=400)
    api.begin(status=415, kind="text/plain")
    api.post("/api/endpoints/flights/abort", status=415, kind=None)
    assert recorded(home) == [(1, "promoted")]


def test_a_second_rollout_is_refused_unless_it_shall_take_the_place(api, home):
    api.begin()
    told = api.begin(PLAN | {"candidate": "flights:3"}, status=409, token="second")
    assert "token boss" in told["detail"]
    told = api.begin(PLAN | {"candidate": "flights:3"}, query="?supersede=true", token="second")
    assert told["superseded"] == 2
    assert recorded(home) == [(1, "promoted"), (2, "superseded"), (3, "pending")]


def test_the_verbs_do_what_they_say_and_the_records_name_the_token(api, home):
    api.begin()
    carry(home, "warming", "progressing")
    told = api.post("/api/endpoints/flights/pause", {"because": "lunch"})["rollout"]
    assert (told["state"], told["because"], told["weight"]) == ("paused", "lunch", 1.0)
    assert audited(home) == ("token boss", "paused")
    assert api.post("/api/endpoints/flights/resume", {})["rollout"]["state"] == "progressing"
    assert api.post("/api/endpoints/flights/approve", status=409)["code"] == "conflict"
    told = api.post("/api/endpoints/flights/promote", token="here")["rollout"]
    assert (told["state"], told["next"]) == ("promoted", ["fairlead rollback flights"])
    assert served(home) == {"stable": ("flights:2", 10_000), "former": ("flights:1", 0)}
    told = api.post("/api/endpoints/flights/rollback", {"because": "it was better"})["rollout"]
    assert (told["number"], told["model"], told["because"]) == (3, "flights:1", "it was better")
    assert served(home) == {"stable": ("flights:1", 10_000)}
    assert audited(home)[0] == "token boss"


def test_an_abort_takes_the_candidate_out_and_a_second_one_is_told_of_the_first(api, home):
    api.begin()
    carry(home, "warming", "progressing")
    assert api.post("/api/endpoints/flights/abort")["rollout"]["state"] == "aborted"
    assert served(home) == {"stable": ("flights:1", 10_000)}
    assert "token boss aborted it" in api.post("/api/endpoints/flights/abort", status=409, token="second")["detail"]


@pytest.mark.parametrize("verb", ["promote", "abort", "pause", "resume", "approve", "rollback"])
def test_with_nothing_under_way_or_before_a_verb_is_refused(api, home, verb):
    before = served(home), recorded(home)
    status, told, _ = api.ask("POST", f"/api/endpoints/flights/{verb}", {})
    assert (status, bool(told["hint"])) == (404 if verb == "rollback" else 409, True)
    assert api.ask("POST", f"/api/endpoints/nothing/{verb}", {})[0] == 404
    assert (served(home), recorded(home)) == before


@pytest.mark.parametrize(
    "body", [b"{", {"why": "x"}, {"because": 3}, {"rollout": 0}, {"revision": "1"}, b"[]", b"null"]
)
def test_a_wish_that_cannot_be_read_changes_nothing(api, home, body):
    api.begin()
    told = api.post("/api/endpoints/flights/abort", body, status=400)
    assert "because" in told["hint"]
    assert recorded(home)[-1] == (2, "pending")


def test_a_dry_run_of_a_verb_says_what_would_be(api, home):
    api.begin()
    carry(home, "warming", "progressing")
    before = served(home), recorded(home), audited(home)
    told = api.post("/api/endpoints/flights/promote", {"dry_run": True})
    assert (told["rollout"]["state"], told["dry_run"]) == ("promoting", True)
    assert api.post("/api/endpoints/flights/approve", {"dry_run": True}, status=409)
    assert (served(home), recorded(home), audited(home)) == before


def test_of_two_who_decide_on_what_they_saw_one_is_obeyed_and_the_other_is_told_who_was_faster(api, home):
    api.begin()
    carry(home, "warming", "progressing")
    seen = api.get("/api/rollouts/2")["rollout"]
    terms = {"rollout": 2, "revision": seen["revision"]}
    found = {}

    def decide(verb, token):
        found[token] = api.ask("POST", f"/api/endpoints/flights/{verb}", terms, token=token)

    both = [threading.Thread(target=decide, args=one) for one in (("pause", "boss"), ("promote", "second"))]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    (won,) = [token for token, (status, _, _) in found.items() if status == 200]
    (lost,) = {"boss", "second"} - {won}
    status, told, _ = found[lost]
    assert status == 409
    assert f"token {won}" in told["detail"]
    assert told["detail"].startswith(("token boss was faster: rollout 2 of", "No rollout of 'flights' is under way."))
    state = {"boss": "paused", "second": "promoted"}[won]
    assert recorded(home)[-1] == (2, state)


def test_terms_about_another_rollout_are_refused(api, home):
    api.begin()
    told = api.post("/api/endpoints/flights/abort", {"rollout": 1}, status=409)
    assert "rollout 2 of 'flights' is pending" in told["detail"]
    assert api.post("/api/endpoints/flights/rollback", {"rollout": 1}, status=409)
    assert recorded(home)[-1] == (2, "pending")
    api.post("/api/endpoints/flights/abort", {"rollout": 2, "revision": 1})


def test_scopes_and_endpoints_of_a_token_are_kept(api, home):
    for token in ("reader", "elsewhere", "app"):
        api.begin(status=403, token=token)
        for verb in ("promote", "abort", "pause", "resume", "approve", "rollback"):
            api.post(f"/api/endpoints/flights/{verb}", status=403, token=token)
    assert recorded(home) == [(1, "promoted")]
    assert api.ask("GET", "/api/rollouts/1", token="app")[0] == 403
    # A token of one endpoint reads at addresses that name it, and a number does not.
    assert api.ask("GET", "/api/endpoints/flights/rollouts", token="here")[0] == 200
    assert api.ask("GET", "/api/endpoints/flights/rollouts", token="elsewhere")[0] == 403
    assert api.ask("GET", "/api/rollouts/1", token="here")[0] == 403


def test_what_was_last_seen_stands_in_the_summary_and_all_looks_in_the_history(api, home):
    api.begin()
    carry(home, "warming", "progressing")
    look(home, "inconclusive", "first")
    look(home, "fail", "second")
    (seen,) = api.get("/api/rollouts/2")["rollout"]["verdicts"]
    assert seen == {"metric": "error_rate", "role": "guardrail", "verdict": "fail", "because": "second"}
    assert {entry["kind"] for entry in api.get("/api/rollouts/2/history")} == {"began", "moved"}
    looks = [entry for entry in api.get("/api/rollouts/2/history?looks=true") if entry["kind"] == "look"]
    assert [entry["content"]["report"]["measures"][0]["because"] for entry in looks] == ["first", "second"]
    assert looks[0]["content"]["report"]["measures"][0]["interval"]["low"] is None
    assert len(api.get("/api/rollouts/2/history?looks=true&limit=1")) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/rollouts/9", 404),
        ("/api/rollouts/x", 404),
        ("/api/rollouts/9/history", 404),
        (f"/api/rollouts/{'9' * 300}", 404),
        ("/api/rollouts/1/history?looks=maybe", 400),
        ("/api/rollouts/1/history?limit=0", 400),
        ("/api/endpoints/flights/rollouts?limit=x", 400),
        ("/api/endpoints/nothing/rollouts", 404),
        ("/api/endpoints/predict/rollouts", 400),
        ("/api/endpoints/flights/promote", 405),
    ],
)
def test_a_read_that_cannot_be_answered_says_why(api, path, status):
    found, told, _ = api.ask("GET", path)
    assert (found, "detail" in told) == (status, True)
