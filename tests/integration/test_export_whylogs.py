"""A window as a whylogs profile. The truth: the rows themselves by numpy, and whylogs' own profile of them.

whylogs 1.6.4 asks NumPy for a name that NumPy 2 has not; where whylogs is to make a profile by itself, the test gives NumPy that name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from answered_log import CLASSES, DAY, INPUTS, MONDAY, flights, predictions, write

from fairlead.errors import NotFound
from fairlead.exporters.sketches import Sketches
from fairlead.exporters.spans import Span
from fairlead.exporters.whylogs import EXPORTER
from fairlead.monitor.batches import batch_of
from fairlead.profiles.counting import profile_of
from fairlead.profiles.profile import NumberCounts
from fairlead.schema import Column, Output, Schema
from running import cli

pytestmark = pytest.mark.slow
os.environ["WHYLOGS_NO_ANALYTICS"] = "1"
"""Before its first import, which tells its makers of itself."""

pytest.importorskip("whylogs_sketching", reason="whylogs has no wheels for this Python")

ROWS = flights(4000, 1)
WINDOW = "2023-11-13..2023-11-14"
SPAN = Span(MONDAY, MONDAY + DAY)


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    from whylogs.core import DatasetProfileView

    home = tmp_path_factory.mktemp("home")
    (home / "events").mkdir()
    answers = list(predictions(ROWS, MONDAY))
    labels = [(one.id, CLASSES[place % 2]) for place, one in enumerate(answers[:1000])]
    write(home / "events", answers, labels=labels)
    write(home / "events", predictions(ROWS[:100], MONDAY + 60, status="schema-mismatch"))
    write(home / "events", predictions(ROWS, MONDAY + DAY))
    cli(home, "export", "whylogs", "-o", str(home / "out"), "--endpoint", "flights", "--window", WINDOW)
    return DatasetProfileView.read(str(home / "out" / "profile.bin"))


@pytest.fixture
def whylogs(monkeypatch):
    """whylogs, as it works with the NumPy that it knows."""
    monkeypatch.setattr(np, "unicode_", np.str_, raising=False)
    import whylogs

    return whylogs


def told(view, column):
    return view.get_column(column).to_summary_dict()


def test_its_columns_are_the_inputs_the_answers_and_the_labels(view):
    scores = {f"probability.{one}" for one in CLASSES}
    assert view.get_columns().keys() == {*INPUTS, "prediction", "target"} | scores
    assert view.dataset_timestamp.timestamp() == MONDAY
    assert view.metadata == {"whylogs.tag.endpoint": "flights", "whylogs.tag.models": "flights:1"}


def test_each_column_counts_the_answered_rows_of_the_window_and_what_is_missing(view):
    for name in INPUTS:
        values = [getattr(row, name) for row in ROWS]
        found = told(view, name)
        assert found["counts/n"] == len(ROWS)
        assert found["counts/null"] == values.count(None)
        kinds = Counter(type(one) for one in values if one is not None)
        told_kinds = [found[f"types/{one}"] for one in ("fractional", "string", "integral", "boolean")]
        assert told_kinds == [kinds[kind] for kind in (float, str, int, bool)]
    assert told(view, "target")["counts/null"] == len(ROWS) - 1000
    assert told(view, "weekend")["counts/true"] == sum(row.weekend for row in ROWS)


def test_numbers_have_the_moments_and_quantiles_of_the_rows(view):
    values = np.array([row.temp for row in ROWS if row.temp is not None])
    found = told(view, "temp")
    assert found["distribution/mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert found["distribution/stddev"] == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert (found["distribution/min"], found["distribution/max"]) == (values.min(), values.max())
    # A KLL sketch with k = 1024 errs by less than a share of 0.4 % of the ranks, and with certainty by less than 2 %.
    for share, name in [(0.05, "q_05"), (0.25, "q_25"), (0.5, "median"), (0.95, "q_95")]:
        assert np.mean(values <= found[f"distribution/{name}"]) == pytest.approx(share, abs=0.02)


def test_names_are_counted_by_their_level(view):
    levels = Counter(row.carrier for row in ROWS if row.carrier is not None)
    assert {one.value: one.est for one in told(view, "carrier")["frequent_items/frequent_strings"]} == levels
    hours = Counter(str(row.hour) for row in ROWS)
    assert {one.value: one.est for one in told(view, "hour")["frequent_items/frequent_strings"]} == hours


def test_it_says_what_whylogs_says_of_the_same_rows(view, whylogs):
    frame = pd.DataFrame(ROWS).astype({"carrier": object, "weekend": object})
    theirs = whylogs.log(pandas=frame).view()
    for name in INPUTS:
        ours, other = told(view, name), told(theirs, name)
        assert ours.keys() == other.keys()
        # The sketch of quantiles rolls dice; pandas writes a missing number as NaN, and the event log does not.
        same = {key for key in other if not key.startswith(("distribution/q_", "distribution/median"))} - {"counts/nan"}
        items = "frequent_items/frequent_strings"
        assert sorted(map(str, ours.pop(items, []))) == sorted(map(str, other.pop(items, [])))
        for key in same - {items}:
            assert ours[key] == pytest.approx(other[key], rel=1e-9, nan_ok=True), key


def test_it_merges_with_a_profile_that_whylogs_made(view, whylogs):
    merged = view.merge(whylogs.log(pandas=pd.DataFrame({"temp": [50.0, 51.0], "carrier": ["UA", "WN"]})).view())
    assert told(merged, "temp")["counts/n"] == len(ROWS) + 2
    levels = Counter(row.carrier for row in ROWS if row.carrier is not None) + Counter(["UA", "WN"])
    assert {one.value: one.est for one in told(merged, "carrier")["frequent_items/frequent_strings"]} == levels


def test_our_own_profile_of_the_rows_agrees_with_it(view):
    frame = pl.DataFrame(
        {f"input.{name}": [getattr(row, name) for row in ROWS] for name in INPUTS}
        | {"prediction": [CLASSES[row.hour > 12] for row in ROWS]}
    )
    kinds = ("number", "string", "number", "boolean")
    columns = tuple(Column(name, kind) for name, kind in zip(INPUTS, kinds, strict=True))
    schema = Schema(columns, Output("classification", classes=CLASSES))
    profile = profile_of(batch_of(frame, schema), schema)
    for one in (profile.find(name) for name in INPUTS):
        found = told(view, one.name)
        assert (one.rows, one.missing) == (found["counts/n"], found["counts/null"])
        if isinstance(one, NumberCounts):
            assert one.moments.count == found["distribution/n"]
            assert one.moments.mean == pytest.approx(found["distribution/mean"], rel=1e-9)
            assert one.moments.deviation == pytest.approx(found["distribution/stddev"], rel=1e-9)


def test_infinite_numbers_are_counted_and_have_no_part_in_the_mean():
    from whylogs.core import DatasetProfileView

    sketches = Sketches()
    sketches.add(pl.DataFrame({"x": [1.0, float("inf"), None, 3.0, float("nan"), float("-inf")]}))
    view = DatasetProfileView.deserialize(sketches.profile({"x": "x"}, SPAN, {}))
    found = told(view, "x")
    assert [found[f"counts/{one}"] for one in ("n", "null", "nan", "inf")] == [6, 2, 1, 2]
    assert (found["distribution/mean"], found["distribution/n"], found["types/fractional"]) == (2.0, 2, 4)


def test_a_column_that_changes_its_type_between_frames_is_counted_as_both():
    from whylogs.core import DatasetProfileView

    sketches = Sketches()
    for values in ([1.5, None], ["a"], [2, 3], [None, True], []):
        sketches.add(pl.DataFrame({"x": values}))
    found = told(DatasetProfileView.deserialize(sketches.profile({"x": "y"}, SPAN, {})), "y")
    kinds = [found[f"types/{one}"] for one in ("fractional", "string", "integral", "boolean")]
    assert (found["counts/n"], found["counts/null"], kinds) == (7, 2, [1, 1, 2, 1])


def test_without_whylogs_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "whylogs.core.metrics", None)
    with pytest.raises(NotFound, match="not installed") as caught:
        Sketches()
    assert caught.value.hint == "pip install 'fairlead[whylogs]'"


def test_making_a_profile_opens_no_connection():
    # whylogs tells its makers of each import unless it is told not to.
    code = """
import os, socket, threading
def refuse(*_): os._exit(7)  # from whichever thread
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from fairlead.exporters.sketches import Sketches
Sketches()
for one in threading.enumerate():
    if one is not threading.current_thread(): one.join(20)
"""
    environment = {name: value for name, value in os.environ.items() if name != "WHYLOGS_NO_ANALYTICS"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def test_a_window_without_answers_is_told(tmp_path):
    (tmp_path / "events").mkdir()
    done = cli(
        tmp_path,
        "export",
        "whylogs",
        "-o",
        str(tmp_path / "out"),
        "--endpoint",
        "flights",
        "--window",
        WINDOW,
        check=False,
    )
    assert done.returncode != 0
    assert "flights gave no answers from 2023-11-13 00:00:00 to 2023-11-14 00:00:00 (UTC)" in done.stderr
    assert not (tmp_path / "out").exists()
    assert EXPORTER.summary.endswith(".")
