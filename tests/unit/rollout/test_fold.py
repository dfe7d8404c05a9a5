"""From events to evidence: what counts, what counts once, and what does not count. Expectations are counted by hand."""

import random
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_facts import REVISION, answer, fold_of, mirrored, plan_with, told

from fairlead.events import DARK
from fairlead.rollout.evidence import Arms, Evidence, Joined, Place, Tally, Two, carried
from fairlead.rollout.fold import Fold

ERRORS = {"name": "error_rate"}
ACCURACY = {"name": "accuracy", "label_delay": "1h"}
REVENUE = {"name": "revenue", "from": "feedback", "role": "goal", "label_delay": "1h"}
HOUR = 3600.0


def arms_of(fold, metric="error_rate", now=0.0):
    return fold.evidence(now).total(metric)


def test_each_answer_without_a_key_counts_for_itself():
    events = [answer(), answer(status="prediction_failed"), answer("stable"), answer("stable"), answer("stable")]
    evidence = fold_of(plan_with(ERRORS), events).evidence(0.0)
    arms = evidence.total("error_rate")
    assert (arms.candidate.units, arms.candidate.events, arms.candidate.total) == (2, 1, 1.0)
    assert (arms.stable.units, arms.stable.events) == (3, 0)
    assert evidence.unit == "answer"
    assert evidence.steps[0].answers == evidence.steps[0].samples == evidence.steps[0].assigned == Two(3, 2)
    assert evidence.samples(1) == 2


def test_a_key_counts_once_by_its_first_failure_and_by_its_mean():
    one = [answer(key="a", status=status) for status in ("ok", "prediction_failed", "prediction_failed", "ok")]
    evidence = fold_of(plan_with(ERRORS), [*one, answer(key="b")]).evidence(0.0)
    tally = evidence.total("error_rate").candidate
    assert (tally.units, tally.events, tally.total, tally.squares) == (2, 1, 0.5, 0.25)
    assert evidence.unit == "key"
    assert (evidence.steps[0].answers.candidate, evidence.steps[0].samples.candidate) == (5, 2)


def test_the_rows_of_one_request_are_one_unit():
    """They are assigned together, and may fail together: their key is an id of the request."""
    rows = [answer(key="19ac2f-8c1f-1-9b41", status="prediction_failed") for _ in range(50)]
    single = [answer(key=f"19ac2f-8c1f-{number}-9b41") for number in range(2, 5000)]
    fold = fold_of(plan_with(ERRORS), [*rows, *single])
    evidence = fold.evidence(0.0)
    tally = evidence.total("error_rate").candidate
    assert (tally.units, tally.events, tally.total) == (4999, 1, 1.0)
    assert (evidence.unit, evidence.keys_kept) == ("answer", 1.0)
    assert len(fold._requests) <= 1000


def test_a_key_that_moves_to_the_candidate_has_its_first_failure_only_once():
    """Its slot moved when the weight grew; its failure at the stable version is the one that counts for the comparison."""
    fold = Fold(plan_with(ERRORS), {1: Place(0, 0.1), 2: Place(1, 0.5)})
    fold.add(answer("stable", "prediction_failed", key="a", revision=1))
    fold.add(answer("candidate", "prediction_failed", key="a", revision=2))
    first, second = fold.evidence(0.0).steps
    assert first.metrics["error_rate"].stable.events == 1
    assert second.metrics["error_rate"].candidate == Tally(units=1, events=0, total=1.0, squares=1.0)
    assert (first.assigned, second.assigned) == (Two(1, 0), Two(0, 0))
    assert second.samples == Two(0, 1)


def test_a_key_with_further_answers_stays_in_the_step_where_it_began():
    fold = Fold(plan_with(ERRORS), {1: Place(0, 0.1), 2: Place(1, 0.5)})
    fold.add(answer(key="a", revision=1))
    fold.add(answer(key="a", revision=2, status="prediction_failed"))
    first, second = (step.metrics["error_rate"].candidate for step in fold.evidence(0.0).steps)
    assert (first.units, first.total, first.events) == (1, 0.5, 0)
    assert (second.units, second.total, second.events) == (0, 0.0, 1)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans(), st.booleans()), max_size=60))
def test_the_sums_of_keys_are_those_of_their_means(history):
    """Beside a plain dictionary of lists."""
    fold = fold_of(plan_with(ERRORS))
    values = defaultdict(list)
    for key, ours, failed in history:
        arm = "candidate" if ours else "stable"
        fold.add(answer(arm, "prediction_failed" if failed else "ok", key=key))
        values[arm, key].append(float(failed))
    for arm in ("candidate", "stable"):
        means = [sum(found) / len(found) for (whose, _), found in values.items() if whose == arm]
        tally = getattr(arms_of(fold), arm)
        assert tally.units == len(means)
        assert tally.total == pytest.approx(sum(means))
        assert tally.squares == pytest.approx(sum(mean * mean for mean in means))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (answer(exposure="pinned"), "pinned"),
        (answer(exposure="outside"), "outside"),
        (answer("stable", exposure=DARK), "outside"),
        (answer(revision=3), "elsewhere"),
        (answer("former"), "elsewhere"),
        (answer("stable", "schema_mismatch", inputs=None), "unread"),
        (answer("", "schema_mismatch", inputs=None), "unread"),
        (mirrored(variant="other"), "elsewhere"),
    ],
)
def test_what_was_not_assigned_is_in_no_comparison(event, reason):
    evidence = fold_of(plan_with(ERRORS), [event]).evidence(0.0)
    assert getattr(evidence.ignored, reason) == 1
    assert evidence.total("error_rate") == Arms()
    assert evidence.opening.answered == evidence.opening.failed == Two(0, 0)


def test_other_endpoints_are_passed_over():
    evidence = fold_of(plan_with(ERRORS), [answer(endpoint="other")]).evidence(0.0)
    assert evidence == fold_of(plan_with(ERRORS)).evidence(0.0)


def test_behind_people_the_unseen_answers_of_the_candidate_count():
    dark = answer(exposure=DARK)
    fold = fold_of(plan_with({"name": "accuracy", "min": 80}), [dark, told(dark, label="yes")], place=Place(0, 1.0))
    assert arms_of(fold, "accuracy", HOUR * 2).candidate == Tally(1, 1, 1.0, 1.0)


@pytest.mark.parametrize(
    ("status", "error", "refusal"),
    [
        ("ok", 0, 0),
        ("prediction_failed", 1, 0),
        ("deadline_exceeded", 1, 0),
        ("schema_mismatch", None, 1),
        ("rate_limited", None, None),
        ("a code of a later release", 1, 0),
    ],
)
def test_what_a_status_says_of_the_version(status, error, refusal):
    fold = fold_of(plan_with(ERRORS, {"name": "refusal_rate"}), [answer(status=status)])
    for metric, said in (("error_rate", error), ("refusal_rate", refusal)):
        tally = arms_of(fold, metric).candidate
        assert (tally.units, tally.total) == ((1, said) if said is not None else (0, 0))


def test_slow_answers_and_unseen_categories_are_counted():
    plan = plan_with({"name": "slow_rate", "over": "200ms"}, {"name": "unseen_rate"})
    events = [
        answer(latency=0.2),
        answer(latency=0.21),
        answer(flags=("origin",)),
        answer(status="queue_full", latency=5.0),
    ]
    fold = fold_of(plan, events)
    assert (arms_of(fold, "slow_rate").candidate.total, arms_of(fold, "slow_rate").candidate.units) == (2, 4)
    assert (arms_of(fold, "unseen_rate").candidate.total, arms_of(fold, "unseen_rate").candidate.units) == (1, 3)


def test_a_metric_may_be_about_a_segment():
    plan = plan_with({"name": "error_rate", "segment": {"origin": "JFK"}})
    fold = fold_of(plan, [answer(), answer(inputs=("EWR", 1.0), status="prediction_failed")])
    assert arms_of(fold).candidate == Tally(units=1)


def test_while_the_candidate_warms_up_neither_arm_is_measured():
    plan = plan_with(ERRORS, analysis={"warm_up": 2})
    failed = [answer(status="prediction_failed") for _ in range(2)]
    evidence = fold_of(plan, [answer("stable"), *failed, answer("stable"), answer()]).evidence(0.0)
    arms = evidence.total("error_rate")
    assert (arms.stable.units, arms.candidate.units) == (1, 1)
    assert evidence.steps[0].assigned == Two(2, 3)
    assert (evidence.opening.failed, evidence.opening.answered) == (Two(0, 2), Two(2, 1))


def test_feedback_counts_when_it_is_due_and_not_when_it_comes():
    given_answer = answer(prediction="no")
    fold = fold_of(plan_with(ACCURACY), [given_answer, told(given_answer, 5.0, label="yes")])
    assert arms_of(fold, "accuracy", HOUR - 1) == Arms()
    arms = arms_of(fold, "accuracy", HOUR)
    assert (arms.candidate.units, arms.candidate.total, arms.due, arms.labelled) == (1, 1.0, Two(0, 1), Two(0, 1))


def test_an_answer_without_feedback_is_due_and_not_labelled():
    fold = fold_of(plan_with(ACCURACY), [answer("stable"), answer("stable", "prediction_failed")])
    arms = arms_of(fold, "accuracy", HOUR)
    assert (arms.due, arms.labelled, arms.stable) == (Two(1, 0), Two(0, 0), Tally())


def test_late_double_and_unknown_feedback_is_counted_and_changes_nothing():
    one, other = answer(prediction="no"), answer(prediction="no")
    fold = fold_of(plan_with(ACCURACY), [one, other])
    fold.extend([told(one, 1.0, label="no"), told(one, 2.0, label="no"), told(other, HOUR + 1, label="yes")])
    fold.add(told(answer(), 1.0, label="yes"))
    evidence = fold.evidence(HOUR)
    assert evidence.joined == Joined(matched=1, late=1, duplicate=1, unmatched=1)
    assert evidence.total("accuracy").candidate == Tally(units=1)
    fold.add(told(one, HOUR + 5, label="yes"))
    assert fold.evidence(HOUR).joined.late == 2


def test_of_two_labels_in_time_the_last_one_counts_whichever_is_read_first():
    for order in ((1.0, "no"), (2.0, "yes")), ((2.0, "yes"), (1.0, "no")):
        one = answer(prediction="no")
        fold = fold_of(plan_with(ACCURACY), [one])
        fold.extend([told(one, after, label=label) for after, label in order])
        evidence = fold.evidence(HOUR)
        assert evidence.total("accuracy").candidate.total == 1.0, "the answer was wrong"
        assert evidence.joined.matched == 1
        assert evidence.joined.corrected + evidence.joined.duplicate == 1


def test_feedback_that_is_read_before_its_answer_waits_for_it():
    """Gateways write a log each, and one may be read before the other."""
    one = answer(prediction="no")
    fold = fold_of(plan_with(ACCURACY), [told(one, 5.0, label="yes"), one])
    evidence = fold.evidence(HOUR)
    assert (evidence.total("accuracy").candidate.total, evidence.joined) == (1.0, Joined(matched=1))


@pytest.mark.parametrize(
    ("metric", "said", "value"),
    [
        ({"name": "rating", "role": "goal"}, {"rating": 4}, 4.0),
        ({"name": "rating", "role": "goal"}, {"rating": 4, "about": "page"}, None),
        (REVENUE, {"values": {"revenue": 12.5}}, 12.5),
        (REVENUE, {"values": {"cost": 12.5}}, None),
        (REVENUE | {"field": "cost"}, {"values": {"cost": 2.0}}, 2.0),
        (REVENUE | {"name": "bought", "label": "yes"}, {"label": "yes"}, 1.0),
        (REVENUE | {"name": "bought", "label": "yes"}, {"label": "no"}, 0.0),
        (ACCURACY, {"comment": "nice"}, None),
        (ACCURACY, {"label": "no"}, 0.0),
    ],
)
def test_what_feedback_says_by_a_metric(metric, said, value):
    one = answer(prediction="no")
    fold = fold_of(plan_with(ERRORS, metric), [one, told(one, **said)])
    tally = arms_of(fold, metric["name"], 2 * HOUR).candidate
    assert (tally.units, tally.total) == ((1, value) if value is not None else (0, 0.0))


@pytest.mark.parametrize(
    ("label", "prediction", "wrong"), [("1", 1, 0), (1, 1.0, 0), (True, "true", 0), (2, 1, 1), ("no", None, 1)]
)
def test_a_label_told_as_text_is_the_class_it_names(label, prediction, wrong):
    one = answer(prediction=prediction)
    assert (
        arms_of(fold_of(plan_with(ACCURACY), [one, told(one, label=label)]), "accuracy", HOUR).candidate.total == wrong
    )


def test_a_covariate_comes_from_the_row():
    one, other = answer(inputs=("JFK", 3.0)), answer(inputs=("JFK", None))
    plan = plan_with(ERRORS, REVENUE | {"covariate": "distance"})
    fold = fold_of(plan, [one, other, told(one, values={"revenue": 2.0}), told(other, values={"revenue": 5.0})])
    assert arms_of(fold, "revenue", HOUR).candidate == Tally(2, 2, 7.0, 29.0, 3.0, 9.0, 6.0)


def test_the_shadow_counts_as_the_candidate_and_pairs_are_compared():
    plan = plan_with(ERRORS, {"name": "disagreement", "max": 3}, {"name": "score_difference", "role": "info"})
    events = [
        answer("stable"),
        answer("stable"),
        mirrored(prediction="yes", probabilities=(0.25, 0.75)),
        mirrored("prediction_failed"),
    ]
    evidence = fold_of(plan, events, place=Place(0, 1.0, mirrored=True)).evidence(0.0)
    errors = evidence.total("error_rate")
    assert (errors.stable.units, errors.candidate.units, errors.candidate.events) == (2, 2, 1)
    assert evidence.total("disagreement").candidate == Tally(1, 1, 1.0, 1.0)
    assert evidence.total("score_difference").candidate.total == 0.5
    assert evidence.samples(0) == 2


def test_the_stable_version_against_itself_is_the_noise_floor():
    event = mirrored(model="flights:1", prediction="yes")
    arms = arms_of(
        fold_of(plan_with({"name": "disagreement", "max": 3}), [event], place=Place(0, 1.0, mirrored=True)),
        "disagreement",
    )
    assert (arms.stable.units, arms.stable.total, arms.candidate.units) == (1, 1.0, 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "differs"), [(100.0, 100.5, 0), (100.0, 102.0, 1), ("a", "b", 1), (None, "a", 1), (1, 1, 0)]
)
def test_predicted_numbers_may_differ_a_little(ours, theirs, differs):
    event = mirrored(prediction=ours, given_prediction=theirs)
    fold = fold_of(plan_with({"name": "disagreement", "max": 3}), [event], place=Place(0, 1.0, mirrored=True))
    assert arms_of(fold, "disagreement").candidate.total == differs


def test_one_label_proves_both_answers_to_a_mirrored_row_right_or_wrong():
    rows = [
        ("no", "yes", "yes"),
        ("no", "yes", "no"),
        ("no", "no", "yes"),
        ("yes", "yes", "yes"),
    ]  # given, in the shadow, true
    events = []
    for given_label, shadow, label in rows:
        one = answer("stable", prediction=given_label)
        events += [one, mirrored(id=one.id, prediction=shadow), told(one, label=label)]
    alone = answer("stable")
    fold = fold_of(plan_with(ACCURACY), [*events, alone, told(alone, label="yes")], place=Place(0, 1.0, mirrored=True))
    arms = arms_of(fold, "accuracy", HOUR)
    assert (arms.stable.units, arms.candidate.units) == (4, 4)
    assert (arms.stable.events, arms.candidate.events, arms.both) == (2, 2, 1)


def test_when_memory_is_full_half_of_the_keys_are_followed_no_longer_whatever_their_arm():
    fold, drawn = fold_of(plan_with(ERRORS), limit=400), random.Random(3)
    for number in range(4000):
        fold.add(answer(drawn.choice(["stable", "candidate"]), key=f"{drawn.getrandbits(64):016x}", id=str(number)))
    evidence = fold.evidence(0.0)
    assert evidence.keys_kept < 1
    assert evidence.ignored.thinned > 0
    assert len(fold._keys.found) <= 400
    stable, candidate = evidence.steps[0].assigned.stable, evidence.steps[0].assigned.candidate
    # Five standard deviations of a fair division.
    assert abs(stable - candidate) < 5 * (stable + candidate) ** 0.5


def test_answers_and_feedback_that_wait_are_bounded():
    fold = fold_of(plan_with(ACCURACY), limit=50)
    for _ in range(500):
        one = answer()
        fold.add(one)
        fold.add(told(answer(), label="no"))
    cohorts = fold._cohorts
    assert len(cohorts._waiting.found) <= 50
    assert len(cohorts._early) <= 50
    assert fold.evidence(HOUR).joined.unmatched == 500
    assert len(cohorts._past) <= 50


def test_feedback_that_waits_for_its_answer_takes_little_room_however_often_it_is_repeated():
    missing = answer()
    fold = fold_of(plan_with(ACCURACY), [told(missing, label="no", comment="x" * 10_000) for _ in range(100)])
    (waiting,) = fold._cohorts._early.values()
    assert len(waiting) <= 8
    assert all(event.comment is None for event in waiting)
    assert fold.evidence(0.0).joined.unmatched == 100


def test_evidence_fits_into_a_log_and_a_retry_carries_it_over():
    first = fold_of(plan_with(ERRORS), [answer(), answer("stable", "prediction_failed")]).evidence(0.0)
    assert msgspec.json.decode(msgspec.json.encode(first), type=Evidence) == first
    again = carried(first, fold_of(plan_with(ERRORS), [answer()]).evidence(0.0))
    assert again.total("error_rate").candidate.units == 2
    assert again.samples(1) == 1
    assert again.samples(-1) == 1
    assert again.opening.answered == Two(0, 1)


def test_a_revision_may_be_entered_when_the_table_changes():
    fold = Fold(plan_with(ERRORS), {})
    fold.add(answer())
    fold.enter(REVISION, Place(0, 0.1))
    fold.add(answer())
    evidence = fold.evidence(0.0)
    assert (evidence.ignored.elsewhere, evidence.samples(0)) == (1, 1)
