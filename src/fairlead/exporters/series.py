"""The metrics that dashboards and alert rules may ask for: one list, which a test holds against what `/metrics` tells.

Whoever adds a metric to the service adds it here when a panel or a rule is to show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["DRIFT", "MONITOR", "SERVICE", "VERDICTS"]

_VARIANT: Final = ("endpoint", "version", "variant")

SERVICE: Final[Mapping[str, tuple[str, ...]]] = {
    "fairlead_requests_total": (*_VARIANT, "code"),
    "fairlead_request_seconds_bucket": (*_VARIANT, "le"),
    "fairlead_rows_total": _VARIANT,
    "fairlead_feedback_total": ("endpoint", "kind"),
    "fairlead_mirrored_total": ("endpoint", "version", "outcome"),
    "fairlead_events_total": (),
    "fairlead_events_dropped_total": (),
    "fairlead_connections_refused_total": (),
    "fairlead_connections": ("process",),
    "fairlead_in_flight": ("process",),
    "fairlead_queue_depth": ("process",),
    "fairlead_process_resident_memory_bytes": ("process",),
    "fairlead_process_cpu_seconds_total": ("process",),
    "fairlead_process_open_fds": ("process",),
}
"""What every gateway tells, with the labels that may be asked for."""

_TEST: Final = ("endpoint", "feature", "test")

MONITOR: Final[Mapping[str, tuple[str, ...]]] = {
    "fairlead_drift_score": _TEST,
    "fairlead_drift_adjusted_p": _TEST,
    "fairlead_drift_verdict": _TEST,
    "fairlead_monitor_verdict": ("endpoint",),
    "fairlead_monitor_rows": ("endpoint",),
    "fairlead_label_coverage": ("endpoint",),
    "fairlead_model_quality": ("endpoint", "metric"),
    "fairlead_slo_error_budget_remaining": ("endpoint", "objective"),
    "fairlead_slo_target": ("endpoint", "objective"),
    "fairlead_slo_burn_rate": ("endpoint", "objective", "window"),
    "fairlead_report_timestamp_seconds": ("endpoint",),
}
"""What they tell besides, once there is a report."""

VERDICTS: Final = ("Stable", "Too few data", "Not measured", "Drift", "Limit crossed")
"""The verdict of a gauge by its value: 0 to 4, the worse, the greater."""

DRIFT: Final = 3
"""From this value on a person should look."""
