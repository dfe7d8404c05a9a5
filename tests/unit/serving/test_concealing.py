"""Sensitive columns in what is kept. The digests are those of hashlib's BLAKE2b, made here from its parts."""

import hashlib
import json

import msgspec
import pytest

from fairlead.events import Prediction
from fairlead.schema import Column, Output, Schema
from fairlead.serving.concealing import concealing

SECRET = b"s" * 32


def schema(**sensitive):
    columns = tuple(
        Column(name, "string", nullable=True, sensitive=sensitive.get(name, "")) for name in ("a", "b", "c")
    )
    return Schema(columns, Output("regression"))


def predictions(*rows):
    return [Prediction("i", 1.0, "m", "m:1", "stable", None, "ok", 0.1, row, 2.0, None, ("a",)) for row in rows]


def kept(conceal, *rows):
    return [one.inputs for one in conceal(predictions(*rows))]


def digest(column, value, secret=SECRET):
    key = hashlib.blake2b(b"fairlead/sensitive", key=secret, digest_size=32).digest()
    text = column.encode() + b"\0" + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return hashlib.blake2b(text, key=key, digest_size=8).hexdigest()


def test_a_schema_without_sensitive_columns_needs_nothing():
    assert concealing([schema()], SECRET) is None


def test_values_are_hashed_or_dropped_and_the_others_stay():
    conceal = concealing([schema(a="hash", b="drop")], SECRET)
    ((a, b, c),) = kept(conceal, ("Müller", "secret", "plain"))
    assert (a, b, c) == (digest("a", "Müller"), None, "plain")
    assert len(a) == 16


def test_nothing_else_of_a_prediction_changes():
    (before,) = predictions(("x", "y", "z"))
    (after,) = concealing([schema(a="hash")], SECRET)([before])
    assert msgspec.structs.replace(after, inputs=before.inputs) == before
    assert before.inputs == ("x", "y", "z"), "who answers still needs the row"


def test_what_is_missing_stays_missing_and_a_row_that_was_not_read_has_nothing():
    conceal = concealing([schema(a="hash", c="hash")], SECRET)
    assert kept(conceal, (None, "y", None), None) == [(None, "y", None), None]


def test_the_same_value_has_one_digest_in_a_column_and_another_in_another_or_elsewhere():
    conceal = concealing([schema(a="hash", b="hash")], SECRET)
    first, second = kept(conceal, ("x", "x", ""), ("x", "y", ""))
    assert first[0] == second[0]
    assert len({first[0], first[1], second[1]}) == 3
    assert kept(concealing([schema(a="hash")], b"t" * 32), ("x", "", ""))[0][0] != first[0]


@pytest.mark.parametrize(("value", "text"), [(1.0, "1.0"), (1, "1"), (True, "true"), ("1", '"1"')])
def test_values_of_other_types_have_other_digests(value, text):
    key = hashlib.blake2b(b"fairlead/sensitive", key=SECRET, digest_size=32).digest()
    expected = hashlib.blake2b(b"a\0" + text.encode(), key=key, digest_size=8).hexdigest()
    assert kept(concealing([schema(a="hash")], SECRET), (value, "", ""))[0][0] == expected


def test_without_a_secret_nobody_could_keep_a_digest_from_being_guessed_so_it_is_dropped():
    assert kept(concealing([schema(a="hash")], b""), ("x", "y", "z")) == [(None, "y", "z")]


def test_what_one_version_marks_no_other_at_the_endpoint_gives_away():
    conceal = concealing([schema(), schema(a="hash"), schema(a="drop", b="hash")], SECRET)
    assert kept(conceal, ("x", "y", "z")) == [(None, digest("b", "y"), "z")]
