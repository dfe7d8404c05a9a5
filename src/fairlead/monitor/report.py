"""The report of one window: findings with their verdicts, as data. Pages, gauges, tables and alerts are made of nothing else.

It holds aggregates only: whoever may read a report learns no caller's row.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "AREAS",
    "RANK",
    "Area",
    "Finding",
    "Labels",
    "Picture",
    "Reference",
    "Report",
    "Verdict",
    "Window",
]

Area = Literal[
    "quality", "missing", "predictor", "prediction", "target", "concept", "model", "estimate", "service", "process"
]
"""Data quality; missing values; drift of inputs, of predictions, of labels; their relation; model quality, measured and estimated without labels;
service levels; the processes themselves."""

Verdict = Literal["breach", "drift", "error", "insufficient", "stable"]
"""A limit that was set is crossed; it differs from the reference, surely and by enough; it could not be measured; there are too few data
to tell; none of these."""

RANK: Final[dict[Verdict, int]] = {"breach": 0, "drift": 1, "error": 2, "insufficient": 3, "stable": 4}
"""The worst first."""

AREAS: Final[dict[Area, str]] = {
    "service": "Service levels",
    "process": "Processes",
    "model": "Model quality",
    "estimate": "Model quality, estimated without labels",
    "quality": "Data quality",
    "missing": "Missing values",
    "predictor": "Predictor drift",
    "prediction": "Prediction drift",
    "target": "Target drift",
    "concept": "Concept drift",
}
"""What people call them, in the order in which a report tells them."""


class Window(msgspec.Struct, frozen=True):
    """A span of events.

    Attributes:
        start: The first moment, in seconds since 1970 (UTC).
        end: The first moment after it.
    """

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


class Reference(msgspec.Struct, frozen=True):
    """What a window is held against.

    Attributes:
        kind: The training data's profile; a window of the past; the same hour of the week in the past; a table that was given.
        text: For people: "the training data of flights:1".
        rows: How many rows it stands for.
        window: Where it is a past one.
    """

    kind: Literal["training", "past", "week", "given", "none"]
    text: str
    rows: int
    window: Window | None = None


class Labels(msgspec.Struct, frozen=True):
    """How far a window's labels are known.

    Attributes:
        count: Predictions with a label.
        coverage: Of all answered ones, 0 to 1.
        lag: The median time from answer to label, in seconds; `None` without labels.
        unknown: Labels in the window's time whose prediction is not in the log.
        corrected: Predictions that were given more than one label; the last counts.
    """

    count: int = 0
    coverage: float = 0.0
    lag: float | None = None
    unknown: int = 0
    corrected: int = 0


class Picture(msgspec.Struct, frozen=True):
    """Two histograms side by side.

    Attributes:
        kind: "numbers": bars between edges; "names": a bar a level.
        labels: The bars' names; for numbers, the edges between them (one more than there are bars).
        reference: Shares, 0 to 1.
        current: Shares.
        unit: Of the numbers, where known.
    """

    kind: Literal["numbers", "names"]
    labels: tuple[str | float, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]
    unit: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        area: What it belongs to.
        subject: The column, metric or process: "temp", "roc_auc", "gateway-0".
        measure: What was measured: "ks", "chi2", "missing share", "p99 latency".
        verdict: What it comes to.
        because: In a sentence, for people, with the numbers that decide.
        value: The measured value; `None` where there is none.
        unit: Of the value: "share", "seconds", "bytes", ""; a base unit.
        reference: The same of the reference, or the limit.
        statistic: The test's.
        p: Its p-value.
        adjusted: p after Benjamini and Hochberg over the findings of one run.
        effect: How large the difference is, in the measure named by `effect_name`.
        effect_name: "D", "V", "TVD", "q", "Δ".
        interval: A 95 % interval of the value or the effect, whichever `because` speaks of.
        n: How many entries of the window it rests on.
        n_reference: Of the reference.
        segment: The part of the traffic, 'carrier = "UA"'; empty for all.
        picture: Both histograms, where there are any.
        further: More values by name, such as Wasserstein/σ, PSI.
    """

    area: Area
    subject: str
    measure: str
    verdict: Verdict
    because: str
    value: float | None = None
    unit: str = ""
    reference: float | None = None
    statistic: float | None = None
    p: float | None = None
    adjusted: float | None = None
    effect: float | None = None
    effect_name: str = ""
    interval: tuple[float, float] | None = None
    n: int = 0
    n_reference: int = 0
    segment: str = ""
    picture: Picture | None = None
    further: dict[str, float] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a window looked like.

    Attributes:
        endpoint: Whose; empty for tables that were compared without a service.
        window: Which; `None` as above.
        models: The versions that answered in it.
        rows: Predictions in it.
        reference: What it was held against.
        labels: How far its labels are known.
        findings: The worst first.
        verdict: Of all together: `breach` where there is one, `drift` where the share of drifted inputs reaches the setting, or measured
            model quality is worse.
        drifted: The share of judged inputs that drift, 0 to 1; `None` where none could be judged.
        made: When, in seconds since 1970 (UTC).
        number: Of the report, as it is stored; 0 where it is not.
        amends: The report of the same window that this one stands instead of, because labels came; 0 for the first.
        notes: What was odd about the data and stopped nothing, a sentence each.
    """

    endpoint: str
    window: Window | None
    models: tuple[str, ...]
    rows: int
    reference: Reference
    labels: Labels
    findings: tuple[Finding, ...]
    verdict: Verdict
    drifted: float | None
    made: float
    number: int = 0
    amends: int = 0
    notes: tuple[str, ...] = ()

    def of(self, area: Area) -> tuple[Finding, ...]:
        """The findings of one area, the worst first."""
        return tuple(one for one in self.findings if one.area == area)

    def to_json(self) -> str:
        """The report as JSON, as it is stored and as the operator's API tells it."""
        return msgspec.json.encode(self).decode()

    def __str__(self) -> str:
        """The report as a table for a terminal."""
        from fairlead.monitor.text import table  # rich, which is only needed where somebody looks

        return table(self, 100, colour=False)

    def _repr_html_(self) -> str:
        """The report as a page; notebooks ask for it, and show it in a frame of its own, for its style would change theirs."""
        from html import escape

        from fairlead.monitor.page.document import html

        return f'<iframe style="border:0;width:100%;height:40em" srcdoc="{escape(html(self), quote=True)}"></iframe>'
