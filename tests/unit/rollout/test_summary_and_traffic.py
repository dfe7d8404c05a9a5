"""What is told of a rollout, and of an endpoint's traffic; both pure but for the files that are read."""

from __future__ import annotations

import os

import msgspec
import pytest

from fairlead.eventlog import segment
from fairlead.events import Prediction
from fairlead.rollout.plan import Plan, Step, complete
from fairlead.rollout.rollout import Rollout
from fairlead.rollout.store import LogEntry
from fairlead.rollout.summary import next_commands, stands, summary_of
from fairlead.rollout.traffic import recent_traffic

STEPS = (Step(mirror=20), Step(weight=10), Step(approve=True), Step(weight=50))


def rollout(state="progressing", step=0, **more):
    plan = complete(Plan("flights", "flights:4", steps=STEPS))
    facts = {"number": 3, "model": "flights:4", "digest": "d", "stable": "flights:3", "stable_digest": "e", "salt": ""}
    return Rollout(
        plan=plan,
        state=state,
        step=step,
        **facts | {"started": 0.0, "stepped": 50.0, "changed": 0.0, "actor": "ann"} | more,
    )


@pytest.mark.parametrize(
    ("state", "step", "said", "weight", "mirror"),
    [
        ("pending", 0, "pending, step 1 of 4", 0, 0),
        ("progressing", 0, "progressing, step 1 of 4, 20 % mirrored", 0, 20),
        ("progressing", 1, "progressing, step 2 of 4, 10 % of the traffic", 10, 0),
        ("progressing", 2, "progressing, step 3 of 4, 10 % of the traffic, waits for approval", 10, 0),
        ("paused", 3, "paused, step 4 of 4, 50 % of the traffic", 50, 0),
        ("promoted", 3, "promoted", 100, 0),
        ("aborted", 1, "aborted", 0, 0),
        ("superseded", 1, "superseded", 0, 0),
    ],
)
def test_where_it_stands_is_told_in_a_few_words(state, step, said, weight, mirror):
    summary = summary_of(rollout(state, step), None)
    assert (stands(summary), summary.weight, summary.mirror) == (said, weight, mirror)


@pytest.mark.parametrize(
    ("state", "step", "verbs"),
    [
        ("pending", 0, ["abort"]),
        ("progressing", 1, ["pause", "promote", "abort"]),
        ("progressing", 2, ["approve", "abort"]),
        ("paused", 1, ["resume", "promote", "abort"]),
        ("paused", 2, ["approve", "resume", "promote", "abort"]),
        ("promoting", 3, ["rollback"]),
        ("promoted", 3, ["rollback"]),
    ],
)
def test_the_commands_that_make_sense_are_named(state, step, verbs):
    assert next_commands(rollout(state, step)) == tuple(f"fairlead {verb} flights" for verb in verbs)


def test_what_has_ended_or_was_approved_asks_for_nothing():
    assert next_commands(rollout("aborted")) == ("fairlead history flights --rollout 3",)
    assert next_commands(rollout("promoted", stable="")) == ("fairlead history flights --rollout 3",)
    assert not summary_of(rollout(step=2, approved=2), None).approval


def test_a_look_of_the_step_before_says_nothing_of_what_is_waited_for():
    content = {"step": 0, "decision": {"winner": "candidate", "accepted": ""}, "report": {"measures": []}}
    look = LogEntry(9, 3, 60.0, "controller", "look", "Step 1 bakes.", content)
    assert summary_of(rollout(), look).waits == "Step 1 bakes."
    assert summary_of(rollout(), look).winner == "candidate"
    assert summary_of(rollout(step=1), look).waits == ""
    assert summary_of(rollout(), msgspec.structs.replace(look, time=40.0)).waits == ""
    assert summary_of(rollout("paused"), look).waits == ""


# -- traffic ----------------------------------------------------------------------------------------------------------

NOON = 1_763_812_800.0  # 2025-11-22 12:00:00 UTC


def write(folder, name, events, written):
    """A segment of the event log, as a gateway leaves it."""
    path = folder / "2025-11-22" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(segment.MAGIC + b"".join(segment.encode(events)))
    os.utime(path, (written, written))


def answers(count, seconds, status="ok", endpoint="flights"):
    one = Prediction("i", seconds, endpoint, "flights:1", "stable", None, status, 0.001, (1.0,), 0, None, ())
    return [one] * count


def test_no_log_and_no_answer_are_no_traffic(tmp_path):
    assert recent_traffic(tmp_path, "flights", NOON) is None
    write(tmp_path, "110000-gateway-0-000001.seg", answers(5, NOON - 10, endpoint="planes"), NOON)
    assert recent_traffic(tmp_path, "flights", NOON) is None


def test_the_last_hour_counts_over_all_writers_and_not_more(tmp_path):
    old = answers(1000, NOON - 4000)
    write(tmp_path, "080000-gateway-0-000001.seg", old, NOON - 4000)
    write(tmp_path, "105000-gateway-0-000002.seg", [*old, *answers(3000, NOON - 1000)], NOON - 1000)
    write(tmp_path, "105000-gateway-1-000001.seg", answers(600, NOON - 5, "prediction_failed"), NOON - 5)
    found = recent_traffic(tmp_path, "flights", NOON)
    assert found.per_second == pytest.approx(3600 / 3600)
    assert found.error_rate == pytest.approx(600 / 3600)


def test_a_service_that_is_young_is_counted_from_its_beginning(tmp_path):
    write(tmp_path, "115000-gateway-0-000001.seg", answers(1200, NOON - 5), NOON - 5)
    assert recent_traffic(tmp_path, "flights", NOON).per_second == pytest.approx(1200 / 600)


def test_what_the_caller_got_wrong_is_no_failure_and_what_nobody_answered_no_traffic(tmp_path):
    events = answers(80, NOON - 5) + answers(20, NOON - 5, "schema_mismatch") + answers(50, NOON - 5, "forbidden")
    write(tmp_path, "115000-gateway-0-000001.seg", events, NOON - 5)
    found = recent_traffic(tmp_path, "flights", NOON)
    assert (found.per_second, found.error_rate) == (pytest.approx(100 / 600), 0.0)


def test_of_much_traffic_only_the_newest_segments_are_read_and_the_rate_is_theirs(tmp_path):
    write(tmp_path, "110000-gateway-0-000001.seg", answers(9000, NOON - 3000), NOON - 1800)
    write(tmp_path, "113000-gateway-0-000002.seg", answers(1800, NOON - 900), NOON - 900)
    write(tmp_path, "114500-gateway-0-000003.seg", answers(1800, NOON - 5), NOON - 5)
    assert recent_traffic(tmp_path, "flights", NOON, most=3600).per_second == pytest.approx(2.0)
    assert recent_traffic(tmp_path, "flights", NOON).per_second == pytest.approx(12_600 / 3600)


def test_a_torn_segment_and_a_strange_name_count_as_far_as_they_go(tmp_path):
    write(tmp_path, "115000-gateway-0-000001.seg", answers(600, NOON - 5), NOON - 5)
    path = tmp_path / "2025-11-22" / "115000-gateway-0-000001.seg"
    path.write_bytes(path.read_bytes() + b"\x00" * 40)
    os.utime(path, (NOON, NOON))
    assert recent_traffic(tmp_path, "flights", NOON).per_second == pytest.approx(1.0)
    write(tmp_path, "x-y.seg", answers(600, NOON - 5), NOON - 5)
    assert recent_traffic(tmp_path, "flights", NOON).per_second == pytest.approx(1200 / 3600)
