"""The report in a terminal, and the words that it and the page share."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from calendar import timegm

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import sample_reports
from fairlead.monitor import words
from fairlead.monitor.report import Finding, Window
from fairlead.monitor.text import summary, table

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def columns(line):
    """How many columns a terminal gives a line, by Unicode's own classes: wide ones take two, marks and what is joined to the one before none."""
    line = re.sub("\u200d.", "", line)
    return sum(
        0 if unicodedata.category(one) in {"Mn", "Me", "Cf"} else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in line
    )


@pytest.mark.parametrize("width", [40, 80, 110, 200])
@pytest.mark.parametrize("make", [sample_reports.april, sample_reports.hostile, sample_reports.empty])
def test_no_line_is_wider_than_the_terminal(make, width):
    assert [line for line in table(make(), width, colour=False).splitlines() if columns(line) > width] == []


def test_the_worst_comes_first_and_what_is_stable_is_counted():
    lines = table(sample_reports.april(), 120, colour=False).splitlines()
    told = [line for line in lines if line[:1] in {"■", "▲", "!", "?"}]
    assert [line.split()[0] for line in told] == ["■", *"▲▲▲▲▲", "!", "?"]
    assert "p99 latency" in told[0]
    assert "temp is warmer: D = 0.41" in told[1]
    assert told[1].split()[-4:] == ["0.41", "<", "0.0001", "27,662"]
    assert "✓ stable: model quality 1, missing values 12, predictor drift 11" in "\n".join(lines)
    assert "3 of 14 inputs drifted; temp first" in lines[1]


def test_without_colour_there_is_no_escape_and_with_it_nothing_but_colours(monkeypatch):
    # Whether NO_COLOR is set is for the caller to look at; once decided, the environment changes nothing.
    for made in (sample_reports.april(), sample_reports.hostile()):
        plain = table(made, 80, colour=False)
        assert "\x1b" not in plain
        monkeypatch.setenv("NO_COLOR", "1")
        coloured = table(made, 80, colour=True)
        monkeypatch.delenv("NO_COLOR")
        assert re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2028]", COLOUR.sub("", coloured)) is None
        assert COLOUR.sub("", coloured).split() == plain.split()


def test_markup_in_a_name_is_text():
    assert "[bold]markup[/bold]" in table(sample_reports.hostile(), 200, colour=False)


def test_a_report_in_one_line():
    assert summary(sample_reports.april()) == (
        "flights, April 2013 (limit crossed): 1 limit crossed, p99 latency; 3 of 14 inputs drifted; temp first"
    )
    assert summary(sample_reports.empty()) == "flights, June 2013 (too few data): Too few data to tell"
    assert "\n" not in summary(sample_reports.hostile())


def test_three_hundred_drifting_columns_end_somewhere():
    told = table(sample_reports.wide(300, 300), 80, colour=False)
    assert told.count("▲ drift") == 200 + 1  # and once for the report
    assert "100 findings more of this kind." in told


def test_rich_is_imported_by_nobody_but_a_table():
    code = "import sys, fairlead.monitor.text; print('rich' in sys.modules, 'jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]


def at(*parts):
    return timegm((*parts, *(0,) * (6 - len(parts))))


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ((2013, 4, 1), (2013, 5, 1), "April 2013"),
        ((2013, 12, 1), (2014, 1, 1), "December 2013"),
        ((2013, 1, 1), (2014, 1, 1), "2013"),
        ((2013, 4, 3), (2013, 4, 4), "3 April 2013"),
        ((2013, 4, 1), (2013, 4, 8), "1 to 7 April 2013"),
        ((2013, 3, 28), (2013, 4, 4), "28 March to 3 April 2013"),
        ((2013, 12, 28), (2014, 1, 4), "28 December 2013 to 3 January 2014"),
        ((2013, 4, 3, 14), (2013, 4, 3, 15), "3 April 2013, 14:00 to 15:00 UTC"),
        ((2013, 4, 3, 23), (2013, 4, 4, 1), "3 April 2013, 23:00 to 4 April 2013, 01:00 UTC"),
        ((2013, 4, 3, 0, 0, 5), (2013, 4, 3, 0, 1), "3 April 2013, 00:00:05 to 00:01 UTC"),
    ],
)
def test_a_window_is_told_as_a_person_would(start, end, told):
    assert words.span(Window(at(*start), at(*end))) == told


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.0471, "share", "4.7 %"), (0.0001, "share", "< 0.1 %"), (0.9999, "share", "> 99.9 %"), (1.0, "share", "100.0 %"),
        (0.00025, "seconds", "250 µs"), (0.142, "seconds", "142 ms"), (1.5, "seconds", "1.5 s"), (5400, "seconds", "90 min"),
        (7200, "seconds", "2 h"), (86400 * 3, "seconds", "3 days"),
        (512, "bytes", "512 B"), (3 * 2**20, "bytes", "3 MB"), (1.25 * 2**30, "bytes", "1.25 GB"),
        (0.7123, "", "0.712"), (-3.0, "", "−3"), (27662.0, "", "27,662"), (12345.678, "", "12,346"), (1e15, "", "1e+15"),
        (float("nan"), "share", "—"), (None, "", "—"), (float("-inf"), "seconds", "−∞"), (4.0, "°F", "4 °F"),
    ],
)  # fmt: skip
def test_a_value_is_told_with_the_precision_that_matters(value, unit, told):
    assert words.measured(value, unit) == told


@pytest.mark.parametrize(
    ("p", "told"),
    [(0.0, "< 0.0001"), (0.00012, "0.00012"), (0.0482, "0.048"), (0.62, "0.62"), (1.0, "1.00"), (None, "—")],
)
def test_a_p_value_never_reads_as_nil(p, told):
    assert words.p_value(p) == told


@given(st.text(max_size=200), st.integers(2, 80))
def test_a_cleaned_name_is_short_and_holds_nothing_that_steers(name, limit):
    shown = words.clean(name, limit)
    assert len(shown) <= limit
    assert all(
        unicodedata.category(one) not in {"Cc", "Cs"} and unicodedata.bidirectional(one) not in BIDI for one in shown
    )
    if name.isprintable() and name.isascii() and len(name) <= limit:
        assert shown == name


# Unicode's bidirectional classes of what turns the text after it (UAX 9, table 4: explicit formatting).
BIDI = {"LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def finding(area, subject, verdict="drift", segment=""):
    return Finding(area=area, subject=subject, measure="ks", verdict=verdict, because="so", segment=segment)


@pytest.mark.parametrize(
    ("findings", "verdict", "told"),
    [
        ([finding("predictor", "a", "stable")] * 2, "stable", "Nothing drifted in 1 input"),
        ([finding("predictor", "a", "stable"), finding("predictor", "b", "insufficient")], "stable",
         "Nothing drifted in 1 input; too few data to judge 1 more"),
        ([finding("prediction", "late")], "drift", "The predictions drifted"),
        ([finding("concept", "a"), finding("concept", "b")], "drift", "The relation to the target changed for a and 1 other"),
        ([finding("predictor", "a", "stable"), finding("predictor", "b", segment='carrier = "UA"')], "drift",
         "1 input drifted within a part of the traffic"),
        ([finding("quality", "a", "error")], "error", "1 thing could not be measured"),
        ([finding("service", "p99 latency", "breach"), finding("quality", "a", "breach")], "breach",
         "2 limits crossed, p99 latency first"),
        ([finding("model", "roc_auc", "stable")], "stable", "Nothing stands out"),
        ([finding("predictor", "temp"), finding("quality", "temp"), finding("model", "roc_auc"), finding("model", "brier")], "drift",
         "Model quality is worse by roc_auc and 1 other; 1 of 1 input drifted; temp first"),
    ],
)  # fmt: skip
def test_a_headline_says_what_stands_out(findings, verdict, told):
    report = replace(sample_reports.empty(), findings=tuple(findings), verdict=verdict)
    assert words.headline(report) == told
