"""The preset against Evidently itself: what it said once of twenty pairs of tables, and what it says where it is installed."""

from __future__ import annotations

import json

import pytest
from evidently_tables import EXPECTED, asked, tables

import fairlead
from fairlead.columns import Numbers
from fairlead.monitor.given import given
from fairlead.monitor.measures.evidently import evidently_counted
from fairlead.monitor.verdicts import verdicts
from fairlead.profiles.counting import Batch, count, profile_of
from fairlead.schema import Column, Output, Schema

METHODS = {
    "K-S p_value": "Kolmogorov-Smirnov",
    "chi-square p_value": "χ², one sample",
    "Z-test p_value": "z",
    "Wasserstein distance (normed)": "Wasserstein/σ",
    "Jensen-Shannon distance": "Jensen-Shannon",
}
PAIRS = list(tables())


def drifted(method, score):
    """Evidently's limits: p ≤ 0.05 for Kolmogorov-Smirnov, p < 0.05 for others, distances from 0.1 on."""
    if "distance" in method:
        return score >= 0.1
    return score <= 0.05 if method == "K-S p_value" else score < 0.05


def check(pair, said):
    report = fairlead.drift(*pair, preset="evidently")
    found = {one.subject: one for one in report.findings}
    assert set(found) == set(said)
    for column, (method, score) in said.items():
        one = found[column]
        assert one.measure == METHODS[method], column
        assert one.value == pytest.approx(score, rel=1e-6, abs=1e-12), column
        assert one.verdict == ("drift" if drifted(method, score) else "stable"), column
    share = sum(drifted(*one) for one in said.values()) / len(said)
    assert report.drifted == pytest.approx(share)


@pytest.mark.parametrize("number", range(20))
def test_each_column_is_judged_as_evidently_judged_it(number):
    check(PAIRS[number], json.loads(EXPECTED.read_text())[number])


def test_the_expected_values_hold_every_method_with_both_outcomes():
    said = [tuple(one) for table in json.loads(EXPECTED.read_text()) for one in table.values()]
    outcomes = {(method, drifted(method, score)) for method, score in said}
    assert outcomes == {(method, verdict) for method in METHODS for verdict in (True, False)}


@pytest.mark.slow
def test_each_column_is_judged_as_the_installed_evidently_judges_it():
    pytest.importorskip("evidently", reason="Evidently is not installed", exc_type=ImportError)
    for pair, said in zip(PAIRS, asked(), strict=True):
        check(pair, said)


def test_what_evidently_refuses_is_said_and_stops_nothing():
    free = [{"text": f"word {one}", "gone": None, "x": float(one)} for one in range(60)]
    report = fairlead.drift(free, free, preset="evidently")
    found = {one.subject: one for one in report.findings}
    assert found["x"].verdict == "stable"
    assert found["gone"].because == "gone is empty on one side, which Evidently refuses."
    assert "free text" in found["text"].because


def test_a_window_that_is_only_counted_cannot_be_judged_by_values(monkeypatch, tmp_path):
    path = tmp_path / "table.parquet"
    PAIRS[0][0].to_parquet(path)
    monkeypatch.setattr("fairlead.monitor.given.FITS", 10)
    with pytest.raises(fairlead.errors.InvalidInput, match="needs the values"):
        fairlead.drift(path, path, preset="evidently")


def counted(pair):
    """What is said of the profiles of a pair, by column."""
    ours, theirs = (given(one, "table").whole() for one in pair)
    kinds = {name: "number" if isinstance(one, Numbers) else "string" for name, one in ours.columns.items()}
    schema = Schema(tuple(Column(name, kind, nullable=True) for name, kind in kinds.items()), Output("regression"))
    reference, current = (Batch(one.rows, one.columns) for one in (ours, theirs))
    made = profile_of(reference, schema)
    findings = verdicts(evidently_counted(made, count(made, current), theirs.whole), 0.05)
    return {one.subject: one for one in findings}


@pytest.mark.parametrize("number", range(20))
def test_profiles_are_judged_by_the_same_methods_and_numbers_of_names_are_the_same(number):
    # Numbers are known by their bins only: a distance may lack a bin's share, here at most 0.05.
    found, said = counted(PAIRS[number]), json.loads(EXPECTED.read_text())[number]
    for column, (method, score) in said.items():
        one = found[column]
        assert one.measure == METHODS[method], column
        if method in {"K-S p_value", "Wasserstein distance (normed)"}:
            limit = 0.05 if "Wasserstein" in method else 0.3
            assert abs(one.value - score) <= limit, column
        else:
            assert one.value == pytest.approx(score, rel=1e-6, abs=1e-12), column
            assert one.verdict == ("drift" if drifted(method, score) else "stable"), column
