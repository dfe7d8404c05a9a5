"""`fairlead demo --story year` as a stranger starts it, held against scipy, scikit-learn and pandas on the same flights.

A month's flights are found by the data package's own column `time_hour`, which is in UTC, and never in what the story has written; the model is the
pipeline that lies in the bundle, asked by scikit-learn. Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fenced import ROOT, Reader, blocks, matches, steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HOWTO = ROOT / "docs" / "howto" / "monitor.md"
STORY = "fairlead demo --story year"
SECONDS = 800
MONTHS = ["April", "May", "June", "July", "August", "September", "October", "November", "December"]


def environment():
    named = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    return {**named, "NO_COLOR": "1", "COLUMNS": "120"}


def told_in(folder):
    return subprocess.run(
        [sys.executable, "-m", "fairlead.cli.main", "demo", "--story", "year"],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A folder in which the story was told, with what was said."""
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("year")
    done = told_in(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout, done.stderr


def asked(told, *words):
    folder, _, _ = told
    command = [sys.executable, "-m", "fairlead.cli.main", "--home", ".fairlead/year", "monitor", *words, "--json"]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def reports(told):
    """By month, the report before outcomes were known, and the one that stands instead of it; as JSON has them."""
    from fairlead.monitor.store import find_report
    from fairlead.storage.database import open_database

    listed = {one["number"]: one for one in asked(told, "list", "flights")}
    assert len(listed) == 2 * len(MONTHS)
    pairs = sorted((one["amends"], number) for number, one in listed.items() if one["amends"])
    with open_database(f"sqlite:///{told[0]}/.fairlead/year/fairlead.db").read() as connection:
        shown = [[json.loads(find_report(connection, number).to_json()) for number in pair] for pair in pairs]
    assert shown[0][1] == asked(told, "show", str(pairs[0][1]))
    return dict(zip(MONTHS, shown, strict=True))


def value(report, area, subject, measure=None):
    return next(
        one
        for one in report["findings"]
        if (one["area"], one["subject"]) == (area, subject) and measure in (None, one["measure"])
    )


@pytest.fixture(scope="module")
def months(year):
    """By month in UTC, the flights after March, by the package's `time_hour`."""
    import pandas as pd

    from fairlead.demo.flights import _data_folder

    raw = pd.read_csv(
        _data_folder() / "flights.csv.zip", usecols=["arr_delay", "time_hour", "minute", "year", "month", "day", "hour"]
    )
    raw = raw[raw["arr_delay"].notna()]
    local = pd.to_datetime(raw[["year", "month", "day", "hour", "minute"]])
    hours = pd.to_datetime(raw["time_hour"], utc=True).iloc[local.argsort(kind="stable")]
    later = (year["month"] > 3).to_numpy()
    in_utc = hours.dt.month.to_numpy() * (hours.dt.year == 2013).to_numpy()
    return {name: year[later & (in_utc == number)] for number, name in enumerate(MONTHS, start=4)}


@pytest.fixture(scope="module")
def held_out(year):
    """The winter's flights that the story's model was not trained on."""
    from fairlead.demo.versions import WATCHED

    trained, held = WATCHED.parted(WATCHED.table(year))
    assert len(trained) + len(held) == (year["month"] <= 3).sum()
    return held


@pytest.fixture(scope="module")
def measured(told, months, held_out):
    """scikit-learn's area under the curve of the pipeline, for each month and for what was held out."""
    from sklearn.metrics import roc_auc_score

    from fairlead.demo.flights import COLUMNS

    (found,) = Path(told[0], ".fairlead/year/cache").rglob("original.pkl")
    model = pickle.loads(found.read_bytes())
    place = list(model.classes_).index("late")
    tables = {**months, "held out": held_out}
    return {
        name: roc_auc_score(table["late"] == "late", model.predict_proba(table[list(COLUMNS)])[:, place])
        for name, table in tables.items()
    }


def test_each_month_has_its_flights_and_their_late_share(reports, months):
    for name, (first, amended) in reports.items():
        assert first["rows"] == amended["rows"] == len(months[name])
        assert (first["labels"]["count"], amended["labels"]["count"]) == (0, len(months[name]))
        assert amended["labels"]["unknown"] == 0
        picture = value(amended, "target", "late")["picture"]
        shares = dict(zip(picture["labels"], picture["current"], strict=True))
        assert shares["late"] == pytest.approx((months[name]["late"] == "late").mean(), abs=1e-9)


@pytest.mark.parametrize("column", ["month", "temp", "dewp", "hour", "wind_speed"])
def test_the_drift_of_a_column_is_scipys_as_far_as_bins_tell(reports, months, held_out, column):
    from scipy.stats import ks_2samp

    for name in ("April", "September"):
        exact = ks_2samp(held_out[column].dropna(), months[name][column].dropna()).statistic
        found = value(reports[name][1], "predictor", column)["effect"]
        # The distance between bins' ends: at most the exact one, and near it.
        assert exact - 0.02 <= found <= exact + 1e-9


def test_the_measured_quality_is_scikit_learns(reports, measured):
    for name, (first, amended) in reports.items():
        found = value(amended, "model", "roc_auc")
        assert found["value"] == pytest.approx(measured[name], abs=1e-6)
        assert found["reference"] == pytest.approx(measured["held out"], abs=1e-6)
        assert found["interval"][0] < measured[name] < found["interval"][1]
        assert [
            one["value"] for one in first["findings"] if one["area"] == "model" and one["subject"] == "roc_auc"
        ] in ([], [None])


def test_before_outcomes_are_known_there_is_an_estimate(reports):
    for first, _ in reports.values():
        low, high = value(first, "estimate", "roc_auc")["interval"]
        assert 0.5 < low < value(first, "estimate", "roc_auc")["value"] < high < 1


def test_retraining_was_due_where_scikit_learn_says_that_a_twentieth_was_lost(told, reports, measured):
    # 27,000 flights tell an area to 0.004 or so: what has lost 0.05 has surely lost something.
    lost = [name for name in MONTHS if measured["held out"] - measured[name] >= 0.05]
    assert [name for name, (_, one) in reports.items() if value(one, "model", "roc_auc")["verdict"] == "drift"] == lost
    assert all(reports[name][1]["verdict"] == "drift" for name in lost)
    said = " ".join(told[1].split())
    assert f"Retraining was due in {lost[0]}," in said
    assert f"{len(lost)} of 9 months: {', '.join(lost)}." in said


def test_the_table_says_what_the_reports_say(told, reports):
    for name, (first, amended) in reports.items():
        (line,) = re.findall(rf"^{name} .*$", told[1], re.MULTILINE)
        for one in (value(first, "estimate", "roc_auc"), value(amended, "model", "roc_auc")):
            assert f"{one['value']:.3f} ({one['interval'][0]:.3f} to {one['interval'][1]:.3f})" in line
        assert f"{amended['rows']:,}" in line


def test_there_is_a_page_for_each_month(told):
    pages = sorted(Path(told[0], ".fairlead/year/pages").iterdir())
    assert [one.name for one in pages] == [f"2013-{number:02}.html" for number in range(4, 13)]
    assert all(0 < one.stat().st_size <= 300_000 for one in pages)
    assert "flights, April 2013" in pages[0].read_text()


def shape(text):
    """A text without the digits of its fractions, whose last ones are another processor's if they like."""
    return re.sub(r"\d+\.\d+", "#", text)


def fractions(line):
    return [float(one) for one in re.findall(r"\d+\.\d+", line)]


def test_the_howto_shows_what_the_story_says(told):
    shown = {one.command: one.expected for block in blocks(HOWTO) if block.mode for one in steps(block)}
    assert matches(shape(shown[STORY]), shape(told[2] + told[1])), told[2] + told[1]
    for name in MONTHS:
        there, here = (re.search(rf"^{name} .*$", one, re.MULTILINE)[0] for one in (shown[STORY], told[1]))
        # Shares in percent, to a third of one; areas under the curve and their intervals, to a hundredth.
        for one, other in zip(fractions(there), fractions(here), strict=True):
            assert other == pytest.approx(one, abs=0.3 if one > 1 else 0.01)
    reader = Reader(told[0])
    others = {command: expected for command, expected in shown.items() if "--home .fairlead/year" in command}
    assert others
    for command, expected in others.items():
        got = reader.run(["bash", "-c", command], command)
        assert matches(shape(expected), shape(got)), f"{command}\n{got}"


def test_the_second_time_it_is_told_and_not_made(told):
    folder, said, _ = told
    again = told_in(folder)
    assert (again.returncode, again.stdout) == (0, said)
    assert "training" not in again.stderr
    assert len(asked(told, "list", "flights")) == 18


def test_the_settings_that_the_howto_shows_are_settings(tmp_path):
    from fairlead.config import load_config

    (shown,) = (block.text for block in blocks(HOWTO) if block.language == "toml")
    (tmp_path / "fairlead.toml").write_text(shown)
    found = load_config(environment={}, folder=tmp_path).monitor.of("flights", {})
    assert (found.window, found.slide, found.segments, found.thresholds.ks) == ("7d", "1d", ("carrier",), 0.15)
    assert found.expectations["humid"].maximum == 100
    assert found.objectives.latency_seconds == 0.05
