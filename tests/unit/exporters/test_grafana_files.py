"""The dashboard and the rules: every query read by a PromQL parser, the JSON by Grafana's own types, both held against one list of metrics."""

from __future__ import annotations

import itertools
import json
import re

import msgspec
import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from msgspec.structs import replace

import sample_reports
from fairlead.errors import InvalidInput
from fairlead.exporters import alert_rules, dashboard, series
from fairlead.exporters.exporter import make_options
from fairlead.exporters.grafana import EXPORTER
from fairlead.monitor.gauges import code_of, gauges
from fairlead.monitor.report import RANK, Finding
from fairlead.monitor.words import VERDICTS
from fairlead.serving.observing.metrics import Snapshot, collect, write_snapshot
from fairlead.serving.shadow import MirrorCount

KNOWN = {**series.SERVICE, **series.MONITOR, "up": ("job",)}
# What Prometheus adds to each series by itself.
ADDED = {"instance", "job"}


def filled(expr):
    """As Grafana fills in its variables before it asks Prometheus."""
    return expr.replace("$__rate_interval", "5m").replace("$endpoint", "flights|houses")


PANELS = [one for _, panels in dashboard.ROWS for one in panels]
QUERIES = {
    f"{panel.title}, {number}": filled(query.expr) for panel in PANELS for number, query in enumerate(panel.queries, 1)
}
RULES = {one.alert: one.expr for one in alert_rules.rules("fairlead", 172_800)}


def asked(expr):
    """The metrics that a query selects, each with the labels that it matches; and the labels that it groups by."""
    selected, grouped = [], []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            selected.append((node.name, {one.name for one in node.matchers.matchers}))
        if isinstance(node, promql_parser.MatrixSelector):
            selected.append((node.vector_selector.name, {one.name for one in node.vector_selector.matchers.matchers}))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.append(set(node.modifier.labels))
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    return selected, grouped


@pytest.mark.parametrize("expr", [*QUERIES.values(), *RULES.values()], ids=[*QUERIES, *RULES])
def test_a_query_parses_and_asks_for_what_is_told(expr):
    selected, grouped = asked(expr)
    assert selected
    for name, labels in selected:
        assert name in KNOWN
        assert labels <= {*KNOWN[name], *ADDED}
    known = {label for name, _ in selected for label in KNOWN[name]} | ADDED
    assert all(labels <= known for labels in grouped)


def test_a_legend_names_labels_that_the_query_keeps():
    for panel in PANELS:
        for query in panel.queries:
            kept = set.union(set(), *asked(filled(query.expr))[1])
            assert set(re.findall(r"{{(\w+)}}", query.legend)) <= kept


def test_every_metric_of_the_list_is_shown_or_alerted_on():
    used = {name for expr in [*QUERIES.values(), *RULES.values()] for name, _ in asked(expr)[0]}
    assert used == set(KNOWN)


def test_the_monitor_s_gauges_are_those_of_the_list():
    report = sample_reports.april()
    objective = Finding(
        area="service", subject="availability", measure="error budget", verdict="stable", because="so", value=0.4,
        further={"bad": 3.0, "objective": 0.999},
    )  # fmt: skip
    burning = replace(objective, measure="burn rate 1h", value=2.0, further={"burn rate 5m": 1.0})
    told = gauges([replace(report, findings=(*report.findings, objective, burning))])
    assert {one.name: set(one.samples[0][0]) for one in told} == {
        name: set(labels) for name, labels in series.MONITOR.items()
    }


def test_the_service_s_counters_are_in_the_list_as_they_are_told(tmp_path):
    # The rest of the list is asked of a running service: tests/integration/test_grafana_served.py.
    write_snapshot(tmp_path, Snapshot("gateway-0", mirrored=[MirrorCount("flights", "flights:2", ok=1)]))
    lines = [
        f"{one.name}_total{labels}"
        for one in collect(tmp_path)
        if one.name == "fairlead_mirrored"
        for _, labels in one.samples
    ]
    assert lines
    assert set(re.findall(r"(\w+)=", lines[0])) == set(series.SERVICE["fairlead_mirrored_total"])


def test_a_verdict_s_number_means_on_the_dashboard_what_the_monitor_means():
    assert {series.VERDICTS[int(code_of(verdict))] for verdict in RANK} == set(VERDICTS.values())
    assert all(series.VERDICTS[int(code_of(verdict))] == VERDICTS[verdict] for verdict in RANK)
    assert code_of("drift") == series.DRIFT


# -- the dashboard -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    return json.loads(dashboard.dashboard_json())


def test_grafana_s_own_types_keep_every_field_of_the_dashboard(made):
    # The types are generated from Grafana's schema; what they do not know they leave out.
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(made)))

    def lost(ours, theirs, at=""):
        if isinstance(ours, dict):
            for key, value in ours.items():
                if value is not None:
                    yield from lost(value, (theirs or {}).get(key, "absent"), f"{at}.{key}")
        elif isinstance(ours, list):
            for number, pair in enumerate(itertools.zip_longest(ours, theirs)):
                yield from lost(*pair, f"{at}[{number}]")
        elif ours != theirs:
            yield at, ours, theirs

    assert list(lost(made, again)) == []


def test_panels_have_ids_of_their_own_and_do_not_lie_on_each_other(made):
    assert len({one["id"] for one in made["panels"]}) == len(made["panels"])
    cells = [
        (x, y)
        for one in made["panels"]
        for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
        for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} == set(range(24))


def test_it_names_no_data_source_and_no_host(made):
    text = dashboard.dashboard_json().decode()
    assert "http" not in text
    assert {one["datasource"]["uid"] for one in made["panels"] if "datasource" in one} == {"${datasource}"}
    assert [one["name"] for one in made["templating"]["list"]] == ["datasource", "endpoint"]


def test_every_panel_the_brief_of_an_operator_asks_for_is_there(made):
    titles = {one["title"] for one in made["panels"]}
    assert {
        "Requests by endpoint", "Latency", "Errors by code", "Requests by variant", "Drift score by feature", "Verdicts of the newest report",
        "Label coverage", "Model quality", "Error budget left", "Burn rate", "Rows that wait for a model", "Events", "Memory", "Processor",
    } <= titles  # fmt: skip


# -- the rules ---------------------------------------------------------------------------------------------------------


def test_budgets_burn_by_the_table_of_the_workbook():
    # Beyer et al., The Site Reliability Workbook (2018), chapter 5, table 5-6: 2 % of a 30 days' budget in 1 h, 5 % in 6 h, 10 % in 3 days;
    # and the pair for 10 % in one day that the text adds. Factor = share of the budget times 720 h over the long window.
    shares = {"1h": (0.02, 1), "6h": (0.05, 6), "1d": (0.1, 24), "3d": (0.1, 72)}
    minutes = {"5m": 5, "30m": 30, "2h": 120, "6h": 360}
    for long, short, factor, severity in alert_rules.BURN_PAIRS:
        share, hours = shares[long]
        assert factor == pytest.approx(share * 720 / hours)
        assert minutes[short] * 12 == hours * 60
        assert severity == ("page" if hours < 24 else "ticket")


def test_the_rules_are_read_back_as_they_were_meant():
    read = yaml.safe_load(alert_rules.rules_yaml("fairlead", 172_800))
    (group,) = read["groups"]
    assert {one["alert"]: one["expr"] for one in group["rules"]} == RULES
    assert {one["labels"]["severity"] for one in group["rules"]} == {"page", "ticket"}
    assert all(one["annotations"]["summary"] and one["annotations"]["description"] for one in group["rules"])
    assert len(RULES) == len(group["rules"])


def test_what_a_summary_names_is_a_label_of_what_fires():
    for rule in alert_rules.rules("fairlead", 172_800):
        names = set(re.findall(r"\$labels\.(\w+)", rule.summary + rule.do))
        labels = {label for name, _ in asked(rule.expr)[0] for label in KNOWN[name]} | ADDED
        assert names <= labels


def options(**asked_for):
    return make_options(EXPORTER, asked_for, {"host": "127.0.0.1", "port": 8080})


@pytest.mark.parametrize("job", ["", 'a"} or up{job="b', "a b", "a\nb", "ä", "a" * 101])
def test_a_job_that_is_no_plain_name_is_refused(job):
    with pytest.raises(InvalidInput, match="--job"):
        options(job=job)


def test_an_age_is_a_length_of_time_and_comes_into_rule_and_text(tmp_path):
    with pytest.raises(InvalidInput, match="no length of time"):
        EXPORTER.export(options(max_report_age="soon"), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    EXPORTER.export(options(job="ml/prod", max_report_age="2w"), tmp_path)
    text = (tmp_path / "rules.yaml").read_text()
    assert "> 1209600" in text
    assert "older than 14 days (2w)" in text
    assert 'up{job="ml/prod"}' in text
    assert "job_name: ml/prod" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("host", "told"), [("0.0.0.0", "127.0.0.1:8080"), ("::1", "[::1]:8080"), ("10.0.0.7", "10.0.0.7:8080")]
)
def test_the_readme_gives_an_address_that_can_be_asked(tmp_path, host, told):
    EXPORTER.export(msgspec.structs.replace(options(), host=host), tmp_path)
    assert f'targets: ["{told}"]' in (tmp_path / "README.md").read_text()
