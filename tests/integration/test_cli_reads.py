"""models, show, alias, audit and history as a person runs them: in processes of their own."""

import json
import os
import sqlite3
import subprocess
import sys

import pytest
from bundle_samples import sealed

from fairlead.app import open_stores
from fairlead.bundle.store import put_bundle
from fairlead.config import load_config
from fairlead.registry.registry import publish
from fairlead.rollout.direct import deploy


@pytest.fixture
def home(tmp_path):
    """A state with flights:1 deployed and flights:2 published."""
    folder = tmp_path / "home"
    stores = open_stores(load_config({"home": str(folder)}, environment={}))
    for number in (1, 2):
        digest = put_bundle(sealed(tmp_path / str(number), b"original %d" % number), stores.blobs)
        facts = {"road": "worker", "task": "classification", "actor": "ann", "metrics": {"auc": 0.79}}
        publish(stores.database, model="flights", digest=digest, description="by \x1b[31mann", **facts)
    deploy(stores.database, stores.blobs, "flights:1", actor="ann")
    stores.database.close()
    return folder


@pytest.fixture
def run(home):
    def call(*arguments, code=0, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "fairlead.cli.main", "--home", str(home), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"TZ": "UTC"} | environment,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return call


def test_models_lists_each_with_its_aliases(run):
    out = run("models").stdout
    assert out.splitlines()[1].startswith("flights         2  champion → 1  20")
    (model,) = json.loads(run("models", "--json").stdout)
    assert {"name": "flights", "latest": 2, "aliases": {"champion": 1}}.items() <= model.items()


def test_models_of_an_empty_home_say_what_to_do_next_on_stderr(run, tmp_path):
    done = run("models", FAIRLEAD_HOME=str(tmp_path / "ignored"))
    assert done.stderr == ""
    empty = subprocess.run(
        [sys.executable, "-m", "fairlead.cli.main", "models"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ | {"FAIRLEAD_HOME": str(tmp_path / "empty")},
    )
    assert (empty.stdout, "fairlead pack" in empty.stderr) == ("", True)


def test_show_of_a_model_lists_its_versions(run):
    lines = run("show", "flights").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["version", "flights:2", "flights:1"]
    assert [version["number"] for version in json.loads(run("show", "flights", "--json").stdout)] == [2, 1]


def test_show_of_a_version_tells_all_about_it(run):
    out = run("show", "flights:champion").stdout
    for part in (
        "flights:1",
        "champion",
        "by ann",
        "proven",
        "distance",
        "17 … 4983",
        "UA, B6",
        "auc",
        "model/model.pkl",
    ):
        assert part in out
    assert "\x1b" not in out
    shown = json.loads(run("show", "flights:1", "--json").stdout)
    assert set(shown) == {"ref", "version", "manifest", "schema", "parity", "environment", "metadata", "profile"}
    assert shown["version"]["aliases"] == ["champion"]
    assert shown["schema"]["columns"][0]["name"] == "distance"
    assert shown["profile"] is None, "this bundle is as those that were sealed before there were profiles"


def test_an_alias_is_set_moved_and_taken_away(run):
    assert "would point at flights:2" in run("alias", "flights:challenger", "flights:2", "--dry-run").stderr
    run("show", "flights:challenger", code=3)
    assert "points at flights:2." in run("alias", "flights:challenger", "flights:2").stderr
    assert json.loads(run("show", "flights:challenger", "--json").stdout)["ref"] == "flights:2"
    moved = run("alias", "flights:challenger", "flights:1", "--json")
    assert json.loads(moved.stdout) == {"model": "flights", "alias": "challenger", "number": 1, "former": 2}
    run("alias", "flights:challenger", "--remove")
    run("alias", "flights:challenger", "--remove", code=3)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "flights:9"], 3),
        (["show", "nothing"], 3),
        (["show", "../x"], 2),
        (["alias", "flights", "flights:1"], 2),
        (["alias", "flights:2", "flights:1"], 2),
        (["alias", "flights:new"], 2),
        (["alias", "flights:new", "flights:1", "--remove"], 2),
        (["history", "nothing"], 3),
        (["history", "predict"], 2),
    ],
)
def test_each_kind_of_mistake_has_its_exit_code(arguments, code, run):
    done = run(*arguments, code=code)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "\n  hint: " in done.stderr


def test_audit_tells_who_changed_what_and_finds_an_edit(run, home):
    entries = json.loads(run("audit", "--json").stdout)
    assert [(entry["sequence"], entry["action"]) for entry in entries] == [
        (4, "aliased"),
        (3, "deployed"),
        (2, "published"),
        (1, "published"),
    ]
    assert "ann  deployed" in run("audit").stdout
    assert run("audit", "--verify").stderr == "All 4 entries hold.\n"
    with sqlite3.connect(home / "fairlead.db") as plain:
        plain.execute("UPDATE audit SET actor = 'eve' WHERE sequence = 3")
    plain.close()
    assert "entry 3 is not the one that was written" in run("audit", "--verify", code=5).stderr
    assert json.loads(run("audit", "--verify", "--json", code=5).stdout)["break"]["sequence"] == 3


def test_history_tells_what_an_endpoint_has_served(run):
    (entry,) = json.loads(run("history", "flights", "--json").stdout)
    assert (entry["action"], entry["detail"]["version"]) == ("deployed", "flights:1")


@pytest.mark.parametrize("verb", ["show flights:1", "--help"])
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_leaves_early_is_no_error(verb, reader, run, home):
    piped = f"{sys.executable} -m fairlead.cli.main --home {home} {verb} | {reader}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", piped], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_database_that_is_none_is_unavailable_and_says_what_to_do(run, home):
    for name in ("fairlead.db", "fairlead.db-wal", "fairlead.db-shm"):
        (home / name).unlink(missing_ok=True)
    (home / "fairlead.db").write_bytes(b"nonsense" * 100)
    assert "hint: Restore it from a backup" in run("models", code=6).stderr


def test_a_home_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "fairlead.cli.main", "--home", str(tmp_path / "file" / "x"), "models"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (6, "")
    assert "Choose another home." in done.stderr
