"""What the judge says; the rule is that of docs/statistics.md: sure and large, else stable if the data could have shown it."""

from __future__ import annotations

import math

import pytest

from fairlead.monitor.report import Finding
from fairlead.monitor.verdicts import Test as Open
from fairlead.monitor.verdicts import overall, ranked, verdicts


def finding(**more):
    facts = {"area": "predictor", "subject": "temp", "measure": "ks", "verdict": "stable", "because": "temp: D = 0.4"}
    return Finding(**{**facts, "n": 40, **more})


def open_test(p, effect, *, limit=0.1, reachable=True, **more):
    return Open(finding(p=p, effect=effect, **more), limit, reachable)


@pytest.mark.parametrize(
    ("p", "effect", "reachable", "verdict"),
    [
        (0.001, 0.4, True, "drift"),
        (0.001, 0.4, False, "drift"),
        (0.001, 0.1, True, "drift"),
        (0.001, 0.09, True, "stable"),
        (0.2, 0.4, True, "stable"),
        (0.2, 0.4, False, "insufficient"),
        (0.2, 0.01, False, "insufficient"),
        (0.05, 0.4, True, "stable"),
        (None, None, True, "stable"),
        (None, 0.0, False, "insufficient"),
        (math.nan, 0.4, True, "error"),
        (0.001, math.nan, True, "error"),
        (0.001, None, True, "stable"),
    ],
)
def test_it_drifts_where_it_is_sure_and_large_and_is_stable_only_where_that_could_have_been_seen(
    p, effect, reachable, verdict
):
    [found] = verdicts([open_test(p, effect, reachable=reachable)], 0.05)
    assert found.verdict == verdict
    assert found.because.startswith("temp: D = 0.4")
    assert found.because.endswith(".")


def test_the_fifteen_p_values_of_benjamini_and_hochberg_give_their_four_rejections():
    # Benjamini, Hochberg 1995, section 4.2: the thrombolysis trial; 4 rejections at 0.05.
    published = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    published += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    found = verdicts([open_test(p, 1.0) for p in published], 0.05)
    assert [one.verdict for one in found] == ["drift"] * 4 + ["stable"] * 11


def test_what_is_already_decided_is_kept_and_costs_the_others_nothing():
    decided = [Open(finding(verdict=one, because="As it is.", p=0.9)) for one in ("breach", "error", "insufficient")]
    found = verdicts([*decided, open_test(0.04, 0.4), open_test(None, None)], 0.05)
    assert [one.verdict for one in found] == ["breach", "error", "insufficient", "drift", "stable"]
    assert found[0].because == "As it is."
    assert found[3].adjusted == 0.04


def test_no_tests_give_no_findings():
    assert verdicts([], 0.05) == []
    assert overall([], 0.5) == ("insufficient", None)


def test_the_worst_comes_first_and_the_larger_effect_before_the_smaller():
    found = [
        finding(subject="a", effect=0.1),
        finding(subject="b", verdict="drift", effect=0.2),
        finding(subject="c", verdict="drift", effect=0.5),
        finding(subject="d", verdict="breach", area="service"),
    ]
    assert [one.subject for one in ranked(found)] == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("found", "verdict", "share"),
    [
        (["drift", "stable"], "drift", 0.5),
        (["drift", "stable", "stable"], "stable", 1 / 3),
        (["drift", "insufficient", "error"], "drift", 1.0),
        (["insufficient", "error"], "insufficient", None),
        (["error"], "error", None),
        (["breach", "stable"], "breach", 0.5),
    ],
)
def test_the_table_drifts_where_half_of_the_inputs_that_could_be_judged_do(found, verdict, share):
    assert overall([finding(verdict=one) for one in found], 0.5) == (verdict, share)


def test_a_drifted_label_or_segment_is_no_drifted_input():
    others = [finding(area="target", verdict="drift"), finding(segment='carrier = "UA"', verdict="drift")]
    assert overall([*others, finding()], 0.5) == ("stable", 0.0)


def test_a_model_that_measurably_does_worse_is_not_stable_whatever_its_inputs_do():
    worse = finding(area="model", subject="roc_auc", measure="measured", verdict="drift")
    assert overall([worse, finding()], 0.5) == ("drift", 0.0)
    # What is only estimated, or seen in a part of the traffic, is told and does not make the table drift.
    told = [finding(area="estimate", verdict="drift"), finding(area="model", verdict="drift", segment='carrier = "UA"')]
    assert overall([*told, finding()], 0.5) == ("stable", 0.0)
