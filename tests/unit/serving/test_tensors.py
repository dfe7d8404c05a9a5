"""Tensors against numpy, which packs and unpacks the same bytes, and against the protocol's own layout of BYTES."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.answer import Answer
from fairlead.errors import InvalidInput, SchemaMismatch, TooLarge
from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema
from fairlead.serving.doors.tensors import DATATYPES, Tensor, TensorReader, TensorWriter, raw_of

MIXED = Schema(
    (
        Column("city", "string", nullable=True),
        Column("age", "number", nullable=True),
        Column("visits", "integer"),
        Column("member", "boolean"),
    ),
    Output("classification", classes=("no", "yes"), probabilities=True),
)
NUMBERS = Schema(
    (Column("a", "number", nullable=True), Column("b", "integer"), Column("c", "number")), Output("regression")
)
NUMPY = {"FP16": "f2", "FP32": "f4", "FP64": "f8"} | {
    f"{sign}INT{8 * n}": f"{kind}{n}" for sign, kind in (("", "i"), ("U", "u")) for n in (1, 2, 4, 8)
}


def reader(schema, **more):
    return TensorReader(RowReader(schema, **more))


def tensor(name, datatype, array):
    array = np.asarray(array)
    return Tensor(name, datatype, array.shape, array.tobytes())


def elements(*texts):
    """BYTES as the protocol lays them out: each after its length, four bytes, little end first."""
    return b"".join(struct.pack("<I", len(one.encode())) + one.encode() for one in texts)


def test_a_table_of_mixed_columns_is_one_tensor_a_column():
    assert [tuple(one) for one in reader(MIXED).specs] == [
        ("city", "BYTES", (-1, 1)),
        ("age", "FP64", (-1, 1)),
        ("visits", "INT64", (-1, 1)),
        ("member", "BOOL", (-1, 1)),
    ]


def test_a_table_of_numbers_is_also_one_matrix_and_its_name_is_no_columns():
    assert tuple(reader(NUMBERS).specs[-1]) == ("input", "FP64", (-1, 3))
    taken = Schema((Column("input", "number"),), Output("regression"))
    assert [one.name for one in reader(taken).specs] == ["input", "input_"]


def test_columns_in_any_order_and_of_both_shapes_become_rows():
    rows = reader(MIXED).read(
        [
            Tensor("member", "BOOL", (2,), b"\x01\x00"),
            Tensor("visits", "INT64", (2, 1), struct.pack("<2q", 3, -4)),
            Tensor("city", "BYTES", (2, 1), elements("Köln", "")),
            Tensor("age", "FP64", (2,), struct.pack("<2d", 41.5, float("nan"))),
        ]
    )
    assert rows == [("Köln", 41.5, 3, True), (None, None, -4, False)]


def test_values_are_read_as_bytes_are():
    given_ = [
        ("city", "BYTES", ["Köln", None]),
        ("age", "FP32", [1, None]),
        ("visits", "INT8", [3, -4]),
        ("member", "BOOL", [True, False]),
    ]
    rows = reader(MIXED).read([Tensor(name, kind, (2, 1), values) for name, kind, values in given_])
    assert rows == [("Köln", 1.0, 3, True), (None, None, -4, False)]
    assert type(rows[0][1]) is float


@pytest.mark.parametrize("datatype", sorted(NUMPY))
def test_every_numeric_datatype_is_widened_as_numpy_widens_it(datatype):
    values = np.array([[0, 1, 2], [3, 100, 7]]).astype(NUMPY[datatype])
    rows = reader(NUMBERS).read([tensor("input", datatype, values)])
    assert rows == [tuple(row) for row in values.astype(float).tolist()]
    assert all(type(row[1]) is int for row in rows)


def test_bf16_is_the_upper_half_of_an_fp32():
    halves = np.array([[1.5, 2.0, -0.0078125]], dtype="<f4").view("<u4") >> 16
    assert reader(NUMBERS).read([tensor("input", "BF16", halves.astype("<u2"))]) == [(1.5, 2, -0.0078125)]


def test_an_integer_column_takes_a_whole_float_and_refuses_another():
    assert reader(NUMBERS).read([tensor("input", "FP64", [[1.5, 2.0, 3.0]])]) == [(1.5, 2, 3.0)]
    with pytest.raises(SchemaMismatch, match=r"'b': expected an integer, got the number 2\.5") as refused:
        reader(NUMBERS).read([tensor("input", "FP64", [[1.0, 2.0, 3.0], [1.5, 2.5, 3.0]])])
    assert refused.value.values["row"] == 1


def test_nan_is_a_missing_entry_where_one_may_be_missing():
    assert reader(NUMBERS).read([tensor("input", "FP32", np.array([[np.nan, 2, 3]], "f4"))]) == [(None, 2, 3.0)]
    for place in (1, 2):
        row = [1.0, 2.0, 3.0]
        row[place] = np.nan
        with pytest.raises(SchemaMismatch, match="got nothing"):
            reader(NUMBERS).read([tensor("input", "FP64", [row])])


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_number_is_refused(value):
    with pytest.raises(SchemaMismatch, match="'c'"):
        reader(NUMBERS).read([tensor("input", "FP64", [[1.0, 2.0, value]])])


def test_an_integer_that_no_fp64_holds_is_refused():
    with pytest.raises(SchemaMismatch, match="9007199254740993 in row 0 is no exact FP64"):
        reader(NUMBERS).read([tensor("input", "INT64", [[2**53 + 1, 2, 3]])])
    assert reader(NUMBERS).read([tensor("input", "INT64", [[2**60, 2, 3]])]) == [(2.0**60, 2, 3.0)]


@pytest.mark.parametrize(
    ("tensors", "error", "says"),
    [
        ([], SchemaMismatch, "expected a column, got nothing"),
        ([Tensor("x", "FP64", (1,), [1.0])], SchemaMismatch, "unknown column"),
        ([Tensor("a", "FP64", (1,), [1.0])] * 2, InvalidInput, "same name"),
        ([Tensor("input", "FP64", (1, 3), [1.0, 2.0, 3.0]), Tensor("a", "FP64", (1,), [1.0])], InvalidInput, "not both"),
        ([Tensor("input", "FP64", (1, 2), [1.0, 2.0])], SchemaMismatch, r"the shape \[rows, 3\], got \[1, 2\]"),
        ([Tensor("input", "FP64", (3,), [1.0, 2.0, 3.0])], SchemaMismatch, "the shape"),
        ([Tensor("input", "FP64", (1, 3, 1), [1.0, 2.0, 3.0])], InvalidInput, "one or two sizes"),
        ([Tensor("input", "FP64", (), [1.0])], InvalidInput, "one or two sizes"),
        ([Tensor("input", "FP64", (-1, 3), [])], InvalidInput, "one or two sizes"),
        ([Tensor("input", "FP64", (2**31, 3), b"")], InvalidInput, "one or two sizes"),
        ([Tensor("input", "FP64", (0, 3), b"")], InvalidInput, "no row"),
        ([Tensor("input", "FP64", (11, 3), b"")], TooLarge, "11 rows"),
        ([Tensor("input", "FP64", (1, 2**31 - 1), b"")], SchemaMismatch, "the shape"),
        ([Tensor("input", "FP64", (1, 3), bytes(23))], InvalidInput, "23 bytes; its shape and datatype need 24"),
        ([Tensor("input", "FP64", (1, 3), [1.0, 2.0])], InvalidInput, "2 values; its shape needs 3"),
        ([Tensor("input", "FP64", (1, 3), ["1", "2", "3"])], InvalidInput, "not all of its values are FP64"),
        ([Tensor("input", "FP64", (1, 3), [10**400, 2, 3])], InvalidInput, "out of the range of FP64"),
        ([Tensor("input", "INT8", (1, 3), [128, 2, 3])], InvalidInput, "out of the range of INT8"),
        ([Tensor("input", "UINT8", (1, 3), [-1, 2, 3])], InvalidInput, "out of the range of UINT8"),
        ([Tensor("input", "INT64", (1, 3), [True, 2, 3])], InvalidInput, "not all of its values are INT64"),
        ([Tensor("input", "COMPLEX", (1, 3), bytes(24))], InvalidInput, "no datatype 'COMPLEX'"),
        ([Tensor("input", "BYTES", (1, 3), elements("1", "2", "3"))], SchemaMismatch, "expected the datatype FP64"),
        ([Tensor("input", "BOOL", (1, 3), bytes(3))], SchemaMismatch, "expected the datatype FP64, got BOOL"),
        ([Tensor(n, "FP64", (2 if n == "a" else 1,), [1.0] * (2 if n == "a" else 1)) for n in "abc"], InvalidInput, "different lengths"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_reason(tensors, error, says):
    with pytest.raises(error, match=says):
        reader(NUMBERS, max_rows=10).read(tensors)


@pytest.mark.parametrize(
    "data",
    [b"", bytes(3), b"\xff\xff\xff\xff", struct.pack("<I", 2) + b"x", elements("x", "y"), elements("x") + b"z"],
    ids=["empty", "half a length", "a length of 4 GB", "cut off", "one too many", "bytes behind"],
)
def test_elements_whose_lengths_do_not_add_up_are_refused(data):
    with pytest.raises(InvalidInput, match="1 elements, each after its length"):
        reader(MIXED).read([Tensor("city", "BYTES", (1, 1), data)])


def test_an_element_that_is_no_utf8_is_refused():
    with pytest.raises(InvalidInput, match="element 0 is not UTF-8"):
        reader(MIXED).read([Tensor("city", "BYTES", (1,), struct.pack("<I", 1) + b"\xff")])


def test_an_empty_text_is_a_text_where_it_is_a_category():
    schema = Schema((Column("x", "string", nullable=True, categories=("", "y")),), Output("regression"))
    assert reader(schema).read([Tensor("x", "BYTES", (2,), elements("", "y"))]) == [("",), ("y",)]


def test_a_raw_body_is_the_matrix_or_the_only_column():
    found = reader(NUMBERS).sole(np.arange(6.0).tobytes())
    assert (found.name, found.datatype, found.shape) == ("input", "FP64", (2, 3))
    with pytest.raises(InvalidInput, match="23 bytes; a row of 'input' has 24"):
        reader(NUMBERS).sole(bytes(23))
    with pytest.raises(InvalidInput, match="only hold one tensor"):
        reader(MIXED).sole(bytes(8))
    truth = Schema((Column("x", "boolean"),), Output("regression"))
    assert reader(truth).sole(b"\x01\x00\x01").shape == (3, 1)


def test_answers_become_tensors_that_numpy_reads():
    writer = TensorWriter(MIXED)
    answers = [
        Answer("no", "id-1", "m:1", {"no": 0.75, "yes": 0.25}),
        Answer("yes", "id-2", "m:1", {"no": 0.5, "yes": 0.5}),
    ]
    label, chances, ids = writer.write(answers, writer.specs)
    assert raw_of(label) == elements("no", "yes")
    assert raw_of(ids) == elements("id-1", "id-2")
    assert np.frombuffer(raw_of(chances), "<f8").reshape(chances.shape).tolist() == [[0.75, 0.25], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [((0, 1), "INT64"), ((False, True), "BOOL"), ((0.5, 1.5), "FP64"), ((0, 1.5), "FP64"), (("a", "b"), "BYTES"), (("a", 1), "BYTES")],
)  # fmt: skip
def test_the_prediction_has_the_datatype_of_the_classes(classes, datatype):
    writer = TensorWriter(Schema(MIXED.columns, Output("classification", classes=classes)))
    assert writer.specs[0].datatype == datatype
    (found,) = writer.write([Answer(one, "id", "m:1") for one in classes], writer.specs[:1])
    assert raw_of(found)


def test_outputs_come_in_the_order_that_was_asked_for_and_only_once():
    writer = TensorWriter(MIXED)
    assert [one.name for one in writer.check(["id", "prediction"])] == ["id", "prediction"]
    assert [one.name for one in writer.check([])] == ["prediction", "probabilities", "id"]
    for wrong in (["nothing"], ["id", "id"], ["id"] * 1000):
        with pytest.raises(InvalidInput, match="output"):
            writer.check(wrong)


ANY_TENSOR = st.builds(
    Tensor,
    name=st.sampled_from(["city", "age", "visits", "member", "input", "a", "b", "c", ""]),
    datatype=st.sampled_from([*sorted(DATATYPES), "", "X"]),
    shape=st.lists(st.integers(-2, 4) | st.integers(), max_size=3).map(tuple),
    data=st.binary(max_size=40)
    | st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3), max_size=6),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(ANY_TENSOR, max_size=4), st.sampled_from([MIXED, NUMBERS]))
def test_no_tensor_does_more_than_be_refused_or_become_rows_of_the_schema(tensors, schema):
    try:
        rows = reader(schema, max_rows=100).read(tensors)
    except InvalidInput:
        pass
    else:
        assert {len(row) for row in rows} == {len(schema.columns)}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_matrix_is_read_as_numpy_wrote_it(data):
    datatype = data.draw(st.sampled_from(sorted(NUMPY)))
    kind = np.dtype(NUMPY[datatype])
    count = data.draw(st.integers(1, 5))
    if kind.kind == "f":
        entries = st.floats(allow_nan=False, allow_infinity=False, width=8 * kind.itemsize)
    else:
        bounds = np.iinfo(kind)
        entries = st.integers(max(bounds.min, -(2**53)), min(bounds.max, 2**53))
    values = np.array(data.draw(st.lists(st.tuples(entries, entries), min_size=count, max_size=count)), dtype=kind)
    schema = Schema((Column("x", "number"), Column("y", "number")), Output("regression"))
    rows = reader(schema).read([tensor("input", datatype, values.reshape(count, 2))])
    assert rows == [tuple(map(float, row)) for row in values.reshape(count, 2).tolist()]


def test_the_likeliest_classes_are_told_as_tritons_page_prints_them():
    # Its example: of [1, 5, 10, 4] the two highest are 10 (index 2) and 5 (index 1), "<value>:<index>:<label>".
    writer = TensorWriter(Schema(MIXED.columns, Output("classification", classes=("a", "b", "c"), probabilities=True)))
    answers = [
        Answer("c", "1", "m:1", {"a": 0.125, "b": 0.25, "c": 0.625}),
        Answer("a", "2", "m:1", {"a": 0.375, "b": 0.25, "c": 0.375}),
    ]
    specs = writer.check(["id", "probabilities"], {"probabilities": 2})
    told = writer.write(answers, specs)[1]
    assert (told.datatype, told.shape) == ("BYTES", (2, 2))
    assert told.data == ["0.625:2:c", "0.25:1:b", "0.375:0:a", "0.375:2:c"]
    assert writer.check(["probabilities"], {"probabilities": 9})[0].shape == (-1, 3)
    for name, count in (("prediction", 1), ("id", 1), ("probabilities", -1)):
        with pytest.raises(InvalidInput, match="classes"):
            writer.check([name], {name: count})
