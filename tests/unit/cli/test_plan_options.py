"""How the flags of a plan are written; what they become is a plan's own form (`docs/reference/cli.md`)."""

import pytest

from fairlead.cli.rollouts.planning import read_audience, read_metric
from fairlead.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "audience"),
    [
        ("origin=JFK", {"column": "origin", "is": ["JFK"]}),
        ("origin=JFK,LGA", {"column": "origin", "is": ["JFK", "LGA"]}),
        ("header:x-team=beta", {"header": "x-team", "is": ["beta"]}),
        ("column:header=a=b", {"column": "header", "is": ["a=b"]}),
    ],
)
def test_an_audience_is_a_column_or_a_header_with_values(text, audience):
    assert read_audience(text) == audience


@pytest.mark.parametrize("text", ["", "origin", "origin=", "=JFK", "header:=x", "cookie:a=b", ":a=b"])
def test_any_other_audience_is_refused_with_an_example(text):
    with pytest.raises(InvalidInput) as caught:
        read_audience(text)
    assert "origin=JFK" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("error_rate", {"name": "error_rate"}),
        ("slow_rate:over=200ms,max=1", {"name": "slow_rate", "over": "200ms", "max": 1}),
        ("error_rate:margin=1.5", {"name": "error_rate", "margin": 1.5}),
        ("sold:from=feedback,label=yes", {"name": "sold", "from": "feedback", "label": "yes"}),
        ("sold:min=-2", {"name": "sold", "min": -2}),
        ("sold:label=nan", {"name": "sold", "label": "nan"}),
    ],
)
def test_a_metric_is_a_name_with_fields(text, metric):
    assert read_metric(text) == metric


@pytest.mark.parametrize("text", ["a:", "a:b", "a:b=", "a:=1", "a:b=1,b=2", "a:name=b", "a:b=1,,"])
def test_any_other_metric_is_refused_with_an_example(text):
    with pytest.raises(InvalidInput) as caught:
        read_metric(text)
    assert "slow_rate:over=200ms" in caught.value.hint
