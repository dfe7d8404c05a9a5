"""References, by properties: every reference reads back as itself, and no text becomes a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import BadReference
from fairlead.refs import ModelRef

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True).filter(lambda name: ".." not in name)
words = names.filter(lambda name: not name.isdigit())


@given(names, st.none() | st.integers(1, 999_999_999) | words)
def test_a_reference_reads_back_as_itself(model, selector):
    ref = ModelRef(model, number=selector) if isinstance(selector, int) else ModelRef(model, alias=selector)
    assert ModelRef.parse(str(ref)) == ref


@given(st.text(max_size=80))
def test_a_text_that_is_accepted_holds_no_path(text):
    try:
        ref = ModelRef.parse(text)
    except BadReference:
        return
    assert "/" not in text
    assert "\\" not in text
    assert ".." not in text
    assert text.isascii()
    assert ref.model


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "flights:",
        ":1",
        "flights:0",
        "flights:-1",
        "flights:1:2",
        "flights:\N{ARABIC-INDIC DIGIT ONE}",
        "a" * 65,
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(BadReference):
        ModelRef.parse(text)
