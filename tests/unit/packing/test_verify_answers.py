"""When an answer counts as the same."""

import pytest

from fairlead.bundle.manifest import Expected
from fairlead.packing.verify import answers_differ
from fairlead.schema import Output, Schema

CLASSES = Schema((), Output("classification", classes=("a", "b"), probabilities=True))
VALUE = Schema((), Output("regression"))


@pytest.mark.parametrize(
    ("schema", "then", "now"),
    [
        (CLASSES, Expected("a", (0.6, 0.4)), Expected("a", (0.600009, 0.399991))),
        (CLASSES, Expected("a"), Expected("a")),
        (VALUE, Expected(2.0), Expected(2.000009)),
        (VALUE, Expected(1e6), Expected(1e6 + 5)),
        (VALUE, Expected(3), Expected(3.0)),
    ],
)
def test_answers_within_the_tolerance_are_the_same(schema, then, now):
    assert answers_differ(schema, then, now) == ""


@pytest.mark.parametrize(
    ("schema", "then", "now", "words"),
    [
        (CLASSES, Expected("a", (0.5, 0.5)), Expected("b", (0.5, 0.5)), "expected 'a', answered 'b'"),
        (CLASSES, Expected("a", (0.6, 0.4)), Expected("a", (0.7, 0.3)), "off by 0.1"),
        (CLASSES, Expected("a", (0.6, 0.4)), Expected("a"), "one side only"),
        (CLASSES, Expected("a", (0.6, 0.4)), Expected("a", (0.6, 0.3, 0.1)), "off by inf"),
        (VALUE, Expected(2.0), Expected(2.1), "off by 0.05"),
        (VALUE, Expected(2.0), Expected(float("nan")), "off by nan"),
    ],
)
def test_other_answers_are_told_in_words(schema, then, now, words):
    assert words in answers_differ(schema, then, now)
