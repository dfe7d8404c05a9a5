"""Parquet files that lie or are broken. The truth is what was written, and the limit that the kernel keeps on the process that reads."""

from __future__ import annotations

import contextlib
import itertools
import random
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairlead.batch.parquet_reader import MEMORY
from fairlead.batch.sources import open_source
from fairlead.errors import InvalidInput


def read(path, size=65_536):
    """All rows of a file, and the largest number of bytes that a chunk had."""
    rows = largest = 0
    for chunk in open_source(str(path)).chunks(0, size):
        assert chunk.start == rows
        rows += chunk.length
        largest = max(largest, chunk.table.nbytes)
    return rows, largest


@pytest.fixture
def honest(tmp_path):
    path = tmp_path / "in.parquet"
    table = pa.table(
        {"n": np.arange(3000), "x": np.random.default_rng(7).normal(size=3000), "s": ["abc", "d", ""] * 1000}
    )
    pq.write_table(table, path, row_group_size=1000)
    return path


def test_a_file_is_read_from_any_row_on(honest):
    numbers = [n for chunk in open_source(str(honest)).chunks(1234, 700) for n in chunk.table["n"].to_pylist()]
    assert numbers == list(range(1234, 3000))
    assert list(open_source(str(honest)).chunks(3000, 700)) == []


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: data[:-100], "cannot be read"),
        (lambda data: data[: len(data) // 2], "cannot be read"),
        (lambda data: data[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1", "cannot be read"),
        (lambda data: data[:-8] + struct.pack("<I", 3) + b"PAR1", "cannot be read"),
        (lambda data: b"PAR1" + b"\xff" * 1000 + struct.pack("<I", 1000) + b"PAR1", "cannot be read"),
        (lambda data: b"", "cannot be read"),
    ],
    ids=["no end", "half", "footer longer than the file", "footer too short", "footer of ones", "nothing"],
)
def test_a_broken_file_is_refused_with_its_name_and_without_its_folder(honest, tmp_path, spoil, reason):
    (tmp_path / "bad.parquet").write_bytes(spoil(honest.read_bytes()))
    with pytest.raises(InvalidInput, match=f"bad.parquet {reason}") as refused:
        read(tmp_path / "bad.parquet")
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_flipped_bytes_are_refused_or_read_but_end_nothing_else(honest, tmp_path):
    whole, chance, refused = honest.read_bytes(), random.Random(4), 0
    footer = struct.unpack("<I", whole[-8:-4])[0]
    for number in range(12):
        data, path = bytearray(whole), tmp_path / "bad.parquet"
        # Half of the tries spoil the footer, where sizes and offsets stand, half the pages with their headers.
        span = range(len(data) - 8 - footer, len(data) - 8) if number % 2 else range(4, len(data) - 8 - footer)
        for at in chance.choices(span, k=20):
            data[at] = chance.randrange(256)
        path.write_bytes(data)
        try:
            read(path)
        except InvalidInput as error:
            refused += "bad.parquet" in error.detail
    assert refused > 3


def seen_of(pid):
    """The largest memory that a process had so far, and the most that it may have, in bytes, as the kernel tells."""
    status, limits = Path(f"/proc/{pid}/status").read_text(), Path(f"/proc/{pid}/limits").read_text()
    (peak,) = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    (limit,) = [int(line.split()[3]) for line in limits.splitlines() if line.startswith("Max address space")]
    return peak, limit


def read_watched(path, chunks):
    """Read some chunks and watch the process that reads."""
    source = open_source(str(path))
    pid = source._waiting._process.pid
    peaks = [seen_of(pid)]
    with contextlib.closing(source.chunks(0, 65_536)) as found:
        for chunk in itertools.islice(found, chunks):
            assert chunk.table.nbytes <= 2**27
            peaks.append(seen_of(pid))
    assert all(peak <= limit == MEMORY for peak, limit in peaks)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_small_file_that_unpacks_to_much_is_read_in_bounded_memory(tmp_path):
    # A long text, said once and repeated two hundred thousand times by its number in a dictionary: 26 GB.
    entries = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array(["x" * 2**17]))
    path = tmp_path / "dictionary.parquet"
    pq.write_table(pa.table({"s": entries}), path, store_schema=False)
    assert path.stat().st_size < 2**20
    read_watched(path, 4)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_rows_that_unpack_to_more_than_the_memory_are_refused(tmp_path):
    # Pages of zeros, 150 megabytes each, which zstd packs to nothing.
    path, zeros = tmp_path / "zeros.parquet", pa.table({"s": pa.array([b"\0" * 150_000_000], pa.large_binary())})
    with pq.ParquetWriter(path, zeros.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(5):
            writer.write_table(zeros)
    assert path.stat().st_size < 2**20
    with pytest.raises(InvalidInput, match="takes more than 1024 MiB of memory"):
        read_watched(path, 100)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_one_huge_row_group_of_wide_rows_is_read_a_part_at_a_time(tmp_path):
    # 750 MB in one row group: more than the process that reads has beside its libraries.
    long = ["y" * 50_000, "z" * 50_000]
    path, schema = tmp_path / "in.parquet", pa.schema([("n", pa.int64()), ("s", pa.large_string())])
    entries = pa.DictionaryArray.from_arrays(
        pa.array(np.arange(15_000, dtype=np.int32) % 2), pa.array(long, pa.large_string())
    )
    pq.write_table(pa.table({"n": np.arange(15_000), "s": entries}), path, row_group_size=15_000, store_schema=False)
    assert pq.read_metadata(path).num_row_groups == 1
    assert schema.names == list(open_source(str(path)).names)
    rows, largest = read(path)
    assert rows == 15_000
    assert largest <= 2**27


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["n", "n"])
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(InvalidInput, match="two columns 'n'"):
        open_source(str(tmp_path / "in.parquet"))
