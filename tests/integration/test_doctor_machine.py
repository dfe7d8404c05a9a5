"""`fairlead doctor`: each illness is made, and it must be named. The judgements themselves are pure and tried at their edges."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from fairlead import checkup
from fairlead.checkup import examine, judge_clock, judge_files, judge_package, judge_python, judge_space
from fairlead.config import load_config
from fairlead.storage.database import open_database
from running import free_port


@pytest.fixture
def config(tmp_path):
    return load_config({"home": str(tmp_path / "home"), "port": free_port()}, environment={}, folder=tmp_path)


def found(config, check):
    return [(one.state, one.found) for one in examine(config) if one.check == check]


def worst(config, check):
    return max((state for state, _ in found(config, check)), key=["ok", "warning", "wrong"].index)


@pytest.mark.parametrize(
    ("release", "state"),
    # The releases of 3 June 2025 that mended tarfile's filters (CVE-2025-4517): 3.11.13, 3.12.11, 3.13.4.
    [
        ((3, 10, 18), "wrong"),
        ((3, 11, 12), "warning"),
        ((3, 11, 13), "ok"),
        ((3, 12, 10), "warning"),
        ((3, 14, 0), "ok"),
    ],
)
def test_a_python_with_known_holes_is_told(release, state):
    assert judge_python(release)[0] == state


def test_a_package_is_missing_old_or_fine():
    assert judge_package("no-such-package-here>=1") == "no-such-package-here is not installed"
    assert "is older than 9999" in judge_package("msgspec>=9999")
    assert judge_package("msgspec>=0.20") == ""
    assert judge_package("msgspec") == ""


@pytest.mark.parametrize(("limit", "state"), [(64, "wrong"), (1024, "warning"), (20_000, "ok"), (-1, "ok")])
def test_scarce_files_are_told(limit, state):
    assert judge_files(limit, 10_000)[0] == state


@pytest.mark.parametrize(("free", "state"), [(9, "wrong"), (10, "warning"), (99, "warning"), (100, "ok")])
def test_a_disk_that_fills_is_told(free, state):
    assert judge_space("home", free, 10, 100)[0] == state


def test_a_clock_behind_its_own_files_is_wrong():
    assert judge_clock(1000.0, 1059.0)[0] == "ok"
    assert judge_clock(1000.0, 1061.0)[0] == "wrong"


def test_a_home_that_does_not_exist_yet_is_no_illness_and_is_not_made(config):
    assert worst(config, "folders") == "ok"
    assert worst(config, "database") == "ok"
    assert worst(config, "blobs") == "ok"
    assert not config.home.exists()


def test_a_home_below_a_file_is_wrong(config, tmp_path):
    (tmp_path / "home").write_text("not a folder")
    assert worst(config, "folders") == "wrong"


def test_a_tmpdir_that_is_missing_is_wrong(config, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    assert ("wrong", f"TMPDIR {tmp_path / 'nowhere'} is no folder that can be written.") in found(config, "folders")


@pytest.mark.parametrize(
    ("settings", "state", "said"),
    [
        ({}, None, ""),
        ({"ALERT_WEBHOOK": "https://example.org/x", "ALERT_SECRET": "0123456789abcdef"}, "ok", "at 1 address."),
        ({"ALERT_WEBHOOK": "https://example.org/x"}, "wrong", "no secret"),
        ({"ALERT_WEBHOOK": "example.org", "ALERT_SECRET": "0123456789abcdef"}, "wrong", "no address"),
    ],
)
def test_an_address_for_alerts_that_cannot_work_is_wrong(tmp_path, settings, state, said):
    told = {f"FAIRLEAD_{name}": value for name, value in settings.items()}
    seen = found(load_config({"home": str(tmp_path / "home")}, environment=told, folder=tmp_path), "alerts")
    assert [one for one, _ in seen] == ([state] if state else [])
    assert all(said in text for _, text in seen)


def test_an_access_log_below_a_file_is_wrong(tmp_path):
    (tmp_path / "file").write_text("")
    for log, state in (
        ("off", "ok"),
        ("-", "ok"),
        ("logs/access.log", "ok"),
        (str(tmp_path / "file" / "log"), "wrong"),
    ):
        settings = {"home": str(tmp_path / "home"), "port": free_port(), "access_log": log}
        assert worst(load_config(settings, environment={}, folder=tmp_path), "folders") == state


def test_a_port_that_somebody_else_holds_is_wrong(config):
    with socket.socket() as other:
        other.bind(("127.0.0.1", config.port))
        other.listen()
        assert worst(config, "service") == "wrong"
    assert worst(config, "service") == "ok"


def test_a_database_of_a_newer_fairlead_is_wrong(config):
    open_database(config.database_url).close()
    assert worst(config, "database") == "ok"
    with sqlite3.connect(config.paths.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "schema 9999" in found(config, "database")[0][1]
    assert worst(config, "database") == "wrong"


def test_a_damaged_database_is_wrong(config):
    open_database(config.database_url).close()
    data = bytearray(config.paths.database.read_bytes())
    data[4096 : 4096 + 3000] = os.urandom(3000)
    config.paths.database.write_bytes(data)
    assert worst(config, "database") == "wrong"


def test_a_file_that_is_no_database_is_wrong(config):
    config.home.mkdir()
    config.paths.database.write_bytes(b"hello" * 1000)
    assert worst(config, "database") == "wrong"


def test_a_socket_that_nobody_listens_at_is_told(config):
    config.paths.run.mkdir(parents=True)
    path = config.paths.run / "worker-0123456789abcdef.sock"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(path.parent):
        listener.bind(path.name)  # the whole path may be longer than an address of a socket can be
        listener.listen()
        assert worst(config, "service") == "ok"
    assert worst(config, "service") == "warning"


def test_a_process_that_a_killed_service_left_is_told(config):
    config.paths.run.mkdir(parents=True)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        from fairlead.serving.observing.metrics import start_time

        told = [{"role": "gateway-0", "pid": child.pid, "start_time": start_time(child.pid)}]
        (config.paths.run / "processes.json").write_text(json.dumps(told))
        assert f"gateway-0 (process {child.pid})" in found(config, "service")[1][1]
    finally:
        child.kill()
        child.wait(5)


def test_a_check_that_breaks_is_a_finding(config, monkeypatch):
    def broken(_):
        raise PermissionError(13, "Permission denied", "/dev/full")
        yield

    monkeypatch.setitem(checkup.CHECKS, "clock", broken)
    assert found(config, "clock") == [("wrong", "/dev/full: Permission denied.")]


def test_the_verb_ends_with_one_where_something_is_wrong(tmp_path):
    command = [sys.executable, "-m", "fairlead.cli.main", "--home", str(tmp_path / "home"), "doctor", "--json"]
    environment = {**os.environ, "FAIRLEAD_PORT": str(free_port())}
    begun = time.monotonic()
    sound = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=60)
    assert sound.returncode == 0, sound.stderr
    assert json.loads(sound.stdout)["sound"] is True
    assert time.monotonic() - begun < 20
    (tmp_path / "home").write_text("")
    ill = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=60)
    assert ill.returncode == 1
    assert {one["state"] for one in json.loads(ill.stdout)["findings"] if one["check"] == "folders"} >= {"wrong"}
