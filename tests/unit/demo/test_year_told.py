"""The story of the year: which flights belong to a month by New York's clock, what is told of hand-made reports, and what is left alone."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pandas as pd
import pytest

from fairlead.config import load_config
from fairlead.demo import chronicle, recorded, year
from fairlead.demo.chronicle import Month, Said
from fairlead.demo.screen import Screen
from fairlead.demo.versions import FIRST, WATCHED
from fairlead.errors import Conflict, InvalidInput, StorageError
from fairlead.monitor.report import Finding, Labels, Picture, Reference, Report

NEW_YORK = ZoneInfo("America/New_York")


def departures(*texts):
    return pd.DataFrame({"departure": pd.to_datetime(list(texts))})


def told(month, *findings, rows=1000):
    return Report(
        endpoint="flights",
        window=year.month_window(month),
        models=("flights:1",),
        rows=rows,
        reference=Reference("training", "the training data of flights:1", 500),
        labels=Labels(),
        findings=findings,
        verdict="stable",
        drifted=None,
        made=0.0,
    )


def one(area, subject, verdict="stable", **more):
    facts = {"measure": "chi2", "because": f"{subject} is so.", "n": 1000}
    return Finding(area=area, subject=subject, verdict=verdict, **{**facts, **more})


def auc(area, value, verdict="stable"):
    return one(area, "roc_auc", verdict, value=value, interval=(value - 0.01, value + 0.01), because=f"AUC is {value}.")


def shares(before, now):
    return Picture("names", ("on time", "late"), (1 - before, before), (1 - now, now))


def a_month(number, *, estimated, measured, late, said=0.1, verdict="stable"):
    first = told(number, auc("estimate", estimated), one("prediction", "late", picture=shares(0.1, said)))
    outcome = one("target", "late", picture=shares(0.2, late))
    return Month(first, told(number, auc("model", measured, verdict), outcome))


# -- the flights of a month --------------------------------------------------------------------------------------------


def test_a_month_is_in_utc_and_the_table_in_new_yorks_time():
    # Python's own time zones say when each left; 1 May in UTC begins at 20:00 of 30 April in New York.
    table = departures("2013-04-30 19:59", "2013-04-30 20:00", "2013-11-02 12:00", "2013-11-04 12:00")
    flown, times = recorded.within(table, year.month_window(4))
    assert list(flown.index) == [0]
    assert times == [datetime(2013, 4, 30, 19, 59, tzinfo=NEW_YORK).timestamp()]
    _, times = recorded.within(table, year.month_window(11))
    assert times == [datetime(2013, 11, day, 12, tzinfo=NEW_YORK).timestamp() for day in (2, 4)]


def test_the_months_of_the_story_follow_each_other_to_the_end_of_the_year():
    windows = [year.month_window(number) for number in year.MONTHS]
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert windows[-1].end == datetime(2014, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp()


def test_what_is_held_out_is_a_fifth_and_is_not_trained_on():
    table = pd.DataFrame({"row": range(1000)})
    trained, held = WATCHED.parted(table)
    assert (len(trained), len(held)) == (800, 200)
    assert sorted([*trained["row"], *held["row"]]) == list(range(1000))
    assert WATCHED.parted(table)[1].equals(held)
    assert FIRST.parted(table)[1] is None


def test_events_that_cannot_be_written_are_no_story(tmp_path):
    (tmp_path / "events").write_text("a file in the way")
    with (
        pytest.raises(StorageError, match="1 events could not be written"),
        recorded.written(tmp_path / "events", "x") as log,
    ):
        log.note([recorded.Feedback("a", 0.0, "flights", label="late")])


# -- what is told ------------------------------------------------------------------------------------------------------


def test_retraining_is_due_in_the_first_month_that_is_surely_worse():
    months = [
        a_month(4, estimated=0.75, measured=0.74, late=0.2),
        a_month(5, estimated=0.75, measured=0.60, late=0.3, verdict="drift"),
        a_month(6, estimated=0.75, measured=0.61, late=0.1, verdict="drift"),
    ]
    assert chronicle.due(months) is months[1]
    text = chronicle.chronicle(months, [Said(months[1].amended.window.end, "model_quality", ("model: roc_auc",))])
    assert "Retraining was due in May," in text
    assert "It was so in 2 of 3 months: May, June." in text
    assert "  1 June 2013  roc_auc" in text
    assert "30.0 % in May and 10.0 % in June" in text


def test_a_model_that_holds_is_not_to_be_trained_again():
    months = [a_month(4, estimated=0.75, measured=0.76, late=0.2)]
    assert chronicle.due(months) is None
    text = " ".join(chronicle.chronicle(months, []).split())
    assert "Retraining was due in no month" in text
    assert "below the estimate in 0 of 1 months" in text


@pytest.mark.parametrize(
    ("said", "late", "sentence"),
    [(0.05, 0.3, "expects fewer late flights"), (0.2, 0.1, "expects more late flights"), (0.05, 0.1, "")],
)
def test_a_model_that_expects_the_contrary_of_what_came_is_not_banal(said, late, sentence):
    text = chronicle.chronicle([a_month(4, estimated=0.7, measured=0.7, late=late, said=said)], [])
    assert ("not banal" in text) == bool(sentence)
    assert sentence in text


def test_what_was_not_measured_is_told_as_that():
    nothing = Month(told(4), told(4))
    assert chronicle.line(nothing) == "April: 1,000 flights; AUC by estimate —; when the outcomes were known —"
    assert "Nothing is known of the late flights." in chronicle.chronicle([nothing], [])


# -- its folder --------------------------------------------------------------------------------------------------------


@pytest.fixture
def said():
    lines = []
    return lines, Screen(talk=lines.append, show=lines.append, live=lines.append)


def test_a_folder_that_is_not_the_storys_is_left_alone(tmp_path, said):
    (tmp_path / year.FOLDER).mkdir()
    (tmp_path / year.FOLDER / "precious").write_text("kept")
    with pytest.raises(Conflict, match="not the story's"):
        year.tell(load_config({"home": str(tmp_path)}, environment={}), said[1])
    assert (tmp_path / year.FOLDER / "precious").read_text() == "kept"


def test_the_storys_reports_go_to_no_shared_database(tmp_path, said):
    config = load_config({"home": str(tmp_path)}, environment={"FAIRLEAD_DATABASE": "postgresql+psycopg://x/y"})
    with pytest.raises(InvalidInput, match="folder of its own"):
        year.tell(config, said[1])
    assert list(tmp_path.iterdir()) == []


def test_a_story_that_is_whole_is_told_from_what_lies_there(tmp_path, said):
    pytest.importorskip("sklearn")
    months = (a_month(4, estimated=0.75, measured=0.74, late=0.2),)
    home = tmp_path / year.FOLDER
    home.mkdir()
    (home / "story.json").write_bytes(msgspec.json.encode(year._Story(year._maker(), months)))
    year.tell(load_config({"home": str(tmp_path)}, environment={}), said[1])
    assert "0.740 (0.730 to 0.750)" in said[0][0]
    assert str(home / "pages") in said[0][1]
