"""The judge: findings whose verdict is open become findings with a verdict, all of one run together.

```
drift, quality, concept, performance ─▶ Test (effect, p, n, a fact in words) ─▶ verdicts(all tests, q) ─▶ Finding ─▶ overall
```

Something drifts when that is *sure* (p after Benjamini and Hochberg over the run is below q) **and** *large* (the effect reaches
its limit). Large data make everything sure, small data make everything large; neither alone is worth a person's time.

Otherwise it is `stable` only if the data could have shown it: a test is `reachable` when a difference as large as its limit would
have been sure, by itself, at this n (`p < q` at an effect that equals the limit). Under that n the verdict is `insufficient`. The n of
this rule follows from the plan and the limit, not from what was observed (Hoenig, Heisey, "The abuse of power", The American
Statistician 55 (2001), 19-24, on why the observed effect must not enter); at it the test finds a difference that equals its
limit about every other time, and larger ones more often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from fairlead.monitor.report import AREAS, RANK, Finding, Verdict
from fairlead.stats.multiple import benjamini_hochberg

__all__ = ["Test", "overall", "ranked", "verdicts"]

_TOLD = 4
"""Significant digits of a number in a sentence."""


class Test(msgspec.Struct, frozen=True):
    """A finding whose verdict is open.

    Attributes:
        finding: With what was measured, and in `because` the fact as half a sentence without full stop: "temp: D = 0.41".
            Its verdict is "stable" while it is open; any other is already decided and is kept ("error", "breach",
            "insufficient"). Its `effect` is a size: what is below the limit does not count. `p` is `None` where no test can be
            made or no outcome could differ, such as missing values where there are none at all; it then costs the others nothing.
        limit: The least effect that counts.
        reachable: Whether a difference as large as the limit would have been sure at this n.
        drifted: The fact as it is told if the verdict is drift: "temp is higher: D = 0.41"; empty where `because` says it already.
    """

    __test__ = False  # pytest takes each class called Test for its own

    finding: Finding
    limit: float = 0.0
    reachable: bool = True
    drifted: str = ""


def verdicts(tests: Sequence[Test], q: float) -> list[Finding]:
    """Decide all tests of one run; never raises for what was measured.

    Args:
        tests: Of one report, all of them: the correction for many questions needs to know how many there were.
        q: The false discovery rate, between 0 and 1.

    Returns:
        In the order given, with verdict, adjusted p, and `because` as a whole sentence.
    """
    measured = [_measurable(one) for one in tests]
    asked = [place for place, one in enumerate(measured) if _is_asked(one)]
    adjusted = dict(zip(asked, benjamini_hochberg([_p(measured[place]) for place in asked]).tolist(), strict=True))
    return [_decide(one, adjusted.get(place), q) for place, one in enumerate(measured)]


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first; among equals by area as a report tells them, then the larger effect."""
    areas = {area: place for place, area in enumerate(AREAS)}
    return tuple(sorted(findings, key=lambda one: (RANK[one.verdict], areas[one.area], -abs(one.effect or 0.0))))


def overall(findings: Iterable[Finding], dataset: float) -> tuple[Verdict, float | None]:
    """The verdict of a report, and the share of judged inputs that drift.

    Args:
        findings: Of the report, decided; those of segments do not count here.
        dataset: The share, 0 to 1, from which on the table as a whole drifts.

    Returns:
        `breach` where there is one, `drift` where the share is reached or measured model quality is worse, `stable` where at least one
        input was judged or nothing else is open; the share is `None` where no input could be judged.
    """
    all_of_them = list(findings)
    inputs = [one.verdict for one in all_of_them if one.area == "predictor" and not one.segment]
    judged = [one for one in inputs if one in {"drift", "stable", "breach"}]
    drifted = sum(one != "stable" for one in judged) / len(judged) if judged else None
    if any(one.verdict == "breach" for one in all_of_them):
        return "breach", drifted
    if any(one.verdict == "drift" and one.area == "model" and not one.segment for one in all_of_them):
        return "drift", drifted  # worse answers, measured and sure: what drift of inputs only makes one fear
    if drifted is not None:
        return ("drift" if drifted >= dataset and drifted > 0 else "stable"), drifted
    rest = {one.verdict for one in all_of_them} or {"insufficient"}
    return next((one for one in ("insufficient", "error") if one in rest), "stable"), drifted


def _measurable(test: Test) -> Test:
    """A test whose numbers are none is an error."""
    found = test.finding
    if found.verdict != "stable" or not any(math.isnan(one) for one in (found.p, found.effect) if one is not None):
        return test
    because = f"{_fact(found)}; this could not be measured."
    return Test(msgspec.structs.replace(found, verdict="error", because=because, p=None, effect=None), test.limit)


def _is_asked(test: Test) -> bool:
    return test.finding.verdict == "stable" and test.finding.p is not None


def _p(test: Test) -> float:
    assert test.finding.p is not None  # `_is_asked` has looked
    return min(max(test.finding.p, 0.0), 1.0)


def _decide(test: Test, adjusted: float | None, q: float) -> Finding:
    found = test.finding
    if found.verdict != "stable":
        return found
    verdict, reason = _verdict(test, adjusted, q)
    fact = test.drifted if verdict == "drift" and test.drifted else _fact(found)
    because = f"{fact}; {reason}." if reason else f"{fact}."
    return msgspec.structs.replace(found, verdict=verdict, because=because, adjusted=adjusted)


def _verdict(test: Test, adjusted: float | None, q: float) -> tuple[Verdict, str]:
    effect = test.finding.effect
    large = effect is not None and effect >= test.limit
    if adjusted is not None and adjusted < q and large:
        return "drift", f"not by chance (adjusted p {_chance(adjusted)})"
    if not test.reachable:
        return "insufficient", f"too few rows to tell (n = {test.finding.n:,})"
    if effect is None:
        return "stable", ""
    if not large:
        return "stable", f"less than {test.limit:.{_TOLD}g} does not count"
    return "stable", "it may be chance" if adjusted is None else f"it may be chance (adjusted p {_chance(adjusted)})"


def _chance(p: float) -> str:
    return f"= {p:.2g}" if p >= 1e-6 else "< 0.000001"


def _fact(found: Finding) -> str:
    said = found.because.strip().rstrip(".;")
    return said or f"{found.subject}: {found.measure}"
