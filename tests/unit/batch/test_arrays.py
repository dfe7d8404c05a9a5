"""Between pyarrow and numpy, held against pyarrow's own conversions."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.batch.arrays import arrow_of, numpy_of, texts_of

KINDS = {
    pa.int8(): st.integers(-128, 127),
    pa.uint16(): st.integers(0, 65535),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
}


@given(st.data(), st.sampled_from(list(KINDS)), st.integers(0, 20), st.integers(0, 30))
def test_a_part_of_a_column_is_read_as_pyarrow_reads_it(data, kind, start, length):
    entries = pa.array(data.draw(st.lists(st.none() | KINDS[kind], max_size=40)), kind).slice(start, length)
    values, missing = numpy_of(entries)
    told = entries.to_pylist()
    assert values.dtype == np.dtype(kind.to_pandas_dtype())
    assert (missing is None) == (entries.null_count == 0)
    gone = [False] * len(told) if missing is None else missing.tolist()
    assert gone == [one is None for one in told]
    for value, one in zip(values.tolist(), told, strict=True):
        expected = 0 if one is None else one
        assert value == expected or (math.isnan(value) and math.isnan(expected))


@pytest.mark.parametrize("length", [0, 3])
def test_a_column_without_any_value_is_all_missing(length):
    values, missing = numpy_of(pa.nulls(length, pa.float64()))
    assert values.tolist() == [0.0] * length
    assert missing is None if not length else missing.all()


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int32, np.uint8])
def test_numbers_become_a_column(kind):
    values = np.arange(20).astype(kind)
    assert arrow_of(values).equals(pa.array(values))
    assert arrow_of(values[::3]).equals(pa.array(values[::3]))
    assert arrow_of(values[:0]).equals(pa.array(values[:0]))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_become_a_column(texts):
    found = texts_of(texts)
    found.validate(full=True)
    assert found.equals(pa.array(texts, pa.string()))
