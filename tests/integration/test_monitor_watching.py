"""The watcher over real events, a real registry and a real database, with a clock that the test sets.

What is in the events is known, because the test has written them: what shifted, what was told, what is missing.
"""

from __future__ import annotations

import shutil

import msgspec
import pytest
import sqlalchemy as sa

import fairlead.monitor.watching as module
from fairlead.archive.compaction import compact
from fairlead.monitor.gauges import FILE
from fairlead.monitor.notices import Notice
from fairlead.monitor.report import Labels
from fairlead.monitor.store import insert_report, write_settings
from fairlead.monitor.tables import monitor_panes, monitor_reports
from fairlead.monitor.watching import grown
from fairlead.registry.audit import audit_entries
from monitor_room import HOUR, MORNING, Room, pack_lateness, verdict
from sharing import made_once

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return made_once(tmp_path_factory, "lateness", lambda folder: pack_lateness(folder, versions=2))


@pytest.fixture
def room(packed, tmp_path):
    found = Room(shutil.copytree(packed, tmp_path / "home"))
    yield found
    found.stores.database.close()


def hours(room, count, rows=600, **shape):
    """So many hours of traffic from the morning on; the clock stands behind them."""
    made = [
        room.answered(rows, MORNING + place * HOUR, MORNING + (place + 1) * HOUR, **shape, seed=place)
        for place in range(count)
    ]
    room.clock.now = MORNING + count * HOUR + 2.0
    return made


def test_each_closed_window_gets_one_report_however_often_one_looks_and_whoever_looks(room):
    hours(room, 3)
    room.answered(50, room.clock.now, room.clock.now + 60)  # the hour that has just begun
    first = room.watcher()
    first.step()
    first.step()
    room.watcher().step()  # after a restart
    reports = room.reports()
    assert [(one.window.start, one.rows) for one in reports] == [(MORNING + place * HOUR, 600) for place in range(3)]
    assert [one.number for one in reports] == [1, 2, 3]
    assert all(one.reference.kind == "training" and one.reference.rows == 4000 for one in reports)
    assert {one.verdict for one in reports} == {"stable"}
    assert reports[0].models == ("late:1",)
    assert room.told == []


def test_what_shifted_is_said_first_and_told_after_the_second_window(room):
    hours(room, 1)
    for place in range(1, 4):
        room.answered(600, MORNING + place * HOUR, MORNING + (place + 1) * HOUR, shift=6.0, seed=place)
    room.clock.now = MORNING + 4 * HOUR + 2
    room.watcher().step()
    reports = room.reports()
    assert [verdict(one, "predictor", "delay") for one in reports] == ["stable", "drift", "drift", "drift"]
    assert [verdict(one, "predictor", "carrier") for one in reports] == ["stable"] * 4
    # One of two inputs is the half from which on the table as a whole drifts.
    assert [one.verdict for one in reports] == ["stable", "drift", "drift", "drift"]
    drift = [one for one in room.told if one.kind == "drift"]
    assert len(drift) == 1
    assert "predictor: delay" in drift[0].new
    assert drift[0].report == 3


def test_labels_that_come_later_amend_a_report_and_the_old_one_stays_as_it_was(room):
    made = hours(room, 2)
    watcher = room.watcher()
    watcher.step()
    before = room.reports()
    assert [one.labels.count for one in before] == [0, 0]
    assert verdict(before[0], "model", "labels") == "insufficient"

    room.clock.now += 10 * HOUR
    room.labelled(made[0][:550], room.clock.now - 60)
    watcher.step()
    after = room.reports()
    assert [one.number for one in after] == [3, 2]
    assert (after[0].amends, after[0].window, after[0].rows) == (1, before[0].window, 600)
    assert after[0].labels.count == 550
    assert after[0].labels.coverage == pytest.approx(550 / 600)
    accuracy = next(one for one in after[0].of("model") if one.subject == "accuracy")
    assert accuracy.value == 1.0  # what was told is what was said
    assert after[1] == before[1]
    with room.stores.database.read() as connection:
        kept = connection.execute(sa.select(monitor_reports.c.content).where(monitor_reports.c.number == 1)).scalar()
    assert msgspec.json.decode(kept) == msgspec.json.decode(msgspec.json.encode(before[0]))

    watcher.step()
    room.watcher().step()
    assert [one.number for one in room.reports()] == [3, 2]


def test_labels_that_come_too_late_amend_nothing(room):
    made = hours(room, 1)
    watcher = room.watcher(labels_within="1d")
    watcher.step()
    room.clock.now += 25 * HOUR
    room.labelled(made[0], room.clock.now - 60)
    watcher.step()
    assert [one.number for one in room.reports()] == [1]


def test_a_model_that_is_often_wrong_is_told_when_labels_have_come(room):
    made = hours(room, 3)
    watcher = room.watcher(alerting={"need": 2, "of": 2})
    watcher.step()
    room.clock.now += 5 * HOUR
    for one in made:
        room.labelled(one, room.clock.now - 60, wrong=0.4)
    watcher.step()
    assert {verdict(one, "model", "accuracy") for one in room.reports()} == {"drift"}
    assert "model_quality" in {one.kind for one in room.told}


def test_an_hour_without_predictions_has_no_report_and_nothing_is_written_for_it(room):
    hours(room, 1)
    watcher = room.watcher()
    watcher.step()
    room.clock.now += 5 * HOUR
    with room.stores.database.read() as connection:
        version = connection.exec_driver_sql("PRAGMA data_version").scalar()
        watcher.step()
        room.watcher().step()
        assert connection.exec_driver_sql("PRAGMA data_version").scalar() == version
    assert len(room.reports()) == 1


def test_a_watcher_with_nothing_to_do_reads_no_event(room, monkeypatch):
    hours(room, 2)
    watcher = room.watcher()
    watcher.step()
    for name in ("rows", "labels", "times"):
        monkeypatch.setattr(watcher._records, name, None)  # whoever calls it fails
    compacted = []
    watcher._compact = lambda: compacted.append(1)
    for _ in range(5):
        room.clock.now += 10
        watcher.step()
    assert room.told == []
    assert compacted == []


def test_a_clock_that_was_put_back_makes_no_report_until_it_has_caught_up(room):
    hours(room, 2)
    watcher = room.watcher()
    watcher.step()
    room.clock.now -= 3 * HOUR
    watcher.step()
    room.watcher().step()
    assert len(room.reports()) == 2
    room.answered(300, MORNING + 2 * HOUR, MORNING + 3 * HOUR)
    room.clock.now = MORNING + 3 * HOUR + 2
    watcher.step()
    assert len(room.reports()) == 3


@pytest.mark.parametrize("place", ["insert_report", "write_panes", "read_told", "lead"])
def test_a_watcher_killed_while_it_writes_leaves_nothing_half_and_the_next_goes_on(room, monkeypatch, place):
    hours(room, 2)

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(module, place, die)
    with pytest.raises(Killed):
        room.watcher().step()
    monkeypatch.undo()
    assert room.reports() == []
    with room.stores.database.read() as connection:
        assert connection.execute(sa.select(monitor_panes)).all() == []
    room.watcher().step()
    assert [one.number for one in room.reports()] == [1, 2]


def test_a_watcher_killed_between_two_reports_goes_on_with_the_second(room, monkeypatch):
    hours(room, 3)
    told = []

    class Killed(BaseException):
        pass

    def once(connection, report, origin):
        if told:
            raise Killed
        told.append(report)
        return insert_report(connection, report, origin)

    monkeypatch.setattr(module, "insert_report", once)
    with pytest.raises(Killed):
        room.watcher().step()
    monkeypatch.undo()
    assert len(room.reports()) == 1
    room.watcher().step()
    assert [one.window.start for one in room.reports()] == [MORNING, MORNING + HOUR, MORNING + 2 * HOUR]


def test_of_two_machines_one_makes_the_reports_and_the_other_takes_over_when_it_is_silent(room):
    hours(room, 1)
    room.watcher("one").step()
    room.answered(300, MORNING + HOUR, MORNING + 2 * HOUR)
    room.clock.now = MORNING + 2 * HOUR + 2
    room.watcher("other").step()
    assert len(room.reports()) == 1
    room.watcher("one").step()
    assert len(room.reports()) == 2
    room.answered(300, MORNING + 7 * HOUR, MORNING + 8 * HOUR)
    room.clock.now = MORNING + 8 * HOUR + 2
    room.watcher("other").step()
    assert len(room.reports()) == 3


def test_windows_by_count_hold_that_many_rows_and_are_held_against_the_ones_before(room):
    hours(room, 5, rows=500)
    watcher = room.watcher(window="1000 rows", reference="past")
    watcher.step()
    assert [one.rows for one in room.reports()] == [1000, 1000]
    assert [one.reference.kind for one in room.reports()] == ["none", "past"]
    assert room.reports()[1].reference.window == room.reports()[0].window
    room.answered(700, MORNING + 5 * HOUR, MORNING + 6 * HOUR, shift=6.0)
    room.clock.now += HOUR
    room.watcher(window="1000 rows", reference="past").step()
    reports = room.reports()
    assert [one.rows for one in reports] == [1000, 1000, 1000]
    assert verdict(reports[-1], "predictor", "delay") == "drift"


def test_a_window_that_slides_is_merged_from_panes_that_are_counted_once(room, monkeypatch):
    hours(room, 5, rows=400)
    room.watcher(window="3h", slide="1h").step()
    assert [(one.window.seconds / HOUR, one.rows) for one in room.reports()] == [
        (3, 400),
        (3, 800),
        (3, 1200),
        (3, 1200),
        (3, 1200),
    ]
    with room.stores.database.read() as connection:
        starts = connection.execute(sa.select(monitor_panes.c.start)).scalars().all()
    assert len(starts) == len(set(starts)) == 7  # two empty ones before the first hour


def test_a_past_reference_finds_what_changed_within_the_day_exactly(room):
    hours(room, 2)
    room.answered(600, MORNING + 2 * HOUR, MORNING + 3 * HOUR, carriers=("UA", "DL"))
    room.clock.now = MORNING + 3 * HOUR + 2
    room.watcher(reference="past").step()
    reports = room.reports()
    assert reports[0].reference.kind == "none"
    assert "There are no predictions in the past to compare with yet." in reports[0].notes
    assert reports[1].reference.window == reports[0].window
    assert verdict(reports[1], "predictor", "carrier") == "stable"
    assert verdict(reports[2], "predictor", "carrier") == "drift"


def test_the_same_hours_of_four_weeks_are_merged_to_one_reference(room):
    week = 7 * 24 * HOUR
    for back in (1, 2, 4):
        room.answered(500, MORNING - back * week, MORNING - back * week + HOUR, seed=back)
    room.answered(500, MORNING, MORNING + HOUR)
    room.clock.now = MORNING + HOUR + 2
    room.watcher(reference="week").step()
    newest = room.reports()[-1]
    assert (newest.reference.kind, newest.reference.rows) == ("week", 1500)
    assert "1 of 4 windows of the past are empty." in newest.notes
    assert verdict(newest, "predictor", "delay") == "stable"


def test_a_drift_within_one_part_of_the_traffic_is_found_there(room):
    hours(room, 1, rows=3000)
    room.answered(1500, MORNING + HOUR, MORNING + 2 * HOUR, carriers=("UA",), shift=6.0)
    room.answered(900, MORNING + HOUR, MORNING + 2 * HOUR, carriers=("DL",), seed=9)
    room.clock.now = MORNING + 2 * HOUR + 2
    room.watcher(segments=["carrier"], segment_levels=2).step()
    newest = room.reports()[-1]
    assert verdict(newest, "predictor", "delay", 'carrier = "UA"') == "drift"
    assert verdict(newest, "predictor", "delay", 'carrier = "DL"') == "stable"
    assert {one.segment for one in newest.findings} == {"", 'carrier = "UA"', 'carrier = "DL"'}


def test_a_window_in_which_two_versions_answered_is_held_against_the_stable_one(room):
    room.answered(500, MORNING, MORNING + HOUR)
    room.answered(700, MORNING, MORNING + HOUR, model="late:2", variant="candidate", seed=8)
    room.clock.now = MORNING + HOUR + 2
    room.watcher().step()
    newest = room.reports()[-1]
    assert newest.models == ("late:1", "late:2")
    assert newest.rows == 1200
    assert newest.reference.text == "the training data of late:1"
    assert any("Several versions answered" in one for one in newest.notes)


def test_rows_that_were_refused_are_counted_and_no_part_of_the_drift(room):
    room.answered(500, MORNING, MORNING + HOUR)
    room.answered(100, MORNING, MORNING + HOUR, status="schema_mismatch")
    room.clock.now = MORNING + HOUR + 2
    room.watcher().step()
    newest = room.reports()[-1]
    assert newest.rows == 600
    assert verdict(newest, "missing", "delay") == "stable"
    refused = next(one for one in newest.of("quality") if one.measure == "refused share")
    assert refused.value == pytest.approx(1 / 6)


def test_a_window_of_refused_rows_alone_is_a_report_that_says_so(room):
    room.answered(100, MORNING, MORNING + HOUR, status="schema_mismatch")
    room.clock.now = MORNING + HOUR + 2
    room.watcher().step()
    newest = room.reports()[-1]
    assert (newest.rows, newest.models, newest.verdict) == (100, (), "insufficient")
    assert "No prediction was answered in this window." in newest.notes


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_handful_of_rows_is_insufficient_and_no_drift(room, rows):
    room.answered(rows, MORNING, MORNING + HOUR)
    room.clock.now = MORNING + HOUR + 2
    room.watcher().step()
    newest = room.reports()[-1]
    assert {one.verdict for one in newest.of("predictor")} == {"insufficient"}


def test_a_measure_that_fails_is_a_finding_and_the_others_go_on(room, monkeypatch):
    from fairlead.monitor.measures import case as measures

    def fail(_):
        raise ZeroDivisionError

    monkeypatch.setattr(measures, "ALL", (("concept", fail), *measures.ALL))
    hours(room, 1)
    room.watcher().step()
    newest = room.reports()[-1]
    assert verdict(newest, "concept", "concept") == "error"
    assert verdict(newest, "predictor", "delay") == "stable"


def test_a_version_that_is_gone_is_named_and_the_report_is_made(room):
    room.answered(300, MORNING, MORNING + HOUR, model="late:9")
    room.clock.now = MORNING + HOUR + 2
    room.watcher().step()
    newest = room.reports()[-1]
    assert newest.reference.kind == "none"
    assert any("late:9 answered, and cannot be looked at" in one for one in newest.notes)


def test_reports_are_the_same_before_and_after_compaction(room):
    hours(room, 2)
    room.watcher().step()
    before = room.reports()
    compact(room.events, grace=0.0, least=0, now=room.clock.now + 48 * HOUR)
    assert list(room.events.glob("archive/late/*/prediction-*.parquet"))
    with room.stores.database.write() as connection:
        connection.execute(sa.delete(monitor_reports))
        connection.execute(sa.delete(monitor_panes))
    room.watcher().step()
    after = room.reports()
    assert [(one.rows, one.verdict) for one in after] == [(one.rows, one.verdict) for one in before]
    for one, other in zip(before, after, strict=True):
        effects = [
            {(found.area, found.subject, found.measure): found.effect for found in report.findings}
            for report in (one, other)
        ]
        assert effects[0] == pytest.approx(effects[1])


def test_a_part_that_cannot_be_read_is_named_and_the_rest_is_judged(room):
    hours(room, 1)
    compact(room.events, grace=0.0, least=0, now=room.clock.now + 48 * HOUR)
    room.answered(300, MORNING + 1800, MORNING + HOUR, seed=4)
    part = next(iter(room.events.glob("archive/late/*/prediction-*.parquet")))
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    room.watcher().step()
    newest = room.reports()[-1]
    assert newest.rows == 300
    assert any(part.name in one and "cannot be read" in one for one in newest.notes)


def test_what_the_operator_sets_holds_from_the_next_look_on_and_stands_in_the_audit(room):
    hours(room, 2)
    with room.stores.database.write() as connection:
        write_settings(connection, "late", {"enabled": False}, "ann")
    watcher = room.watcher()
    watcher.step()
    assert room.reports() == []
    with room.stores.database.write() as connection:
        write_settings(connection, "late", {"window": "2h"}, "ann")
    watcher.step()
    assert [one.window.seconds for one in room.reports()] == [2 * HOUR]
    entries = [one for one in audit_entries(room.stores.database, subject="late") if one.action == "set monitoring"]
    assert [one.actor for one in entries] == ["ann", "ann"]
    assert entries[0].detail["former"] == '{"enabled":false}'


def test_settings_that_cannot_be_used_any_more_are_told_once_and_so_is_that_they_can(room):
    hours(room, 2)
    with room.stores.database.write() as connection:
        write_settings(connection, "late", {"slide": "7m"}, "ann")
    watcher = room.watcher()
    watcher.step()
    watcher.step()
    assert [(one.kind, bool(one.subjects)) for one in room.told] == [("monitor_failed", True)]
    assert "7m" in room.told[0].because[0]
    with room.stores.database.write() as connection:
        write_settings(connection, "late", {}, "ann")
    watcher.step()
    assert [(one.kind, bool(one.subjects)) for one in room.told] == [
        ("monitor_failed", True),
        ("monitor_failed", False),
    ]
    assert len(room.reports()) == 2


def test_an_endpoint_that_fails_does_not_blind_the_others(room):
    from fairlead.rollout.direct import deploy

    deploy(room.stores.database, room.stores.blobs, "late:1", "other", actor="ann")
    hours(room, 1)
    room.answered(300, MORNING, MORNING + HOUR, endpoint="other")
    watcher = room.watcher()
    real = watcher._records.rows
    watcher._records.rows = lambda endpoint, window: real(endpoint, window) if endpoint == "other" else 1 / 0
    watcher.step()
    assert room.reports() == []
    assert [one.rows for one in room.reports("other")] == [300]
    assert [(one.endpoint, one.because) for one in room.told] == [("late", ("ZeroDivisionError.",))]
    watcher._records.rows = real
    room.clock.now += 120
    watcher.step()
    assert len(room.reports()) == 1
    assert [one.subjects for one in room.told][-1] == ()


def test_gauges_say_what_the_newest_report_says_and_the_quality_that_was_known_last(room):
    made = hours(room, 2)
    watcher = room.watcher()
    watcher.step()
    room.clock.now += HOUR / 2
    room.labelled(made[0], room.clock.now - 60)
    watcher.step()
    families = {one["name"]: one["samples"] for one in msgspec.json.decode((room.run / FILE).read_bytes())}
    assert families["fairlead_monitor_rows"] == [[{"endpoint": "late"}, 600.0]]
    assert families["fairlead_label_coverage"] == [[{"endpoint": "late"}, 0.0]]  # the second hour's
    quality = {labels["metric"]: value for labels, value in families["fairlead_model_quality"]}
    assert quality["accuracy"] == 1.0  # the first hour's
    scores = {labels["feature"]: value for labels, value in families["fairlead_drift_score"] if labels["test"] == "ks"}
    newest = room.reports()[-1]
    delay = next(one for one in newest.of("predictor") if one.subject == "delay")
    assert scores["delay"] == delay.effect


def test_a_report_is_amended_when_a_hundred_labels_or_a_point_of_coverage_came():
    assert grown(Labels(0, 0.0), Labels(1, 0.02))
    assert not grown(Labels(0, 0.0), Labels(0, 0.0))
    assert not grown(Labels(1000, 0.1), Labels(1099, 0.1099))
    assert grown(Labels(1000, 0.1), Labels(1100, 0.101))
    assert not grown(Labels(1000, 0.1), Labels(900, 0.2))


def test_a_notice_is_plain_data():
    assert Notice.__struct_config__.frozen


def test_a_budget_that_burns_is_told_within_the_look_and_so_is_that_it_does_not_any_more(room):
    hours(room, 6, rows=300)
    objectives = {"availability": 0.99}
    watcher = room.watcher(objectives=objectives)
    watcher.step()
    assert room.told == []
    # Half of five minutes' requests fail: of an hour's 325 are 25, seven times as many as one in a hundred; of the last five minutes all.
    room.answered(200, room.clock.now, room.clock.now + 240, status="prediction_failed")
    room.clock.now += 250
    watcher.step()
    assert [one.kind for one in room.told] == ["slo_burn"]
    assert any("availability: burn rate 1h" in one for one in room.told[0].new)
    watcher.step()
    room.watcher(objectives=objectives).step()  # who starts anew knows that it was told
    assert len(room.told) == 1
    families = {one["name"]: one["samples"] for one in msgspec.json.decode((room.run / FILE).read_bytes())}
    rates = {labels["window"]: value for labels, value in families["fairlead_slo_burn_rate"]}
    # 200 of some 500 requests of the last hour failed, where one in a hundred may.
    assert rates["1h"] == pytest.approx(100 * 200 / 479, rel=0.05)
    assert rates["5m"] == pytest.approx(100.0, rel=0.1)  # and whole minutes
    room.clock.now += 31 * 24 * HOUR  # the period of thirty days is over
    watcher.step()
    assert [(one.kind, one.subjects) for one in room.told[1:]] == [("slo_burn", ())]


def test_objectives_are_read_once_and_then_only_what_is_new(room, monkeypatch):
    hours(room, 3, rows=300)
    watcher = room.watcher(objectives={"latency": 0.9, "latency_seconds": 0.001})
    watcher.step()
    asked = []
    real = watcher._records.tallies
    monkeypatch.setattr(watcher._records, "tallies", lambda *told: asked.append(told[1]) or real(*told))
    room.answered(300, room.clock.now, room.clock.now + 100)
    room.clock.now += 120
    watcher.step()
    assert asked == [pytest.approx(MORNING + 3 * HOUR - 60, abs=60)]
    budget = next(one for one in watcher._endpoints["late"].levels if one.measure == "error budget")
    assert budget.n == 1200  # each request is counted once
    assert budget.further["bad"] == 1200  # they took two milliseconds each
