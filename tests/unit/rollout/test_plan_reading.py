"""Plans as people write them: what is read, what is refused, and that nothing is lost on the way back."""

import json
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import BadReference, InvalidInput
from fairlead.rollout.plan import DAY, KNOWN, Bake, Metric, Plan, Step, complete, default_plan, steps_of
from fairlead.rollout.reading import plain, plan_from_flags, plan_of, read_plan

# The plan of the design of rollouts.
YAML = """
endpoint: flights
candidate: flights:4
strategy: canary                      # direct | shadow | canary | ab | blue_green
assignment: {key: header:x-user-id, fallback: request}
steps:
  - {mirror: 100, bake: {time: 30m, samples: 400}}
  - {weight: 1,  bake: {time: 10m, samples: 400}}
  - {weight: 10, bake: {time: 30m}}
  - {approve: true}
  - {weight: 50, bake: {time: 2h}}
metrics:
  - {name: error_rate,   role: guardrail, margin: 1.25}
  - {name: slow_rate,    over: 200ms, role: guardrail, max: 1}
  - {name: disagreement, role: guardrail, max: 3}
  - {name: accuracy,     from: feedback, role: guardrail, label_delay: 7d}
  - {name: revenue,      from: feedback, role: goal, higher_is: better, label_delay: 7d}
analysis: {alpha: 0.05, on_inconclusive: pause, max_duration: 24h, error_limit: 4}
rollback: {keep_warm: 24h}
"""
TOML = """
endpoint = "flights"
candidate = "flights:4"
steps = [{weight = 5}, {weight = 50, bake = {time = "2h", samples = 100}}]
metrics = [{name = "error_rate", max = 2}]
"""
STRATEGIES = ["direct", "shadow", "canary", "ab", "blue_green"]


def plan_with(**fields):
    """The smallest plan with these fields."""
    return plan_of({"endpoint": "flights", "candidate": "flights:4", **fields})


def test_a_plan_of_yaml_says_what_was_written():
    plan = read_plan(YAML, "yaml")
    assert plan.assignment.key == "header:x-user-id"
    assert [(step.weight, step.mirror, step.approve) for step in plan.steps] == [
        (None, 100, False), (1, None, False), (10, None, False), (None, None, True), (50, None, False),
    ]  # fmt: skip
    assert plan.steps[0].bake == Bake(1800, 400)
    assert [metric.name for metric in plan.guardrails] == ["error_rate", "slow_rate", "disagreement", "accuracy"]
    assert plan.metrics[1].over == 0.2
    assert (plan.metrics[4].source, plan.metrics[4].label_delay, plan.metrics[4].field) == (
        "feedback",
        7 * DAY,
        "revenue",
    )
    assert plan.analysis.max_duration == plan.rollback.keep_warm == DAY


def test_toml_and_json_give_the_same_plan():
    assert read_plan(TOML, "toml") == read_plan(json.dumps(tomllib.loads(TOML)), "json")


def test_what_is_left_open_is_filled_in():
    plan = plan_with(metrics=[{"name": "error_rate"}, {"name": "accuracy"}, {"name": "disagreement", "role": "info"}],
                     steps=[{"mirror": 20}, {"weight": 5}])  # fmt: skip
    errors, accuracy, pairs = plan.metrics
    assert (errors.source, errors.margin, errors.tolerance, errors.higher_is) == ("requests", 1.25, 1.0, "worse")
    assert (accuracy.source, accuracy.higher_is, accuracy.label_delay) == ("feedback", "better", 3600)
    assert (pairs.source, pairs.margin) == ("pairs", None)
    assert plan.promote is True


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_default_plan_of_each_strategy_can_be_carried_out(strategy):
    plan = default_plan(strategy, "flights", "flights:4")
    assert plan_of(plain(plan)) == plan
    assert complete(plan) == plan
    assert plan.promote is (strategy != "shadow")
    assert steps_of(plan)


def test_every_strategy_comes_to_the_same_shape_of_steps():
    def shape(strategy):
        return [(step.weight, step.mirror) for step in steps_of(default_plan(strategy, "flights", "flights:4"))]

    assert {strategy: shape(strategy) for strategy in STRATEGIES} == {
        "direct": [(100, 0)],
        "shadow": [(0, 100)],
        "canary": [(1, 0), (10, 0), (50, 0)],
        "ab": [(50, 0)],
        "blue_green": [(0, 100), (100, 0)],
    }


def test_while_an_approval_is_waited_for_the_step_before_goes_on():
    steps = steps_of(plan_with(steps=[{"weight": 5}, {"approve": True}, {"weight": 50}]))
    assert [(step.weight, step.approve) for step in steps] == [(5, False), (5, True), (50, False)]


def test_a_blue_green_that_does_not_mirror_compares_no_pairs():
    plan = plan_with(strategy="blue_green", steps=[{"weight": 100}])
    assert [metric.name for metric in plan.metrics] == ["error_rate"]


def test_flags_make_the_plan_that_a_file_makes():
    plan = plan_from_flags(
        "flights", "flights:4", steps="mirror, 1,10,approve,50", bake="10m", samples=50, key="header:x-user-id",
        keep_warm="2d", alpha=0.01,
    )  # fmt: skip
    bake = {"time": "10m", "samples": 50}
    assert plan == plan_with(
        assignment={"key": "header:x-user-id"},
        steps=[
            {"mirror": 100, "bake": bake},
            {"weight": 1, "bake": bake},
            {"weight": 10, "bake": bake},
            {"approve": True},
            {"weight": 50, "bake": bake},
        ],
        analysis={"alpha": 0.01},
        rollback={"keep_warm": "2d"},
    )


def test_a_goal_on_the_command_line_makes_an_ab_with_a_guardrail():
    plan = plan_from_flags("flights", "flights:4", "ab", goal="revenue", label_delay="2d", promote=False)
    assert [(metric.name, metric.role, metric.label_delay) for metric in plan.metrics] == [
        ("error_rate", "guardrail", None),
        ("revenue", "goal", 2 * DAY),
    ]
    assert plan.promote is False


@given(
    weights=st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True),
    bakes=st.lists(st.tuples(st.integers(0, 86_400), st.integers(0, 10**6)), min_size=8, max_size=8),
    names=st.lists(st.sampled_from([name for name, known in KNOWN.items() if known.source == "requests"]), unique=True),
    limit=st.floats(0.01, 100),
)
def test_a_plan_that_is_written_and_read_again_is_the_same(weights, bakes, names, limit):
    steps = tuple(
        Step(weight=weight / 100, bake=Bake(float(time), samples))
        for weight, (time, samples) in zip(sorted(weights), bakes, strict=False)
    )
    metrics = tuple(Metric(name, max=limit, over=0.2 if name == "slow_rate" else None) for name in names)
    plan = complete(Plan("flights", "flights:4", steps=steps, metrics=metrics))
    assert plan_of(plain(plan)) == plan
    assert read_plan(json.dumps(plain(plan)), "json") == plan
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stategy": "canary"}, "unknown field 'stategy'. Did you mean 'strategy'?"),
        ({"strategy": "cannary"}, "strategy is 'cannary'. Did you mean 'canary'?"),
        ({"steps": [{"weight": 5}, {"wieght": 10}]}, "steps 2 has the unknown field 'wieght'. Did you mean 'weight'?"),
        ({"steps": [{"weight": "much"}]}, "steps 1, weight is 'much'"),
        ({"steps": [{"weight": True}]}, "steps 1, weight is True"),
        ({"steps": [{"weight": 101}]}, "Step 1, weight is 101. Give percent"),
        ({"steps": [{"weight": 0}]}, "Step 1, weight is 0"),
        ({"steps": [{"weight": -5}]}, "Step 1, weight is -5"),
        ({"steps": [{"weight": float("nan")}]}, "Step 1, weight is nan"),
        ({"steps": [{"weight": 1.234}]}, "two decimals"),
        ({"steps": [{"weight": 10}, {"weight": 5}]}, "Step 2 goes back from 10 % to 5 %"),
        ({"steps": [{"weight": 10}, {"weight": 10}]}, "Step 2 goes back"),
        ({"steps": [{"weight": 10}, {"approve": True}, {"approve": True}]}, "Steps 2 and 3 both ask for approval"),
        ({"steps": [{"weight": 10}, {"mirror": 100}]}, "Step 2 mirrors after"),
        ({"steps": [{}]}, "Step 1 has 0 of weight, mirror and approve"),
        ({"steps": [{"weight": 5, "mirror": 5}]}, "Step 1 has 2 of"),
        ({"steps": [{"weight": 5}, {"approve": True, "bake": {"time": "5m"}}]}, "asks for approval and bakes"),
        ({"steps": [{"weight": 5, "bake": {"time": "-5m"}}]}, "steps 1, bake, time: '-5m' is no length of time"),
        ({"steps": [{"weight": 5, "bake": {"time": 300}}]}, "'300' is no length of time"),
        ({"steps": [{"weight": 5, "bake": {"samples": -1}}]}, "samples is -1"),
        ({"steps": [{"weight": 5, "bake": {"time": "2d"}}]}, "a step may wait 1d only"),
        ({"steps": "1,10"}, "steps is '1,10'"),
        ({"steps": [{"mirror": 100}]}, "The canary gets no weight"),
        ({"strategy": "shadow", "steps": [{"weight": 5}]}, "A shadow answers nobody"),
        ({"strategy": "direct", "steps": [{"weight": 50}]}, "A direct deployment has no steps"),
        ({"strategy": "direct", "metrics": [{"name": "error_rate"}]}, "looks at nothing"),
        ({"strategy": "blue_green", "steps": [{"weight": 50}]}, "Blue/green moves everything at once, not 50 %"),
        ({"strategy": "ab", "steps": [{"weight": 10}, {"weight": 50}]}, "An A/B holds one weight"),
        ({"strategy": "ab", "metrics": [{"name": "error_rate"}]}, "The A/B has no goal"),
        ({"strategy": "ab", "analysis": {"min_duration": "36h"}}, "An A/B lasts whole days"),
        ({"strategy": "ab", "analysis": {"max_duration": "3d"}}, "shorter than min_duration"),
        ({"analysis": {"min_duration": "2d", "max_duration": "9d"}}, "min_duration is for an A/B"),
        ({"metrics": [{"name": "eror_rate"}]}, "There is no metric 'eror_rate'. Did you mean 'error_rate'?"),
        ({"metrics": [{"name": "error_rate"}, {"name": "error_rate"}]}, "stands twice"),
        ({"metrics": [{"name": "error_rate", "from": "feedback"}]}, "error_rate comes from requests"),
        ({"metrics": [{"name": "error_rate", "higher_is": "better"}]}, "A higher error_rate is worse"),
        ({"metrics": [{"name": "error_rate", "margin": 0.5}]}, "margin is 0.5"),
        ({"metrics": [{"name": "error_rate", "margin": float("inf")}]}, "margin is inf"),
        ({"metrics": [{"name": "error_rate", "max": 120}]}, "max is 120. Give percent"),
        ({"metrics": [{"name": "error_rate", "over": "1s"}]}, "has no use for `over`"),
        ({"metrics": [{"name": "error_rate", "label_delay": "1d"}]}, "has no use for `label_delay`"),
        ({"metrics": [{"name": "slow_rate"}]}, "slow_rate does not say what is slow"),
        ({"metrics": [{"name": "disagreement", "max": 3}]}, "no step mirrors"),
        ({"metrics": [{"name": "disagreement"}], "steps": [{"mirror": 5}, {"weight": 5}]}, "has no limit"),
        ({"metrics": [{"name": "revenue", "from": "feedback"}]}, "The guardrail revenue has no limit"),
        ({"metrics": [{"name": "rating", "role": "goal"}]}, "no guardrail"),
        ({"metrics": [{"name": "accuracy", "covariate": "distance"}]}, "has no use for `covariate`"),
        ({"metrics": [{"name": "accuracy", "label_delay": "0s"}]}, "does not say when its feedback is due"),
        ({"assignment": {"key": "heder:x"}}, "key is 'heder:x'"),
        ({"assignment": {"key": "header"}}, "key is 'header'"),
        ({"audience": {"is": ["JFK"]}}, "must name a column or a header"),
        ({"audience": {"column": "origin", "is": []}}, "The audience is empty"),
        ({"audience": {"column": "origin"}}, "audience has no 'is'"),
        ({"analysis": {"alpha": 1}}, "alpha is 1"),
        ({"analysis": {"error_limit": 0}}, "error_limit is 0"),
        (
            {"analysis": {"on_inconclusive": "promote"}},
            "on_inconclusive is 'promote'. There are: pause, abort, proceed.",
        ),
        ({"rollback": {"keep_warm": "24"}}, "'24' is no length of time"),
    ],
)
def test_what_makes_no_sense_is_refused_with_field_and_value(fields, message):
    with pytest.raises(InvalidInput) as refused:
        plan_with(**fields)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["no such", "../x", "predict", ""])
def test_a_name_that_no_endpoint_may_have_is_refused(name):
    with pytest.raises(BadReference):
        plan_of({"endpoint": name, "candidate": "flights:4"})


def test_a_candidate_that_is_no_version_is_refused():
    with pytest.raises(BadReference):
        plan_of({"endpoint": "flights", "candidate": "flights:0"})


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("endpoint: [", "yaml", "is not YAML"),
        ("endpoint: flights\nendpoint: other\ncandidate: x:1", "yaml", "'endpoint' stands twice"),
        ("a: &a [x]\nb: [*a, *a]", "yaml", "an alias"),
        ("!!python/object/apply:os.system ['true']", "yaml", "is not YAML"),
        ("<<: {endpoint: x}", "yaml", "is not YAML"),
        ("1: 2", "yaml", "1 is no name of a field"),
        ("[" * 100_000, "yaml", "nested too deeply"),
        ("", "yaml", "The plan is None: it must have fields"),
        ("flights:4", "yaml", "it must have fields"),
        ('{"endpoint": "a", "endpoint": "b"}', "json", "stands twice"),
        ('{"endpoint": NaN}', "json", "NaN is no number"),
        ("[" * 100_000, "json", "nested too deeply"),
        ("endpoint = ", "toml", "is not TOML"),
        ("x" * 300_000, "yaml", "The plan has 300000 characters"),
        ("candidate: flights:4", "yaml", "The plan has no 'endpoint'"),
    ],
)
def test_text_that_is_no_plan_is_refused(text, kind, message):
    with pytest.raises(InvalidInput) as refused:
        read_plan(text, kind)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"steps": "1,ten"}, "'ten' is no step"),
        ({"steps": ""}, "'' is no step"),
        ({"steps": "mirror:x,5"}, "'mirror:x' is no step"),
        ({"bake": "5m"}, "Give the steps"),
        ({"label_delay": "5d"}, "Give the goal"),
        ({"strategy": "blue-green"}, "Did you mean 'blue_green'?"),
    ],
)
def test_flags_that_make_no_plan_are_refused(flags, message):
    with pytest.raises(InvalidInput) as refused:
        plan_from_flags("flights", "flights:4", **flags)
    assert message in str(refused.value)
