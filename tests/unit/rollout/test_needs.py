"""What a dry run says before a rollout begins. The counts are the published ones (389 answers for 1 % at α = 5 %), and arithmetic."""

import pytest
from rollout_facts import plan_with

from fairlead.rollout.evidence import Arms, Evidence, StepEvidence, Tally, Two
from fairlead.rollout.measures import measure
from fairlead.rollout.needs import Traffic, needs
from fairlead.rollout.plan import default_plan

LIMIT = {"name": "error_rate", "max": 1}


def text_of(plan, per_second=10.0):
    return "\n".join(needs(plan, Traffic(per_second)).sentences)


def test_a_limit_says_how_many_clean_answers_it_needs_and_how_long_they_take():
    found = needs(plan_with(LIMIT, steps=[{"weight": 10}]), Traffic(10.0))
    assert (found.steps[0].answers, found.steps[0].requests, found.steps[0].seconds) == (389, 3890, 389.0)
    assert "error_rate: a limit of 1 % needs at least 389 answers with nothing bad." in found.sentences
    assert "at 10 requests a second it lasts 6.5 minutes." in found.sentences[1]
    assert found.seconds == 389.0


def test_alpha_that_is_divided_needs_more():
    plan = plan_with(LIMIT, {"name": "unseen_rate", "max": 1}, steps=[{"weight": 10}])
    assert "needs at least 452 answers with nothing bad, with α divided over 2 guardrails." in text_of(plan)


@pytest.mark.parametrize(
    "metric",
    [
        {"name": "error_rate"},
        {"name": "error_rate", "max": 1},
        {"name": "error_rate", "max": 2, "margin": 1.5, "tolerance": 3},
        {"name": "accuracy", "min": 95},
    ],
)
def test_what_is_promised_is_what_passes(metric):
    """As many clean answers as the dry run asks for pass, and one fewer does not."""
    plan = plan_with(metric, steps=[{"weight": 50}])
    count = needs(plan, Traffic(1.0)).steps[0].answers

    def verdict(units):
        arms = Arms(Tally(units), Tally(units), due=Two(units, units), labelled=Two(units, units))
        step = StepEvidence(
            0, 0.5, False, Two(units, units), Two(), Two(units, units), Two(units, units), {metric["name"]: arms}
        )
        return measure(plan, Evidence("answer", (step,))).get(metric["name"]).verdict

    assert verdict(count) == "pass"
    assert verdict(count - 2) == "inconclusive"


def test_evidence_adds_up_so_later_steps_wait_for_their_bake_only():
    bake = {"time": "10m", "samples": 100}
    plan = plan_with(
        LIMIT, steps=[{"weight": 10, "bake": bake}, {"weight": 50, "bake": bake}], analysis={"advance_on": "pass"}
    )
    first, second = needs(plan, Traffic(10.0)).steps
    assert (first.answers, first.seconds) == (389, 600.0)
    assert (second.answers, second.seconds) == (100, 600.0)


def test_a_weight_step_that_asks_for_no_harm_leaves_the_proof_to_the_last():
    first, second = needs(plan_with(LIMIT, steps=[{"weight": 10}, {"weight": 50}]), Traffic(10.0)).steps
    assert (first.answers, second.answers, second.requests) == (0, 389, 778)


def test_without_traffic_no_time_is_told():
    found = needs(plan_with(LIMIT, steps=[{"weight": 10}]), Traffic(0.0))
    assert found.seconds is None
    assert found.sentences[-1] == "The endpoint is not asked at present, so no time can be said."


def test_an_approval_has_no_end_in_sight():
    plan = plan_with(LIMIT, steps=[{"weight": 10}, {"approve": True}, {"weight": 50}])
    assert needs(plan, Traffic(10.0)).seconds is None
    assert "Step 2 waits for approval." in text_of(plan)


def test_labels_that_come_after_the_longest_wait_are_told_of():
    plan = plan_with({"name": "accuracy", "label_delay": "7d"}, steps=[{"weight": 10}])
    assert "nothing is known before feedback is due (after 7 days)" in text_of(plan)
    assert "that is longer than a step may wait (1 day)" in text_of(plan)


def test_a_rise_of_the_error_rate_is_found_about_where_simulation_finds_it():
    """`test_simulated_rollouts` finds half of the candidates after 1,400 requests with steps of 500 requests."""
    steps = [{"weight": weight, "bake": {"samples": 5 * weight}} for weight in (5, 10, 25, 50)]
    told = text_of(plan_with({"name": "error_rate"}, steps=steps))
    sentence = next(line for line in told.splitlines() if "rises from 1 % to 5 %" in line)
    count = int(sentence.partition("after about ")[2].partition(" ")[0].replace(",", ""))
    assert 1000 <= count <= 2000


@pytest.mark.parametrize("strategy", ["direct", "shadow", "canary", "ab", "blue_green"])
def test_every_strategy_can_be_told(strategy):
    found = needs(default_plan(strategy, "flights", "flights:2"), Traffic(5.0, 0.02))
    assert found.sentences
    assert all(sentence.endswith(".") for sentence in found.sentences)
