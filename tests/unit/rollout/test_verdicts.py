"""Verdicts from evidence: which question was answered, and that nothing known is never a pass.

The figures come from published values (the answers without a failure that a limit needs), from classical constants, and from numbers
so large that the verdict cannot be in doubt.
"""

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_facts import answer, fold_of, mirrored, plan_with, told

from fairlead.rollout.evidence import Arms, Evidence, Opening, StepEvidence, Tally, Two
from fairlead.rollout.measures import measure
from fairlead.rollout.report import Report

ERRORS = {"name": "error_rate"}
ACCURACY = {"name": "accuracy", "label_delay": "1h"}
REVENUE = {"name": "revenue", "from": "feedback", "label_delay": "1h"}


def rate(units, events):
    """The tally of independent answers."""
    return Tally(units, events, float(events), float(events))


def numbers(count, mean, deviation):
    """The tally of numbers with this mean and this spread."""
    return Tally(count, 0, count * mean, count * (mean * mean + deviation * deviation))


def step_with(share=0.5, *, mirrored=False, number=0, **metrics):
    """A step in which the traffic was divided as planned."""
    sizes = [arms.stable.units + arms.candidate.units for arms in metrics.values()]
    size = max(sizes, default=0)
    ours = round(size * share)
    return StepEvidence(
        number, share, mirrored, Two(size, ours), Two(), Two(size - ours, ours), Two(size - ours, ours), metrics
    )


def evidence_of(*steps, opening=None):
    return Evidence("answer", steps, opening or Opening())


def verdict_of(metric, *steps, guardrails=(), **fields):
    plan = plan_with(metric, *guardrails, **fields)
    return measure(plan, evidence_of(*steps)).get(metric["name"])


def compared(candidate, stable, share=0.5, **metric):
    return verdict_of({**ERRORS, **metric}, step_with(share, error_rate=Arms(stable, candidate)))


def test_nothing_measured_is_an_error_and_never_a_pass():
    plan = plan_with(ERRORS, {"name": "slow_rate", "over": "1s", "max": 1}, {"name": "disagreement", "max": 3})
    report = measure(plan, Evidence("answer", ()))
    assert {one.verdict for one in report.measures} == {"error"}
    assert "No answer of the candidate" in report.get("error_rate").because


def test_a_rate_that_is_provably_higher_fails():
    found = compared(rate(1000, 60), rate(1000, 10))
    assert (found.verdict, found.candidate.value, found.stable.value) == ("fail", 6.0, 1.0)
    assert found.e_value > 20
    assert found.effect == pytest.approx(5.0)
    assert found.interval.low > 0
    assert "provably more than 1.25 times as bad" in found.because


def test_a_rate_that_is_as_good_passes_when_there_is_enough_of_it():
    assert compared(rate(100, 1), rate(100, 1)).verdict == "inconclusive"
    assert compared(rate(50_000, 500), rate(50_000, 500)).verdict == "pass"


def test_events_that_never_happen_prove_a_version_safe_through_the_tolerance():
    """Both arms have half of α, so 1 point takes 452 answers without a failure, by the function that says 389 for all of α."""
    assert compared(rate(451, 0), rate(451, 0)).verdict == "inconclusive"
    assert compared(rate(452, 0), rate(452, 0)).verdict == "pass"


def test_without_a_tolerance_only_events_prove_safety():
    assert compared(rate(50_000, 0), rate(50_000, 0), tolerance=0).verdict == "inconclusive"
    assert compared(rate(50_000, 500), rate(50_000, 1500), tolerance=0).verdict == "pass"


@pytest.mark.parametrize(("units", "verdict"), [(387, "inconclusive"), (389, "pass")])
def test_a_limit_of_one_percent_needs_389_answers_without_a_failure(units, verdict):
    """389 is the published figure of the design, for α = 5 %."""
    arms = Arms(rate(10, 0), rate(units, 0))
    assert verdict_of({**ERRORS, "max": 1}, step_with(units / (units + 10), error_rate=arms)).verdict == verdict


def test_a_limit_that_is_provably_broken_fails():
    found = verdict_of({**ERRORS, "max": 1}, step_with(error_rate=Arms(rate(1000, 0), rate(1000, 40))))
    assert found.verdict == "fail"
    assert found.interval.low > 1
    assert found.effect == pytest.approx(4.0)


def test_alpha_is_divided_over_the_guardrails():
    """With three more guardrails 389 clean answers are too few: each has a quarter of α."""
    others = [{"name": "slow_rate", "over": "1s", "max": 1}, {"name": "unseen_rate"}, {"name": "refusal_rate"}]
    step = step_with(error_rate=Arms(rate(389, 0), rate(389, 0)))
    assert verdict_of({**ERRORS, "max": 1}, step).verdict == "pass"
    assert verdict_of({**ERRORS, "max": 1}, step, guardrails=others).verdict == "inconclusive"


def test_every_limit_must_be_kept_and_one_is_enough_to_fail():
    step = step_with(error_rate=Arms(rate(5000, 250), rate(5000, 250)))
    assert verdict_of({**ERRORS, "margin": 2}, step).verdict == "pass"
    assert verdict_of({**ERRORS, "margin": 2, "max": 1}, step).verdict == "fail"


def test_events_of_a_later_step_show_that_a_version_broke():
    """Fine at 5 %, broken at 50 %: what was good for long does not cover it up."""
    good = step_with(0.05, number=0, error_rate=Arms(rate(19_000, 190), rate(1000, 10)))
    bad = step_with(0.5, number=1, error_rate=Arms(rate(500, 5), rate(500, 40)))
    assert verdict_of(ERRORS, good).verdict != "fail"
    assert verdict_of(ERRORS, good, bad).verdict == "fail"


def test_a_version_that_breaks_when_all_the_traffic_has_moved_is_found():
    """Blue/green: as good as the stable version in the shadow, and no stable version beside it afterwards."""
    shadow = step_with(0.5, mirrored=True, error_rate=Arms(rate(20_000, 200), rate(20_000, 200)))

    def found(events):
        alone = step_with(1.0, number=1, error_rate=Arms(Tally(), rate(1000, events)))
        return verdict_of(ERRORS, shadow, alone)

    assert found(10).verdict == "pass"
    assert found(100).verdict == "fail"
    assert "since all the traffic moved" in found(100).because


def test_a_mirrored_step_compares_errors_by_how_often_each_was_asked():
    arms = Arms(rate(2000, 20), rate(1000, 60))
    step = StepEvidence(0, 0.5, True, Two(2000, 1000), Two(), Two(2000, 1000), Two(), {"error_rate": arms})
    assert verdict_of(ERRORS, step).verdict == "fail"


def test_a_shadow_that_dropped_much_proves_nothing():
    arms = Arms(rate(5000, 0), rate(1000, 0))
    step = StepEvidence(0, 1.0, True, Two(5000, 1000), Two(), Two(5000, 1000), Two(), {"error_rate": arms})
    found = verdict_of(ERRORS, step)
    assert found.verdict == "inconclusive"
    assert "answered 20%" in found.because


def test_disagreement_is_judged_without_the_noise_that_the_stable_version_makes_itself():
    metric = {"name": "disagreement", "max": 3}

    def found(noise):
        return verdict_of(metric, step_with(1.0, mirrored=True, disagreement=Arms(noise, rate(20_000, 1200))))

    assert found(Tally()).verdict == "fail"  # 6 % against 3 %
    assert found(rate(20_000, 1000)).verdict == "pass"  # 5 % of it is noise
    assert found(rate(20_000, 1000)).effect == pytest.approx(1.0)
    assert found(rate(20_000, 1000)).unit == "pair"


def test_accuracy_is_counted_by_wrong_answers_and_shown_by_right_ones():
    arms = Arms(rate(4000, 800), rate(4000, 1400), due=Two(4000, 4000), labelled=Two(4000, 4000))
    found = verdict_of(ACCURACY, step_with(accuracy=arms))
    assert (found.verdict, found.candidate.value, found.stable.value) == ("fail", 65.0, 80.0)
    found = verdict_of({**ACCURACY, "min": 60}, step_with(accuracy=arms))
    assert found.verdict == "pass"
    assert verdict_of({**ACCURACY, "min": 70}, step_with(accuracy=arms)).verdict == "fail"


def test_labelled_pairs_are_judged_by_the_rows_that_only_one_got_wrong():
    """McNemar: 200 rows that both got wrong weigh nothing, 40 against 5 decide. Its exact test is a binomial one: p = 5e-8."""
    metric = {**ACCURACY, "margin": 1}
    arms = Arms(rate(2000, 205), rate(2000, 240), both=200)
    assert verdict_of(metric, step_with(1.0, mirrored=True, accuracy=arms)).verdict == "fail"
    few = Arms(rate(2000, 205), rate(2000, 208), both=200)
    assert verdict_of(metric, step_with(1.0, mirrored=True, accuracy=few)).verdict == "inconclusive"


def test_while_no_feedback_is_due_the_verdict_is_open_and_not_an_error():
    plan = plan_with(ACCURACY)
    found = measure(plan, fold_of(plan, [answer(), answer("stable")]).evidence(0.0)).get("accuracy")
    assert (found.verdict, found.pending) == ("inconclusive", True)


def test_feedback_that_was_due_and_did_not_come_is_an_error():
    plan = plan_with(ACCURACY)
    found = measure(plan, fold_of(plan, [answer(), answer("stable")]).evidence(7200.0)).get("accuracy")
    assert (found.verdict, found.pending) == ("error", False)


def test_arms_with_labels_on_different_parts_of_their_answers_are_not_compared():
    arms = Arms(rate(5000, 50), rate(2500, 25), due=Two(5000, 5000), labelled=Two(5000, 2500))
    found = verdict_of(ACCURACY, step_with(accuracy=arms))
    assert found.verdict == "inconclusive"
    assert "different parts" in found.because


@pytest.mark.parametrize(("candidate", "verdict"), [(10.6, "pass"), (10.0, "inconclusive"), (9.4, "fail")])
def test_a_goal_is_won_lost_or_open(candidate, verdict):
    """Means of 2,000 numbers with a deviation of 3 have a standard error of 0.095 in their difference: 0.6 is six of them."""
    arms = Arms(numbers(2000, 10.0, 3.0), numbers(2000, candidate, 3.0), labelled=Two(2000, 2000))
    found = verdict_of({**REVENUE, "role": "goal"}, step_with(revenue=arms), guardrails=[ERRORS])
    assert found.verdict == verdict
    assert found.effect == pytest.approx(candidate - 10)
    if verdict != "inconclusive":
        assert 0 not in found.interval


def test_a_goal_of_which_less_is_better_is_the_same_the_other_way():
    arms = Arms(numbers(2000, 10.0, 3.0), numbers(2000, 9.4, 3.0), labelled=Two(2000, 2000))
    assert (
        verdict_of(
            {**REVENUE, "role": "goal", "higher_is": "worse"}, step_with(revenue=arms), guardrails=[ERRORS]
        ).verdict
        == "pass"
    )


@pytest.mark.parametrize(("ours", "verdict"), [(600, "pass"), (420, "inconclusive"), (250, "fail")])
def test_the_share_of_a_label_can_be_a_goal(ours, verdict):
    arms = Arms(rate(4000, 400), rate(4000, ours), labelled=Two(4000, 4000))
    assert (
        verdict_of(
            {**REVENUE, "name": "bought", "label": "yes", "role": "goal"}, step_with(bought=arms), guardrails=[ERRORS]
        ).verdict
        == verdict
    )


def test_the_share_of_a_label_as_a_guardrail_fails_when_it_becomes_rare():
    def found(ours):
        arms = Arms(rate(4000, 800), rate(4000, ours), labelled=Two(4000, 4000))
        return verdict_of(
            {**REVENUE, "name": "bought", "label": "yes", "margin": 1.25, "tolerance": 3}, step_with(bought=arms)
        )

    assert found(400).verdict == "fail"
    assert found(820).verdict == "pass"
    assert "1.25 times as rare" in found(400).because


def test_a_mean_as_a_guardrail_may_lose_its_tolerance_and_no_more():
    def found(mean):
        arms = Arms(numbers(2000, 10.0, 3.0), numbers(2000, mean, 3.0), labelled=Two(2000, 2000))
        return verdict_of({**REVENUE, "tolerance": 0.5}, step_with(revenue=arms)).verdict

    assert (found(10.0), found(9.5), found(9.0)) == ("pass", "inconclusive", "fail")


def test_a_mean_may_have_a_limit_of_its_own():
    def found(mean):
        arms = Arms(numbers(2000, 3.0, 1.0), numbers(2000, mean, 1.0), labelled=Two(2000, 2000))
        return verdict_of({"name": "rating", "min": 4}, step_with(rating=arms)).verdict

    assert (found(4.5), found(4.0), found(3.5)) == ("pass", "inconclusive", "fail")


def test_means_are_compared_within_steps():
    """Everybody spends more on the second day, when the candidate has more traffic; it changes nothing itself."""
    monday = step_with(0.1, revenue=Arms(numbers(1800, 10.0, 2.0), numbers(200, 10.0, 2.0), labelled=Two(1800, 200)))
    friday = step_with(
        0.5, number=1, revenue=Arms(numbers(1000, 20.0, 2.0), numbers(1000, 20.0, 2.0), labelled=Two(1000, 1000))
    )
    found = verdict_of({**REVENUE, "role": "goal"}, monday, friday, guardrails=[ERRORS])
    assert found.effect == pytest.approx(0.0)
    assert found.verdict == "inconclusive"


def test_a_covariate_narrows_the_interval_and_leaves_the_effect_where_it_is():
    """What is explained need not be waited for: with a correlation of 0.95, a third of the width."""
    drawn = random.Random(1)
    events = []
    for number in range(1200):
        before = drawn.gauss(100, 10)
        one = answer("candidate" if number % 2 else "stable", inputs=("JFK", before))
        events += [one, told(one, values={"revenue": before + drawn.gauss(0, 3) + (1.5 if number % 2 else 0)})]
    plain_plan = plan_with(ERRORS, {**REVENUE, "role": "goal"})
    cuped_plan = plan_with(ERRORS, {**REVENUE, "role": "goal", "covariate": "distance"})
    plain, cuped = (
        measure(plan, fold_of(plan, events).evidence(7200.0)).get("revenue") for plan in (plain_plan, cuped_plan)
    )
    assert cuped.interval.width < 0.4 * plain.interval.width
    assert 1.5 in cuped.interval
    assert cuped.verdict == "pass"


def test_fewer_than_a_hundred_numbers_say_nothing():
    arms = Arms(numbers(99, 0.0, 1.0), numbers(5000, 9.0, 1.0), labelled=Two(99, 99))
    found = verdict_of({**REVENUE, "role": "goal"}, step_with(99 / 5099, revenue=arms), guardrails=[ERRORS])
    assert (found.verdict, found.interval) == ("inconclusive", None)


def test_traffic_that_was_not_divided_as_planned_is_an_error():
    """600 to 400 at an even division: the textbook's p is 2.54e-10."""
    step = msgspec.structs.replace(step_with(error_rate=Arms(rate(600, 0), rate(400, 0))), assigned=Two(600, 400))
    found = measure(plan_with(ERRORS), evidence_of(step)).get("sample_ratio")
    assert (found.verdict, found.role) == ("error", "guardrail")
    assert "2.5e-10" in found.because


def test_traffic_that_was_divided_as_planned_is_not_mentioned():
    step = msgspec.structs.replace(step_with(error_rate=Arms(rate(520, 0), rate(480, 0))), assigned=Two(520, 480))
    assert measure(plan_with(ERRORS), evidence_of(step)).get("sample_ratio") is None


@pytest.mark.parametrize(
    ("answered", "failed", "broken"),
    [
        (Two(27, 0), Two(0, 3), True),
        (Two(27, 0), Two(0, 2), False),
        (Two(27, 1), Two(0, 3), False),
        (Two(0, 0), Two(27, 3), False),  # the stable version fails, too: it is not the candidate
        (Two(0, 0), Two(0, 3), True),
    ],
)
def test_a_candidate_that_fails_everything_is_broken_at_its_third_failure(answered, failed, broken):
    found = measure(plan_with(ERRORS), evidence_of(opening=Opening(answered, failed))).get("working")
    assert (found is not None) is broken
    assert found is None or found.verdict == "fail"


def test_a_candidate_without_a_stable_version_beside_it_is_held_to_its_limits():
    step = step_with(1.0, error_rate=Arms(Tally(), rate(1000, 0)))
    assert verdict_of(ERRORS, step).verdict == "pass"
    assert verdict_of(ERRORS, step_with(1.0, error_rate=Arms(Tally(), rate(1000, 50)))).verdict == "fail"


def test_a_stable_version_that_was_not_measured_is_an_error():
    assert verdict_of(ERRORS, step_with(0.5, error_rate=Arms(Tally(), rate(1000, 0)))).verdict == "error"


def test_what_has_no_limit_is_shown_and_not_judged():
    found = verdict_of(
        {"name": "disagreement", "role": "info"},
        step_with(1.0, mirrored=True, disagreement=Arms(Tally(), rate(100, 5))),
        guardrails=[ERRORS],
    )
    assert (found.verdict, found.effect, found.role) == ("inconclusive", 5.0, "info")


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0.01, 0.05, 0.5, 0.99, 1.0]),
            st.booleans(),
            *[st.integers(0, 10**7)] * 2,
            *[st.floats(0, 1)] * 2,
        ),
        max_size=4,
    ),
    limit=st.one_of(st.none(), st.floats(0, 100)),
    margin=st.one_of(st.none(), st.floats(1, 100)),
)
def test_no_evidence_makes_a_nan_and_no_missing_arm_passes(steps, limit, margin):
    found = []
    for number, (share, in_shadow, stable, candidate, bad, worse) in enumerate(steps):
        arms = Arms(rate(stable, int(stable * bad)), rate(candidate, int(candidate * worse)))
        found.append(step_with(share, mirrored=in_shadow, number=number, error_rate=arms))
    plan = plan_with({**ERRORS, "max": limit, "margin": margin})
    report = measure(plan, evidence_of(*found))
    one = report.get("error_rate")
    assert one.verdict in {"pass", "fail", "inconclusive", "error"}
    for value in (one.effect, one.e_value, one.interval and one.interval.low, one.interval and one.interval.high):
        assert value is None or not math.isnan(value)
    assert one.candidate.units or one.verdict == "error"
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_mirrored_candidate_that_fails_every_row_is_broken():
    plan = plan_with(ERRORS)
    evidence = fold_of(plan, [answer("stable"), *(mirrored("prediction_failed") for _ in range(3))]).evidence(0.0)
    assert measure(plan, evidence).get("working").verdict == "fail"
