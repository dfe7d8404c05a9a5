"""The verbs of rollouts, against a real home without a service: what they print, what they end with, and what stands in the database.

Most run `fairlead.cli.main.run` in this process, which is what the program calls; a few run as processes of their own.
"""

from __future__ import annotations

import json
import shutil
import time

import pytest
import yaml
from rollout_room import carry, furnish, look, recorded, served

from fairlead.cli.main import run
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Prediction
from fairlead.rollout.plan import default_plan
from fairlead.rollout.reading import read_plan
from running import cli

CANARY = ["deploy", "flights:2", "--strategy", "canary"]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("room") / "home")


@pytest.fixture
def home(furnished, tmp_path):
    return shutil.copytree(furnished, tmp_path / "home")


@pytest.fixture
def fairlead(home, capsys):
    """Runs a command line; gives what it printed, and keeps what it said."""

    def call(*arguments, code=0):
        capsys.readouterr()
        found = run(["--home", str(home), *arguments])
        call.out, call.err = capsys.readouterr()
        assert found == code, call.err
        if code:
            assert call.out == ""
            assert call.err.startswith("error: ")
            assert "\n  hint: " in call.err
        return json.loads(call.out) if "--json" in arguments and not code else call.out

    return call


# -- deploy -----------------------------------------------------------------------------------------------------------


def test_a_rollout_begins_and_says_what_is_true_and_what_comes_next(fairlead, home):
    out = fairlead(*CANARY, "--steps", "1,approve,50", "--key", "header:x-user-id")
    assert out.splitlines()[0] == "flights: rollout 2, canary of flights:2 against flights:1: pending, step 1 of 3"
    assert "no service is running here" in fairlead.err
    assert "next: `fairlead abort flights`" in fairlead.err
    assert recorded(home) == [(1, "promoted"), (2, "pending")]
    status = fairlead("status", "--json")["rollouts"]
    assert [(one["number"], one["state"], one["steps"], one["strategy"]) for one in status] == [
        (2, "pending", 3, "canary")
    ]


def test_a_direct_deployment_is_as_it_was(fairlead, home):
    told = fairlead("deploy", "flights:2", "--json")
    expected = {
        "endpoint": "flights",
        "model": "flights:2",
        "former": ["flights:1"],
        "changed": True,
        "revision": 2,
        "strategy": "direct",
        "dry_run": False,
        "gateways": 0,
    }
    assert told | expected == told
    assert (
        fairlead("deploy", "flights:2", "--strategy", "direct", "--dry-run")
        == "flights already answers with flights:2\n"
    )
    assert served(home) == {"stable": ("flights:2", 10_000)}


def test_a_dry_run_prints_a_plan_that_can_be_deployed_as_it_is(fairlead, home, tmp_path):
    out = fairlead(*CANARY, "--dry-run")
    assert fairlead.err == "Nothing was changed.\n"
    assert recorded(home) == [(1, "promoted")]
    # Another reader of YAML finds the same in it.
    told = yaml.safe_load(out)
    assert (told["candidate"], told["analysis"]["alpha"], told["promote"]) == ("flights:2", 0.05, True)
    assert read_plan(out, "yaml") == default_plan("canary", "flights", "flights:2")
    assert "# In the last hour: no answer was recorded." in out
    file = tmp_path / "plan.yaml"
    file.write_text(out)
    assert fairlead("deploy", "--plan", str(file), "--dry-run") == out
    told = fairlead("deploy", "flights:2", "--plan", str(file), "--json")
    assert (told["rollout"]["number"], told["superseded"], told["dry_run"], told["gateways"]) == (2, None, False, 0)


def test_a_plan_comes_from_standard_input_too(home):
    done = cli(
        home, "deploy", "--plan", "-", "--json", input="{endpoint: flights, candidate: flights:2, strategy: shadow}"
    )
    assert json.loads(done.stdout)["rollout"]["strategy"] == "shadow"
    assert recorded(home)[-1] == (2, "pending")


def test_a_dry_run_counts_the_answers_of_the_last_hour(fairlead, home):
    now = time.time()
    log = EventLog(home / "events", "gateway-0")
    columns = Columns("flights:1", "d", ("distance", "carrier"), (0, 1))
    statuses = ["ok"] * 36 + ["prediction_failed"] * 4
    made = [
        Prediction(f"{n}", now, "flights", "flights:1", "stable", None, status, 0.001, (1.0, "UA"), 0, None, ())
        for n, status in enumerate(statuses)
    ]
    elsewhere = [Prediction("x", now, "planes", "flights:1", "stable", None, "ok", 0.001, (1.0, "UA"), 0, None, ())]
    assert log.append(columns, [*made, *elsewhere])
    log.close()
    traffic = fairlead(*CANARY, "--dry-run", "--json")["traffic"]
    # 40 answers since the log was begun, some moments ago.
    assert 40 / (time.time() - now + 1) <= traffic["per_second"] <= 40
    assert traffic["error_rate"] == 0.1


def test_the_flags_of_a_plan_reach_it(fairlead):
    told = fairlead(
        *CANARY,
        *("--steps", "mirror:20,5,50", "--bake", "10m", "--samples", "30", "--audience", "distance=100,2.5"),
        *("--metric", "slow_rate:over=200ms,max=1", "--metric", "error_rate:margin=1.5", "--no-promote"),
        *("--max-duration", "2d", "--on-inconclusive", "abort", "--keep-warm", "1h", "--alpha", "0.01"),
        *("--dry-run", "--json"),
    )["plan"]
    assert told["steps"] == [
        {"mirror": 20, "bake": {"time": "10m", "samples": 30}},
        {"weight": 5, "bake": {"time": "10m", "samples": 30}},
        {"weight": 50, "bake": {"time": "10m", "samples": 30}},
    ]
    assert told["audience"] == {"column": "distance", "is": [100.0, 2.5]}
    assert [(one["name"], one.get("over"), one.get("max"), one.get("margin")) for one in told["metrics"]] == [
        ("slow_rate", "200ms", 1, None),
        ("error_rate", None, None, 1.5),
    ]
    assert told["promote"] is False
    assert (told["analysis"]["alpha"], told["analysis"]["max_duration"]) == (0.01, "2d")
    assert (told["analysis"]["on_inconclusive"], told["rollback"]) == ("abort", {"keep_warm": "1h"})


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["deploy"], 2, "No version is named"),
        (["deploy", "flights:2", "--steps", "1,10"], 2, "--steps is about a rollout"),
        (["deploy", "flights:2", "--metric", "error_rate"], 2, "--metric is about a rollout"),
        (["deploy", "flights:2", "--supersede"], 2, "--retry and --supersede are about rollouts"),
        ([*CANARY, "--steps", "1,ten"], 2, "'ten' is no step"),
        ([*CANARY, "--steps", "50,10"], 2, "10"),
        ([*CANARY, "--steps", "120"], 2, "120"),
        ([*CANARY, "--bake", "10m"], 2, "about steps"),
        ([*CANARY, "--steps", "5", "--bake", "10"], 2, "'10' is no length of time"),
        ([*CANARY, "--metric", "error_rat"], 2, "error_rat"),
        ([*CANARY, "--metric", "error_rate:margin"], 2, "'margin' is no field"),
        ([*CANARY, "--metric", "error_rate:margin=2,margin=3"], 2, "stands twice"),
        ([*CANARY, "--metric", "error_rate:margine=2"], 2, "margine"),
        ([*CANARY, "--audience", "distance"], 2, "--audience is 'distance'"),
        ([*CANARY, "--audience", "cookie:x=1"], 2, "--audience is 'cookie:x=1'"),
        ([*CANARY, "--audience", "distance=far"], 2, "'far' is not a number"),
        ([*CANARY, "--audience", "colour=red"], 2, "no column 'colour'"),
        ([*CANARY, "--key", "column:colour"], 2, "no column 'colour'"),
        (["deploy", "flights:9", "--strategy", "canary"], 3, "no version 9"),
        (["deploy", "flights:1", "--strategy", "canary"], 4, "answers at 'flights' already"),
        (["deploy", "flights:4", "--strategy", "canary"], 2, "the column 'hour'"),
        (["deploy", "flights:2", "--strategy", "canary", "--endpoint", "new"], 3, "nothing to compare"),
        (["deploy", "--plan", "nowhere.yaml"], 3, "no file 'nowhere.yaml'"),
        (["deploy", "--plan", "plan.txt"], 2, "no kind of plan"),
        (["deploy", "--plan", "plan.yaml", "--strategy", "canary"], 2, "--strategy and --plan"),
        (["deploy", "--plan", "plan.yaml", "--steps", "1"], 2, "--steps and --plan"),
        (["status", "--until", "ended"], 2, "--until is about --watch"),
        (["status", "--watch", "--until", "soon"], 2, "--until is 'soon'"),
        (["status", "--watch", "--until", "nan"], 2, "--until is 'nan'"),
        (["history", "flights", "--looks"], 2, "--looks is about one rollout"),
        (["history", "flights", "--rollout", "7"], 3, "no rollout 7"),
        (["history", "planes", "--rollout", "1"], 3, "Rollout 1 is none of 'planes', but of 'flights'"),
        (["diff", "flights"], 3, "only flights:1 answers"),
        (["diff", "planes"], 3, "No version answers at 'planes'"),
        (["diff", "flights:1", "flights:9"], 3, "no version 9"),
        (["diff", "flights:1", "../x"], 2, "../x"),
        (["promote", "planes"], 3, "No rollout of 'planes'"),
        (["promote", "flights"], 4, "The last one, 1, was promoted"),
        (["rollback", "flights"], 3, "Nothing answered at 'flights' before flights:1"),
        (["rollback", "../x"], 2, "../x"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_refused_with_its_exit_code_and_nothing_changes(fairlead, home, arguments, code, said):
    fairlead(*arguments, code=code)
    assert said in fairlead.err
    assert recorded(home) == [(1, "promoted")]
    assert served(home) == {"stable": ("flights:1", 10_000)}


def test_a_plan_that_names_another_version_than_the_command_is_refused(fairlead, tmp_path):
    file = tmp_path / "plan.json"
    file.write_text('{"endpoint": "flights", "candidate": "flights:2", "strategy": "canary"}')
    fairlead("deploy", "flights:3", "--plan", str(file), code=2)
    assert "the version flights:2, and the command names flights:3" in fairlead.err
    fairlead("deploy", "--plan", str(file), "--endpoint", "other", code=2)
    file.write_bytes(b"\xff\xfe")
    fairlead("deploy", "--plan", str(file), code=2)
    assert "no text in UTF-8" in fairlead.err


def test_a_second_rollout_is_a_conflict_unless_it_supersedes(fairlead, home):
    fairlead(*CANARY)
    fairlead("deploy", "flights:3", "--strategy", "canary", code=4)
    assert "--supersede takes its place" in fairlead.err
    fairlead("deploy", "flights:3", code=4)
    told = fairlead("deploy", "flights:3", "--strategy", "canary", "--supersede", "--json")
    assert told["superseded"] == 2
    assert recorded(home) == [(1, "promoted"), (2, "superseded"), (3, "pending")]


# -- promote, abort, pause, resume, approve, rollback ---------------------------------------------------------------------


def test_each_verb_says_what_is_true_now_and_what_comes_next(fairlead, home):
    fairlead(*CANARY, "--steps", "10,approve,50")
    carry(home, "warming", "progressing")
    out = fairlead("pause", "flights", "--because", "lunch")
    assert out == (
        "flights: rollout 2, canary of flights:2 against flights:1: paused, step 1 of 3, 10 % of the traffic\n  lunch\n"
    )
    assert "`fairlead resume flights`, `fairlead promote flights`, `fairlead abort flights`" in fairlead.err
    told = fairlead("resume", "flights", "--json")
    assert (told["rollout"]["state"], told["gateways"], told["dry_run"]) == ("progressing", 0, False)
    fairlead("approve", "flights", code=4)
    carry(home, "progressing", step=1)
    assert fairlead("status", "--json")["rollouts"][0]["next"][0] == "fairlead approve flights"
    assert "approved step 2" in fairlead("approve", "flights")
    assert "promoted" in fairlead("promote", "flights")
    assert "next: `fairlead rollback flights`" in fairlead.err
    assert served(home) == {"stable": ("flights:2", 10_000), "former": ("flights:1", 0)}
    told = fairlead("diff", "flights", "--json")["comparison"]
    assert (told["before"], told["after"]) == ("flights:1", "flights:2")
    assert fairlead("rollback", "flights").startswith("flights: rollout 3, flights:1 at once: promoted")
    assert served(home) == {"stable": ("flights:1", 10_000)}


def test_an_abort_gives_everything_back_to_the_stable_version(fairlead, home):
    fairlead(*CANARY)
    carry(home, "warming", "progressing")
    told = fairlead("abort", "flights", "--json")["rollout"]
    assert (told["state"], told["weight"], told["next"]) == (
        "aborted",
        0.0,
        ["fairlead history flights --rollout 2"],
    )
    assert served(home) == {"stable": ("flights:1", 10_000)}
    fairlead("promote", "flights", code=4)


@pytest.mark.parametrize("verb", ["promote", "abort", "pause"])
def test_a_dry_run_changes_nothing(fairlead, home, verb):
    fairlead(*CANARY)
    carry(home, "warming", "progressing")
    before = recorded(home), served(home)
    assert "rollout 2 would be" in fairlead(verb, "flights", "--dry-run")
    assert fairlead(verb, "flights", "--dry-run", "--json")["dry_run"] is True
    assert (recorded(home), served(home)) == before


def test_a_rollback_that_is_only_tried_changes_nothing(fairlead, home):
    fairlead("deploy", "flights:2")
    assert fairlead("rollback", "flights", "--dry-run") == (
        "flights: a rollout that brings flights:1 back would be pending\n"
    )
    assert served(home) == {"stable": ("flights:2", 10_000)}


# -- status, history, diff ---------------------------------------------------------------------------------------------


def test_status_shows_verdicts_with_their_reasons(fairlead, home):
    fairlead(*CANARY)
    carry(home, "warming", "progressing")
    look(home, "inconclusive", "5 % of 400,\x1b[31m stable\n1 %.")
    out = fairlead("status")
    assert "error_rate  guardrail  inconclusive  5 % of 400,[31m stable 1 %." in out
    assert "\x1b" not in out
    assert "  It goes on.\n" in out
    told = fairlead("status", "--json")["rollouts"][0]
    assert set(told) == SHAPE
    assert told["waits"] == "It goes on."


SHAPE = {
    *("number", "endpoint", "model", "stable", "strategy", "state", "step", "steps", "weight", "mirror", "approval"),
    *("because", "waits", "winner", "accepted", "actor", "started", "stepped", "changed", "looked", "verdicts"),
    *("revision", "next"),
}


def test_history_tells_an_endpoints_changes_and_all_of_one_rollout(fairlead, home):
    fairlead(*CANARY)
    carry(home, "warming", "progressing")
    look(home, "fail")
    fairlead("abort", "flights", "--because", "it was slow")
    entries = fairlead("history", "flights", "--json")
    assert [entry["action"] for entry in entries] == ["aborted", "stepped", "began rollout", "deployed"]
    assert entries[0]["detail"]["because"] == "it was slow"
    told = fairlead("history", "flights", "--rollout", "2", "--json")
    assert set(told["rollout"]) == SHAPE
    assert [entry["kind"] for entry in told["entries"]] == ["began", "moved", "moved", "moved", "moved"]
    looks = fairlead("history", "flights", "--rollout", "2", "--looks", "--json")["entries"]
    assert [entry["content"]["decision"]["kind"] for entry in looks if entry["kind"] == "look"] == ["hold"]
    lines = fairlead("history", "flights", "--rollout", "2", "--looks").splitlines()
    assert [line.split()[5] for line in lines[4:]] == ["began", "moved", "moved", "look", "moved", "moved"]
    assert lines[-1].endswith("it was slow")


def test_diff_puts_two_versions_side_by_side(fairlead):
    told = fairlead("diff", "flights:1", "flights:2", "--json")["comparison"]
    assert [(one["name"], one["standing"]) for one in told["metrics"]] == [
        ("auc", "better"),
        ("bias", ""),
        ("log_loss", "worse"),
    ]
    assert (told["fits"], told["identical"], told["schema"]) == (True, False, [])
    out = fairlead("diff", "flights:1", "flights:4")
    assert out.startswith("flights:4 does not fit where flights:1 answers:\n  The candidate wants the column 'hour'")
    assert fairlead("diff", "flights:1", "flights:1") == "flights:1 and flights:1 are the same bundle.\n"


def test_diff_of_an_endpoint_compares_what_answers_with_what_comes(fairlead, home):
    fairlead(*CANARY)
    carry(home, "warming", "progressing")
    look(home, "pass", "as good")
    told = fairlead("diff", "flights", "--json")
    assert (told["comparison"]["before"], told["comparison"]["after"]) == ("flights:1", "flights:2")
    assert told["live"] == [{"metric": "error_rate", "role": "guardrail", "verdict": "pass", "because": "as good"}]
    assert "live, as last seen" in fairlead("diff", "flights")


# -- status --watch -----------------------------------------------------------------------------------------------------


def test_a_watch_ends_when_nothing_is_under_way_and_after_its_seconds(fairlead):
    assert fairlead("status", "--watch", "--until", "ended") == ""
    assert fairlead.err == "No rollout is under way.\n"
    fairlead(*CANARY)
    (line,) = fairlead("status", "--watch", "--until", "0").splitlines()
    assert "pending, step 1 of 3  [not looked at yet]  " in line
    assert set(fairlead("status", "--watch", "--until", "0.1", "--json")) == SHAPE
