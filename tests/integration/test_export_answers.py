"""Answers of a window as a table for other tools. The truth: the rows that were recorded, and pyarrow, which reads the table."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pyarrow.parquet as pq
import pytest
from answered_log import CLASSES, DAY, INPUTS, MONDAY, flights, predictions, write

from fairlead.errors import BadReference, NotFound
from fairlead.events import Columns
from fairlead.exporters.answers import layout_of, plain_names, together
from fairlead.exporters.evidently import EXPORTER, EvidentlyOptions
from fairlead.exporters.exporter import asked_fields
from fairlead.schema import Column, Output, Schema

WINDOW = "2023-11-14..2023-11-15"
ROWS = flights(200, 2, warmer=8)
PAST = flights(300, 3)
SCHEMA = Schema(
    (
        Column("temp", "number"),
        Column("carrier", "string", categories=("UA", "B6", "DL")),
        Column("hour", "integer", categories=tuple(range(24))),
        Column("weekend", "boolean"),
    ),
    Output("classification", target="late", classes=CLASSES, probabilities=True),
)


@pytest.fixture
def events(tmp_path):
    folder = tmp_path / "events"
    folder.mkdir()
    return folder


def export(events, to, **asked):
    given = {"endpoint": "flights", "window": WINDOW, "events": events, "now": MONDAY + 7 * DAY} | asked
    return EXPORTER.export(EvidentlyOptions(**given), to)


def facts(folder):
    """The names at the top of the script."""
    tree = ast.parse((folder / "report.py").read_text())
    found = [one for one in tree.body if isinstance(one, ast.Assign) and one.targets[0].id.isupper()]
    return {one.targets[0].id: ast.literal_eval(one.value) for one in found if one.targets[0].id != "HERE"}


def test_the_window_and_the_one_before_it_are_two_tables(events, tmp_path):
    answers = list(predictions(ROWS, MONDAY + DAY))
    write(events, answers, labels=[(one.id, "late") for one in answers[:50]])
    write(events, predictions(ROWS[:9], MONDAY + DAY + 1, status="schema-mismatch"))
    write(events, predictions(PAST, MONDAY))
    made = export(events, tmp_path / "out", reference="past")
    assert [path.name for path in made] == ["README.md", "report.py", "current.parquet", "reference.parquet"]
    table = pq.read_table(tmp_path / "out" / "current.parquet").to_pydict()
    for name in INPUTS:
        assert table[name] == [getattr(row, name) for row in ROWS]
    assert table["prediction"] == [CLASSES[row.hour > 12] for row in ROWS]
    assert table["probability.late"] == [row.hour / 24 for row in ROWS]
    assert table["target"] == ["late"] * 50 + [None] * 150
    assert table["time"][0] == datetime(2023, 11, 14, tzinfo=UTC)
    assert table["id"] == [one.id for one in answers]
    past = pq.read_table(tmp_path / "out" / "reference.parquet").to_pydict()
    assert past["temp"] == [row.temp for row in PAST]
    page = (tmp_path / "out" / "README.md").read_text()
    assert "`current.parquet`: 200 rows, 2023-11-14 00:00:00 to 2023-11-15 00:00:00 (UTC)" in page
    assert "`reference.parquet`: 300 rows" in page


def test_the_script_knows_by_the_schema_which_columns_are_names(events, tmp_path):
    write(events, predictions(ROWS, MONDAY + DAY))
    export(events, tmp_path / "out", schema_of={"flights:1": SCHEMA}.get)
    found = facts(tmp_path / "out")
    assert found["NUMBERS"] == ["temp", "probability.late"]
    assert found["NAMES"] == ["carrier", "hour", "weekend", "prediction"]
    assert (found["TASK"], found["POSITIVE"], found["TARGET"]) == ("binary", "late", "")
    assert "was not asked for" in (tmp_path / "out" / "README.md").read_text()


def test_without_a_schema_the_types_of_the_columns_tell(events, tmp_path):
    write(events, predictions(ROWS, MONDAY + DAY))
    export(events, tmp_path / "out")
    found = facts(tmp_path / "out")
    assert found["NUMBERS"] == ["temp", "hour", "probability.late"]
    assert found["NAMES"] == ["carrier", "weekend", "prediction"]
    assert (found["TASK"], found["POSITIVE"]) == ("binary", "late")


def test_a_regression_has_numbers_for_answers_and_labels(events, tmp_path):
    answers = [
        one.__class__("r" + one.id, one.time, "flights", "flights:1", "stable", None, "ok", 0.1, (one.inputs[0],), 3.5, None, ())
        for one in predictions(ROWS, MONDAY + DAY)
    ]  # fmt: skip
    write(events, answers, columns=Columns("flights:1", "0" * 64, ("temp",), ()), labels=[(answers[0].id, 4)])
    export(events, tmp_path / "out")
    found = facts(tmp_path / "out")
    assert (found["TASK"], found["NUMBERS"], found["NAMES"]) == ("regression", ["temp", "prediction", "target"], [])
    table = pq.read_table(tmp_path / "out" / "current.parquet").to_pydict()
    assert table["target"] == [4.0] + [None] * 199
    assert table["prediction"] == [3.5] * 200


def test_versions_with_other_columns_stand_in_one_table(events, tmp_path):
    write(events, predictions(ROWS[:5], MONDAY + DAY))
    wider = [
        one.__class__(one.id + "w", one.time, "flights", "flights:2", "stable", None, "ok", 0.1, ("50", "UA", 7, True, 1.5), "late", None, ())
        for one in predictions(ROWS[:3], MONDAY + DAY + 1000)
    ]  # fmt: skip
    columns = Columns("flights:2", "1" * 64, (*INPUTS, "wind"), CLASSES)
    write(events, wider, columns=columns)
    export(events, tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "current.parquet").to_pydict()
    assert table["wind"] == [None] * 5 + [1.5] * 3
    # A number in one version and text in the other: text for both, so that nothing is lost.
    assert [None if one is None else float(one) for one in table["temp"]] == [row.temp for row in ROWS[:5]] + [50.0] * 3
    assert table["weekend"] == [row.weekend for row in ROWS[:5]] + [True] * 3


def test_an_input_called_like_an_answer_keeps_its_name():
    names = ["id", "time", "status", "input.prediction", "input.target", "input.target_", "prediction", "label"]
    assert plain_names(names) == {
        "id": "id",
        "time": "time",
        "input.prediction": "prediction",
        "input.target": "target",
        "input.target_": "target_",
        "prediction": "prediction_",
        "label": "target__",
    }


def test_a_column_without_a_value_takes_the_type_of_the_others_and_else_has_none():
    head = {"id": ["a"], "prediction": ["late"]}
    frames = [
        pl.DataFrame(head | {"input.flag": [None], "input.gone": [None]}, schema_overrides={"input.flag": pl.Float64}),
        pl.DataFrame(head | {"input.flag": [True], "input.gone": [None]}),
    ]
    frame = together(frames)
    assert frame["input.flag"].to_list() == [None, True]
    assert {*frame.columns} == {"id", "prediction", "input.flag", "input.gone"}
    layout = layout_of(frame, None)
    assert (layout.names, layout.empty, layout.numbers) == (("flag",), ("gone",), ())


def test_free_text_and_empty_columns_are_left_out_and_the_page_says_so(events, tmp_path):
    write(events, predictions([row._replace(temp=None) for row in ROWS], MONDAY + DAY))
    columns = (SCHEMA.columns[0], Column("carrier", "string"), *SCHEMA.columns[2:])
    export(events, tmp_path / "out", schema_of=lambda _: Schema(columns, SCHEMA.output))
    found = facts(tmp_path / "out")
    assert found["NUMBERS"] == ["probability.late"]
    assert found["NAMES"] == ["hour", "weekend", "prediction"]
    assert "Not compared: `temp` has no value, `carrier` is free text." in (tmp_path / "out" / "README.md").read_text()


def test_names_that_are_code_stay_names(events, tmp_path):
    evil = ("temp", "'];import os;os._exit(7)#", 'hour\n"""', "week\\end")
    write(events, predictions(ROWS, MONDAY + DAY), columns=Columns("flights:1", "0" * 64, evil, CLASSES))
    export(events, tmp_path / "out")
    found = facts(tmp_path / "out")
    assert {*evil} <= {*found["NUMBERS"], *found["NAMES"]}
    table = pq.read_table(tmp_path / "out" / "current.parquet")
    assert {*evil} <= {*table.column_names}
    assert all(math.isfinite(one) for one in table['hour\n"""'].to_pylist())


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"window": "2023-11-20..2023-11-21"}, NotFound),
        ({"endpoint": "nobody"}, NotFound),
        ({"endpoint": "../x"}, BadReference),
        ({"reference": "2023-11-01..2023-11-02"}, NotFound),
    ],
    ids=["window", "endpoint", "name", "reference"],
)
def test_where_there_are_no_answers_nothing_is_written(events, tmp_path, asked, error):
    write(events, predictions(ROWS[:3], MONDAY + DAY))
    with pytest.raises(error):
        export(events, tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_a_machine_without_polars_says_what_to_install():
    code = """
import sys
sys.modules["polars"] = None
from pathlib import Path
from fairlead.errors import NotFound
from fairlead.exporters.evidently import EXPORTER, EvidentlyOptions
try:
    EXPORTER.export(EvidentlyOptions(endpoint="flights", window="1d", events=Path("nowhere"), now=2e9), Path("nowhere"))
except NotFound as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "pip install 'fairlead[monitor]'\n"


def test_a_window_and_an_endpoint_must_be_said():
    assert list(asked_fields(EXPORTER)) == ["endpoint", "window", "reference"]
