"""Bodies of the Open Inference Protocol; the requests are those that its specification and Triton's extension print."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import InvalidInput
from fairlead.serving.doors.openinference_wire import header_length, read_request, write_response
from fairlead.serving.doors.tensors import Tensor

# The example request of the specification's section "Inference".
EXAMPLE = {
    "id": "42",
    "inputs": [
        {"name": "input0", "shape": [2, 2], "datatype": "UINT32", "data": [1, 2, 3, 4]},
        {"name": "input1", "shape": [3], "datatype": "BOOL", "data": [True]},
    ],
    "outputs": [{"name": "output0"}],
}


def read(told, tail=b""):
    text = json.dumps(told).encode()
    return read_request(text + tail, len(text) if tail else None)


def test_the_specifications_example_is_understood():
    asked = read(EXAMPLE)
    assert asked.id == "42"
    assert [(one.name, one.datatype, one.shape, list(one.data)) for one in asked.tensors] == [
        ("input0", "UINT32", (2, 2), [1, 2, 3, 4]),
        ("input1", "BOOL", (3,), [True]),
    ]
    assert [(one.name, one.binary) for one in asked.outputs] == [("output0", False)]


def test_nested_data_say_the_same_as_flat_data():
    nested = read({"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2.5], [None, 4]]}]})
    assert list(nested.tensors[0].data) == [1.0, 2.5, None, 4.0]


def test_binary_and_json_tensors_mix_as_in_tritons_example():
    # "input0" binary with 16 bytes, "input1" in JSON, "input2" binary with 3 bytes; output0 as bytes.
    told = {
        "inputs": [
            {"name": "input0", "shape": [2, 2], "datatype": "UINT32", "parameters": {"binary_data_size": 16}},
            {"name": "input1", "shape": [1], "datatype": "FP32", "data": [0.5]},
            {"name": "input2", "shape": [3], "datatype": "BOOL", "parameters": {"binary_data_size": 3}},
        ],
        "outputs": [{"name": "output0", "parameters": {"binary_data": True}}, {"name": "output1"}],
    }
    asked = read(told, struct.pack("<4I", 1, 2, 3, 4) + b"\x01\x00\x01")
    assert [bytes(one.data) if isinstance(one.data, memoryview) else one.data for one in asked.tensors] == [
        struct.pack("<4I", 1, 2, 3, 4),
        [0.5],
        b"\x01\x00\x01",
    ]
    assert [one.binary for one in asked.outputs] == [True, False]


def test_the_requests_own_choice_holds_for_outputs_that_make_none():
    told = {
        "parameters": {"binary_data_output": True},
        "inputs": [],
        "outputs": [{"name": "a"}, {"name": "b", "parameters": {"binary_data": False}}],
    }
    asked = read(told)
    assert asked.binary
    assert [one.binary for one in asked.outputs] == [True, False]


ONE = '{"name":"x","shape":[1],"datatype":"INT64","data":[1]}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"inputs":null}',
        '{"inputs":[1]}',
        '{"inputs":[{}]}',
        f'{{"inputs":[{ONE}],"id":7}}',
        f'{{"inputs":[{ONE}],"inputs":[{ONE}]}}',
        f'{{"inputs":[{ONE[:-1]},"name":"y"}}]}}',
        f'{{"inputs":[{ONE}],"outputs":[{{"name":"a","name":"b"}}]}}',
        f'{{"inputs":[{ONE}],"parameters":{{"a":1,"a":2}}}}',
        f'{{"inputs":[{ONE}],"parameters":{{"a":[]}}}}',
        f'{{"inputs":[{ONE}],"parameters":{{"binary_data_output":1}}}}',
        f'{{"inputs":[{ONE}],"x":{"9" * 5000},"x":1}}',
        '{"inputs":[{"name":"x","shape":[1.5],"datatype":"INT64","data":[1]}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[NaN]}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1e999]}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":"AA=="}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64"}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"WHAT","data":[1]}]}',
        '{"inputs":[{"name":"x","shape":[2],"datatype":"INT64","data":[[1],[2]]}]}',
        '{"inputs":[{"name":"x","shape":[2,1],"datatype":"INT64","data":[[1,2]]}]}',
        '{"inputs":[{"name":"x","shape":[1,1],"datatype":"INT64","data":[[[1]]]}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["\\ud800"]}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","parameters":{"binary_data_size":8}}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","parameters":{"binary_data_size":-8}}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","parameters":{"binary_data_size":true}}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","parameters":{"shared_memory_region":"x"}}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":' + "[" * 100_000 + "]" * 100_000 + "}]}",
        '{"inputs":[],"x":' + "[" * 100_000 + "]" * 100_000 + "}",
        '\ufeff{"inputs":[]}',
    ],
)
def test_what_is_not_as_the_protocol_says_is_refused(text):
    with pytest.raises(InvalidInput):
        read_request(text.encode(), None)


def test_bytes_that_are_too_few_or_too_many_are_refused():
    told = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}}]}
    for count in (1, 7, 9, 16):
        with pytest.raises(InvalidInput, match=f"need 8 bytes after the JSON; the body has {count}"):
            read(told, bytes(count))


def test_members_that_are_not_known_are_left_alone_and_colons_in_texts_do_no_harm():
    asked = read({"inputs": [{"name": "a:b", "shape": [1], "datatype": "BYTES", "data": ["x:y"], "more": {"z": 1}}]})
    assert list(asked.tensors[0].data) == ["x:y"]


@pytest.mark.parametrize("header", [b"", b"-1", b"1.5", b"0x10", b"9" * 11, b" 1", "²".encode()])
def test_a_length_that_is_no_number_is_refused(header):
    with pytest.raises(InvalidInput):
        header_length(header)


def test_a_length_beyond_the_body_is_refused():
    with pytest.raises(InvalidInput, match="is 100; the body has 2 bytes"):
        read_request(b"{}", 100)


def test_an_answer_holds_json_then_the_bytes_of_those_that_were_asked_for_so():
    tensors = [Tensor("p", "BYTES", (2, 1), ["ä", ""]), Tensor("q", "FP64", (2, 1), [0.5, 1.0])]
    body, length = write_response("m", "3", "r", tensors, [True, False])
    told = json.loads(body[:length])
    assert told["outputs"] == [
        {"name": "p", "datatype": "BYTES", "shape": [2, 1], "parameters": {"binary_data_size": 10}},
        {"name": "q", "datatype": "FP64", "shape": [2, 1], "data": [0.5, 1.0]},
    ]
    assert body[length:] == b"\x02\x00\x00\x00" + "ä".encode() + b"\x00\x00\x00\x00"
    plain, none = write_response("m", "3", "r", tensors, [False, False])
    assert none is None
    assert json.loads(plain) == {
        "model_name": "m",
        "model_version": "3",
        "id": "r",
        "outputs": [
            {"name": "p", "datatype": "BYTES", "shape": [2, 1], "data": ["ä", ""]},
            {"name": "q", "datatype": "FP64", "shape": [2, 1], "data": [0.5, 1.0]},
        ],
    }


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200), st.none() | st.integers(1, 250))
def test_no_bytes_do_more_than_be_refused(body, length):
    with pytest.raises(InvalidInput):
        read_request(body, length)
