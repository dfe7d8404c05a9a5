"""The reference of plans beside the code: every field and metric is on the page, and its example is a plan."""

import re
from pathlib import Path

import msgspec
import pytest

from fairlead.rollout import plan
from fairlead.rollout.reading import read_plan

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "plan.md").read_text("utf-8")
NAMED = set(re.findall(r"`(\w+)`", PAGE)) | set(re.findall(r"[{ ](\w+):", PAGE))


@pytest.mark.parametrize(
    "struct",
    [plan.Plan, plan.Step, plan.Bake, plan.Metric, plan.Analysis, plan.Rollback, plan.Assigned, plan.Audience],
    ids=lambda struct: struct.__name__,
)
def test_every_field_is_on_the_page(struct):
    assert {field.encode_name for field in msgspec.structs.fields(struct)} <= NAMED


def test_every_known_metric_is_on_the_page_with_its_source():
    rows = dict(re.findall(r"^\| `(\w+)` \| (requests|pairs|feedback) \|", PAGE, re.MULTILINE))
    assert rows == {name: known.source for name, known in plan.KNOWN.items()}


def test_the_defaults_that_the_page_tells_are_those_of_the_code():
    told = dict(
        re.findall(
            r"^\| `(alpha|error_limit|warm_up|advance_on|on_inconclusive)` \|.*\| `(\w[\w.]*)` \|$", PAGE, re.MULTILINE
        )
    )
    assert told == {name: str(getattr(plan.Analysis(), name)) for name in told}
    assert len(told) == 5


def test_the_example_is_a_plan():
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert read_plan(example, "yaml").candidate == "flights:4"
