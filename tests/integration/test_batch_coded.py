"""Texts that stand in a Parquet file as a dictionary. The truth is the file itself, as pyarrow and polars read it, and the same
table written without dictionaries, which is read plainly."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fairlead
from fairlead.app import open_version
from fairlead.batch.chunk import Chunk
from fairlead.batch.model import open_model
from fairlead.batch.outputs import open_output
from fairlead.batch.parquet_reader import MEMORY
from fairlead.batch.reading import sort_rows
from fairlead.batch.score import Plan, run
from fairlead.batch.sources import open_source
from fairlead.config import load_config
from fairlead.demo.flights import COLUMNS
from fairlead.errors import InvalidInput
from fairlead.predictor.columnar import answers_of, rows_of
from fairlead.predictor.outcome import Outcome
from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema

ROWS = 4000
TOWNS = ["Faro", "Århus", "", "Łódź", "a b", "Oslo"]


class Initials:
    """A model that any reader can check: is the text's first letter an A, or is there none?"""

    schema = Schema((Column("s", "string", nullable=True),), Output("classification", classes=("first", "other")))
    chunk = 500

    def columns(self, columns):
        return self.answers(rows_of(columns, self.schema))

    def answers(self, rows):
        return answers_of(self.rows(rows), self.schema)

    def rows(self, rows):
        return [Outcome(label(row[0])) for row in rows]

    def unseen(self, columns):
        return {}

    def close(self):
        pass


def label(text):
    return "first" if text is None or text[:1] in "aA" else "other"


def score(source, out, **more):
    plan = Plan("initials:1", "0", threads=2)
    return run(source, Initials(), open_output(str(out), **more), plan, lambda *_: None)


def texts(kind):
    """Four thousand texts in eight row groups; each row group has a dictionary of its own."""
    chance = np.random.default_rng(11)
    drawn = [TOWNS[at] for at in chance.integers(0, 3, ROWS // 2)] + [
        TOWNS[at] for at in chance.integers(2, 6, ROWS // 2)
    ]
    if kind == "of which many are missing":
        return pa.array([None if number % 3 else text for number, text in enumerate(drawn)])
    if kind == "all missing":
        return pa.array([None] * ROWS, pa.string())
    if kind == "that never repeat":
        return pa.array([f"{text} {number}" for number, text in enumerate(drawn)])
    if kind == "that repeat but little":
        return pa.array([f"{number % 1900}" for number in range(ROWS)])
    if kind == "declared a dictionary":
        return pa.array(drawn).dictionary_encode()
    return pa.array(drawn).cast({"large": pa.large_string(), "views": pa.string_view()}.get(kind, pa.string()))


def written(path, kind, **more):
    entries = texts(kind)
    schema = pa.schema(
        [
            pa.field("n", pa.int32(), nullable=False),
            pa.field("s", entries.type, nullable=kind != "required"),
            pa.field("again", pa.large_string()),
        ]
    )
    again = pa.array([f"x{number % 7}" for number in range(ROWS)], pa.large_string())
    table = pa.Table.from_arrays([pa.array(np.arange(ROWS, dtype=np.int32)), entries, again], schema=schema)
    pq.write_table(table, path, row_group_size=ROWS // 8, **more)
    return path


KINDS = [
    "plain",
    "required",
    "large",
    "views",
    "of which many are missing",
    "all missing",
    "that repeat but little",
    "that never repeat",
    "declared a dictionary",
]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_keep_their_type_and_their_entries_from_parquet_to_parquet(tmp_path, kind):
    path, out = written(tmp_path / "in.parquet", kind), tmp_path / "out.parquet"
    assert score(open_source(str(path)), out).answered == ROWS
    given, found = pq.read_table(path), pq.read_table(out)
    names = given.column_names
    assert found.schema == pa.schema([*given.schema, pa.field("prediction", pa.string())])
    assert [found[name].to_pylist() for name in names] == [given[name].to_pylist() for name in names]
    assert found["prediction"].to_pylist() == [label(text) for text in given["s"].to_pylist()]
    # Not only what Arrow notes of itself is the same, but also the file's own types.
    columns = [[pq.ParquetFile(one).schema.column(at) for at in range(len(names))] for one in (path, out)]
    assert [str(one) for one in columns[0]] == [str(one) for one in columns[1]]
    polars = pl.read_parquet(out)
    assert polars.schema == {**pl.read_parquet_schema(path), "prediction": pl.String}
    assert polars["s"].to_list() == given["s"].to_pylist()


@pytest.mark.parametrize(
    ("kind", "coded"),
    [
        ("plain", {"s": pa.string(), "again": pa.large_string()}),
        ("views", {"s": pa.string_view(), "again": pa.large_string()}),
        ("that never repeat", {"again": pa.large_string()}),
        ("declared a dictionary", {"again": pa.large_string()}),
    ],
)
def test_only_plain_texts_that_repeat_are_sent_as_dictionaries(tmp_path, kind, coded):
    with closing(open_source(str(written(tmp_path / "in.parquet", kind))).chunks(0, 700)) as chunks:
        first = next(chunks)
    assert first.coded == coded
    assert all(pa.types.is_dictionary(first.table[name].type) for name in coded)
    # Though a row group, whose dictionary it is, has but 500.
    assert first.length == 700


def test_a_polars_file_is_written_as_polars_wrote_it(tmp_path):
    frame = pl.DataFrame({"s": TOWNS * 500, "kind": pl.Series(["b", "a", "b"] * 1000, dtype=pl.Categorical)})
    frame.write_parquet(tmp_path / "in.parquet", row_group_size=800)
    score(open_source(str(tmp_path / "in.parquet")), tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.drop("prediction").equals(frame)
    assert found.schema == {**frame.schema, "prediction": pl.String}


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("kind", ["large", "of which many are missing"])
def test_other_files_are_the_same_to_the_byte_whether_the_input_had_dictionaries(tmp_path, kind, ending):
    outs = []
    for name, has in (("coded", True), ("plain", False)):
        path = written(tmp_path / f"{name}.parquet", kind, use_dictionary=has)
        with closing(open_source(str(path)).chunks(0, 10)) as chunks:
            assert ("again" in next(chunks).coded) is has
        outs.append(tmp_path / f"{name}{ending}")
        score(open_source(str(path)), outs[-1])
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_a_table_of_a_database_is_the_same_too(tmp_path):
    path = written(tmp_path / "in.parquet", "of which many are missing")
    score(open_source(str(path)), f"sqlite:///{tmp_path / 'out.db'}", table="scored")
    with closing(sqlite3.connect(tmp_path / "out.db")) as connection:
        found = connection.execute("SELECT n, s, again, prediction FROM scored ORDER BY n").fetchall()
        types = {row[1]: row[2] for row in connection.execute("PRAGMA table_info(scored)")}
    given = pq.read_table(path).to_pylist()
    assert found == [(row["n"], row["s"], row["again"], label(row["s"])) for row in given]
    assert types == {"n": "BIGINT", "s": "TEXT", "again": "TEXT", "prediction": "TEXT"}


KILLED = """
import os, signal, sys
import test_batch_coded as mine

source = mine.open_source(sys.argv[1])

class Killing:
    names, rows, identity = source.names, source.rows, source.identity
    def chunks(self, start, size):
        for number, chunk in enumerate(source.chunks(start, size)):
            if number == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            yield chunk

mine.score(Killing(), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_killed_run_goes_on_to_the_table_of_one_that_was_not(tmp_path):
    path, whole, out = written(tmp_path / "in.parquet", "plain"), tmp_path / "whole.parquet", tmp_path / "out.parquet"
    score(open_source(str(path)), whole)
    folders = os.pathsep.join(one for one in sys.path if one)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(out)],
        check=False,
        timeout=150,
        env={**os.environ, "PYTHONPATH": folders},
        cwd=Path(__file__).parent,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    summary = score(open_source(str(path)), out)
    assert 0 < summary.resumed_at < ROWS
    assert pq.read_table(out).equals(pq.read_table(whole), check_metadata=True)
    assert out.read_bytes() == whole.read_bytes()


def test_numbers_that_hardly_repeat_get_no_dictionary_in_any_part_gone_on_with_or_not(tmp_path):
    # A dictionary of these would be as long as the column, and stand beside as many positions in it.
    path, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    numbers = {"once": np.arange(6000), "often": np.arange(6000) % 9, "when": np.arange(6000).astype("datetime64[s]")}
    pq.write_table(pa.table({**numbers, "s": ["a", "b", None] * 2000}), path)
    source = open_source(str(path))

    class Stopping:
        names, rows, identity = source.names, source.rows, source.identity

        def chunks(self, start, size):
            yield from (chunk for chunk in source.chunks(start, size) if chunk.start < 3000)
            raise OSError("gone")

    task = Plan("initials:1", "0", threads=2, chunk=1500)
    with pytest.raises(OSError, match="gone"):
        run(Stopping(), Initials(), open_output(str(out)), task, lambda *_: None)
    assert run(source, Initials(), open_output(str(out)), task, lambda *_: None).resumed_at > 0
    told = pq.read_metadata(out)
    assert told.num_row_groups == 4
    for group in range(4):
        found = {told.row_group(group).column(at).path_in_schema: told.row_group(group).column(at) for at in range(5)}
        assert {name for name, one in found.items() if one.has_dictionary_page} == {"often", "s", "prediction"}
    assert pq.read_table(out).drop_columns("prediction").equals(pq.read_table(path))


def test_the_answers_are_those_of_a_loaded_version(packed_home, april, tmp_path):
    table = april.iloc[:3000][list(COLUMNS)]
    table.to_parquet(tmp_path / "in.parquet", row_group_size=800)
    source, out = open_source(str(tmp_path / "in.parquet")), tmp_path / "out.parquet"
    name, bundle = open_version(load_config({"home": str(packed_home)}), "flights:1")
    plan = Plan(name, bundle.digest, chunk=1024, threads=2)
    with closing(open_model(bundle, memory=2**32, seconds=60)) as model:
        run(source, model, open_output(str(out)), plan, lambda *_: None)
    found, loaded = pd.read_parquet(out), fairlead.load("flights:1", home=packed_home)
    assert found["prediction"].tolist() == list(loaded.predict(table))
    shares = found[["probability_late", "probability_on time"]].to_numpy()
    # By column both ask 1,024 rows a call, and so get the same bits.
    assert np.array_equal(shares, loaded.predict_proba(table))


def test_a_bad_row_of_a_dictionary_is_told_and_left_out(tmp_path):
    class Strict(Initials):
        schema = Schema((Column("s", "string"),), Output("classification", classes=("first", "other")))

    path, out = written(tmp_path / "in.parquet", "of which many are missing"), tmp_path / "out.parquet"
    summary = run(
        open_source(str(path)), Strict(), open_output(str(out)), Plan("strict:1", "0", threads=2), lambda *_: None
    )
    assert summary.bad == sum(1 for number in range(ROWS) if number % 3)
    found = pq.read_table(out)
    assert found["n"].to_pylist() == list(range(0, ROWS, 3))
    given = pq.read_table(path)["s"].to_pylist()
    assert found["s"].to_pylist() == given[::3]


def test_several_dictionaries_and_one_that_is_larger_than_the_chunk_are_read_as_plain_text():
    schema = Schema((Column("s", "string", nullable=True),), Output("regression"))
    parts = [
        pa.array(["a", None, "b", "a"]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.int32()), ["b", "c"]),
        pa.DictionaryArray.from_arrays(pa.array([41], pa.int32()), [str(number) for number in range(100)]),
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), ["d", None]),
    ]
    for entries in (*([part] for part in parts), parts[:3]):
        column = pa.chunked_array(entries)
        told = sort_rows(Chunk(0, len(column), pa.table({"s": column})), RowReader(schema))
        assert [row[0] for row in rows_of(told.columns, schema)] == column.to_pylist()
        assert told.bad == told.rows == []


def test_a_long_text_that_is_said_once_and_repeated_is_sent_in_pieces_that_may_be_spelled_out(tmp_path):
    # 26 GB, were it spelled out, as a CSV of it has to; a chunk of it may be no larger than one of plain text.
    entries = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array(["x" * 2**17]))
    for name, stored in (("plain", False), ("declared", True)):
        pq.write_table(pa.table({"s": entries}), tmp_path / f"{name}.parquet", store_schema=stored)
        with closing(open_source(str(tmp_path / f"{name}.parquet")).chunks(0, 65_536)) as chunks:
            assert 0 < next(chunks).length * 2**17 <= MEMORY // 8


def test_an_entry_that_is_not_in_its_dictionary_is_refused(tmp_path):
    path = tmp_path / "in.parquet"
    entries = pa.DictionaryArray.from_arrays(pa.array(np.full(1000, 2, np.int32)), pa.array(["a", "b", "c"]))
    schema = pa.schema([pa.field("s", entries.type, nullable=False)])
    pq.write_table(pa.Table.from_arrays([entries], schema=schema), path, compression="none", store_schema=False)
    told = pq.read_metadata(path).row_group(0).column(0)
    # The last byte of the column is what the run of a thousand repeats: the third entry. There is no fourth.
    data, last = bytearray(path.read_bytes()), told.dictionary_page_offset + told.total_compressed_size - 1
    assert data[last] == 2
    data[last] = 3
    path.write_bytes(data)
    with (
        pytest.raises(InvalidInput, match=r"in\.parquet cannot be read"),
        closing(open_source(str(path)).chunks(0, 65_536)) as chunks,
    ):
        list(chunks)
