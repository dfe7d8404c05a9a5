"""Concept drift: whether the inputs still go together with the target as they did.

A model may be wrong although nothing that it is asked looks odd: what used to mean "late" means it no more. Pearson's correlation of each input with the
target is compared by Fisher's z; a change counts from Cohen's q on. It sees relations that are straight lines, and those of names, which enter by
the mean of the target at each level in the reference; beside it stands measured model quality, which sees the rest.

```
Relation of the reference ─┐
Relation of the window ────┴─▶ correlation_change ─▶ Test, an input (and a class) each
```
"""

from __future__ import annotations

import math

from fairlead.monitor.measures.performance import too_few_labels
from fairlead.monitor.report import Finding
from fairlead.monitor.settings import Settings
from fairlead.monitor.verdicts import Test
from fairlead.monitor.words import clean, number, plural
from fairlead.profiles.profile import Profile, Relation
from fairlead.stats.correlation import correlation_change, correlation_reach

__all__ = ["concept"]

_MEASURE = "pearson"
_EXACT = 1 - 1e-12


def concept(reference: Profile, current: Profile, settings: Settings, segment: str = "") -> list[Test]:
    """Compare the correlations of all inputs with the target. Raises nothing for what the profiles hold.

    Args:
        reference: What is normal.
        current: The window, summed as the reference.
        settings: From when on a change counts, and which inputs are watched.
        segment: The part of the traffic.

    Returns:
        Nothing where the reference relates no input with the target.
    """
    now = {(one.name, one.against): one for one in current.relations}
    watched = [one for one in reference.relations if not settings.columns or one.name in settings.columns]
    several = _several(watched)
    few = too_few_labels(current.labels, current.rows, settings)
    return [_compared(one, now.get((one.name, one.against)), settings, few, (several, segment)) for one in watched]


def _several(relations: list[Relation]) -> bool:
    """Whether inputs are related with more than one class each."""
    return len({one.against for one in relations}) > 1


def _compared(was: Relation, now: Relation | None, settings: Settings, few: str, told: tuple[bool, str]) -> Test:
    several, segment = told
    place = f' with the label "{clean(was.against)}"' if several else " with the label"
    subject = f"{was.name} and {was.against}" if several else was.name

    def undecided(reason: str) -> Test:
        because = f"{clean(was.name)}: its correlation{place} cannot be compared, because {reason}."
        count = 0 if now is None else now.count
        finding = Finding(
            area="concept", subject=subject, measure=_MEASURE, verdict="insufficient", because=because, n=count,
            n_reference=was.count, segment=segment,
        )  # fmt: skip
        return Test(finding)

    reason = few or _impossible(was, now, settings.thresholds.labels)
    if reason or now is None:
        return undecided(reason or "the window does not have it")
    change = correlation_change(now.correlation, now.count, was.correlation, was.count)
    finding = Finding(
        area="concept",
        subject=subject,
        measure=_MEASURE,
        verdict="stable",
        because=f"{clean(was.name)}: its correlation{place} {_said(now.correlation, was.correlation)}",
        value=now.correlation,
        reference=was.correlation,
        statistic=change.statistic,
        p=change.p,
        effect=abs(change.effect),
        effect_name="q",
        interval=(change.interval.low, change.interval.high),
        n=now.count,
        n_reference=was.count,
        segment=segment,
    )
    limits = settings.thresholds
    return Test(finding, limits.concept, correlation_reach(limits.q, now.count, was.count) <= limits.concept)


def _impossible(was: Relation, now: Relation | None, least: int) -> str:
    """Why two correlations cannot be compared, as a clause; empty where they can."""
    if now is None:
        return "the window does not have it"
    for one, whose in ((was, "the reference"), (now, "the window")):
        if one.count < least:
            return f"{whose} has {plural(one.count, 'row')} with both, and {least:,} are needed"
        if math.isnan(one.correlation):
            return f"in {whose} {_constant(one)}"
    return ""


def _constant(one: Relation) -> str:
    """Which of both does not vary."""
    x, y, xx, yy, _ = one.sums
    flat = [name for name, total, square in (("it", x, xx), ("the label", y, yy)) if square - total**2 / one.count <= 0]
    return f"{' and '.join(flat)} never varies" if flat else "its sums are no numbers"


def _said(now: float, was: float) -> str:
    if abs(now) >= _EXACT and abs(was) >= _EXACT:
        return f"is exact ({number(now)}; was {number(was)})"
    if abs(now) >= _EXACT:
        return f"is now exact: r = {number(now)} (was {number(was)}), as if it told the label itself"
    return f"is r = {number(now)} (was {number(was)})"
