"""The quick reading of one row against `serving.tensors`, which is tested against numpy by itself."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import FairleadError
from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema
from fairlead.serving.doors.tensors import TensorReader
from fairlead.serving.grpc.contents import read_inputs
from fairlead.serving.grpc.messages import message
from fairlead.serving.grpc.one_row import OneRow

SCHEMA = Schema(
    (
        Column("city", "string", nullable=True),
        Column("grade", "string", categories=("", "a")),
        Column("age", "number", nullable=True),
        Column("weight", "number"),
        Column("visits", "integer"),
        Column("member", "boolean"),
    ),
    Output("regression"),
)
ONE, ALL = OneRow(SCHEMA), TensorReader(RowReader(SCHEMA))
Request = message("inference.ModelInferRequest")
text = st.text(max_size=5).map(lambda one: struct.pack("<I", len(one.encode())) + one.encode())
number = st.floats().map(lambda one: struct.pack("<d", one))
entries = st.fixed_dictionaries(
    {
        "city": st.tuples(st.just("BYTES"), text),
        "grade": st.tuples(st.just("BYTES"), text),
        "age": st.one_of(
            st.tuples(st.just("FP64"), number),
            st.tuples(st.just("FP32"), st.floats(width=32).map(lambda one: struct.pack("<f", one))),
        ),
        "weight": st.tuples(st.just("FP64"), number),
        "visits": st.tuples(st.just("INT64"), st.integers(-(2**63), 2**63 - 1).map(lambda one: struct.pack("<q", one))),
        "member": st.tuples(st.just("BOOL"), st.binary(min_size=1, max_size=1)),
    }
)


def request(found, shape=(1, 1)):
    made = Request(model_name="m")
    for name, (datatype, data) in found.items():
        made.inputs.add(name=name, datatype=datatype, shape=shape)
        made.raw_input_contents.append(data)
    return made


def with_care(made):
    try:
        return ALL.read(read_inputs(made))
    except FairleadError:
        return None


@given(entries, st.randoms())
def test_what_is_read_quickly_is_what_is_read_with_care(found, random):
    shuffled = list(found.items())
    random.shuffle(shuffled)
    made = request(dict(shuffled))
    quick = ONE.read(made)
    if quick is not None:
        assert [quick] == with_care(made)
        assert list(map(type, quick)) == list(map(type, with_care(made)[0]))


@given(entries, st.sampled_from(SCHEMA.names), st.binary(max_size=12))
def test_bytes_of_any_kind_are_never_read_otherwise(found, name, data):
    made = request({**found, name: (found[name][0], data)})
    quick = ONE.read(made)
    assert quick is None or [quick] == with_care(made)


GOOD = {
    "city": ("BYTES", struct.pack("<I", 4) + b"Oslo"),
    "grade": ("BYTES", struct.pack("<I", 0)),
    "age": ("FP64", struct.pack("<d", float("nan"))),
    "weight": ("FP64", struct.pack("<d", 71.5)),
    "visits": ("INT64", struct.pack("<q", 3)),
    "member": ("BOOL", b"\x01"),
}


def test_an_ordinary_row_is_read_quickly():
    assert ONE.read(request(GOOD)) == ("Oslo", "", None, 71.5, 3, True)


def test_what_is_unusual_is_left_to_care():
    assert ONE.read(request(GOOD, shape=(1,))) is None
    assert ONE.read(request({**GOOD, "visits": ("INT32", struct.pack("<i", 3))})) is None
    assert ONE.read(request({name: GOOD[name] for name in list(GOOD)[1:]})) is None
    twice = request(GOOD)
    twice.inputs[0].name = "grade"
    assert ONE.read(twice) is None
    mixed = request(GOOD)
    mixed.inputs[5].contents.bool_contents.append(True)
    assert ONE.read(mixed) is None
