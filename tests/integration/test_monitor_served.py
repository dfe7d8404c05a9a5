"""The monitor of a running service: reports come by themselves, labels amend them, alerts reach a webhook, gauges stand on /metrics.

What a window holds is known, because the test has asked it; gauges are read by Prometheus's own parser.
"""

from __future__ import annotations

import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fairlead.cli.main import run as command_line
from monitor_room import CARRIERS, SHARES, pack_lateness
from running import cli, post, serving
from sharing import made_once

pytestmark = pytest.mark.slow

SETTINGS = """
[monitor.late]
window = "5s"
alerting = { need = 1, of = 1 }
objectives = { availability = 0.99 }
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return made_once(tmp_path_factory, "lateness", lambda folder: pack_lateness(folder, versions=2))


@pytest.fixture
def place(packed, tmp_path):
    """A folder with settings, and a home in it."""
    (tmp_path / "fairlead.toml").write_text(SETTINGS)
    shutil.copytree(packed, tmp_path / "home")
    cli(tmp_path / "home", "deploy", "late:1", cwd=tmp_path)
    return tmp_path


@pytest.fixture
def told():
    """The alerts that a webhook was sent."""
    found = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            found.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found, f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()
    thread.join(10)
    server.server_close()


def ask(service, rows, shift):
    """Ask in one request; delays are longer by `shift` than the training data's."""
    maker = random.Random(1)
    body = [{"delay": maker.gauss(10 + shift, 5), "carrier": maker.choices(CARRIERS, SHARES)[0]} for _ in range(rows)]
    status, _, content = post(service.port, "/predict/late", json.dumps(body).encode())
    assert status == 200
    return json.loads(content)


def reports(home):
    return json.loads(cli(home, "monitor", "list", "late", "--limit", "1000", "--json").stdout)


def gauges(service):
    """By name, labels and value."""
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=10) as reply:
        families = list(text_string_to_metric_families(reply.read().decode()))
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


def kinds(found):
    """Each alert once: one that was taken late may have been told again."""
    return list({one["id"]: one["kind"] for one in list(found)}.values())


@pytest.mark.timeout(240)
def test_a_running_service_reports_amends_tells_and_shows_what_drifts(place, told):
    home, (alerts, hook) = place / "home", told
    environment = os.environ | {"FAIRLEAD_ALERT_WEBHOOK": hook, "FAIRLEAD_ALERT_SECRET": "more than sixteen characters"}
    with serving(home, "--console-port", "0", cwd=place, env=environment) as service:
        assert "monitor" in service.pids("monitor")
        answers = ask(service, 500, shift=6.0)
        [first] = service.wait_for(lambda: reports(home), 90)
        assert (first["number"], first["rows"], first["amends"], first["origin"]) == (1, 500, 0, "schedule")

        shown = json.loads(cli(home, "monitor", "show", "1", "--json").stdout)
        drifted = {
            one["subject"] for one in shown["findings"] if one["area"] == "predictor" and one["verdict"] == "drift"
        }
        assert drifted == {"delay"}
        service.wait_for(lambda: "drift" in kinds(alerts), 60)

        endpoint = ("endpoint", "late")
        service.wait_for(lambda: gauges(service).get(("fairlead_monitor_rows", endpoint)) == 500, 60)
        found = gauges(service)
        assert found["fairlead_drift_verdict", endpoint, ("feature", "delay"), ("test", "ks")] == 3
        assert found["fairlead_label_coverage", endpoint] == 0
        assert found["fairlead_slo_error_budget_remaining", endpoint, ("objective", "availability")] == 1

        labels = [{"id": one["id"], "label": one["prediction"]} for one in answers]
        assert post(service.port, "/feedback/late", json.dumps(labels).encode())[0] == 200
        newest = service.wait_for(lambda: [one for one in reports(home) if one["amends"]], 90)[0]
        assert (newest["amends"], newest["window"], newest["labels"]["count"]) == (1, first["window"], 500)
        assert reports(home)[-1] == first  # it stays as it was

        # The monitor is killed; another goes on, and makes nothing twice.
        os.kill(service.pids("monitor")["monitor"], signal.SIGKILL)
        ask(service, 300, shift=0.0)
        service.wait_for(lambda: any(one["rows"] == 300 for one in reports(home)), 90)
        made = reports(home)
        assert len({(one["window"]["start"], one["amends"]) for one in made}) == len(made)
        assert "Traceback" not in service.log


def test_a_service_that_records_nothing_has_no_monitor(place):
    with serving(
        place / "home", "--console-port", "0", cwd=place, env=os.environ | {"FAIRLEAD_EVENT_LOG": "false"}
    ) as service:
        assert service.pids("monitor") == {}


@pytest.fixture
def run(place, monkeypatch, capsys):
    """The command line in this process, which has imported everything: each call is a second faster."""
    monkeypatch.chdir(place)

    def called(*arguments, code=0):
        capsys.readouterr()
        ended = command_line(["--home", str(place / "home"), "monitor", *arguments])
        found = capsys.readouterr()
        assert ended == code, found
        return found

    return called


@pytest.mark.timeout(240)
def test_the_command_line_makes_shows_judges_and_sets(place, run):
    assert "There is no report of 'late' yet." in run("list", "late").err
    assert "There were no predictions." in run("late").out
    run("nobody", code=3)

    with serving(place / "home", "--console-port", "0", cwd=place) as service:
        ask(service, 400, shift=6.0)
    page = place / "report.html"
    report = json.loads(run("late", "--window", "1h", "--save", "--html", str(page), "--json").out)
    assert report["rows"] == 400
    assert "delay" in page.read_text()
    assert "delay is higher" in " ".join(run("show", str(report["number"])).out.split())

    assert "The verdict is drift, and --fail-on is drift." in run("check", "late", "--window", "1h", code=5).err
    run("check", "late", "--window", "1h", "--fail-on", "breach")
    run("late", "--window", "soon", code=2)
    run("late", "--reference", "never", code=2)

    before = json.loads(run("settings", "late", "--json").out)["settings"]
    assert (before["window"], before["thresholds"]["ks"]) == ("5s", 0.1)
    run("settings", "late", "--set", "thresholds.ks=0.9", "--set", "segments=carrier", "--dry-run")
    assert json.loads(run("settings", "late", "--json").out)["set"] == {}
    run("settings", "late", "--set", "thresholds.ks=0.9", "--set", "segments=carrier")
    assert json.loads(run("settings", "late", "--json").out)["settings"]["segments"] == ["carrier"]
    run("check", "late", "--window", "1h")  # so large a difference is wanted now
    run("settings", "late", "--set", "thresholds.ks=", "--set", "segments=")
    run("check", "late", "--window", "1h", code=5)
    assert "Did you mean 'thresholds.ks'?" in run("settings", "late", "--set", "thresholds.kss=1", code=2).err


def test_two_tables_are_judged_for_a_pipeline(place, run):
    lines = ["delay,carrier"] + [f"{place % 97 / 10},{'UA' if place % 3 else 'DL'}" for place in range(600)]
    moved = ["delay,carrier"] + [f"{place % 97 / 10 + 5},{'UA' if place % 3 else 'DL'}" for place in range(600)]
    (place / "a.csv").write_text("\n".join(lines))
    (place / "b.csv").write_text("\n".join(moved))
    run("check", "--reference", "a.csv", "--current", "a.csv")
    run("check", "--reference", "a.csv", "--current", "b.csv", code=5)
    run("check", "--current", "a.csv", code=2)
    run("check", code=2)
    # One of two columns lost: not half of what could be judged drifts, but there is a finding.
    gone = ["delay,carrier"] + [f",{'UA' if place % 3 else 'DL'}" for place in range(600)]
    (place / "c.csv").write_text("\n".join(gone))
    run("check", "--reference", "a.csv", "--current", "c.csv")
    run("check", "--reference", "a.csv", "--current", "a.csv", "--fail-on", "finding")
    lost = run("check", "--reference", "a.csv", "--current", "c.csv", "--fail-on", "finding", code=5)
    assert "delay" in lost.err


def test_without_polars_it_is_said_what_is_missing_and_the_rest_goes_on(place):
    """An installation without the extra, as an import system that knows no polars."""
    script = "import sys; sys.modules['polars'] = None; from fairlead.cli.main import run; sys.exit(run(sys.argv[1:]))"

    def run(*arguments):
        command = [sys.executable, "-c", script, "--home", str(place / "home"), "monitor", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=place)

    done = run("late")
    assert (done.returncode, done.stdout) == (3, "")
    assert "polars" in done.stderr
    assert "pip install 'fairlead[monitor]'" in done.stderr
    assert run("list", "late").returncode == 0
    assert run("settings", "late").returncode == 0
