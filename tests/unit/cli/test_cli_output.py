"""How verbs print."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cli.output import clean, print_facts, print_json, print_table


@given(st.text())
def test_cleaned_text_is_one_printable_line(text):
    """`str.isprintable` is Python's own judgement; it also refuses spaces other than the plain one, which may stay."""
    cleaned = clean(text)
    assert all(character.isprintable() or character.isspace() or ord(character) > 127 for character in cleaned)
    assert "\x1b" not in cleaned
    assert len(cleaned.splitlines()) <= 1


def test_a_table_aligns_text_left_and_numbers_right(capsys):
    print_table(("name", "n", "share"), [("a", 5, 0.25), ("long name", 1234, None)])
    assert capsys.readouterr().out == "name          n  share\na             5   0.25\nlong name  1234\n"


def test_a_table_without_rows_is_its_head(capsys):
    print_table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_facts_without_a_value_are_left_out(capsys):
    print_facts([("version", "flights:1"), ("git commit", ""), ("road", "ir"), ("none", None)])
    assert capsys.readouterr().out == "version  flights:1\nroad     ir\n"


def test_json_keeps_what_a_name_holds(capsys):
    print_json({"name": "a\x1b[31m\n"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "a\x1b[31m\n"}
    assert "\x1b" not in out


@pytest.mark.parametrize("text", ["\x1b[2Jx", "a\u202eb", "\x07", "\x9b31m", "\u2028"])
def test_what_could_move_the_cursor_or_turn_the_text_is_taken_out(text):
    assert not set(clean(text)) & {"\x1b", "\u202e", "\x07", "\x9b", "\u2028"}
