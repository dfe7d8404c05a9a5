"""`fairlead.drift` on what people have: frames, arrays, dicts, files small and large, a version. The truth is how the tables were drawn."""

from __future__ import annotations

import json
import re
import sys

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest

import fairlead
from fairlead.errors import InvalidInput, NotFound
from fairlead.monitor import comparison
from fairlead.monitor import given as giving
from fairlead.monitor.report import Report
from fairlead.monitor.settings import Settings, Thresholds


def drawn(rows, place=50.0, late=0.2, seed=1):
    """A table whose temperature, lateness and carriers are as asked; wind never changes."""
    random = np.random.default_rng(seed)
    return {
        "temp": random.normal(place, 10, rows),
        "wind": random.exponential(8, rows),
        "carrier": random.choice(["AA", "UA", "DL"], rows, p=[0.5, 0.3, 0.2]).tolist(),
        "late": (random.random(rows) < late).tolist(),
    }


JANUARY, APRIL = drawn(3000), drawn(2000, 56, 0.4, seed=2)


def rows_of(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def named_lists(columns):
    return {name: list(values) for name, values in columns.items()}


FORMS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "dicts": rows_of, "columns": dict, "lists": named_lists}


def verdicts(report):
    return {(one.area, one.subject): one.verdict for one in report.findings if one.measure != "missing share"}


SAID = {
    ("predictor", "temp"): "drift",
    ("predictor", "wind"): "stable",
    ("predictor", "carrier"): "stable",
    ("target", "late"): "drift",
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_table_gives_the_same_findings(form):
    report = fairlead.drift(FORMS[form](JANUARY), FORMS[form](APRIL), target="late")
    assert verdicts(report) == SAID
    assert (report.rows, report.reference.rows, report.labels.count) == (2000, 3000, 2000)
    assert (report.verdict, report.drifted) == ("stable", pytest.approx(1 / 3))
    assert report.findings == fairlead.drift(pd.DataFrame(JANUARY), pd.DataFrame(APRIL), target="late").findings


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
def test_files_give_the_findings_of_their_tables(ending, tmp_path):
    paths = [tmp_path / f"{name}.{ending}" for name in ("january", "april")]
    for path, table in zip(paths, (JANUARY, APRIL), strict=True):
        frame = pd.DataFrame(table)
        frame.to_parquet(path) if ending == "parquet" else frame.to_csv(path, index=False)
    report = fairlead.drift(paths[0], str(paths[1]), target="late")
    assert verdicts(report) == SAID
    assert report.reference.text == f"january.{ending}"


def test_a_large_file_is_read_in_pieces_and_says_the_same(tmp_path, monkeypatch):
    # The bounds are lowered, so that the files of some thousand rows count as large, and are many pieces.
    for name, value in (("FITS", 100), ("_PIECE", 700)):
        monkeypatch.setattr(giving, name, value)
    monkeypatch.setattr(comparison, "_SAMPLE", 1000)
    paths = [tmp_path / f"{name}.parquet" for name in ("january", "april")]
    for path, table in zip(paths, (JANUARY, APRIL), strict=True):
        pd.DataFrame(table).to_parquet(path)
    report = fairlead.drift(*paths, target="late")
    assert verdicts(report) == SAID
    whole = fairlead.drift(pd.DataFrame(JANUARY), pd.DataFrame(APRIL), target="late")
    exact = {one.subject: one for one in whole.findings if one.area != "missing"}
    for one in report.findings:
        if one.measure == "ks":
            assert exact[one.subject].effect - 0.02 <= one.effect <= exact[one.subject].effect
            assert one.p >= exact[one.subject].p
        if one.measure == "chi2":
            assert one.p == pytest.approx(exact[one.subject].p)
    assert (report.rows, report.reference.rows, report.labels.count) == (2000, 3000, 2000)


def test_a_large_file_that_holds_other_columns_and_text_for_numbers_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(giving, "FITS", 100)
    pl.DataFrame({"a": np.arange(500.0), "b": np.arange(500.0), "c": np.arange(500.0)}).write_parquet(
        tmp_path / "one.parquet"
    )
    pl.DataFrame({"a": ["x"] * 500, "b": np.arange(500.0), "d": np.arange(500.0)}).write_parquet(
        tmp_path / "two.parquet"
    )
    report = fairlead.drift(tmp_path / "one.parquet", tmp_path / "two.parquet")
    found = {one.subject: one.verdict for one in report.findings if one.measure in {"ks", "column"}}
    assert found == {"a": "insufficient", "b": "stable", "c": "error"}
    assert "a holds text where the reference has numbers; it counts as missing." in report.notes
    assert "The reference has no column d; it was left out." in report.notes


def test_a_version_stands_for_its_training_data(packed_home, training):
    warmer = training.assign(temp=training["temp"] + training["temp"].std())
    report = fairlead.drift("flights:1", warmer, home=packed_home)
    found = {one.subject: one for one in report.findings if one.area == "predictor"}
    assert report.reference.kind == "training"
    assert report.reference.text == "the training data of flights:1"
    assert found["temp"].verdict == "drift"
    assert [name for name, one in found.items() if one.verdict == "drift"] == ["temp"]
    # The table has no answers in it, and nobody said that it had: none is missed.
    assert not report.of("prediction")
    assert [one.because for one in report.findings if one.verdict == "error"] == []


def test_a_version_that_is_not_there_and_a_file_that_is_not_are_told_apart(packed_home, tmp_path):
    with pytest.raises(NotFound, match="no version 99"):
        fairlead.drift("flights:99", [{"a": 1}], home=packed_home)
    with pytest.raises(NotFound, match="no file"):
        fairlead.drift(tmp_path / "gone.parquet", [{"a": 1}])


def test_predictions_and_scores_are_compared_as_such():
    def answered(rows, share, seed):
        random = np.random.default_rng(seed)
        score = np.clip(random.beta(2, 2 / share, rows), 0, 1)
        return pd.DataFrame(
            {"x": random.normal(size=rows), "said": np.where(score > 0.5, "late", "on time"), "score": score}
        )

    report = fairlead.drift(answered(2000, 0.5, 1), answered(2000, 1.0, 2), prediction="said", scores={"late": "score"})
    assert verdicts(report) == {
        ("predictor", "x"): "stable",
        ("prediction", "prediction"): "drift",
        ("prediction", "score of late"): "drift",
    }


def test_few_whole_numbers_as_a_target_are_classes_and_many_are_amounts():
    random = np.random.default_rng(1)
    tables = [
        pd.DataFrame(
            {"x": random.normal(size=1000), "y": random.integers(0, 2, 1000), "delay": random.normal(size=1000)}
        )
        for _ in "ab"
    ]
    measures = [
        next(one.measure for one in fairlead.drift(*tables, target=target).findings if one.area == "target")
        for target in ("y", "delay")
    ]
    assert measures == ["chi2", "ks"]


def test_only_the_columns_asked_for_are_compared():
    report = fairlead.drift(pd.DataFrame(JANUARY), pd.DataFrame(APRIL), columns=["wind"])
    assert {one.subject for one in report.findings} == {"wind"}


def test_settings_and_preset_are_the_callers():
    settings = Settings(thresholds=Thresholds(ks=0.9, names=0.9))
    report = fairlead.drift(pd.DataFrame(JANUARY), pd.DataFrame(APRIL), target="late", settings=settings)
    assert set(verdicts(report).values()) == {"stable"}
    with pytest.raises(InvalidInput, match="preset"):
        fairlead.drift(JANUARY, APRIL, preset="whylogs")


def test_the_report_is_a_table_a_page_and_json():
    report = fairlead.drift(pd.DataFrame(JANUARY), pd.DataFrame(APRIL), target="late")
    assert "temp is higher: D = 0." in re.sub(r"\s+", " ", str(report))
    page = report._repr_html_()
    assert page.startswith("<iframe")
    assert "temp is higher" in page
    assert "<script" not in page
    assert msgspec.json.decode(report.to_json(), type=Report) == report
    assert json.loads(report.to_json())["findings"][0]["verdict"] == "drift"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (3, "is a int"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
        ({"a": [1], "b": [1, 2]}, "differ in length"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns called 'a'"),
        ("not a table", "neither a version nor a table's file"),
    ],
)
def test_what_is_no_table_is_refused_in_words(reference, said):
    with pytest.raises(InvalidInput, match=said):
        fairlead.drift(reference, [{"a": 1.0}])


def test_a_column_that_was_named_and_is_nowhere_is_refused():
    with pytest.raises(InvalidInput, match="no column 'lat'"):
        fairlead.drift(JANUARY, APRIL, target="lat")
    with pytest.raises(InvalidInput, match="two of target"):
        fairlead.drift(JANUARY, APRIL, target="late", prediction="late")


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet", b"\x00" * 5000])
def test_a_broken_parquet_file_is_refused_without_a_trace(content, tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"broken\.parquet cannot be read"):
        fairlead.drift(path, JANUARY)


def test_a_file_without_the_library_that_reads_files_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(InvalidInput, match="polars, which reads files") as refused:
        fairlead.drift(path, path)
    assert "fairlead[monitor]" in refused.value.hint
    assert fairlead.drift(JANUARY, APRIL, target="late").findings[0].verdict == "drift"


def test_a_half_written_parquet_file_is_refused(tmp_path):
    path = tmp_path / "half.parquet"
    pd.DataFrame(JANUARY).to_parquet(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InvalidInput, match="cannot be read"):
        fairlead.drift(path, JANUARY)


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("side", ["reference", "current"])
def test_an_empty_table_and_one_row_are_insufficient(rows, side):
    frame = pd.DataFrame(JANUARY)
    tables = {"reference": frame, "current": frame, side: frame.head(rows)}
    report = fairlead.drift(tables["reference"], tables["current"])
    assert report.verdict == "insufficient"
    assert {one.verdict for one in report.findings} == {"insufficient"}


def test_odd_entries_find_their_place():
    odd = {
        "mixed": [1, "1", True, None] * 100,
        "huge": [10**400, 1, 2, 3] * 100,
        "gaps": [None, 1.5, 2, float("nan")] * 100,
        "flags": [True, False, None, True] * 100,
        "nested": [[1], [2], [3], [4]] * 100,
    }
    report = fairlead.drift(odd, odd)
    measures = {one.subject: one.measure for one in report.findings if one.area == "predictor"}
    assert measures == {"mixed": "chi2", "huge": "ks", "gaps": "ks", "flags": "chi2"}
    assert report.notes == ("The column nested is left out: it holds neither numbers nor text (mixed).",)
    shares = {(one.subject, one.measure): one.value for one in report.findings if one.area == "missing"}
    assert shares["gaps", "missing share"] == 0.5
    assert shares["huge", "infinite share"] == 0.25


def test_times_are_left_out_and_said_to_be():
    frame = pd.DataFrame({"when": pd.to_datetime(["2013-01-01"] * 500), "x": np.arange(500.0)})
    for table in (frame, pl.DataFrame({"when": frame["when"].tolist(), "x": frame["x"].to_numpy()})):
        report = fairlead.drift(table, table)
        assert {one.subject for one in report.findings} == {"x"}
        assert report.notes[0].startswith("The column when is left out")


def test_a_category_is_the_same_however_it_is_stored():
    text = pd.DataFrame({"c": ["a", "b", "b", None] * 300})
    kinds = [text, text.astype("category"), text.astype("string"), text.astype(object)]
    polars = pl.DataFrame({"c": ["a", "b", "b", None] * 300})
    kinds += [polars, polars.cast(pl.Categorical), polars.cast(pl.Enum(["b", "a", "unused"]))]
    for one in kinds:
        for other in kinds:
            found = fairlead.drift(one, other).findings
            assert {(each.measure, each.effect, each.n_reference) for each in found} == {
                ("missing share", 0.0, 1200),
                ("chi2", 0.0, 900),
            }
