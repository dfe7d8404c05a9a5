"""The dashboard and the rules against what is really there: a running service's `/metrics`, and Prometheus's own rule engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request

import msgspec
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fairlead.exporters import series
from fairlead.exporters.alert_rules import rules, rules_yaml
from running import cli, post, serving

pytestmark = pytest.mark.slow


def told(service):
    """Each series' name with its labels, by Prometheus's client library."""
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=30) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def test_a_service_tells_every_metric_of_the_list_with_its_labels(home, april_bodies):
    cli(home, "deploy", "flights:1")
    with serving(home) as service:
        status, _, body = post(service.port, "/predict/flights", april_bodies[0])
        assert status == 200, body
        status, _, body = post(
            service.port, "/feedback/flights", msgspec.json.encode({"id": msgspec.json.decode(body)["id"], "rating": 4})
        )
        assert status < 300, body
        # A shadow is compared in tests/unit/exporters/test_grafana_files.py.
        wanted = {name: set(labels) for name, labels in series.SERVICE.items() if name != "fairlead_mirrored_total"}
        found = service.wait_for(lambda: (now := told(service)).keys() >= wanted.keys() and now)
    assert {name: found[name] for name in wanted} == wanted


# -- Prometheus's own engine -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def promtool():
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: Debian has it in the package prometheus.")
    return found


UP = {'up{job="fairlead", instance="a"}': "1x2160"}
REPORT = 'fairlead_report_timestamp_seconds{endpoint="flights"}'
TARGET = {'fairlead_slo_target{endpoint="flights", objective="availability"}': "0.999x2160"}
FLIGHTS = {"endpoint": "flights"}


def requests(good, bad):
    """So many of each in two minutes, for three days."""
    labels = 'endpoint="flights", version="flights:1", variant="champion"'
    return {
        f'fairlead_requests_total{{{labels}, code="200"}}': f"0+{good}x2160",
        f'fairlead_requests_total{{{labels}, code="503"}}': f"0+{bad}x2160",
    }


def burn(long, short):
    labels = 'endpoint="flights", objective="latency"'
    return {
        f'fairlead_slo_burn_rate{{{labels}, window="1h"}}': f"{long}x2160",
        f'fairlead_slo_burn_rate{{{labels}, window="5m"}}': f"{short}x2160",
    }


FRESH = {REPORT: "0+120x2160"}
SLOW = {**FLIGHTS, "objective": "latency", "window": "1h"}
# What happens, and what is to fire after three days: each alert with its labels and what it says.
STORIES = {
    "all is well": ({**UP, **requests(1000, 0), **TARGET, **FRESH, **burn(0.5, 0.2)}, []),
    "nobody answers": (
        {'up{job="fairlead", instance="a"}': "0x2160"},
        [("FairleadDown", {"job": "fairlead", "instance": "a"}, "Fairlead on a does not answer Prometheus.")],
    ),
    # 0.4 % fail; with 99.9 % wanted that is 4 times what may: more than 3 and 1, less than 6 and 14.4.
    "a few requests fail all the time": (
        {**UP, **requests(996, 4), **TARGET, **FRESH},
        [
            (f"FairleadErrorBudget{long}", FLIGHTS, f"flights: 0.4% of the requests fail, more than {factor} times what may.")
            for long, factor in (("1d", 3), ("3d", 1))
        ],
    ),
    "a few requests fail, and nobody said what may": ({**UP, **requests(996, 4), **FRESH}, []),
    "every tenth fails": (
        {**UP, **requests(900, 100), **FRESH},
        [("FairleadErrors", FLIGHTS, "flights: 10% of the requests fail.")],
    ),
    "slow, and still slow": (
        {**UP, **FRESH, **burn(20, 16)},
        [("FairleadLatencyBudget1h", SLOW, "flights: slow answers spend their budget 20 times too fast.")],
    ),
    "slow once, and no more": ({**UP, **FRESH, **burn(20, 1)}, []),
    "the worst report": (
        {**UP, **FRESH, 'fairlead_monitor_verdict{endpoint="flights"}': "0x2000 4x160"},
        [("FairleadLimitCrossed", FLIGHTS, "flights: a limit that was set is crossed.")],
    ),
    "drift": (
        {**UP, **FRESH, 'fairlead_monitor_verdict{endpoint="flights"}': "0x2000 3x160"},
        [("FairleadDrift", FLIGHTS, "flights: what the model is asked has changed.")],
    ),
    "no verdict": ({**UP, **FRESH, 'fairlead_monitor_verdict{endpoint="flights"}': "1x2160"}, []),
    "labels stopped coming": (
        {**UP, **FRESH, 'fairlead_label_coverage{endpoint="flights"}': "0.95x1000 0.1x1160"},
        [("FairleadLabelsMissing", FLIGHTS, "flights: only 10% of the answers have a label; there were more.")],
    ),
    "there never were labels": ({**UP, **FRESH, 'fairlead_label_coverage{endpoint="flights"}': "0x2160"}, []),
    "no report for three days": (
        {**UP, REPORT: "0x2160"},
        [("FairleadReportOld", FLIGHTS, "flights: the newest report is older than 2 days (2d).")],
    ),
    "a full disk": (
        {**UP, **FRESH, 'fairlead_events_dropped_total{instance="a"}': "0x2155 0+5x5"},
        [("FairleadEventsDropped", {"instance": "a"}, "Events are lost on a: reports and rollouts will know less.")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_prometheus_fires_what_it_should_and_nothing_else(promtool, tmp_path, story):
    # The notation of series, and what is compared, are those of `promtool test rules`.
    given, wanted = STORIES[story]
    (tmp_path / "rules.yaml").write_bytes(rules_yaml("fairlead", 172_800))
    expected = [
        {
            "eval_time": "3d",
            "alertname": rule.alert,
            "exp_alerts": [
                {
                    "exp_labels": {**labels, "severity": rule.severity},
                    "exp_annotations": {
                        "summary": summary,
                        "description": rule.do.replace("{{ $labels.endpoint }}", labels.get("endpoint", "")),
                    },
                }
                for name, labels, summary in wanted
                if name == rule.alert
            ],
        }
        for rule in rules("fairlead", 172_800)
    ]
    series_ = [{"series": name, "values": values} for name, values in given.items()]
    played = {"interval": "2m", "input_series": series_, "alert_rule_test": expected}
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "30m", "tests": [played]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_s_own_tool_accepts_the_rules(promtool, tmp_path):
    (tmp_path / "rules.yaml").write_bytes(rules_yaml("fairlead", 172_800))
    done = subprocess.run(
        [promtool, "check", "rules", "rules.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.count("SUCCESS: 15 rules found")) == (0, 1), done.stdout + done.stderr
