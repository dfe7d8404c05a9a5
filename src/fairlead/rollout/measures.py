"""From evidence to verdicts: what can be said of each metric, now and at every other moment.

Two questions stay apart. *Harm*: is the candidate provably worse than its limit? Then the verdict is `fail`. *Safety*: is it provably
not worse? Then `pass`. Anything else is `inconclusive`, and what could not be measured is `error`, never `pass`.

| limit | harm | safety |
|---|---|---|
| `margin`, a rate against stable's | share e-process, also from a later step on; once all the traffic has moved, against stable's rate before | its mirror; or the difference is below `tolerance` |
| `max`, `min` of a rate | confidence sequence of the rate | the same |
| `tolerance` of a mean | confidence sequence of the difference, within steps, CUPED | the same |
| `max`, `min` of a mean | confidence sequence of the mean | the same |

Every promise holds at all looks at once (`docs/statistics.md`), and α is divided over the guardrails and the limits of each. A key's
values enter as their mean; the mean of numbers between 0 and 1 is bounded by the same sequence as a rate, for no law on [0, 1] spreads
more than the one on its ends.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from fairlead.durations import tell_duration
from fairlead.rollout.differences import mean_of, step_difference
from fairlead.rollout.evidence import Arms, Evidence, StepEvidence, Tally
from fairlead.rollout.plan import Metric, Plan
from fairlead.rollout.report import Measure, Report, Side, Verdict
from fairlead.stats import mismatch
from fairlead.stats.interval import EVERYTHING, Interval
from fairlead.stats.planning import optimal_trials
from fairlead.stats.sequences import MINIMUM_COUNT, rate_sequence
from fairlead.stats.share import Stretch, log_e, log_e_of_change

__all__ = ["BROKEN_AFTER", "measure"]

BROKEN_AFTER: Final = 3
"""A candidate is broken wholly when its first so many answers all failed."""

_MISMATCH_ALPHA: Final = 0.001
"""The chance that a rollout that divides rightly is said not to."""
_COVERAGE_ALPHA: Final = 0.01
"""The chance that arms with the same coverage of labels are said to have another."""
_DROPPED: Final = 0.5
"""If less than this part of what was to be mirrored was answered, the shadow shows too little."""
_ENOUGH_TO_TELL: Final = 100
_LARGEST_EXPONENT: Final = 700.0


class _Finding(msgspec.Struct, frozen=True):
    """What one limit says."""

    verdict: Verdict
    because: str
    effect: float | None = None
    interval: Interval | None = None
    log_e: float | None = None


def measure(plan: Plan, evidence: Evidence) -> Report:
    """Judge every metric of a complete plan."""
    alpha = plan.analysis.alpha
    counts = {"guardrail": len(plan.guardrails), "goal": len(plan.goals), "info": 1}
    found = [_measured(metric, evidence, alpha / counts[metric.role]) for metric in plan.metrics]
    return Report((*_working(evidence), *_divided(evidence), *found))


def _measured(metric: Metric, evidence: Evidence, alpha: float) -> Measure:
    arms = evidence.total(metric.name)
    finding = _missing(metric, evidence, arms)
    if finding is None:
        findings = (
            _mean_findings(metric, evidence, alpha)
            if metric.kind == "mean"
            else _rate_findings(metric, evidence, alpha)
        )
        finding = _together(findings)
    if finding.verdict == "pass":
        finding = _doubted(metric, evidence) or finding
    pending = metric.source == "feedback" and not arms.candidate.units and not arms.due.candidate
    return Measure(
        metric=metric.name,
        role=metric.role,
        verdict=finding.verdict,
        because=finding.because,
        stable=_side(metric, arms.stable),
        candidate=_side(metric, arms.candidate),
        unit="pair" if metric.source == "pairs" else evidence.unit,
        effect=finding.effect,
        interval=None if finding.interval == EVERYTHING else finding.interval,
        e_value=None if finding.log_e is None else math.exp(min(finding.log_e, _LARGEST_EXPONENT)),
        pending=pending,
    )


def _side(metric: Metric, tally: Tally) -> Side:
    if not tally.units:
        return Side(0, None)
    value = tally.total / tally.units
    return Side(tally.units, value if metric.kind == "mean" else _shown(metric, 100 * value))


def _shown(metric: Metric, percent: float) -> float:
    """Accuracy is counted by what was wrong, and shown by what was right."""
    return 100 - percent if metric.name == "accuracy" else percent


def _missing(metric: Metric, evidence: Evidence, arms: Arms) -> _Finding | None:
    """What is to be said where there is nothing to judge."""
    if not arms.candidate.units:
        if metric.source == "feedback" and not arms.due.candidate:
            delay = tell_duration(metric.label_delay or 0.0)
            return _Finding("inconclusive", f"No answer of the candidate is older than {delay}, so no feedback is due.")
        if metric.source == "feedback":
            return _Finding(
                "error", f"Feedback on {arms.due.candidate:,.0f} of the candidate's answers was due, and none came."
            )
        what = "pair of answers" if metric.source == "pairs" else "answer of the candidate"
        return _Finding("error", f"No {what} was measured.")
    compared = metric.source != "pairs" and (metric.kind == "mean" or metric.margin is not None)
    limited = metric.max is not None or metric.min is not None
    if compared and not arms.stable.units and not _alone(evidence) and not limited:
        return _Finding("error", "Nothing of the stable version was measured, so there is nothing to compare with.")
    return None


def _alone(evidence: Evidence) -> bool:
    """Whether there never was a stable version beside the candidate."""
    return all(step.share == 1 and not step.mirrored for step in evidence.steps)


def _together(findings: list[_Finding]) -> _Finding:
    """The verdict of several limits: one failure fails, and all must pass. What it says first comes from the one that decided."""
    for verdict in ("fail", "error", "inconclusive", "pass"):
        for finding in findings:
            if finding.verdict == verdict:
                return finding
    return _Finding("inconclusive", "No limit was set.")


def _rate_findings(metric: Metric, evidence: Evidence, alpha: float) -> list[_Finding]:
    arms = evidence.total(metric.name)
    if metric.role == "goal":
        return [_better(metric, evidence, arms, alpha)]
    least, most = _bad_limits(metric)
    if metric.margin is not None and _alone(evidence):
        most = metric.tolerance if most is None else most
    compared = metric.margin is not None and not _alone(evidence)
    each = alpha / max(1, compared + (least is not None) + (most is not None))
    found = [_compared(metric, evidence, arms, each)] if compared else []
    floor = arms.stable if metric.source == "pairs" else Tally()
    if most is not None:
        found.append(_below(metric, arms.candidate, floor, most, each))
    if least is not None:
        found.append(_above(metric, arms.candidate, least, each))
    return found or [_known_rate(metric, arms.candidate, alpha)]


def _bad_limits(metric: Metric) -> tuple[float | None, float | None]:
    """Least and most, in percent of what is counted."""
    if metric.name != "accuracy":
        return metric.min, metric.max
    return (
        None if metric.max is None else 100 - metric.max,
        None if metric.min is None else 100 - metric.min,
    )


def _compared(metric: Metric, evidence: Evidence, arms: Arms, alpha: float) -> _Finding:
    """The candidate's rate against stable's: more than `margin` times as much, provably less, or neither."""
    margin, tolerance = metric.margin or 1.0, metric.tolerance or 0.0
    moved = _moved_tally(metric, evidence) if arms.stable.units else Tally()
    looking = alpha / 2 if moved.units else alpha
    stretches = _stretches(metric, evidence, margin)
    harm = log_e_of_change(stretches, margin)
    effect, interval = _difference(metric, arms, alpha)
    said = _rates_told(metric, arms)
    if harm >= math.log(1 / looking):
        worse = "worse than" if margin == 1 else f"more than {margin:g} times as {_worse(metric)} as"
        return _Finding("fail", f"{said}: provably {worse} the stable version.", effect, interval, harm)
    if moved.units and _worse_than_before(metric, moved, arms.stable, looking):
        because = f"{said}: since all the traffic moved, provably worse than the stable version was before."
        return _Finding("fail", because, effect, interval, harm)
    loss = -interval.low if _counts_good(metric) else interval.high
    if loss <= tolerance:
        because = f"{said}: provably at most {tolerance:g} point{'' if tolerance == 1 else 's'} worse."
    elif log_e(stretches, margin, "safety") >= math.log(1 / alpha):
        borne = "not worse than" if margin == 1 else f"not {margin:g} times as {_worse(metric)} as"
        because = f"{said}: provably {borne} the stable version."
    else:
        because = (
            f"{said}: evidence of harm {math.exp(min(harm, 700)):.3g} of {1 / alpha:,.0f}; not shown to be safe yet."
        )
        return _Finding("inconclusive", because, effect, interval, harm)
    return _Finding("pass", because, effect, interval, harm)


def _moved_tally(metric: Metric, evidence: Evidence) -> Tally:
    """The candidate's units while it had all the traffic."""
    found = Tally()
    for step in evidence.steps:
        if step.share == 1 and not step.mirrored:
            found += step.metrics.get(metric.name, Arms()).candidate
    return found


def _worse_than_before(metric: Metric, moved: Tally, stable: Tally, alpha: float) -> bool:
    """Whether a candidate alone is provably worse than the stable version was: by margin and tolerance, as nothing runs beside it."""
    margin, tolerance = metric.margin or 1.0, (metric.tolerance or 0.0) / 100
    tuned = optimal_trials(min(max(tolerance, 1e-4), 0.5))
    ours, theirs = (_rate(tally, alpha / 2, tuned) for tally in (moved, stable))
    if _counts_good(metric):
        return ours.high * margin + tolerance < theirs.low
    return ours.low > theirs.high * margin + tolerance


def _better(metric: Metric, evidence: Evidence, arms: Arms, alpha: float) -> _Finding:
    """A goal: provably better than stable, provably worse, or neither."""
    stretches = _stretches(metric, evidence, 1.0)
    effect, interval = _difference(metric, arms, alpha)
    said, needed = _rates_told(metric, arms), math.log(2 / alpha)
    harm = log_e(stretches, 1.0, "harm")
    if harm >= needed:
        return _Finding("fail", f"{said}: provably worse.", effect, interval, harm)
    if log_e(stretches, 1.0, "safety") >= needed:
        return _Finding("pass", f"{said}: provably better.", effect, interval, harm)
    return _Finding("inconclusive", f"{said}: no difference is proven.", effect, interval, harm)


def _stretches(metric: Metric, evidence: Evidence, margin: float) -> list[Stretch]:
    """The events by exposure; what is good is counted from the other side."""
    found = []
    for step in evidence.steps:
        arms = step.metrics.get(metric.name)
        share = None if arms is None else _share(metric, step, arms)
        if arms is None or share is None or not 0 < share < 1:
            continue
        # With no margin, rows that both got wrong say nothing (McNemar); with one, they hold the ratio down.
        both = arms.both if margin == 1 else 0
        candidate, stable = arms.candidate.events - both, arms.stable.events - both
        if _counts_good(metric):
            share, candidate, stable = 1 - share, stable, candidate
        found.append(Stretch(share, candidate, stable))
    return found


def _share(metric: Metric, step: StepEvidence, arms: Arms) -> float | None:
    """The candidate's part of the exposure in a step; `None` where its events cannot be compared."""
    if not step.mirrored:
        return step.share
    if metric.source == "feedback":
        return 0.5
    if metric.name == "slow_rate" or not arms.stable.units or not arms.candidate.units:
        return None  # a shadow does not wait in the queue that the stable version waits in
    return arms.candidate.units / (arms.candidate.units + arms.stable.units)


def _difference(metric: Metric, arms: Arms, alpha: float) -> tuple[float | None, Interval]:
    """Candidate minus stable in percentage points of what is counted, and where it lies."""
    if not arms.stable.units or not arms.candidate.units:
        return None, EVERYTHING
    tuned = optimal_trials(min(max((metric.tolerance or 1.0) / 100, 1e-4), 0.5))
    ours, theirs = (_rate(tally, alpha / 2, tuned) for tally in (arms.candidate, arms.stable))
    effect = 100 * (arms.candidate.total / arms.candidate.units - arms.stable.total / arms.stable.units)
    return effect, Interval(100 * (ours.low - theirs.high), 100 * (ours.high - theirs.low))


def _rate(tally: Tally, alpha: float, tuned: float) -> Interval:
    """Where a rate lies; of keys, the mean over them."""
    total = min(max(tally.total, 0.0), float(tally.units))
    return rate_sequence(total, tally.units, alpha, tuned)  # type: ignore[arg-type]  # a sum of means is no whole number


def _below(metric: Metric, tally: Tally, floor: Tally, limit: float, alpha: float) -> _Finding:
    """A rate, without the noise floor, against its upper limit."""
    parts = 2 if floor.units else 1
    tuned = optimal_trials(min(max(limit / 100, 1e-4), 0.9999))
    ours = _rate(tally, alpha / parts, tuned)
    noise = _rate(floor, alpha / parts, tuned) if floor.units else Interval(0.0, 0.0)
    low, high = 100 * (ours.low - noise.high), 100 * (ours.high - noise.low)
    effect = 100 * tally.total / tally.units - (100 * floor.total / floor.units if floor.units else 0.0)
    what = "wrong " if metric.name == "accuracy" else ""
    said = f"{effect:.3g} % {what}of {tally.units:,} {_units(metric)}, and the limit is {limit:g} %"
    interval = Interval(low, high)
    if low > limit:
        return _Finding("fail", f"{said}: provably {low:.3g} % or more.", effect, interval)
    if high <= limit:
        return _Finding("pass", f"{said}: provably {high:.3g} % or less.", effect, interval)
    return _Finding(
        "inconclusive", f"{said}: it lies between {max(low, 0.0):.3g} % and {high:.3g} %.", effect, interval
    )


def _above(metric: Metric, tally: Tally, limit: float, alpha: float) -> _Finding:
    """A rate against its lower limit: the rest against what is left."""
    rest = Tally(tally.units, 0, tally.units - tally.total)
    found = _below(metric, rest, Tally(), 100 - limit, alpha)
    interval = None if found.interval is None else Interval(100 - found.interval.high, 100 - found.interval.low)
    effect = None if found.effect is None else 100 - found.effect
    where = "" if interval is None else f" it lies between {interval.low:.3g} % and {min(interval.high, 100.0):.3g} %."
    return _Finding(
        found.verdict, f"At least {limit:g} % is asked of {tally.units:,} {_units(metric)}:{where}", effect, interval
    )


def _known_rate(metric: Metric, tally: Tally, alpha: float) -> _Finding:
    """A rate without a limit, to be shown."""
    interval = _rate(tally, alpha, optimal_trials(0.01))
    percent = 100 * tally.total / tally.units
    because = f"{percent:.3g} % of {tally.units:,} {_units(metric)}; no limit is set."
    return _Finding("inconclusive", because, percent, Interval(100 * interval.low, 100 * interval.high))


def _mean_findings(metric: Metric, evidence: Evidence, alpha: float) -> list[_Finding]:
    absolute = [(name, limit) for name, limit in (("max", metric.max), ("min", metric.min)) if limit is not None]
    compared = metric.role == "goal" or metric.tolerance is not None or not absolute
    each = alpha / (compared + len(absolute))
    found = [_shifted(metric, evidence, each)] if compared else []
    return found + [_mean_limit(metric, evidence, name, limit, each) for name, limit in absolute]


def _shifted(metric: Metric, evidence: Evidence, alpha: float) -> _Finding:
    """A mean against stable's."""
    effect, interval = step_difference(metric, evidence, alpha)
    if effect is None or interval == EVERYTHING:
        return _Finding("inconclusive", f"Each arm needs {MINIMUM_COUNT} numbers that are not all the same.", effect)
    tolerance = metric.tolerance or 0.0
    gain = interval if metric.good else Interval(-interval.high, -interval.low)
    said = f"{effect:+.4g} against the stable version, between {interval.low:+.4g} and {interval.high:+.4g}"
    better = 0.0 if metric.role == "goal" else -tolerance
    if gain.high < -tolerance:
        return _Finding("fail", f"{said}: provably worse.", effect, interval)
    if gain.low > better:
        return _Finding("pass", f"{said}: provably {'better' if better == 0 else 'not worse'}.", effect, interval)
    return _Finding("inconclusive", f"{said}: nothing is proven yet.", effect, interval)


def _mean_limit(metric: Metric, evidence: Evidence, name: str, limit: float, alpha: float) -> _Finding:
    """A mean against an absolute limit."""
    effect, interval = mean_of(metric, evidence, alpha)
    if interval == EVERYTHING:
        return _Finding(
            "inconclusive", f"The candidate needs {MINIMUM_COUNT} numbers that are not all the same.", effect
        )
    over, under = interval.low > limit, interval.high < limit
    failed, passed = (over, under) if name == "max" else (under, over)
    verdict: Verdict = "fail" if failed else "pass" if passed else "inconclusive"
    said = f"{effect:.4g}, between {interval.low:.4g} and {interval.high:.4g}; {name} is {limit:g}."
    return _Finding(verdict, said, effect, interval)


def _doubted(metric: Metric, evidence: Evidence) -> _Finding | None:
    """Why a pass cannot be believed."""
    if metric.source == "feedback":
        divisions = [
            mismatch.Division((1 - step.share, step.share), (int(arms.labelled.stable), int(arms.labelled.candidate)))
            for step in evidence.steps
            if not step.mirrored and 0 < step.share < 1 and (arms := step.metrics.get(metric.name)) is not None
        ]
        if mismatch.log_e(divisions) >= math.log(1 / _COVERAGE_ALPHA):
            return _Finding(
                "inconclusive",
                "The arms got feedback on different parts of their answers, so it compares unlike people.",
            )
    for step in evidence.steps:
        asked = step.share * step.answers.stable
        if step.mirrored and asked >= _ENOUGH_TO_TELL and step.answers.candidate < _DROPPED * asked:
            part = step.answers.candidate / asked
            return _Finding(
                "inconclusive", f"The shadow answered {part:.0%} of what it was asked; the rest was dropped."
            )
    return None


def _working(evidence: Evidence) -> tuple[Measure, ...]:
    """A candidate that fails everything from its first answer on; nothing where it does not."""
    good, bad = evidence.opening.answered, evidence.opening.failed
    if good.candidate or bad.candidate < BROKEN_AFTER or bad.stable > good.stable:
        return ()
    because = f"All of its first {bad.candidate:,.0f} answers failed."
    candidate = Side(int(bad.candidate), 100.0)
    return (Measure("working", "guardrail", "fail", because, _failed_side(evidence), candidate),)


def _failed_side(evidence: Evidence) -> Side:
    good, bad = evidence.opening.answered.stable, evidence.opening.failed.stable
    return Side(int(good + bad), 100 * bad / (good + bad) if good + bad else None)


def _divided(evidence: Evidence) -> tuple[Measure, ...]:
    """The sample-ratio check; nothing while the arms get what they should."""
    divisions = [
        mismatch.Division((1 - step.share, step.share), (int(step.assigned.stable), int(step.assigned.candidate)))
        for step in evidence.steps
        if not step.mirrored and 0 < step.share < 1
    ]
    found = mismatch.log_e(divisions)
    if found < math.log(1 / _MISMATCH_ALPHA):
        return ()
    stable = sum(division.counts[0] for division in divisions)
    candidate = sum(division.counts[1] for division in divisions)
    because = (
        f"{candidate:,} of {candidate + stable:,} units came to the candidate, which is not the share it was given "
        f"(χ² p = {mismatch.chi_square_p(divisions):.2g}): what is compared are not like people."
    )
    e_value = math.exp(min(found, _LARGEST_EXPONENT))
    sides = Side(stable, None), Side(candidate, None)
    return (Measure("sample_ratio", "guardrail", "error", because, *sides, evidence.unit, e_value=e_value),)


def _counts_good(metric: Metric) -> bool:
    """Whether what is counted is good: the share of a label that is hoped for."""
    return metric.good and metric.name != "accuracy"


def _worse(metric: Metric) -> str:
    return "rare" if _counts_good(metric) else "wrong" if metric.name == "accuracy" else "bad"


def _units(metric: Metric) -> str:
    return "pairs" if metric.source == "pairs" else "units"


def _rates_told(metric: Metric, arms: Arms) -> str:
    ours, theirs = _side(metric, arms.candidate), _side(metric, arms.stable)
    shown = "unknown" if theirs.value is None else f"{theirs.value:.3g} %"
    return f"{metric.name} {ours.value or 0.0:.3g} % of {ours.units:,}, stable {shown} of {theirs.units:,}"
