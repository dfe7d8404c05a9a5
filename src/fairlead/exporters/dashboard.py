"""The Grafana dashboard: what is shown (`ROWS`), and how that becomes the JSON that Grafana imports.

It is the classic model (`schemaVersion` 39), which Grafana 10 and all later ones read. It names no data source: whoever imports it chooses
one, and the endpoints to look at.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from fairlead.exporters.series import DRIFT, VERDICTS

__all__ = ["ROWS", "Panel", "Query", "dashboard_json"]

_SCHEMA: Final = 39
_COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_OF: Final = 'endpoint=~"$endpoint"'
_FAILING: Final = f'{_OF}, code=~"5.."'
_COLOURS: Final = ("green", "text", "orange", "yellow", "red")


class Query(msgspec.Struct, frozen=True):
    """A line of a panel.

    Attributes:
        expr: PromQL; `$endpoint` and `$__rate_interval` are filled in by Grafana.
        legend: What a series is called, by its labels.
    """

    expr: str
    legend: str = ""


class Panel(msgspec.Struct, frozen=True):
    """A panel.

    Attributes:
        title: What it shows.
        queries: Its lines.
        unit: As Grafana names units.
        width: Of 24 columns.
        kind: A line over time, a figure, or a table of the newest values.
        text: Help, behind the panel's mark.
        verdict: Whether the values are verdicts.
        columns: Of a table: what each query's values are called.
        least: Where the y axis begins; `None` leaves it to Grafana.
        most: Where it ends.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 12
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    text: str = ""
    verdict: bool = False
    columns: tuple[str, ...] = ()
    least: float | None = 0
    most: float | None = None


def _rate(metric: str, by: str, labels: str = _OF) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def _quantile(quantile: str, by: str) -> str:
    return f"histogram_quantile({quantile}, {_rate('fairlead_request_seconds_bucket', f'{by}, le')})"


_FAILED: Final = _rate("fairlead_requests_total", "endpoint", _FAILING)
_ALL: Final = _rate("fairlead_requests_total", "endpoint")

_OVERVIEW: Final = (
    Panel("Requests", (Query(f"sum({_ALL})"),), "reqps", 4, "stat"),
    Panel("Failing", (Query(f"(sum({_FAILED}) or vector(0)) / sum({_ALL})"),), "percentunit", 4, "stat"),
    Panel("p99", (Query(f"max({_quantile('0.99', 'endpoint')})"),), "s", 4, "stat"),
    Panel(
        "Worst verdict",
        (Query(f"max(fairlead_monitor_verdict{{{_OF}}})"),),
        width=4,
        kind="stat",
        verdict=True,
        text="Of the newest report of each endpoint.",
    ),
    Panel(
        "Least error budget",
        (Query(f"min(fairlead_slo_error_budget_remaining{{{_OF}}})"),),
        "percentunit",
        4,
        "stat",
        "What is left of it; below nothing it is overspent.",
        least=None,
    ),
    Panel("Oldest report", (Query(f"max(time() - fairlead_report_timestamp_seconds{{{_OF}}})"),), "s", 4, "stat"),
)
_SERVICE: Final = (
    Panel("Requests by endpoint", (Query(_ALL, "{{endpoint}}"),), "reqps"),
    Panel(
        "Latency",
        tuple(Query(_quantile(q, "endpoint"), f"{{{{endpoint}}}} {name}") for q, name in (("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99"))),
        "s",
        text="From a request's last byte to its answer.",
    ),
    Panel(
        "Errors by code",
        (Query(_rate("fairlead_requests_total", "endpoint, code", f'{_OF}, code!~"2.."'), "{{endpoint}} {{code}}"),),
        "reqps",
    ),
    Panel("Rows answered", (Query(_rate("fairlead_rows_total", "endpoint"), "{{endpoint}}"),), "ops"),
)  # fmt: skip
_ROLLOUTS: Final = (
    Panel("Requests by variant", (Query(_rate("fairlead_requests_total", "endpoint, variant, version"), "{{endpoint}} {{variant}} {{version}}"),), "reqps"),
    Panel("p99 by variant", (Query(_quantile("0.99", "endpoint, variant, version"), "{{endpoint}} {{variant}} {{version}}"),), "s"),
    Panel(
        "Failing by variant",
        (
            Query(
                f"{_rate('fairlead_requests_total', 'endpoint, variant, version', _FAILING)}"
                f" / {_rate('fairlead_requests_total', 'endpoint, variant, version')}",
                "{{endpoint}} {{variant}} {{version}}",
            ),
        ),
        "percentunit",
    ),
    Panel("Rows for shadows", (Query(_rate("fairlead_mirrored_total", "endpoint, version, outcome"), "{{endpoint}} {{version}} {{outcome}}"),), "ops"),
)  # fmt: skip
_BY_TEST: Final = f"max by (endpoint, feature, test) ({{}}{{{{{_OF}}}}})"
_DRIFTING: Final = (
    Panel(
        "Drift score by feature",
        (Query(_BY_TEST.format("fairlead_drift_score"), "{{endpoint}} {{feature}} ({{test}})"),),
        text="The effect: how far a column is from its reference, in the unit of its test.",
    ),
    Panel(
        "Verdicts of the newest report",
        tuple(
            Query(_BY_TEST.format(name))
            for name in ("fairlead_drift_verdict", "fairlead_drift_score", "fairlead_drift_adjusted_p")
        ),
        kind="table",
        columns=("Verdict", "Score", "p, adjusted"),
        text="The worst first.",
    ),
    Panel("Predictions in the window", (Query(f"max by (endpoint) (fairlead_monitor_rows{{{_OF}}})", "{{endpoint}}"),)),
    Panel(
        "Verdict of the report",
        (Query(f"max by (endpoint) (fairlead_monitor_verdict{{{_OF}}})", "{{endpoint}}"),),
        verdict=True,
        most=len(VERDICTS) - 1,
        text="0 stable, 1 too few data, 2 not measured, 3 drift, 4 limit crossed.",
    ),
)
_QUALITY: Final = (
    Panel(
        "Model quality",
        (Query(f"max by (endpoint, metric) (fairlead_model_quality{{{_OF}}})", "{{endpoint}} {{metric}}"),),
        least=None,
    ),
    Panel(
        "Label coverage",
        (Query(f"max by (endpoint) (fairlead_label_coverage{{{_OF}}})", "{{endpoint}}"),),
        "percentunit",
        most=1,
        text="The share of predictions whose truth is known.",
    ),
    Panel("Feedback", (Query(_rate("fairlead_feedback_total", "endpoint, kind"), "{{endpoint}} {{kind}}"),), "ops", 24),
)
_OBJECTIVES: Final = (
    Panel(
        "Error budget left",
        (
            Query(
                f"min by (endpoint, objective) (fairlead_slo_error_budget_remaining{{{_OF}}})",
                "{{endpoint}} {{objective}}",
            ),
        ),
        "percentunit",
        least=None,
        most=1,
    ),
    Panel(
        "Burn rate",
        (
            Query(
                f"max by (endpoint, objective, window) (fairlead_slo_burn_rate{{{_OF}}})",
                "{{endpoint}} {{objective}} {{window}}",
            ),
        ),
        text="How many times faster than allowed the error budget is spent.",
    ),
)
_MACHINE: Final = (
    Panel("Rows that wait for a model", (Query("sum by (instance, process) (fairlead_queue_depth)", "{{instance}} {{process}}"),), width=8),
    Panel("Requests in flight", (Query("sum by (instance, process) (fairlead_in_flight)", "{{instance}} {{process}}"),), width=8),
    Panel("Connections", (Query("sum by (instance, process) (fairlead_connections)", "{{instance}} {{process}}"),), width=8),
    Panel(
        "Events",
        (
            Query("sum by (instance) (rate(fairlead_events_total[$__rate_interval]))", "{{instance}} recorded"),
            Query("sum by (instance) (rate(fairlead_events_dropped_total[$__rate_interval]))", "{{instance}} dropped"),
            Query("sum by (instance) (rate(fairlead_connections_refused_total[$__rate_interval]))", "{{instance}} connections refused"),
        ),
        "ops",
        text="What is dropped is missing in reports and rollouts.",
    ),
    Panel("Memory", (Query("sum by (instance, process) (fairlead_process_resident_memory_bytes)", "{{instance}} {{process}}"),), "bytes"),
    Panel(
        "Processor",
        (Query("sum by (instance, process) (rate(fairlead_process_cpu_seconds_total[$__rate_interval]))", "{{instance}} {{process}}"),),
        "percentunit",
        text="100 % is one core.",
    ),
    Panel("Open files", (Query("sum by (instance, process) (fairlead_process_open_fds)", "{{instance}} {{process}}"),)),
)  # fmt: skip

ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    ("Now", _OVERVIEW),
    ("Service", _SERVICE),
    ("Rollouts", _ROLLOUTS),
    ("Drift", _DRIFTING),
    ("Model quality", _QUALITY),
    ("Objectives", _OBJECTIVES),
    ("Processes", _MACHINE),
)
"""What is shown, from above."""


def dashboard_json() -> bytes:
    """The dashboard as Grafana imports it; the same bytes each time."""
    made = {
        "uid": "fairlead",
        "title": "Fairlead",
        "description": "Models in production: traffic, rollouts, drift, quality, objectives, processes.",
        "tags": ["fairlead"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "schemaVersion": _SCHEMA,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": _panels(),
    }
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def _variables() -> list[dict[str, Any]]:
    endpoints = "label_values(fairlead_requests_total, endpoint)"
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0},
        {
            "name": "endpoint",
            "label": "Endpoint",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": endpoints, "refId": "endpoints"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
            "hide": 0,
        },
    ]


def _panels() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    y = 0
    for title, panels in ROWS:
        made.append(
            {
                "id": len(made) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": y},
            }
        )
        y += 1
        x = 0
        height = 4 if panels[0].kind == "stat" else 8
        for panel in panels:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + height
            made.append(_panel(panel, len(made) + 1, {"h": height, "w": panel.width, "x": x, "y": y}))
            x += panel.width
        y += height
    return made


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    table = panel.kind == "table"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        **({"description": panel.text} if panel.text else {}),
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            _target(one, letter, instant=panel.kind != "timeseries", table=table)
            for one, letter in zip(panel.queries, "ABCDEFGH", strict=False)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": _overrides(panel)},
        "options": _OPTIONS[panel.kind],
        **({"transformations": _table_of(panel.columns)} if table else {}),
    }


def _target(query: Query, letter: str, *, instant: bool, table: bool) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": "table" if table else "time_series",
        "instant": instant,
        "range": not instant,
    }


_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit}
    if panel.least is not None:
        field["min"] = panel.least
    if panel.most is not None:
        field["max"] = panel.most
    if panel.verdict:
        field |= {"mappings": [_mapped()], "thresholds": _steps(), "color": {"mode": "thresholds"}}
    if panel.kind == "timeseries":
        field["custom"] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "auto"}
        field["custom"] |= {"lineInterpolation": "stepAfter"} if panel.verdict else {}
    return field


def _mapped() -> dict[str, Any]:
    named = zip(VERDICTS, _COLOURS, strict=True)
    return {
        "type": "value",
        "options": {
            f"{one}": {"text": text, "color": colour, "index": one} for one, (text, colour) in enumerate(named)
        },
    }


def _steps() -> dict[str, Any]:
    steps = [{"color": _COLOURS[0], "value": None}]
    return {"mode": "absolute", "steps": [*steps, *({"color": _COLOURS[one], "value": one} for one in (1, 2, DRIFT, DRIFT + 1))]}  # fmt: skip


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    """In a table of verdicts their column has words, and colours."""
    if panel.kind != "table":
        return []
    properties = [
        {"id": "mappings", "value": [_mapped()]},
        {"id": "custom.cellOptions", "value": {"type": "color-text"}},
        {"id": "thresholds", "value": _steps()},
    ]
    return [{"matcher": {"id": "byName", "options": panel.columns[0]}, "properties": properties}]


def _table_of(columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """One line a test: the values of all queries side by side, the worst first."""
    names = {f"Value #{letter}": name for letter, name in zip("ABCDEFGH", columns, strict=False)}
    titles = {"endpoint": "Endpoint", "feature": "Of", "test": "Test"}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": titles | names}},
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": columns[0], "desc": True}]}},
    ]  # fmt: skip
