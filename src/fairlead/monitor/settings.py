"""What is watched and when it counts: every threshold of a report is a setting, and has a default that was measured.

One struct for an endpoint in `fairlead.toml`, for the operator's API, for `fairlead.drift` and for the command line.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fairlead.schema import Value

__all__ = ["DEFAULTS", "Alerting", "Expectation", "Objectives", "Settings", "Thresholds"]

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From when on a difference counts: it must be sure (adjusted p) *and* as large as this.

    Attributes:
        q: The false discovery rate of one run (Benjamini, Hochberg 1995).
        ks: The least D of a Kolmogorov-Smirnov test.
        names: The least bias-corrected Cramér's V, or total variation distance, of a χ² test.
        missing: The least change of the share of missing entries.
        concept: The least Cohen's q between two correlations.
        quality: The least loss of a metric of model quality that counts, in its unit (0.02 of AUC) or, for errors, as a share of the reference's.
        labels: So many labels are needed for the target, the concept and model quality.
        coverage: So large a share of the answers must have a label for the same.
        dataset: The share of inputs that drift from which on the table as a whole does.
    """

    q: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    ks: Share = 0.1
    names: Share = 0.1
    missing: Share = 0.01
    concept: Positive = 0.1
    quality: Positive = 0.05
    labels: Annotated[int, Meta(ge=4)] = 100
    coverage: Share = 0.5
    dataset: Share = 0.5


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a column must be, whatever the reference was.

    Attributes:
        minimum: The least number allowed.
        maximum: The greatest.
        allowed: The only values allowed.
        missing: The greatest share of missing entries.
        unseen: The greatest share of categories that the training data had not.
        length: The greatest length of a text, in characters.
    """

    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Value, ...] = ()
    missing: Share | None = None
    unseen: Share | None = None
    length: Annotated[int, Meta(ge=1)] | None = None


class Objectives(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Service-level objectives: the share of requests that must be good over `period`.

    Attributes:
        availability: The share of requests that are answered; `None` sets no objective.
        latency: The share of answers within `latency_seconds`.
        latency_seconds: How long an answer may take.
        period: Over which the error budget is spent, such as "30d".
    """

    availability: Annotated[float, Meta(gt=0, lt=1)] | None = None
    latency: Annotated[float, Meta(gt=0, lt=1)] | None = None
    latency_seconds: Positive = 0.1
    period: str = "30d"


class Alerting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a person hears of it; then not again until it changes.

    Attributes:
        need: In so many of the last windows it must show.
        of: So many windows are the last ones.
    """

    need: Annotated[int, Meta(ge=1, le=100)] = 2
    of: Annotated[int, Meta(ge=1, le=100)] = 3


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an endpoint is watched.

    Attributes:
        enabled: Whether reports are made on schedule.
        window: How long a window is: a time ("1h", "1d", "7d") or a number of rows ("10000 rows").
        slide: How far the next window begins after this one began; the window's length where it is `None`.
        reference: "training": the profile of the version that answers; "past": the window before; "past 7d": that which began so long before;
            "week": the same hours of the four weeks before.
        segments: Columns of names; each of their frequent levels gets findings of its own.
        segment_levels: How many levels of each.
        columns: Watch these inputs only; all where it is empty.
        thresholds: From when on a difference counts.
        expectations: What columns must be, by name.
        objectives: Of the service.
        alerting: When a person hears of it.
        preset: "evidently" judges as Evidently's default does, for those who move over.
        labels_within: For how long after a window its labels are waited for, and its report amended.
    """

    enabled: bool = True
    window: str = "1d"
    slide: str | None = None
    reference: str = "training"
    segments: tuple[str, ...] = ()
    segment_levels: Annotated[int, Meta(ge=1, le=50)] = 5
    columns: tuple[str, ...] = ()
    thresholds: Thresholds = Thresholds()
    expectations: dict[str, Expectation] = {}
    objectives: Objectives = Objectives()
    alerting: Alerting = Alerting()
    preset: Literal["", "evidently"] = ""
    labels_within: str = "30d"


DEFAULTS = Settings()
