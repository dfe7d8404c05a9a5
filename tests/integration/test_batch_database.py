"""Tables of databases as the output of a batch. The truth is Python's own sqlite3, and psycopg, reading what was written."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from killed_run import ROWS, Doubling
from postgresql_server import postgresql_server

from fairlead.batch.database_output import DatabaseOutput
from fairlead.batch.outputs import open_output
from fairlead.batch.score import Plan, run
from fairlead.batch.sources import open_source
from fairlead.errors import Conflict, InvalidInput, StorageError
from running import cli

KILLED = Path(__file__).with_name("killed_run.py")
PLAN = Plan("toy:1", "d" * 64, threads=2)


@pytest.fixture(scope="module")
def server():
    with postgresql_server() as url:
        yield url


@pytest.fixture
def sqlite(tmp_path):
    return f"sqlite:///{tmp_path / 'out.db'}"


@pytest.fixture(params=["sqlite", "server"])
def url(request):
    """Each database in turn; in PostgreSQL every test takes tables of its own names."""
    return request.getfixturevalue(request.param)


def score(url, table, path, *, overwrite=False, plan=PLAN):
    output = open_output(url, table=table, overwrite=overwrite)
    return run(open_source(str(path)), Doubling(), output, plan, lambda *_: None)


def told(url, statement):
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            found = connection.execute(sa.text(statement))
            return [tuple(row) for row in found] if found.returns_rows else []
    finally:
        engine.dispose()


def tables(url):
    engine = sa.create_engine(url)
    try:
        return set(sa.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def numbers(path, entries=range(30), **more):
    frame = pd.DataFrame({"n": list(entries), **more})
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("database", ["sqlite", "server"])
def test_a_run_that_is_killed_at_any_moment_loses_no_row_and_doubles_none(request, database):
    url = request.getfixturevalue(database)
    command = [sys.executable, str(KILLED), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=350, check=True)
    moments = [json.loads(line) for line in done.stdout.splitlines()]
    right = [[n, 2.0 * n] for n in range(ROWS) if n != 13]
    assert len(moments) > 15
    for moment in moments[:-1]:
        assert moment["exits"] == [-9, 0]
        assert moment["rows"] == right
        assert moment["bad"] == [13]
        assert len(moment["names"]) == 1  # the bad rows' table; nothing partial is left
    # After its last commit a run is over, and its table stands in the way of another one.
    assert moments[-1]["rows"] == right
    assert moments[-1]["exits"] == [-9, 1]


def test_every_type_comes_back_as_it_was_given(url, tmp_path):
    moment = datetime(2013, 4, 1, 10, 30, 5, 250_000)  # noqa: DTZ001 - one without a zone is a type of its own
    columns = {
        "n": pa.array([1, 2, 3]),
        "truth": pa.array([True, None, False]),
        "small": pa.array([1, None, -3], pa.int8()),
        "share": pa.array([0.1, None, 1e-300]),
        "word": pa.array(["", None, 'a "b", ü\n\\.']),
        "kind": pa.array(["x", "y", None]).dictionary_encode(),
        "raw": pa.array([b"\0\xff", None, b""]),
        "day": pa.array([date(2013, 4, 1), None, date(1, 1, 1)]),
        "hour": pa.array([time(10, 30, 5, 7), None, time(0)]),
        "moment": pa.array([moment, None, moment], pa.timestamp("ms")),
        "zoned": pa.array([moment.replace(tzinfo=UTC), None, None], pa.timestamp("us", "Europe/Berlin")),
        "price": pa.array([Decimal("1.10"), None, Decimal("-0.01")]),
        "Select ; %": pa.array(["odd name", None, "%s"]),
        "never": pa.nulls(3),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    summary = score(url, "types", tmp_path / "in.parquet")
    assert summary.answered == 3
    engine = sa.create_engine(url)
    found = sa.Table("types", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        rows = [list(row) for row in connection.execute(sa.select(found).order_by(found.c.n))]
    engine.dispose()
    expected = [list(row) for row in zip(*(one.to_pylist() for one in columns.values()), strict=True)]
    names, is_sqlite = list(columns), url.startswith("sqlite")
    for row in expected:
        if is_sqlite:  # it has neither zones nor decimals
            row[names.index("zoned")] = row[names.index("zoned")] and moment
            row[names.index("price")] = row[names.index("price")] and str(row[names.index("price")])
    assert [row[:-1] for row in rows] == expected
    assert [row[-1] for row in rows] == [2.0, 4.0, 6.0]
    if not is_sqlite:
        kinds = dict(
            told(url, "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'types'")
        )
        assert [kinds[name] for name in names[:12]] == [
            "bigint",
            "boolean",
            "bigint",
            "double precision",
            "text",
            "text",
            "bytea",
            "date",
            "time without time zone",
            "timestamp without time zone",
            "timestamp with time zone",
            "numeric",
        ]


def test_a_csv_gets_the_types_of_the_models_columns(sqlite, tmp_path):
    (tmp_path / "in.csv").write_text("n,name\n 1 ,007\n2.0,\nx,y\n")
    summary = score(sqlite, "typed", tmp_path / "in.csv")
    assert (summary.answered, summary.bad) == (2, 1)
    # Python's sqlite3 says what type each entry has.
    assert told(sqlite, "SELECT n, typeof(n), name, typeof(name) FROM typed") == [
        (1, "integer", "007", "text"),
        (2, "integer", "", "text"),
    ]
    ((row, field, value, reason),) = told(sqlite, 'SELECT "row", field, value, reason FROM typed_bad')
    assert (row, field, json.loads(value)) == (2, "n", "x")
    assert "n" in reason


def test_a_table_that_no_run_has_made_is_never_touched(url, tmp_path):
    path = numbers(tmp_path / "in.parquet")
    for name in ("mine", "mine2_bad", "mine3_partial"):
        told(url, f"CREATE TABLE {name} (n BIGINT)")
        told(url, f"INSERT INTO {name} VALUES (7)")
    for name in ("mine", "mine2", "mine3"):
        for overwrite in (False, True):
            with pytest.raises(Conflict, match="no run has made"):
                score(url, name, path, overwrite=overwrite)
    for name in ("mine", "mine2_bad", "mine3_partial"):
        assert told(url, f"SELECT n FROM {name}") == [(7,)]


def test_a_finished_table_is_replaced_only_if_asked_for_and_only_as_it_was_made(url, tmp_path):
    path = numbers(tmp_path / "in.parquet")
    assert score(url, "scored", path).bad == 1
    with pytest.raises(Conflict, match="exists"):
        score(url, "scored", path)
    numbers(path, range(3), word=["a", "b", "c"])
    assert score(url, "scored", path, overwrite=True).bad == 0
    assert sorted(told(url, "SELECT n, word, prediction FROM scored")) == [(0, "a", 0.0), (1, "b", 2.0), (2, "c", 4.0)]
    assert {name for name in tables(url) if name.startswith("scored")} == {"scored"}
    told(url, "ALTER TABLE scored ADD COLUMN checked BIGINT")
    with pytest.raises(Conflict, match="not as a run has made it"):
        score(url, "scored", path, overwrite=True)
    assert len(told(url, "SELECT checked FROM scored")) == 3


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


def stop(url, table, path, after=15):
    with pytest.raises(OSError, match="gone"):
        run(Stopping(open_source(str(path)), after), Doubling(), open_output(url, table=table), PLAN, lambda *_: None)


def test_nobody_sees_a_table_before_it_is_whole_and_another_task_does_not_go_on_with_it(url, tmp_path):
    path, other = numbers(tmp_path / "in.parquet"), numbers(tmp_path / "other.parquet", range(100, 120))
    stop(url, "late", path)
    assert "late" not in tables(url)
    assert 0 < len(told(url, "SELECT n FROM late_partial")) < 29
    with pytest.raises(Conflict, match="not this one"):
        score(url, "late", other)
    assert score(url, "late", other, overwrite=True).resumed_at == 0
    assert sorted(n for (n,) in told(url, "SELECT n FROM late")) == list(range(100, 120))


def test_a_run_does_not_go_on_in_a_table_whose_columns_have_changed(url, tmp_path):
    path = numbers(tmp_path / "in.parquet")
    stop(url, "changed", path)
    told(url, "ALTER TABLE changed_partial ADD COLUMN more BIGINT")
    with pytest.raises(Conflict, match="not as a run has made it"):
        score(url, "changed", path)


def test_of_two_runs_into_one_table_the_later_goes_on_and_the_earlier_ends(url, tmp_path):
    path = numbers(tmp_path / "in.parquet")
    stop(url, "twice", path)
    earlier = DatabaseOutput(url, "twice")
    task = {**open_source(str(path)).identity(), "digest": PLAN.digest, "columns": "n"}
    progress = earlier.take_up(task)
    summary = score(url, "twice", path)
    assert summary.resumed_at == progress.read > 0
    table = pa.table({"n": [1000], "prediction": [1.0]})
    with pytest.raises(Conflict, match="taken over"):
        earlier.add(earlier.encode(table), [], progress)
    earlier.close()
    assert sorted(n for (n,) in told(url, "SELECT n FROM twice")) == [n for n in range(30) if n != 13]


def test_what_a_database_cannot_hold_is_said_before_or_while_it_is_written(url, tmp_path):
    nested = pa.table({"n": [1], "deep": pa.array([[1, 2]])})
    pq.write_table(nested, tmp_path / "nested.parquet")
    with pytest.raises(InvalidInput, match="'deep' is of the type list"):
        score(url, "nested", tmp_path / "nested.parquet")
    assert not {name for name in tables(url) if name.startswith("nested")}
    with pytest.raises(InvalidInput, match="into NAME"):
        open_output(url)
    with pytest.raises(InvalidInput, match="bytes"):
        open_output(url, table="x" * 52)
    if not url.startswith("sqlite"):
        with pytest.raises(InvalidInput, match="0x00"):
            score(url, "nul", numbers(tmp_path / "nul.parquet", [1], word=["a\0b"]))
        with pytest.raises(InvalidInput, match="63 bytes"):
            score(url, "long", numbers(tmp_path / "long.parquet", [1], **{"é" * 32: [1]}))


def test_databases_that_cannot_be_written_say_so(tmp_path):
    path = numbers(tmp_path / "in.csv")
    with pytest.raises(StorageError, match="unable to open"):
        score(f"sqlite:///{tmp_path}/no/folder.db", "t", path)
    with pytest.raises(InvalidInput) as refused:
        open_output("mssql+pyodbc://me:secret@somewhere/db", table="t")
    assert "secret" not in str(refused.value)
    with pytest.raises(InvalidInput, match="not one that SQLAlchemy knows"):
        open_output("nonsense://x", table="t")
    with pytest.raises(InvalidInput, match="--into"):
        open_output("out.csv", table="t")


def test_one_sqlite_file_as_input_and_output_needs_its_log(tmp_path):
    url = f"sqlite:///{tmp_path / 'both.db'}"
    with sqlite3.connect(tmp_path / "both.db") as connection:
        connection.execute("CREATE TABLE given (n INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO given VALUES (?)", [(n,) for n in range(1000)])
    connection.close()
    with pytest.raises(Conflict, match="one SQLite database"):
        run(open_source(url, table="given"), Doubling(), open_output(url, table="t"), PLAN, lambda *_: None)
    told(url, "PRAGMA journal_mode = WAL")
    run(open_source(url, table="given"), Doubling(), open_output(url, table="t"), PLAN, lambda *_: None)
    assert told(url, "SELECT count(*), sum(prediction) FROM t") == [(999, 2.0 * (sum(range(1000)) - 13))]


def test_a_schema_may_stand_before_the_name(server, tmp_path):
    told(server, "CREATE SCHEMA analytics")
    score(server, "analytics.scored", numbers(tmp_path / "in.csv"))
    assert told(server, "SELECT count(*) FROM analytics.scored") == [(29,)]


@pytest.mark.slow
def test_the_command_writes_a_table(packed_home, april, tmp_path, server):
    april.head(500).to_parquet(tmp_path / "in.parquet")
    kept = ("--columns", "carrier,origin", "--into", "april")
    done = cli(packed_home, "batch", "flights:1", str(tmp_path / "in.parquet"), server, *kept, "--json")
    assert json.loads(done.stdout)["answered"] == 500
    cli(packed_home, "batch", "flights:1", str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet"))
    expected = pd.read_parquet(tmp_path / "out.parquet")["probability_late"].tolist()
    found = told(server, "SELECT probability_late FROM april")
    assert sorted(one for (one,) in found) == sorted(expected)
