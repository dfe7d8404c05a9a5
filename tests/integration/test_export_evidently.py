"""The exported script, run by the real Evidently in an environment of its own. The truth: scipy's tests of the same rows.

Evidently is a gigabyte with its libraries, so this runs only where somebody has asked for that environment (see `own_environment.python_kept`).
"""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from answered_log import DAY, MONDAY, flights, predictions, write
from own_environment import python_kept
from scipy import stats

from fairlead.events import Columns
from fairlead.exporters.evidently import EXPORTER, EvidentlyOptions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NOW, OLD = flights(900, 2, warmer=8), flights(900, 3)
VALUE = re.compile(r"ValueDrift\(column=(\w+(?:\.\w+)?),method=([^,]+),threshold=[0-9.]+\) (\S+)")


@pytest.fixture(scope="module")
def python():
    return python_kept("evidently==0.7.23", "pandas==2.3.3", "pyarrow==26.0.1")


def exported(folder, *, reference="past"):
    given = {"endpoint": "flights", "window": "2023-11-14..2023-11-15", "now": MONDAY + 7 * DAY}
    EXPORTER.export(EvidentlyOptions(events=folder / "events", reference=reference, **given), folder / "out")
    return folder / "out" / "report.py"


def run(python, *words):
    done = subprocess.run([python, *words], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return {found[1]: (found[2], float(found[3])) for found in VALUE.finditer(done.stdout)}


def test_evidently_reads_the_window_and_finds_what_scipy_finds(python, tmp_path):
    (tmp_path / "events").mkdir()
    for rows, start in ((NOW, MONDAY + DAY), (OLD, MONDAY)):
        answers = list(predictions(rows, start))
        write(tmp_path / "events", answers, labels=[(one.id, one.prediction) for one in answers[:200]])
    script = exported(tmp_path)
    found = run(python, script)
    assert found.keys() == {"temp", "hour", "carrier", "weekend", "prediction", "target", "probability.late"}
    warm, cold = ([row.temp for row in rows if row.temp is not None] for rows in (NOW, OLD))
    assert found["temp"] == ("K-S p_value", pytest.approx(stats.ks_2samp(cold, warm).pvalue, rel=1e-9))
    hours = [[row.hour for row in rows] for rows in (NOW, OLD)]
    assert found["hour"] == ("K-S p_value", pytest.approx(stats.ks_2samp(*hours).pvalue, rel=1e-9))
    assert found["carrier"][0] == "chi-square p_value"
    assert (script.parent / "report.html").stat().st_size > 1_000_000


def test_a_regression_with_odd_columns_is_read_against_a_table_of_ones_own(python, tmp_path):
    (tmp_path / "events").mkdir()
    inputs = ("temp", "constant", "gone", "flag")
    answers = [
        one.__class__(
            one.id, one.time, "flights", "flights:1", "stable", None, "ok", 0.1,
            (one.inputs[0], 1.0, None, None if place % 7 else True), 3.5 + place, None, (),
        )
        for place, one in enumerate(predictions(NOW, MONDAY + DAY))
    ]  # fmt: skip
    columns = Columns("flights:1", "0" * 64, inputs, ())
    write(tmp_path / "events", answers, columns=columns, labels=[(one.id, 4.5) for one in answers[:9]])
    table = tmp_path / "train.csv"
    lines = [f"{'' if row.temp is None else row.temp},1,2,{row.weekend},7" for row in OLD]
    table.write_text("\n".join(["temp,constant,gone,flag,more", *lines]))
    found = run(python, exported(tmp_path, reference=""), table)
    assert found.keys() == {"temp", "constant", "flag"}
    warm, cold = ([row.temp for row in rows if row.temp is not None] for rows in (NOW, OLD))
    assert found["temp"][1] == pytest.approx(stats.ks_2samp(cold, np.array(warm)).pvalue, rel=1e-9)


def test_without_anything_to_hold_them_against_the_script_says_so(python, tmp_path):
    (tmp_path / "events").mkdir()
    write(tmp_path / "events", predictions(NOW[:20], MONDAY + DAY))
    done = subprocess.run(
        [python, exported(tmp_path, reference="")], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 1
    assert "say what the answers are held against" in done.stderr
