"""Prometheus alert rules: when a person should hear of a service, a model or its monitoring.

Service-level objectives alert on how fast the error budget is spent, over a long window and a short one together: the long says that it
matters, the short that it is still so (Beyer et al., "The Site Reliability Workbook", O'Reilly 2018, chapter 5, table 5-6). Failed requests
Prometheus counts by itself; it needs nothing but the target. Slow answers are judged by the monitor, within the minute: it knows each one's
time exactly, where a histogram knows a bucket.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import yaml

from fairlead.durations import tell_duration, write_duration
from fairlead.exporters.series import DRIFT

__all__ = ["BURN_PAIRS", "Rule", "rules", "rules_yaml"]

Severity = Literal["page", "ticket"]
"""Now, or tomorrow morning."""

BURN_PAIRS: Final[tuple[tuple[str, str, float, Severity], ...]] = (
    ("1h", "5m", 14.4, "page"),
    ("6h", "30m", 6.0, "page"),
    ("1d", "2h", 3.0, "ticket"),
    ("3d", "6h", 1.0, "ticket"),
)
"""Long window, short window, how many times faster than allowed: a budget of 30 days lasts 2 days, 5, 10 and 30."""


class Rule(msgspec.Struct, frozen=True):
    """One rule.

    Attributes:
        alert: Its name.
        expr: PromQL; it fires for each series that this gives.
        wait: For how long that must hold, as Prometheus writes it.
        severity: Whether it can wait until morning.
        summary: For people; Prometheus fills in labels.
        do: What to do next.
    """

    alert: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    do: str


def rules(job: str, max_report_age: float) -> list[Rule]:
    """All rules, the most urgent first.

    Args:
        job: The name under which Prometheus scrapes the service.
        max_report_age: How old the newest report of an endpoint may be, in seconds.
    """
    return [
        Rule(
            "FairleadDown",
            f'up{{job="{job}"}} == 0 or absent(up{{job="{job}"}})',
            "2m",
            "page",
            "Fairlead on {{ $labels.instance }} does not answer Prometheus.",
            "Look at the service's own log, and run `fairlead doctor` there.",
        ),
        Rule(
            "FairleadErrors",
            f"{_failing('5m')} > 0.05",
            "10m",
            "page",
            "{{ $labels.endpoint }}: {{ $value | humanizePercentage }} of the requests fail.",
            "If a version is new, `fairlead rollback {{ $labels.endpoint }}`; else look at the log.",
        ),
        *(_failing_fast(*pair) for pair in BURN_PAIRS),
        *(_slow_fast(*pair) for pair in BURN_PAIRS),
        Rule(
            "FairleadEventsDropped",
            "increase(fairlead_events_dropped_total[15m]) > 0",
            "0m",
            "ticket",
            "Events are lost on {{ $labels.instance }}: reports and rollouts will know less.",
            "Look whether the disk is full.",
        ),
        *_watching(max_report_age),
    ]


def _failing(window: str) -> str:
    failed = f'sum by (endpoint) (rate(fairlead_requests_total{{code=~"5.."}}[{window}]))'
    return f"{failed} / sum by (endpoint) (rate(fairlead_requests_total[{window}]))"


def _failing_fast(long: str, short: str, factor: float, severity: Severity) -> Rule:
    allowed = f'{factor:g} * (1 - max by (endpoint) (fairlead_slo_target{{objective="availability"}}))'
    return Rule(
        f"FairleadErrorBudget{long}",
        f"{_failing(long)} > {allowed} and {_failing(short)} > {allowed}",
        "0m",
        severity,
        f"{{{{ $labels.endpoint }}}}: {{{{ $value | humanizePercentage }}}} of the requests fail, more than {factor:g} times what may.",
        f"Over {long} and still over {short}. If a version is new, roll it back; else look at the log.",
    )


def _slow_fast(long: str, short: str, factor: float, severity: Severity) -> Rule:
    burn = 'fairlead_slo_burn_rate{objective="latency", window="%s"}'
    return Rule(
        f"FairleadLatencyBudget{long}",
        f"{burn % long} > {factor:g} and ignoring (window) {burn % short} > {factor:g}",
        "0m",
        severity,
        "{{ $labels.endpoint }}: slow answers spend their budget {{ $value | humanize }} times too fast.",
        f"Over {long} and still over {short}. Roll back what is new, or take load away.",
    )


def _watching(max_report_age: float) -> list[Rule]:
    age = write_duration(max_report_age)
    return [
        Rule(
            "FairleadLimitCrossed",
            f"fairlead_monitor_verdict == {DRIFT + 1}",
            "0m",
            "ticket",
            "{{ $labels.endpoint }}: a limit that was set is crossed.",
            "Open the newest report: `fairlead monitor {{ $labels.endpoint }}`.",
        ),
        Rule(
            "FairleadDrift",
            f"fairlead_monitor_verdict == {DRIFT}",
            "0m",
            "ticket",
            "{{ $labels.endpoint }}: what the model is asked has changed.",
            "Open the newest report, the worst column first: `fairlead monitor {{ $labels.endpoint }}`.",
        ),
        Rule(
            "FairleadLabelsMissing",
            "fairlead_label_coverage < 0.5 and max_over_time(fairlead_label_coverage[30d]) >= 0.5",
            "1d",
            "ticket",
            "{{ $labels.endpoint }}: only {{ $value | humanizePercentage }} of the answers have a label; there were more.",
            "Look at what sends the feedback.",
        ),
        Rule(
            "FairleadReportOld",
            f"time() - fairlead_report_timestamp_seconds > {max_report_age:.0f}",
            "10m",
            "ticket",
            f"{{{{ $labels.endpoint }}}}: the newest report is older than {tell_duration(max_report_age)} ({age}).",
            "Look at the log of the process `monitor`.",
        ),
    ]


def rules_yaml(job: str, max_report_age: float) -> bytes:
    """The same as Prometheus reads them."""
    group = [
        {
            "alert": one.alert,
            "expr": one.expr,
            **({} if one.wait == "0m" else {"for": one.wait}),
            "labels": {"severity": one.severity},
            "annotations": {"summary": one.summary, "description": one.do},
        }
        for one in rules(job, max_report_age)
    ]
    head = "# Made by `fairlead export grafana`; name it under rule_files in prometheus.yml.\n"
    body = yaml.safe_dump(
        {"groups": [{"name": "fairlead", "rules": group}]}, sort_keys=False, width=1000, allow_unicode=True
    )
    return (head + body).encode()
