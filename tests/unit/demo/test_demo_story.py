"""What the story says and does, without a service: the plan, the news of a rollout, and outcomes that are told later."""

from __future__ import annotations

import msgspec
import pytest

from fairlead.answer import Answer
from fairlead.demo import story
from fairlead.demo.caller import LANDED_SECONDS, Caller
from fairlead.demo.replay import Flight, drawn
from fairlead.errors import NotFound, Overloaded
from fairlead.rollout.plan import Metric, default_plan
from fairlead.rollout.reading import read_plan
from fairlead.rollout.rollout import Rollout
from fairlead.rollout.summary import Seen, summary_of


class Service:
    """Answers at once, and keeps what it is told."""

    def __init__(self):
        self.now = 100.0
        self.told = []
        self.error = None

    def predict(self, endpoint, row):
        return Answer(prediction="late", id=f"id-{row['number']}", model="flights:1", probabilities={"late": 0.7})

    def feedback_many(self, endpoint, told):
        if self.error is not None:
            raise self.error
        self.told.append((endpoint, list(told)))


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def caller(service):
    return Caller(service, lambda: service.now)


def flight(number, *, late=False):
    return Flight({"number": number}, late, "1 July 05:00")


def test_an_outcome_is_told_when_the_flight_has_landed_and_once(service, caller):
    assert caller.ask(flight(1, late=True)) == 0.7
    service.now += LANDED_SECONDS / 2
    caller.ask(flight(2))
    caller.tell()
    assert service.told == []
    service.now += LANDED_SECONDS / 2
    caller.tell()
    service.now += LANDED_SECONDS
    caller.tell()
    caller.tell()
    assert service.told == [
        ("flights", [{"id": "id-1", "label": "late"}]),
        ("flights", [{"id": "id-2", "label": "on time"}]),
    ]


def test_what_cannot_be_told_now_is_told_later_and_what_is_refused_is_not_told_again(service, caller):
    caller.ask(flight(1))
    service.now += LANDED_SECONDS
    service.error = Overloaded("The service cannot be reached.")
    caller.tell()
    service.error, service.now = None, service.now + 1
    caller.tell()
    assert [one["id"] for one in service.told[0][1]] == ["id-1"]
    caller.ask(flight(2))
    service.now += LANDED_SECONDS
    service.error = NotFound("The id was never given out.")
    caller.tell()
    service.error, service.now = None, service.now + 1
    caller.tell()
    assert len(service.told) == 1


def test_the_plan_can_be_read_and_says_nothing_unusual():
    plan = read_plan(story.plan_text("flights:3"), "yaml")
    assert (plan.endpoint, plan.candidate, plan.strategy) == ("flights", "flights:3", "canary")
    assert [metric.name for metric in plan.guardrails] == ["error_rate", "accuracy"]
    # The limits are those of somebody who sets none.
    usual = read_plan("{endpoint: a, candidate: 'a:1', metrics: [{name: accuracy, label_delay: 10s}]}", "yaml")
    assert plan.guardrails[1] == usual.guardrails[0]
    assert isinstance(plan.guardrails[1], Metric)
    # Outcomes are told before they count, and a step lasts long enough to count some.
    assert LANDED_SECONDS < plan.guardrails[1].label_delay < min(step.bake.time for step in plan.steps)


def test_a_turned_verdict_and_a_move_are_news_under_keys_of_their_own():
    rollout = Rollout(
        number=2,
        plan=default_plan("canary", "flights", "flights:2"),
        model="flights:2",
        digest="",
        stable="flights:1",
        stable_digest="",
        salt="",
        actor="somebody",
        state="progressing",
        because="Step 1 is over.",
        started=0.0,
        stepped=0.0,
        changed=0.0,
        step=1,
    )
    seen = (
        Seen("accuracy", "guardrail", "pass", "accuracy 72 % of 9."),
        Seen("error_rate", "guardrail", "error", "None came."),
    )
    summary = msgspec.structs.replace(summary_of(rollout, None), verdicts=seen)
    assert list(story.news(summary)) == [
        (("accuracy", "pass"), "    pass: accuracy 72 % of 9."),
        (("error_rate", "error"), "    error_rate, error: None came."),
        (
            ("progressing", "2"),
            "  flights:2 progressing, step 2 of 3, 10 % of the traffic: Step 1 is over.",
        ),
    ]


def test_a_month_is_drawn_whole_in_the_same_order_each_time():
    pandas = pytest.importorskip("pandas")
    from fairlead.demo.flights import COLUMNS

    departures = pandas.date_range("2013-07-01", periods=50, freq="h")
    table = pandas.DataFrame({name: range(50) for name in COLUMNS}).assign(
        month=[7] * 49 + [8], late="on time", departure=departures
    )
    once, again = ([one.row["distance"] for one in drawn(table, 7)] for _ in range(2))
    assert once == again != sorted(once)
    assert sorted(once) == list(range(49))
