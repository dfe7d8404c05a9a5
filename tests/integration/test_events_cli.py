"""`fairlead events` on a log that the real writer has written; exported files are read by pyarrow, csv and json themselves."""

import csv
import json
import time

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from archive_events import FLIGHTS, prediction, told, written
from fairlead.archive.compaction import compact
from fairlead.archive.querying import parse_condition
from fairlead.cli.main import command
from fairlead.errors import FairleadError, InvalidInput
from fairlead.events import Columns

NOW = 1_800_000_000.0


@pytest.fixture
def home(tmp_path):
    begin = time.time() - 3600
    events = [prediction(number, begin + number) for number in range(30)]
    events[7] = prediction(7, begin + 7, status="prediction_failed", prediction=None, probabilities=None)
    events[8] = prediction(8, begin + 8, flags=("carrier", "temp"), inputs=("A,B", 1.5, 3, None))
    written(tmp_path / "events", [*events, told(5, begin + 100), told(6, begin + 101, label="on time")])
    return tmp_path


def run(home, *arguments):
    done = CliRunner().invoke(command, ["--home", str(home), "events", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def listed(home, *arguments):
    return json.loads(run(home, "list", "flights", "--json", *arguments))["events"]


@pytest.mark.parametrize("compacted", [False, True], ids=["in segments", "compacted"])
def test_the_latest_are_listed_newest_first_and_filters_choose(home, compacted):
    if compacted:
        compact(home / "events", least=0)
    found = listed(home, "--limit", "3")
    assert [one["id"] for one in found] == ["flights-29", "flights-28", "flights-27"]
    expected = prediction(29)
    assert found[0]["inputs"] == {
        name: value for name, value in zip(FLIGHTS.inputs, expected.inputs, strict=True) if value is not None
    }
    assert found[0]["probabilities"] == dict(zip(("late", "on time"), expected.probabilities, strict=True))
    assert [one["id"] for one in listed(home, "--status", "prediction_failed")] == ["flights-7"]
    assert [one["id"] for one in listed(home, "--where", "status != ok")] == ["flights-7"]
    assert [one["label"] for one in listed(home, "--id", "flights-6")] == ["on time"]
    warm = {number for number in range(30) if prediction(number).inputs[1] >= 12 and number != 8}
    assert {one["id"] for one in listed(home, "--where", "temp>=12", "--limit", "50")} == {
        f"flights-{number}" for number in warm
    }
    weekend = listed(home, "--where", "weekend = true", "--where", 'carrier = "UA"')
    assert all(one["inputs"]["weekend"] and one["inputs"]["carrier"] == "UA" for one in weekend)
    assert listed(home, "--since", "10m") == []
    assert listed(home, "--model", "flights:2") == []


def test_a_table_is_for_people(home):
    lines = run(home, "list", "flights", "--limit", "2").splitlines()
    assert lines[0].split() == ["time", "id", "model", "variant", "status", "ms", "prediction", "label", "row"]
    assert "flights-29" in lines[1]
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--where", "nothing = 1"], "No prediction has 'nothing'"),
        (["--where", "temp"], "is no condition"),
        (["--where", "temp > warm"], "temp is a number"),
        (["--where", "weekend = maybe"], "true or false"),
        (["--where", "flags = x"], "is a list"),
        (["--since", "yesterday"], "no length of time"),
        (["--since", "1h", "--until", "2h"], "is not before"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_what_cannot_be_asked_is_told(home, arguments, says):
    with pytest.raises(InvalidInput, match=says):
        CliRunner().invoke(
            command,
            ["--home", str(home), "events", "list", "flights", *arguments],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_what_is_exported_is_what_was_answered_in_each_form(home):
    for form in ("parquet", "csv", "jsonl"):
        run(home, "export", "flights", str(home / f"out.{form}"))
    table = pq.read_table(home / "out.parquet").to_pylist()
    lines = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    assert sorted(lines, key=lambda row: row["time"]) == sorted(table, key=lambda row: row["time"])
    by_id = {row["id"]: row for row in table}
    assert len(by_id) == 30
    assert (by_id["flights-5"]["label"], by_id["flights-4"]["label"]) == ("late", None)
    assert by_id["flights-8"]["flags"] == ["carrier", "temp"]
    with (home / "out.csv").open(newline="") as file:
        cells = {row["id"]: row for row in csv.DictReader(file)}
    assert len(cells) == 30
    assert (cells["flights-8"]["flags"], cells["flights-8"]["input.carrier"]) == ("carrier|temp", "A,B")
    assert float(cells["flights-9"]["input.temp"]) == prediction(9).inputs[1]


def test_labelled_predictions_alone_can_be_had_and_a_file_is_not_replaced_by_accident(home):
    out = home / "labelled.parquet"
    said = json.loads(run(home, "export", "flights", str(out), "--labelled", "--json"))
    assert (said["rows"], said["joining"]) == (2, {"labelled": 2, "corrected": 0, "unknown": 0})
    assert sorted(pq.read_table(out)["label"].to_pylist()) == ["late", "on time"]
    with pytest.raises(FairleadError, match="is there already"):
        run(home, "export", "flights", str(out))
    assert "30 predictions, 2 with a label" in run(home, "export", "flights", str(out), "--overwrite")
    with pytest.raises(InvalidInput, match="ends with none of"):
        run(home, "export", "flights", str(home / "out.xls"))
    assert [path.name for path in home.iterdir() if "unfinished" in path.name] == []


def test_versions_with_other_columns_stand_in_one_file(home):
    other = Columns("flights:2", "1" * 64, ("carrier", "temp", "gate"), ())
    theirs = prediction(
        90, time.time() - 60, of=other, inputs=("UA", "hot", 4), prediction=0.5, probabilities=None
    )  # fmt: skip
    written(home / "events", [theirs], writer="w9", of=other)
    for form in ("parquet", "csv", "jsonl"):
        run(home, "export", "flights", str(home / f"out.{form}"))
    rows = {row["id"]: row for row in pq.read_table(home / "out.parquet").to_pylist()}
    assert (rows["flights-90"]["input.gate"], rows["flights-90"]["input.temp"]) == (4, "hot")
    assert rows["flights-1"]["input.gate"] is None
    assert rows["flights-90"]["probability.late"] is None


def test_nothing_at_all_is_a_file_without_rows(tmp_path):
    run(tmp_path, "export", "flights", str(tmp_path / "out.parquet"))
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
    assert run(tmp_path, "list", "flights") == ""


def test_compacting_says_what_it_did_and_what_was_pruned(home, monkeypatch):
    assert run(home, "compact").startswith("32 events compacted; 32 events in 0.0")
    said = json.loads(run(home, "compact", "--json"))
    assert (said["rows"], said["kept_rows"], said["notes"]) == (0, 32, [])
    long_ago = time.time() - 10 * 86_400
    old = [prediction(number, long_ago) for number in range(4)]
    written(home / "events", old, writer="w8")
    monkeypatch.setenv("FAIRLEAD_EVENT_DAYS", "7")
    assert "4 events of" in (told_of := run(home, "compact"))
    assert "pruned by age" in told_of


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("temp>=30", ("temp", ">=", "30")),
        ('carrier = "UA"', ("carrier", "=", "UA")),
        ("my column != a b", ("my column", "!=", "a b")),
    ],
)
def test_a_condition_is_a_name_an_operator_and_a_value(text, parts):
    found = parse_condition(text)
    assert (found.name, found.operator, found.value) == parts
