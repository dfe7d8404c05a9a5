"""Reports made by hand, for whatever shows one: a month of flights, three hundred columns, names that mean harm, nothing at all."""

from __future__ import annotations

from calendar import timegm

import numpy as np

from fairlead.monitor.report import Finding, Labels, Picture, Reference, Report, Window

HOSTILE = [
    "<script>alert(1)</script>",
    "\u202etxt.exe\u202c",
    "שלום עולם",
    "\U0001f469\u200d\U0001f680 emoji \U0001f6eb",
    "a" * 10_000,
    "</style><img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m\x07",
    "{{ 7 * 7 }}",
    "[bold]markup[/bold]",
    '" onmouseover="alert(1)',
    "line\nbreak\u2028and\x00nul",
]


def month(number: int, year: int = 2013) -> Window:
    return Window(timegm((year, number, 1, 0, 0, 0)), timegm((year + number // 12, number % 12 + 1, 1, 0, 0, 0)))


def bell(mean: float, deviation: float, edges: np.ndarray) -> tuple[float, ...]:
    """Shares of a bell curve in bins, by its midpoints."""
    middle = (edges[:-1] + edges[1:]) / 2
    height = np.exp(-(((middle - mean) / deviation) ** 2) / 2)
    return tuple((height / height.sum()).tolist())


def warmer(shift: float) -> Picture:
    edges = np.arange(0.0, 105.0, 5.0)
    return Picture("numbers", tuple(edges.tolist()), bell(45, 16, edges), bell(45 + shift, 11, edges), "°F")


def steady(area: str, subject: str, measure: str = "ks", effect: float = 0.03, name: str = "D") -> Finding:
    return Finding(
        area=area, subject=subject, measure=measure, verdict="stable", because=f"{subject} is as it was: {name} = {effect}.",
        p=0.3, adjusted=0.62, effect=effect, effect_name=name, n=27_662, n_reference=103_000,
    )  # fmt: skip


def temp(d: float = 0.41, shift: float = 12.0) -> Finding:
    return Finding(
        area="predictor", subject="temp", measure="ks", verdict="drift" if d >= 0.1 else "stable",
        because=f"temp is warmer: D = {d} (95 % interval {d - 0.01:.2f} to {d + 0.01:.2f}).",
        statistic=d, p=1e-200, adjusted=1.4e-199, effect=d, effect_name="D", interval=(d - 0.01, d + 0.01),
        n=27_662, n_reference=103_000, picture=warmer(shift), further={"Wasserstein/σ": 0.87, "PSI": 0.61},
    )  # fmt: skip


def carriers() -> Finding:
    names = ("UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX", "FL", "AS", "F9", "YV", "HA")
    before = (17.6, 16.5, 15.6, 14.5, 9.9, 7.7, 6.2, 5.3, 3.7, 1.6, 1.0, 0.2, 0.15, 0.04, 0.01)
    now = (29.1, 14.0, 13.1, 14.0, 8.0, 6.6, 5.0, 0.0, 5.1, 2.5, 1.6, 0.4, 0.3, 0.2, 0.1)
    return Finding(
        area="predictor", subject="carrier", measure="chi2", verdict="drift",
        because="carrier: UA is 29.1 % where it was 17.6 %, and 9E has vanished; V = 0.14.",
        statistic=3120.4, p=0.0, adjusted=0.0, effect=0.14, effect_name="V", n=27_662, n_reference=103_000,
        picture=Picture("names", names, tuple(one / 100 for one in before), tuple(one / 100 for one in now)),
    )  # fmt: skip


def precipitation() -> Finding:
    edges = (0.0, 0.0001, 0.01, 0.02, 0.05, 0.1, 0.4, 2.0)
    return Finding(
        area="predictor", subject="precip", measure="ks", verdict="drift", segment='origin = "LGA"',
        because="precip is larger where origin is LGA: D = 0.12.", effect=0.12, effect_name="D", p=2e-7, adjusted=9e-7,
        n=8_410, n_reference=31_000,
        picture=Picture("numbers", edges, (0.93, 0.02, 0.015, 0.015, 0.01, 0.007, 0.003), (0.81, 0.06, 0.05, 0.03, 0.03, 0.01, 0.01), "in"),
    )  # fmt: skip


def latency() -> Finding:
    return Finding(
        area="service", subject="p99 latency", measure="p99 latency", verdict="breach",
        because="99 % of the answers took up to 142 ms; the objective is 100 ms.",
        value=0.142, unit="seconds", reference=0.1, interval=(0.138, 0.149), n=27_662,
    )  # fmt: skip


INPUTS = (
    "humid",
    "wind_speed",
    "pressure",
    "visib",
    "distance",
    "hour",
    "origin",
    "dest",
    "month",
    "wind_dir",
    "dewp",
    "air_time",
)


def april(number: int = 4, d: float = 0.41) -> Report:
    """What the brief calls April: 3 of 14 inputs drifted; temp first."""
    dewp = Finding(
        area="predictor", subject="dewp", measure="ks", verdict="drift", because="dewp is higher: D = 0.22.", effect=0.22,
        effect_name="D", p=1e-80, adjusted=4e-80, n=27_662, n_reference=103_000, picture=warmer(5.0),
    )  # fmt: skip
    missing = Finding(
        area="missing", subject="wind_gust", measure="missing share", verdict="drift",
        because="wind_gust is missing in 24.1 % of the rows; it was 3.2 %.", value=0.241, unit="share", reference=0.032,
        effect=0.209, effect_name="Δ", interval=(0.204, 0.214), p=0.0, adjusted=0.0, n=27_662, n_reference=103_000,
    )  # fmt: skip
    few = Finding(
        area="concept", subject="visib", measure="correlation", verdict="insufficient",
        because="visib: 61 labels are too few; 100 are needed.", n=61, n_reference=103_000,
    )  # fmt: skip
    broken = Finding(
        area="quality", subject="tailnum", measure="length", verdict="error",
        because="tailnum could not be measured: its type changed from text to number.", n=27_662,
    )  # fmt: skip
    findings = [
        latency(), temp(d), dewp, carriers(), precipitation(), missing, broken, few,
        *(steady("predictor", one) for one in INPUTS[:11] if one != "dewp"), steady("predictor", "air_time"),
        *(steady("missing", one, "missing share", 0.001, "Δ") for one in INPUTS),
        Finding(area="model", subject="roc_auc", measure="roc_auc", verdict="stable", because="roc_auc is 0.71, as it was.",
                value=0.71, reference=0.72, interval=(0.70, 0.72), n=27_000),
        steady("prediction", "late", "chi2", 0.02, "V"), steady("target", "late", "chi2", 0.03, "V"),
    ]  # fmt: skip
    window = month(number)
    return Report(
        endpoint="flights", window=window, models=("flights:1",), rows=27_662,
        reference=Reference("training", "the training data of flights:1", 103_000), labels=Labels(27_026, 0.977, 7_200.0, 3, 12),
        findings=tuple(findings), verdict="breach", drifted=3 / 14, made=window.end + 300, number=number,
        notes=("3 labels are of predictions that the log does not have.", "The clock went back by 2.1 s on 14 April."),
    )  # fmt: skip


def earlier() -> list[Report]:
    """January to March, and February once more because labels came."""
    made = [april(1, 0.21), april(2, 0.19), april(3, 0.08)]
    again = april(2, 0.17)
    from msgspec.structs import replace

    return [*made, replace(again, number=9, amends=2, made=again.made + 10)]


def wide(columns: int = 300, drifted: int = 120) -> Report:
    """Many columns, each looked at in four ways."""
    pictured = [
        Finding(
            area="predictor", subject=f"sensor_{one:03}", measure="ks", verdict="drift", because=f"sensor_{one:03} is higher: D = 0.31.",
            effect=0.31, effect_name="D", p=1e-9, adjusted=2e-9, n=50_000, n_reference=100_000, picture=warmer(9.0),
        )
        for one in range(drifted)
    ]  # fmt: skip
    calm = [steady("predictor", f"sensor_{one:03}") for one in range(drifted, columns)]
    others = [
        steady(area, f"sensor_{one:03}", measure, 0.001, "Δ")
        for area, measure in (("missing", "missing share"), ("quality", "out of range"), ("concept", "correlation"))
        for one in range(columns)
    ]
    return Report(
        endpoint="sensors", window=month(5), models=("sensors:7",), rows=50_000,
        reference=Reference("past", "April 2013", 100_000, month(4)), labels=Labels(), findings=(*pictured, *calm, *others),
        verdict="drift", drifted=drifted / columns, made=month(5).end, number=0,
    )  # fmt: skip


def hostile(columns: int = 11) -> Report:
    """Names as an attacker would choose them, wherever a name can stand."""
    names = [HOSTILE[one % len(HOSTILE)] + ("" if one < len(HOSTILE) else str(one)) for one in range(columns)]
    shares = tuple(1 / len(HOSTILE) for _ in HOSTILE)
    findings = [
        Finding(
            area="predictor", subject=name, measure=name, verdict=("drift", "breach", "error", "insufficient", "stable")[one % 5],
            because=f"{name} changed.", value=0.5, unit=name, reference=0.1, effect=0.3, effect_name=name, segment=name, n=100,
            picture=Picture("names", tuple(HOSTILE), shares, shares[::-1], name), further={name: 1.0},
        )
        for one, name in enumerate(names)
    ]  # fmt: skip
    return Report(
        endpoint=names[0], window=month(4), models=tuple(names[:8]), rows=100, reference=Reference("given", names[0], 10),
        labels=Labels(), findings=tuple(findings), verdict="breach", drifted=1.0, made=float("nan"), notes=tuple(names),
    )  # fmt: skip


def empty() -> Report:
    return Report(
        endpoint="flights", window=month(6), models=(), rows=0, reference=Reference("none", "", 0), labels=Labels(), findings=(),
        verdict="insufficient", drifted=None, made=month(6).end, notes=("The window holds no predictions.",),
    )  # fmt: skip
