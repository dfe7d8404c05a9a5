"""Rows of the V1 protocol, in the forms that TensorFlow Serving's and KServe's pages print."""

import json

import pytest

from fairlead.errors import InvalidInput, SchemaMismatch, TooLarge
from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema
from fairlead.serving.doors.v1 import read_rows

SCHEMA = Schema((Column("tag", "string", nullable=True), Column("sensor", "number")), Output("regression"))
ONE = Schema((Column("x", "number"),), Output("regression"))
READER = RowReader(SCHEMA, max_rows=3)
EXPECTED = [("foo", 1.0), (None, 2.5)]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"tag": "foo", "sensor": 1}, {"sensor": 2.5, "tag": None}]},
        {"instances": [["foo", 1], [None, 2.5]]},
        {"inputs": {"tag": ["foo", None], "sensor": [1, 2.5]}},
        {"inputs": {"tag": [["foo"], [None]], "sensor": [1, 2.5]}, "signature_name": "serving_default"},
        {"signature_name": "any", "inputs": [["foo", 1], [None, 2.5]]},
    ],
)
def test_rows_and_columns_say_the_same(body):
    rows, _ = read_rows(READER, json.dumps(body).encode())
    assert rows == EXPECTED


def test_answers_stand_where_each_server_puts_them():
    assert read_rows(READER, b'{"instances":[["a",1]]}')[1] == ("predictions",)
    assert read_rows(READER, b'{"inputs":[["a",1]]}')[1] == ("predictions",)
    assert read_rows(READER, b'{"inputs":{"tag":["a"],"sensor":[1]}}')[1] == ("predictions", "outputs")


def test_a_model_of_one_column_takes_plain_numbers_as_tensorflow_servings_half_plus_two_does():
    assert read_rows(RowReader(ONE), b'{"instances": [1.0, 2.0, 5.0]}')[0] == [(1.0,), (2.0,), (5.0,)]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", InvalidInput),
        ("[]", InvalidInput),
        ("{}", InvalidInput),
        ('{"instances":[["a",1]],"inputs":[["a",1]]}', InvalidInput),
        ('{"instances":[["a",1]],"instances":[["b",1]]}', InvalidInput),
        ('{"instances":[["a",1]],"instances":[["a",1]]}', InvalidInput),
        ('{"instances":[]}', InvalidInput),
        ('{"instances":{}}', InvalidInput),
        ('{"instances":"x"}', InvalidInput),
        ('{"instances":[["a",1],{"tag":"a"}]}', InvalidInput),
        ('{"instances":[["a"]]}', SchemaMismatch),
        ('{"instances":[["a",1,2]]}', SchemaMismatch),
        ('{"instances":[["a","1"]]}', SchemaMismatch),
        ('{"instances":[["a",null]]}', SchemaMismatch),
        ('{"instances":[["a",NaN]]}', InvalidInput),
        ('{"instances":[["a",1e999]]}', InvalidInput),
        ('{"instances":[["a",1' + "0" * 400 + "]]}", InvalidInput),
        ('{"instances":[{"tag":"a","sensor":1,"sensor":2}]}', SchemaMismatch),
        ('{"instances":[["a",1],["a",1],["a",1],["a",1]]}', TooLarge),
        ('{"instances":[{"b64":"AAAA"}]}', SchemaMismatch),
        ('{"inputs":{}}', InvalidInput),
        ('{"inputs":{"tag":["a"]}}', SchemaMismatch),
        ('{"inputs":{"tag":["a"],"sensor":[1,2]}}', InvalidInput),
        ('{"inputs":{"tag":["a"],"tag":["b"],"sensor":[1]}}', InvalidInput),
        ('{"inputs":{"tag":[["a","b"]],"sensor":[1]}}', InvalidInput),
        ('{"inputs":{"tag":["a","a","a","a"],"sensor":[1,1,1,1]}}', TooLarge),
        ('{"instances":' + "[" * 100_000 + "]" * 100_000 + "}", InvalidInput),
    ],
)
def test_what_does_not_fit_is_refused(body, error):
    with pytest.raises(error):
        read_rows(READER, body.encode())


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"tag": {"b64": "Zm9v"}, "sensor": 1}, {"sensor": 2.5, "tag": None}]},
        {"instances": [[{"b64": "Zm9v"}, 1], [None, 2.5]]},
        {"inputs": {"tag": [{"b64": "Zm9v"}, None], "sensor": [1, 2.5]}},
    ],
)
def test_a_text_may_come_as_base64_as_tensorflow_servings_page_says(body):
    # RFC 4648's own vector: BASE64("foo") = "Zm9v".
    assert read_rows(READER, json.dumps(body).encode())[0] == EXPECTED


def test_a_model_of_one_text_takes_base64_alone_and_a_column_of_that_name_stays_a_column():
    texts = RowReader(Schema((Column("x", "string"),), Output("regression")))
    assert read_rows(texts, b'{"instances": [{"b64": "SMOpIQ=="}, "b64"]}')[0] == [("H\u00e9!",), ("b64",)]
    column = RowReader(Schema((Column("b64", "string"),), Output("regression")))
    assert read_rows(column, b'{"instances": [{"b64": "Zm9v"}]}')[0] == [("Zm9v",)]


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ('{"b64": "Zm9"}', InvalidInput),
        ('{"b64": "Zm 9v"}', InvalidInput),
        ('{"b64": "/w=="}', InvalidInput),
        ('{"b64": 1}', InvalidInput),
        ('{"b64": "Zm9v", "b64": "Zm9v"}', InvalidInput),
        ('{"b64": "Zm9v", "x": 1}', SchemaMismatch),
        ('{"b64": NaN}', InvalidInput),
        ('{"b64": ' + "[" * 5000 + "]" * 5000 + "}", InvalidInput),
    ],
)
def test_what_is_no_base64_of_a_text_is_refused(entry, error):
    with pytest.raises(error):
        read_rows(READER, b'{"instances":[{"tag":%b,"sensor":1}]}' % entry.encode())


def test_numbers_beside_base64_keep_every_digit():
    body = b'{"instances":[{"tag":{"b64":"Zm9v"},"sensor":0.30000000000000004}]}'
    assert read_rows(READER, body)[0] == [("foo", 0.30000000000000004)]
    with pytest.raises(InvalidInput):
        read_rows(READER, b'{"instances":[{"tag":{"b64":"Zm9v"},"sensor":1e999}]}')
