"""Scoring tables. The truth is scikit-learn's own answer, the answer of the service's row path, and pandas' and polars' reading."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LinearRegression

import fairlead
from fairlead.app import open_version
from fairlead.batch.chunk import Chunk
from fairlead.batch.model import answer, open_model
from fairlead.batch.outputs import open_output
from fairlead.batch.reading import sort_rows
from fairlead.batch.score import Plan, run
from fairlead.batch.sources import open_source
from fairlead.config import load_config
from fairlead.demo.flights import COLUMNS
from fairlead.errors import Conflict, InvalidInput, NotFound, PredictionFailed, SchemaMismatch
from fairlead.predictor.columnar import answers_of, rows_of
from fairlead.predictor.local import LocalWorker
from fairlead.predictor.outcome import Outcome
from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema
from running import CLI, cli

ROWS = 3000


@pytest.fixture(scope="module")
def table(april):
    """Flights with an identity and what proved true."""
    found = april.iloc[:ROWS][[*COLUMNS, "late"]].copy()
    found.insert(0, "flight", [f"F{number}" for number in range(ROWS)])
    return found


@pytest.fixture(scope="module")
def expected(packed_home, table):
    """What the row path says of every flight."""
    loaded = fairlead.load("flights:1", home=packed_home)
    rows = table[list(COLUMNS)].astype(object)
    return loaded.outcomes(rows.where(rows.notna(), None).to_dict("records"))


@pytest.fixture(scope="module")
def opened(packed_home):
    name, bundle = open_version(load_config({"home": str(packed_home)}), "flights:1")
    model = open_model(bundle, memory=2**32, seconds=10)
    return name, bundle, model


def score(opened, source, out, *, chunk=700, overwrite=False, **more):
    name, bundle, model = opened
    plan = Plan(name, bundle.digest, chunk=chunk, threads=2, **more)
    return run(source, model, open_output(str(out), overwrite=overwrite), plan, lambda *_: None)


def write(table, path):
    if path.name.endswith(".parquet"):
        table.to_parquet(path, row_group_size=800)
    elif ".csv" in path.name:
        table.to_csv(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True)
    return path


def read(path):
    if path.name.endswith(".parquet"):
        return pd.read_parquet(path)
    return pd.read_csv(path) if ".csv" in path.name else pd.read_json(path, lines=True)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz"])
def test_every_kind_of_file_gets_the_answers_of_the_row_path(opened, table, expected, tmp_path, ending):
    out = tmp_path / f"out{ending}"
    summary = score(opened, open_source(str(write(table, tmp_path / f"in{ending}"))), out)
    assert (summary.read, summary.answered, summary.bad) == (ROWS, ROWS, 0)
    found = read(out)
    assert found["prediction"].tolist() == [one.prediction for one in expected]
    assert found["flight"].tolist() == table["flight"].tolist()
    shares = found[["probability_late", "probability_on time"]].to_numpy()
    # The row path answers 1,024 rows a call and a batch 700: ONNX Runtime's sigmoid may differ in the last bit.
    assert np.abs(shares - np.array([one.probabilities for one in expected])).max() <= 1e-15
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"in{ending}", out.name])


def test_the_same_rows_in_one_call_get_the_same_bits_as_online(opened, table, expected, tmp_path):
    out = tmp_path / "out.parquet"
    score(opened, open_source(str(write(table, tmp_path / "in.parquet"))), out, chunk=ROWS)
    # As many rows a call as the row path has: the file's row groups do not end a chunk.
    found = pd.read_parquet(out)["probability_late"].to_numpy()
    assert np.array_equal(found, np.array([one.probabilities[0] for one in expected]))


def test_the_answers_are_scikit_learns(opened, table, models, tmp_path):
    out = tmp_path / "out.parquet"
    score(opened, open_source(str(write(table, tmp_path / "in.parquet"))), out)
    original = models["flights:1"].predict_proba(table[list(COLUMNS)])[:, 0]
    assert np.abs(pd.read_parquet(out)["probability_late"].to_numpy() - original).max() < 1e-12


def test_parquet_of_many_parts_is_read_alike_by_arrow_and_polars(opened, table, tmp_path):
    out = tmp_path / "out.parquet"
    score(opened, open_source(str(write(table, tmp_path / "in.parquet"))), out, chunk=64)
    metadata = pq.read_metadata(out)
    assert metadata.num_rows == ROWS
    assert metadata.num_row_groups > 40
    arrow, polars = pq.read_table(out), pl.read_parquet(out)
    assert arrow.select(table.columns.tolist()).to_pandas().equals(table.reset_index(drop=True))
    assert polars["probability_late"].to_list() == arrow["probability_late"].to_pylist()
    last = pq.ParquetFile(out).read_row_group(metadata.num_row_groups - 1)
    assert last["flight"].to_pylist()[-1] == f"F{ROWS - 1}"


def test_kept_columns_and_other_kinds_of_output(opened, table, expected, tmp_path):
    out = tmp_path / "out.csv"
    score(opened, open_source(str(write(table, tmp_path / "in.parquet"))), out, columns=("flight",))
    found = pd.read_csv(out)
    assert list(found) == ["flight", "prediction", "probability_late", "probability_on time"]
    assert found["prediction"].tolist() == [one.prediction for one in expected]


def test_bad_rows_go_to_a_side_file_with_number_field_value_and_reason(opened, table, expected, tmp_path):
    lines = write(table.iloc[:100], tmp_path / "in.csv").read_text().splitlines()
    names = lines[0].split(",")

    def spoil(row, name, text):
        cells = lines[row + 1].split(",")
        cells[names.index(name)] = text
        lines[row + 1] = ",".join(cells)

    spoil(3, "temp", "warm")
    spoil(50, "hour", "4.5")
    spoil(51, "hour", "9007199254740993")
    spoil(97, "temp", "1e999")
    spoil(7, "humid", " 4.5e1 ")  # a fine number, if an odd one
    lines[60] += ",one cell more"
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    summary = score(opened, open_source(str(tmp_path / "in.csv")), tmp_path / "out.csv", chunk=20)
    bad = [json.loads(line) for line in (tmp_path / "out.csv.bad.jsonl").read_text().splitlines()]
    assert [(one["row"], one.get("field"), one.get("value")) for one in bad] == [
        (3, "temp", "warm"),
        (50, "hour", "4.5"),
        (51, "hour", "9007199254740993"),
        (59, None, None),
        (97, "temp", "1e999"),
    ]
    assert all(one["reason"] for one in bad)
    assert (summary.read, summary.answered, summary.bad) == (100, 95, 5)
    found = pd.read_csv(tmp_path / "out.csv")
    wrong = {3, 50, 51, 59, 97}
    right = [number for number in range(100) if number not in wrong]
    assert found["flight"].tolist() == [f"F{number}" for number in right]
    assert [label for number, label in zip(right, found["prediction"], strict=True) if number != 7] == [
        expected[number].prediction for number in right if number != 7
    ]


def test_lines_that_are_no_json_and_mixed_columns_cost_only_their_rows(opened, table, tmp_path):
    path = write(table.iloc[:10], tmp_path / "in.jsonl")
    lines = path.read_text().splitlines()
    lines[2] = "{"
    lines[4] = json.dumps({**json.loads(lines[4]), "temp": "12"})
    lines[5] = json.dumps({**json.loads(lines[5]), "carrier": 12})
    lines[6] = json.dumps({**json.loads(lines[6]), "pressure": float("nan")})
    path.write_text("\n".join(lines))
    summary = score(opened, open_source(str(path)), tmp_path / "out.jsonl")
    bad = [json.loads(line) for line in (tmp_path / "out.jsonl.bad.jsonl").read_text().splitlines()]
    assert [(one["row"], one.get("field")) for one in bad] == [(2, None), (4, "temp"), (5, "carrier")]
    assert summary.answered == 7
    assert [json.loads(line)["flight"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        f"F{number}" for number in (0, 1, 3, 6, 7, 8, 9)
    ]


def test_a_database_table_and_a_query(opened, table, expected, tmp_path):
    with sqlite3.connect(tmp_path / "in.db") as connection:
        table.to_sql("flights", connection, index=False)
    connection.close()
    url = f"sqlite:///{tmp_path / 'in.db'}"
    score(opened, open_source(url, query="SELECT * FROM flights ORDER BY rowid"), tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["prediction"].tolist() == [one.prediction for one in expected]
    summary = score(opened, open_source(url, table="flights"), tmp_path / "out.csv")
    assert (summary.read, summary.bad) == (ROWS, 0)
    with pytest.raises(NotFound):
        open_source(url, table="trains")
    with pytest.raises(InvalidInput):
        open_source(url)


class Stopping:
    """A source that fails in the middle, as a network file system does."""

    def __init__(self, source, after):
        self._source, self._after = source, after
        self.names, self.rows, self.identity = source.names, source.rows, source.identity

    def chunks(self, start, size):
        for chunk in self._source.chunks(start, size):
            if chunk.start >= self._after:
                raise OSError("gone")
            yield chunk


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl.gz"])
def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not_stopped(opened, table, tmp_path, ending):
    source = open_source(str(write(table, tmp_path / f"in{ending}")))
    whole, out = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    score(opened, source, whole)
    with pytest.raises(OSError, match="gone"):
        score(opened, Stopping(source, 1500), out)
    assert not out.exists()
    with (tmp_path / f"out{ending}.partial").open("ab") as file:
        file.write(b"what a killed run had not finished")
    summary = score(opened, source, out)
    assert 0 < summary.resumed_at <= 2100
    assert summary.read == ROWS
    assert out.read_bytes() == whole.read_bytes()


def test_another_task_does_not_go_on_where_a_run_was_stopped(opened, table, tmp_path):
    path = write(table, tmp_path / "in.csv")
    with pytest.raises(OSError, match="gone"):
        score(opened, Stopping(open_source(str(path)), 1500), tmp_path / "out.csv")
    path.write_text(path.read_text() + "\n")
    with pytest.raises(Conflict):
        score(opened, open_source(str(path)), tmp_path / "out.csv")
    assert score(opened, open_source(str(path)), tmp_path / "out.csv", overwrite=True).resumed_at == 0
    with pytest.raises(Conflict, match="exists"):
        score(opened, open_source(str(path)), tmp_path / "out.csv")


def test_what_cannot_be_begun_says_why(opened, table, tmp_path):
    path = write(table.iloc[:5].drop(columns="dest"), tmp_path / "in.csv")
    with pytest.raises(SchemaMismatch, match="dest"):
        score(opened, open_source(str(path)), tmp_path / "out.csv")
    taken = write(table.iloc[:5].assign(prediction=1), tmp_path / "taken.csv")
    with pytest.raises(InvalidInput, match="called like the answer"):
        score(opened, open_source(str(taken)), tmp_path / "out.csv")
    good = write(table.iloc[:5], tmp_path / "good.csv")
    with pytest.raises(InvalidInput, match="keep"):
        score(opened, open_source(str(good)), tmp_path / "out.csv", columns=("nothing",))
    with pytest.raises(InvalidInput, match="kind"):
        score(opened, open_source(str(good)), tmp_path / "out.xlsx")
    with pytest.raises(InvalidInput, match="kind"):
        open_source(__file__)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 this is torn PAR1")
    with pytest.raises(InvalidInput):
        open_source(str(tmp_path / "torn.parquet"))
    (tmp_path / "none.csv").write_text(",".join(table.columns) + "\n")
    with pytest.raises(InvalidInput, match="no row"):
        score(opened, open_source(str(tmp_path / "none.csv")), tmp_path / "none-out.csv")
    assert not list(tmp_path.glob("none-out*"))


def test_more_bad_rows_than_allowed_end_the_run(opened, table, tmp_path):
    path = write(table.iloc[:5].assign(temp="warm"), tmp_path / "in.csv")
    with pytest.raises(InvalidInput, match="Row 2"):
        score(opened, open_source(str(path)), tmp_path / "out.csv", max_bad=2)


class Fussy:
    """A model that refuses every row with 13 in it, as an original may; asked by row and by column."""

    schema = Schema((Column("n", "integer"),), Output("regression"))

    def columns(self, columns):
        return answers_of(self.rows(rows_of(columns, self.schema)), self.schema)

    def rows(self, rows):
        if (13,) in rows:
            raise PredictionFailed("The model raised Thirteen.")
        return [Outcome(float(row[0])) for row in rows]

    def unseen(self, columns):
        return {}


def test_a_row_that_the_model_refuses_costs_only_itself():
    numbers = [*range(20), 13.5, 13]
    found = answer(Fussy(), sort_rows(Chunk(0, 22, pa.table({"n": pa.array(numbers)})), RowReader(Fussy.schema)))
    assert [at for at, _ in found.failed] == [13, 21]
    assert found.positions.tolist() == [at for at in range(20) if at != 13]
    assert found.answers.predictions.tolist() == [float(at) for at in range(20) if at != 13]


def test_texts_are_read_by_column_as_they_are_read_by_row():
    # The RowReader, which reads the same cells one by one for the service, is the judge.
    schema = Schema(
        (Column("n", "number"), Column("i", "integer", nullable=True), Column("b", "boolean"), Column("s", "string")),
        Output("regression"),
    )
    cells = [
        "1",
        " 2 ",
        "",
        "1e3",
        "1e999",
        "nan",
        "0x1",
        "1_0",
        "+3",
        "-.5",
        "7.",
        "true",
        "no",
        "a b",
        "٣",
        "3.0",
        "\u2003",
    ]
    texts = [(n, i, b, "x") for n in cells for i in ("1", "", "2.5") for b in ("yes", "", "1")]
    texts += [("1", i, "off", s) for i in cells for s in ("", " ", "é ", "y")]
    columns = dict(zip(schema.names, zip(*texts, strict=True), strict=True))
    reader = RowReader(schema)
    told = sort_rows(Chunk(0, len(texts), pa.table({n: pa.array(v) for n, v in columns.items()}), text=True), reader)
    found = dict(zip(told.late, told.rows, strict=True)) | dict(
        zip(told.sure.tolist(), rows_of(told.columns, schema), strict=True)
    )
    for number, cell in enumerate(texts):
        try:
            assert found.get(number) == reader.from_form(dict(zip(schema.names, cell, strict=True)))
        except SchemaMismatch as error:
            (bad,) = [one for one in told.bad if one.row == number]
            assert bad.field == error.values["field"]  # noqa: PT017 - either way must be right
            assert number not in found


def test_booleans_of_a_csv_are_read_by_column_as_they_are_read_by_row():
    # The RowReader is the judge again; what only it could read would stand in `late`.
    schema = Schema((Column("b", "boolean"), Column("c", "boolean", nullable=True)), Output("regression"))
    cells = [
        "true",
        " FALSE ",
        "t",
        "F",
        "yes",
        "No",
        "1",
        "0",
        "on",
        "off",
        "",
        "  ",
        "maybe",
        "2",
        "tru e",
        "\u2003on",
    ]
    texts = [(b, c) for b in cells for c in cells]
    columns = dict(zip(schema.names, zip(*texts, strict=True), strict=True))
    reader = RowReader(schema)
    told = sort_rows(Chunk(0, len(texts), pa.table({n: pa.array(v) for n, v in columns.items()}), text=True), reader)
    assert told.rows == []
    found = dict(zip(told.sure.tolist(), rows_of(told.columns, schema), strict=True))
    bad = {one.row: one for one in told.bad}
    for number, cell in enumerate(texts):
        try:
            assert found.get(number) == reader.from_form(dict(zip(schema.names, cell, strict=True)))
        except SchemaMismatch as error:
            assert bad[number].field == error.values["field"]  # noqa: PT017 - either way must be right


def test_what_a_csv_says_of_the_models_columns_becomes_numbers_in_parquet(opened, table, tmp_path):
    path = write(table.iloc[:200], tmp_path / "in.csv")
    lines = path.read_text().splitlines()
    lines[5] = lines[5].replace(",", " , ")  # read row by row: a blank before the number
    path.write_text("\n".join(lines) + "\n")
    score(opened, open_source(str(path)), tmp_path / "out.parquet", chunk=90)
    found = pd.read_parquet(tmp_path / "out.parquet")
    for name in COLUMNS:
        given = table[name].iloc[:200].reset_index(drop=True)
        if pd.api.types.is_numeric_dtype(given):
            assert found[name].tolist() == pytest.approx(given.tolist(), nan_ok=True)
            assert found[name].dtype == given.dtype
    assert pd.api.types.is_string_dtype(found["flight"])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_workers_that_are_killed_from_outside_cost_no_row(tmp_path, monkeypatch):
    data = pd.DataFrame({"x": np.arange(2000.0), "y": np.arange(2000.0) * 3})
    home = tmp_path / "home"
    fairlead.pack(Doubled().fit(data[["x"]], data["y"]), name="doubled", data=data, target="y", home=home)
    started = []

    class Watched(LocalWorker):
        def __init__(self, *arguments, **more):
            super().__init__(*arguments, **more)
            started.append(self._process)

    monkeypatch.setattr("fairlead.batch.model.LocalWorker", Watched)
    name, bundle = open_version(load_config({"home": str(home)}), "doubled:1")
    source = open_source(str(write(data[["x"]], tmp_path / "in.csv")))

    class Killing:
        names, rows, identity = source.names, source.rows, source.identity

        def chunks(self, start, size):
            for number, chunk in enumerate(source.chunks(start, size)):
                if number in {3, 7}:  # by the system, for want of memory, say
                    for process in started:
                        process.kill()
                yield chunk

    model = open_model(bundle, memory=2**32, seconds=120, processes=2)
    with contextlib.closing(model):
        summary = score((name, bundle, model), Killing(), tmp_path / "out.csv", chunk=100)
    assert (summary.answered, summary.bad) == (2000, 0)
    assert len(started) >= 3
    assert all(process.poll() is not None for process in started)
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["x"].tolist() == data["x"].tolist()
    assert found["prediction"].tolist() == pytest.approx((data["x"] * 6).tolist(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_original_answers_in_its_worker(tmp_path):
    data = pd.DataFrame({"x": np.arange(200.0), "y": np.arange(200.0) * 3})
    fairlead.pack(Doubled().fit(data[["x"]], data["y"]), name="doubled", data=data, target="y", home=tmp_path / "home")
    write(data[["x"]], tmp_path / "in.csv")
    done = cli(tmp_path / "home", "batch", "doubled:1", str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), "--json")
    assert json.loads(done.stdout)["answered"] == 200
    assert pd.read_csv(tmp_path / "out.csv")["prediction"].tolist() == pytest.approx((data["x"] * 6).tolist())


class Dying(LinearRegression):
    """Ends its process for one row, as a fault in C code does."""

    def predict(self, X):
        if (np.asarray(X) == -13).any():
            os._exit(1)
        return super().predict(X) * 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_row_that_kills_the_worker_costs_only_itself(tmp_path):
    data = pd.DataFrame({"x": np.arange(200.0), "y": np.arange(200.0) * 3})
    fairlead.pack(Dying().fit(data[["x"]], data["y"]), name="dying", data=data, target="y", home=tmp_path / "home")
    write(pd.DataFrame({"x": [1.0, -13.0, 2.0]}), tmp_path / "in.csv")
    done = cli(tmp_path / "home", "batch", "dying:1", str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), "--json")
    assert json.loads(done.stdout)["bad"] == 1
    assert json.loads((tmp_path / "out.csv.bad.jsonl").read_text())["row"] == 1
    assert pd.read_csv(tmp_path / "out.csv")["prediction"].tolist() == pytest.approx([6, 12])


class Doubled(LinearRegression):
    """A class that nothing can compile."""

    def predict(self, X):
        return super().predict(X) * 2


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_command_and_every_row_is_answered_once(packed_home, table, tmp_path):
    big = pd.concat([table] * 25, ignore_index=True).assign(flight=lambda frame: frame.index)
    write(big, tmp_path / "in.csv")
    out = tmp_path / "out.csv.gz"
    command = ["batch", "flights:1", str(tmp_path / "in.csv"), str(out), "--columns", "flight", "--threads", "1"]
    process = subprocess.Popen(
        [*CLI, "--home", str(packed_home), *command], stderr=subprocess.DEVNULL, start_new_session=True
    )
    notes = tmp_path / "out.csv.gz.progress.json"
    end = time.monotonic() + 60
    while not notes.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert not out.exists()
    done = json.loads(cli(packed_home, *command, "--json").stdout)
    assert done["resumed_at"] > 0
    assert done["answered"] == len(big)
    with gzip.open(out, "rt") as file:
        assert pd.read_csv(file)["flight"].tolist() == list(range(len(big)))


@pytest.mark.slow
def test_the_command_line_counts_says_how_far_it_is_and_rehearses(packed_home, table, tmp_path):
    write(table, tmp_path / "in.parquet")
    command = ["batch", "flights:1", str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet")]
    rehearsed = json.loads(cli(packed_home, *command, "--dry-run", "--json").stdout)
    assert (rehearsed["read"], rehearsed["dry_run"]) == (1000, True)
    assert not (tmp_path / "out.parquet").exists()
    done = cli(packed_home, *command)
    assert "3,000 rows of 3,000 (100 %)" in done.stderr
    assert "flights:1" in done.stdout
    again = cli(packed_home, *command, check=False)
    assert again.returncode == 4
    assert "exists" in again.stderr


def test_scoring_a_parquet_file_imports_no_pandas(packed_home, table, tmp_path):
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table.astype({"temp": "float64"}).assign(temp=table["temp"].where(table.index % 7 != 0)).to_parquet(source)
    asked = ["--home", str(packed_home), "batch", "flights:1", str(source), str(out)]
    code = (
        f"import sys; from fairlead.cli.main import run; run({asked!r}); sys.exit(3 if 'pandas' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert pq.read_metadata(out).num_rows == len(table)
