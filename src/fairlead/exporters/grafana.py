"""`fairlead export grafana`: a dashboard for Grafana, alert rules for Prometheus, and what to do with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from fairlead.durations import parse_duration
from fairlead.exporters.alert_rules import rules_yaml
from fairlead.exporters.dashboard import dashboard_json
from fairlead.exporters.exporter import write_files

__all__ = ["EXPORTER", "GrafanaExporter", "GrafanaOptions"]

_JOB: Final = r"^[A-Za-z0-9_.:/-]{1,100}\Z"


class GrafanaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the files say."""

    job: Annotated[str, Meta(pattern=_JOB, description="The job_name under which Prometheus scrapes the service.")] = (
        "fairlead"
    )
    max_report_age: Annotated[
        str, Meta(description="How old an endpoint's newest report may be: two of its windows, such as 2d.")
    ] = "2d"
    host: str
    port: int


class GrafanaExporter:
    """The exporter `grafana` (an `exporter.Exporter`)."""

    summary = "What watches the service: a Grafana dashboard and Prometheus alert rules."
    options: type[msgspec.Struct] = GrafanaOptions

    def export(self, options: GrafanaOptions, to: Path) -> list[Path]:
        """Write the files (see `exporter.Exporter.export`)."""
        files = {
            "README.md": _readme(options).encode(),
            "dashboard.json": dashboard_json(),
            "rules.yaml": rules_yaml(options.job, parse_duration(options.max_report_age)),
        }
        return write_files(to, files)


EXPORTER = GrafanaExporter()


def _readme(options: GrafanaOptions) -> str:
    host = "127.0.0.1" if options.host in {"0.0.0.0", "::"} else options.host  # noqa: S104 - it is compared, not bound
    address = f"[{host}]:{options.port}" if ":" in host else f"{host}:{options.port}"
    return f"""# Fairlead in Prometheus and Grafana

Made by `fairlead export grafana`. Make them again after an upgrade of Fairlead.

## 1. Prometheus

Add to prometheus.yml, with the path of `rules.yaml` as it lies on Prometheus's machine:

    scrape_configs:
      - job_name: {options.job}
        static_configs: [{{targets: ["{address}"]}}]
    rule_files: [rules.yaml]

Where the service asks for tokens, add `authorization: {{credentials: …}}` with one of scope `read`.

    promtool check rules rules.yaml

Each rule has the label `severity`: `page` is now, `ticket` can wait until morning.

## 2. Grafana

Dashboards, New, Import, `dashboard.json`; then choose the data source at the top.
"""
