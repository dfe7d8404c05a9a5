"""Decisions: a table of cases, and what must never happen, whatever the evidence. `decide` is pure, so every case is a call."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rollout_facts import plan_with

from fairlead.rollout.decide import ERROR_SPACING, Standing, decide
from fairlead.rollout.plan import DAY, default_plan, steps_of
from fairlead.rollout.report import Measure, Report

ERRORS = {"name": "error_rate"}
SLOW = {"name": "slow_rate", "over": "1s", "max": 1}
BAKE = {"time": "10m", "samples": 100}
PLAN = plan_with(ERRORS, steps=[{"weight": 5, "bake": BAKE}, {"approve": True}, {"weight": 50, "bake": BAKE}])
STRICT = plan_with(
    ERRORS, steps=[{"weight": 5, "bake": BAKE}, {"weight": 50, "bake": BAKE}], analysis={"advance_on": "pass"}
)
AB = plan_with(ERRORS, {"name": "revenue", "from": "feedback", "role": "goal"}, {"name": "rating", "role": "info"},
               strategy="ab", steps=[{"weight": 50}])  # fmt: skip


def report_of(verdict="pass", metric="error_rate", role="guardrail", **fields):
    return Report((Measure(metric, role, verdict, "Because.", **fields),))


def at(step=0, waited=600.0, samples=100, **fields):
    """A standing whose step began `waited` seconds before now, which is 10 million."""
    return Standing(step, 0.0, 1e7 - waited, samples, **fields)


def decided(plan, standing, report):
    return decide(plan, standing, report, 1e7)


@pytest.mark.parametrize(
    ("plan", "standing", "report", "kind"),
    [
        (PLAN, at(), report_of("fail"), "abort"),
        (PLAN, at(waited=0, samples=0), report_of("fail"), "abort"),
        (PLAN, at(paused=True), report_of("fail"), "abort"),
        (PLAN, at(1), report_of("fail"), "abort"),
        (PLAN, at(paused=True), report_of(), "hold"),
        (PLAN, at(waited=599), report_of(), "hold"),
        (PLAN, at(samples=99), report_of(), "hold"),
        (PLAN, at(waited=599), report_of("error"), "hold"),
        (PLAN, at(waited=2 * DAY, samples=99), report_of(), "pause"),
        (PLAN, at(), report_of(), "advance"),
        (PLAN, at(), report_of("inconclusive"), "advance"),
        (PLAN, at(), report_of("error"), "hold"),
        (PLAN, at(1), report_of(), "hold"),
        (PLAN, at(1, approved=0), report_of(), "hold"),
        (PLAN, at(1, approved=1), report_of(), "advance"),
        (PLAN, at(1, approved=1), report_of("error"), "hold"),
        (PLAN, at(2), report_of(), "promote"),
        (PLAN, at(2), report_of("inconclusive"), "hold"),
        (PLAN, at(2), report_of("inconclusive", pending=True), "hold"),
        (PLAN, at(2, waited=2 * DAY), report_of("inconclusive"), "pause"),
        (STRICT, at(), report_of("inconclusive"), "hold"),
        (STRICT, at(), report_of("inconclusive", pending=True), "advance"),
        (STRICT, at(), report_of(), "advance"),
        (msgspec.structs.replace(PLAN, promote=False), at(2), report_of(), "pause"),
        (default_plan("direct", "f", "f:2"), at(samples=0, waited=0), Report(), "promote"),
        (default_plan("shadow", "f", "f:2"), at(waited=1800, samples=400), report_of(), "pause"),
        (default_plan("shadow", "f", "f:2"), at(waited=1800, samples=400), report_of("inconclusive"), "hold"),
        (default_plan("blue_green", "f", "f:2"), at(samples=400), report_of("inconclusive"), "hold"),
        (default_plan("blue_green", "f", "f:2"), at(samples=400), report_of(), "advance"),
        (default_plan("blue_green", "f", "f:2"), at(1, samples=0), report_of(), "promote"),
    ],
)
def test_what_is_decided(plan, standing, report, kind):
    decision = decided(plan, standing, report)
    assert decision.kind == kind, decision.because
    assert decision.step == (standing.step + 1 if kind == "advance" else None)
    assert decision.because


@pytest.mark.parametrize(("wish", "kind"), [("pause", "pause"), ("abort", "abort"), ("proceed", "promote")])
def test_when_time_is_over_and_nothing_is_proven_the_plan_says_what_happens(wish, kind):
    plan = plan_with(ERRORS, analysis={"on_inconclusive": wish, "max_duration": "1h"}, steps=[{"weight": 5}])
    assert decided(plan, at(waited=3599), report_of("inconclusive")).kind == "hold"
    decision = decided(plan, at(waited=3600), report_of("inconclusive"))
    assert decision.kind == kind
    assert "After 1 hour it is still open: error_rate: Because." in decision.because


def test_to_proceed_needs_the_samples_all_the_same():
    plan = plan_with(ERRORS, analysis={"on_inconclusive": "proceed"}, steps=[{"weight": 5, "bake": BAKE}])
    assert decided(plan, at(waited=9 * DAY, samples=99), report_of()).kind == "pause"


def test_looks_that_measure_nothing_end_the_rollout_after_the_limit_a_minute_apart():
    standing, now, kinds = at(waited=600), 1e7, []
    for _ in range(4 * int(ERROR_SPACING)):
        decision = decide(PLAN, standing, report_of("error"), now)
        kinds.append((decision.kind, decision.errors))
        standing = msgspec.structs.replace(standing, errors=decision.errors, erred=decision.erred)
        now += 1
    assert kinds.index(("abort", 4)) == 3 * ERROR_SPACING
    assert [kinds.index(("hold", count)) for count in (1, 2, 3)] == [0, ERROR_SPACING, 2 * ERROR_SPACING]


def test_a_look_that_measures_again_forgets_those_that_did_not():
    assert decided(PLAN, at(errors=3, erred=1e7 - 100), report_of()).errors == 0


def test_a_guardrail_that_the_report_does_not_know_was_not_measured():
    decision = decided(plan_with(ERRORS, SLOW), at(1), report_of())
    assert (decision.kind, decision.errors) == ("hold", 1)
    assert "slow_rate: It was not measured." in decision.because


def test_an_info_that_fails_changes_nothing():
    report = Report((*report_of().measures, Measure("rating", "info", "fail", "Worse.")))
    assert decided(PLAN, at(2), report).kind == "promote"


def ab(goal="pass", rating="inconclusive", *, guardrail="pass", days=8.0, plan=AB):
    measures = (
        Measure("error_rate", "guardrail", guardrail, "Because."),
        Measure("revenue", "goal", goal, "Because."),
        Measure("rating", "info", rating, "Because."),
    )
    decision = decide(plan, Standing(0, 0.0, 0.0), Report(measures), days * DAY)
    return decision.kind, decision.winner, decision.accepted


def test_an_ab_ends_by_naming_its_winner():
    assert ab("pass") == ("promote", "candidate", "")
    assert ab("pass", "pass") == ("promote", "candidate", "candidate")
    assert ab("fail", "pass") == ("abort", "stable", "candidate")
    assert ab("inconclusive") == ("hold", "", "")


def test_an_ab_does_not_end_before_its_whole_days():
    assert ab("pass", days=6.9) == ("hold", "candidate", "")
    assert ab("fail", days=6.9) == ("hold", "stable", "")
    assert ab("pass", days=7) == ("promote", "candidate", "")


def test_an_ab_whose_users_like_the_loser_better_waits_for_somebody():
    assert ab("pass", "fail") == ("pause", "candidate", "stable")


def test_an_ab_that_decides_nothing_has_nobody_to_promote():
    assert ab("inconclusive", days=28) == ("pause", "", "")
    proceed = msgspec.structs.replace(AB, analysis=msgspec.structs.replace(AB.analysis, on_inconclusive="proceed"))
    assert ab("inconclusive", days=28, plan=proceed)[0] == "pause"


def test_an_ab_that_shall_wait_for_approval_does():
    assert ab("pass", plan=msgspec.structs.replace(AB, promote=False)) == ("pause", "candidate", "")


def test_an_abs_guardrails_are_live_from_the_first_day():
    assert ab("inconclusive", guardrail="fail", days=0.01)[0] == "abort"
    assert ab("pass", guardrail="inconclusive")[0] == "hold"


VERDICTS = st.sampled_from(["pass", "fail", "inconclusive", "error"])
WEIGHTS = st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True).map(sorted)


@st.composite
def situations(draw):
    """Any plan of weights, mirrors and approvals, anywhere in it, with any verdicts."""
    steps = [{"mirror": 100, "bake": BAKE}] if draw(st.booleans()) else []
    for weight in draw(WEIGHTS):
        steps.append(
            {
                "weight": weight,
                "bake": {"time": draw(st.sampled_from(["1s", "1h"])), "samples": draw(st.integers(0, 50))},
            }
        )
        steps += [{"approve": True}] if draw(st.booleans()) else []
    analysis = {
        "on_inconclusive": draw(st.sampled_from(["pause", "abort", "proceed"])),
        "advance_on": draw(st.sampled_from(["pass", "no_fail"])),
        "error_limit": draw(st.integers(1, 5)),
    }
    plan = plan_with(ERRORS, SLOW, steps=steps, analysis=analysis)
    standing = Standing(
        draw(st.integers(0, len(steps) - 1)), 0.0, draw(st.floats(0, 1e6)), draw(st.integers(0, 100)),
        paused=draw(st.booleans()), approved=draw(st.integers(-1, len(steps))), errors=draw(st.integers(0, 6)),
        erred=draw(st.floats(0, 1e6)),
    )  # fmt: skip
    names = draw(st.lists(st.sampled_from(["error_rate", "slow_rate", "working", "sample_ratio"]), unique=True))
    measures = tuple(
        Measure(name, "guardrail", draw(VERDICTS), "Because.", pending=draw(st.booleans())) for name in names
    )
    return plan, standing, Report(measures), standing.stepped + draw(st.floats(0, 3e5))


@given(situations())
def test_nothing_goes_on_with_a_failure_or_with_missing_data(situation):
    plan, standing, report, now = situation
    verdicts = {one.metric: one.verdict for one in report.measures}
    bad = {"fail", "error"} & set(verdicts.values()) or {"error_rate", "slow_rate"} - set(verdicts)
    assume(bad)
    assert decide(plan, standing, report, now).kind not in {"advance", "promote"}


@given(situations())
def test_a_failed_guardrail_aborts_at_once_wherever_the_rollout_stands(situation):
    plan, standing, report, now = situation
    failed = any(one.verdict == "fail" for one in report.measures)
    if failed:
        assert decide(plan, standing, report, now).kind == "abort"


@given(situations())
def test_nothing_goes_on_before_its_step_was_passed(situation):
    plan, standing, report, now = situation
    decision = decide(plan, standing, report, now)
    if decision.kind in {"advance", "promote"}:
        here = steps_of(plan)[standing.step]
        assert not standing.paused
        assert now - standing.stepped >= here.bake.time
        assert standing.samples >= here.bake.samples
        assert not here.approve or standing.approved >= standing.step
    if decision.kind == "advance":
        assert decision.step == standing.step + 1 < len(plan.steps)
    if decision.kind == "promote":
        assert standing.step == len(plan.steps) - 1


@given(situations())
def test_only_proven_safety_promotes_unless_the_plan_says_otherwise(situation):
    plan, standing, report, now = situation
    if decide(plan, standing, report, now).kind == "promote" and plan.analysis.on_inconclusive != "proceed":
        assert {one.verdict for one in report.measures} == {"pass"}


@given(situations())
def test_a_rollout_always_ends_or_waits_for_somebody(situation):
    """With any verdicts that do not change, after its longest time no step is held but by people."""
    plan, standing, report, now = situation
    assume(not standing.paused)
    for _ in range(500):
        now += 3600.0
        decision = decide(plan, standing, report, now)
        if decision.kind not in {"hold", "advance"}:
            return
        if decision.kind == "advance":
            standing = Standing(decision.step, 0.0, now, standing.samples, approved=standing.approved)
        elif steps_of(plan)[standing.step].approve and standing.approved < standing.step:
            return
        else:
            standing = msgspec.structs.replace(standing, errors=decision.errors, erred=decision.erred)
    pytest.fail("held for 500 hours")
