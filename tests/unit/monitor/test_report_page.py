"""The report's page as a parser sees it: what is in it, what never is, how large it gets, and how its charts are drawn."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import fairlead
import sample_reports
from fairlead.monitor.page import charts
from fairlead.monitor.page.document import LIMIT, html, policy
from fairlead.monitor.report import AREAS, Picture, Report

SOURCE = Path(fairlead.__file__).parent


class Seen(HTMLParser):
    """Tags, attributes and text, by Python's own parser."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.style, self.text, self._in_style = "", "", False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._in_style = tag == "style"

    def handle_endtag(self, tag):
        self._in_style = False

    def handle_data(self, data):
        if self._in_style:
            self.style += data
        else:
            self.text += data

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


@pytest.fixture(scope="module")
def april():
    return Seen(html(sample_reports.april(), trend=sample_reports.earlier()))


@pytest.mark.parametrize(
    "report",
    [sample_reports.april(), sample_reports.hostile(), sample_reports.empty(), sample_reports.wide(40, 5)],
    ids=["april", "hostile", "empty", "wide"],
)
def test_a_page_asks_nobody_for_anything_and_runs_nothing(report):
    seen = Seen(html(report))
    assert not seen.tags & {"script", "img", "iframe", "object", "embed", "form", "input", "base", "audio", "video"}
    assert not [name for _, name, _ in seen.attributes if name == "style" or name.startswith("on")]
    assert all(link.startswith("#") or link == "data:," for link in seen.values("href"))
    assert seen.values("src") == []
    assert "url(" not in seen.style
    assert "@import" not in seen.style


def test_the_policy_in_the_page_allows_its_own_style_and_nothing_else(april):
    (content,) = [value for value in april.values("content") if value and value.startswith("default-src")]
    # CSP level 3, 8.3: the digest is of the text between the tags, as UTF-8.
    digest = base64.b64encode(hashlib.sha256(april.style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in content
    assert content.startswith("default-src 'none'")
    assert "unsafe" not in content
    assert content == policy()


def test_a_link_within_the_page_leads_somewhere_and_no_id_is_there_twice(april):
    ids = april.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in april.values("href") if link != "data:,"} <= set(ids)


def test_the_headline_names_what_stands_out(april):
    assert "1 limit crossed, p99 latency; 3 of 14 inputs drifted; temp first" in april.text
    for told in ("flights, April 2013", "the training data of flights:1 (103,000 rows)", "27,662", "27,026 (97.7 % of"):
        assert told in april.text


def test_every_finding_and_every_area_is_in_the_page(april):
    report = sample_reports.april()
    assert [one.subject for one in report.findings if one.subject not in april.text] == []
    areas = {one.area for one in report.findings}
    assert areas <= set(april.values("id"))
    order = [one for one in april.values("id") if one in AREAS]
    assert order == [area for area in AREAS if area in areas]


@pytest.mark.parametrize("drifted", [0, 30, 300])
def test_three_hundred_columns_stay_within_the_limit_and_nothing_is_left_out(drifted):
    page = html(sample_reports.wide(300, drifted))
    # 300 kB is the bar.
    assert len(page.encode()) <= LIMIT == 300_000
    text = Seen(page).text
    assert [one for one in range(300) if f"sensor_{one:03}" not in text] == []
    assert f"{drifted} of 300 inputs drifted" in text or (drifted == 0 and "Nothing drifted in 300 inputs" in text)


@pytest.mark.parametrize(
    "report",
    [sample_reports.hostile(300), sample_reports.wide(3000, 3000), sample_reports.hostile(3000)],
    ids=["long names", "3000 columns", "3000 long names"],
)
def test_where_it_would_be_too_large_less_is_told_and_that_is_said(report):
    page = html(report)
    assert len(page.encode()) <= LIMIT
    assert "in the report as JSON" in Seen(page).text


def test_the_largest_page_there_can_be_is_within_the_limit():
    # Each character of such a name takes the most bytes that one can: a quotation mark is escaped to five.
    name = '"' * 10_000
    shares = tuple(1 / 1000 for _ in range(1000))
    picture = Picture(
        "names", tuple(f'"""""""""""""""""""""""""""""""""""{one}' for one in range(1000)), shares, shares
    )
    base = sample_reports.hostile(1)
    finding = replace(
        base.findings[0], subject=name, because=name, segment=name, measure=name, effect_name=name, unit=name,
        further={f"{name[:50]}{one}": 1.0 for one in range(50)}, picture=picture,
    )  # fmt: skip
    findings = tuple(
        replace(finding, area=area, verdict=verdict)
        for area in AREAS
        for verdict in ("drift", "insufficient", "stable")
        for _ in range(200)
    )
    report = replace(base, findings=findings, notes=(name,) * 1000, models=(name,) * 1000)
    trend = [replace(report, window=sample_reports.month(one % 12 + 1, 1990 + one // 12)) for one in range(26)]
    size = len(html(report, trend=trend).encode())
    assert size <= LIMIT


def test_hostile_names_are_shown_and_cannot_act():
    page = html(sample_reports.hostile())
    seen = Seen(page)
    assert "<script>alert(1)</script>" in seen.text
    assert "{{ 7 * 7 }}" in seen.text
    assert "[bold]markup[/bold]" in seen.text
    assert "שלום עולם" in seen.text
    # None of the characters that hide or turn others (Unicode's bidirectional controls, C0) is left.
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u2028\u2029\x00-\x08\x0b-\x1f\x7f]", page)
    assert "a" * 500 not in page


@given(st.text(max_size=80))
def test_any_name_anywhere_leaves_the_page_s_structure_as_it_is(name):
    base = sample_reports.hostile(1)
    finding = replace(base.findings[0], subject=name, because=name, segment=name, measure=name, unit=name)
    shares = (0.5, 0.5)
    report = replace(
        base, endpoint=name, findings=(replace(finding, picture=Picture("names", (name, name), shares, shares)),)
    )
    plain = replace(report, endpoint="x", findings=(replace(finding, subject="x", segment="x" if name else "", picture=Picture("names", ("x", "x"), shares, shares)),))  # fmt: skip
    assert Seen(html(report)).tags == Seen(html(plain)).tags


def test_only_what_stands_out_has_pictures_and_a_broken_picture_stops_nothing():
    calm = replace(sample_reports.temp(0.02), verdict="stable")
    broken = [
        Picture("numbers", (0.0, 1.0), (0.5, 0.5), (0.5, 0.5)),
        Picture("numbers", (0.0, 1.0, 2.0), (0.5, math.nan), (0.5, 0.5)),
        Picture("names", ("a",), (0.5, 0.5), (0.5, 0.5)),
        Picture("names", (), (), ()),
    ]
    findings = tuple(replace(sample_reports.temp(), picture=one) for one in broken)
    page = Seen(html(replace(sample_reports.april(), findings=(*findings, calm))))
    assert "figure" not in page.tags
    assert page.text.count("temp is warmer") == 2 * len(broken)  # on its card and in its table


def test_odd_numbers_are_said_and_stop_nothing():
    odd = replace(
        sample_reports.temp(), value=math.nan, reference=math.inf, effect=math.nan, interval=(-math.inf, math.nan), p=math.nan,
        adjusted=None, n=-1, further={"x": math.inf}, picture=Picture("numbers", (-math.inf, 0.0, math.inf), (0.4, 0.6), (1.0, 0.0)),
    )  # fmt: skip
    report = replace(
        sample_reports.april(), findings=(odd,), window=replace(sample_reports.month(4), end=1e300), made=math.inf
    )
    text = Seen(html(report, trend=[report, report])).text
    assert "−∞" in text
    assert "at an unknown time" in text


def test_some_drift_is_not_hidden_by_a_table_that_is_stable_as_a_whole():
    text = Seen(html(replace(sample_reports.wide(300, 6), verdict="stable"))).text
    assert "Some drift, stable as a whole" in text
    assert "6 of 300 inputs drifted" in text


@pytest.mark.parametrize(
    "made", [sample_reports.empty(), replace(sample_reports.empty(), window=None, endpoint="")], ids=["window", "table"]
)
def test_an_empty_window_says_so_and_what_to_do(made: Report):
    text = Seen(html(made)).text
    assert "Too few data to tell" in text
    assert "Choose a longer window" in text


def test_the_palette_is_that_of_every_page():
    theirs = (SOURCE / "serving" / "pages" / "assets" / "fairlead.css").read_text()
    ours = (SOURCE / "monitor" / "page" / "report.css").read_text()

    def blocks(text):
        return [
            dict(re.findall(r"(--[\w-]+): ([^;]+);", block))
            for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)
        ]

    (light, dark, *_), (our_light, our_dark, *_) = blocks(theirs), blocks(ours)
    own = {"--good", "--good-soft", "--bar"}
    assert {name: light[name] for name in our_light.keys() - own} == {
        name: our_light[name] for name in our_light.keys() - own
    }
    assert {name: dark[name] for name in our_dark.keys() - own} == {
        name: our_dark[name] for name in our_dark.keys() - own
    }


# -- charts ------------------------------------------------------------------------------------------------------------


def heights(path):
    """Of each bar, as a share of the box."""
    return [(1000 - float(one)) / 1000 for one in re.findall(r"V(\d+)H", path)]


def test_bars_are_as_high_as_their_shares_on_one_scale():
    # 0.4 is twice 0.2, and the greatest of both sides is below the upper edge.
    drawn = charts.bars(Picture("numbers", (0.0, 1.0, 2.0, 3.0), (0.2, 0.4, 0.4), (0.1, 0.1, 0.8), "km"))
    before, now = heights(drawn.reference), heights(drawn.current)
    assert before[1] / before[0] == pytest.approx(2, abs=0.02)
    assert now[2] / before[1] == pytest.approx(2, abs=0.02)
    assert 0.85 < now[2] < 1
    assert drawn.rows[2] == ("2", "3", "40.0 %", "80.0 %")


SIX = (0.3, 0.2, 0.2, 0.1, 0.1, 0.1)


def test_bins_of_one_width_are_to_scale():
    # 0 to 50 on a hundred percent: ten are a fifth.
    drawn = charts.bars(Picture("numbers", (0.0, 10.0, 20.0, 30.0, 40.0, 50.0), SIX[1:], SIX[1:]))
    assert drawn.even
    assert [(tick.at, tick.text) for tick in drawn.x] == [(20.0 * one, f"{10 * one}") for one in range(6)]


def test_an_end_far_outside_is_told_and_does_not_squeeze_the_rest():
    # Five bins of ten, and one that reaches to a thousand millions: it is drawn as wide as two of the others, a seventh each.
    drawn = charts.bars(Picture("numbers", (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 1e9), SIX, SIX))
    assert drawn.even
    told = [(tick.at, tick.text) for tick in drawn.x]
    assert told == [*((pytest.approx(100 * one / 7, abs=0.06), f"{10 * one}") for one in range(6)), (100.0, "1 G")]


def test_an_outer_bin_without_width_is_still_seen():
    # 0.3 of the rows are exactly at the least value.
    drawn = charts.bars(Picture("numbers", (0.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0), (0.3, *SIX[1:]), (0.3, *SIX[1:])))
    assert drawn.even
    first = re.match(r"M(\d+) 1000V\d+H(\d+)", drawn.reference)
    assert int(first[2]) - int(first[1]) > 50


def test_bins_of_all_widths_stand_side_by_side():
    drawn = charts.bars(Picture("numbers", (0.0, 0.1, 10.0, 1e9), (0.5, 0.25, 0.25), (0.5, 0.25, 0.25)))
    assert not drawn.even
    assert [tick.text for tick in drawn.x] == ["0", "0.1", "10", "1 G"]


def test_many_bins_are_drawn_together_and_keep_their_sum():
    edges = tuple(float(one) for one in range(258))
    shares = tuple(1 / 257 for _ in range(257))
    drawn = charts.bars(Picture("numbers", edges, shares, shares))
    assert len(drawn.rows) <= 48
    assert drawn.rows[0][0] == "0"
    assert drawn.rows[-1][1] == "257"
    assert sum(float(one[2].split()[0]) for one in drawn.rows) == pytest.approx(100, abs=2.5)


def test_of_many_levels_the_largest_are_shown_and_the_others_are_one():
    shares = (0.3, 0.0, *(0.01,) * 20, 0.5)
    now = (0.0, 0.4, *(0.02,) * 20, 0.2)
    drawn = charts.levels(Picture("names", tuple(f"level {one}" for one in range(23)), shares, now))
    names = [one.name for one in drawn.shown]
    assert names[0] == "level 0"
    assert names[1] == "level 1"
    assert names[-1] == "level 22"
    # 23 levels, 10 shown; those left out have 1 % and 2 % each.
    assert (drawn.others.name, drawn.others.reference, drawn.others.current) == ("13 others", "13.0 %", "26.0 %")


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12))
def test_ticks_are_round_few_and_within(low, extent):
    made = charts.ticks(low, low + extent)
    assert len(made) <= 11
    slack = 1e-6 * (abs(low) + extent)
    assert all(low - slack <= one <= low + extent + slack for one in made)


def test_ticks_are_those_one_would_write():
    # As a person labels these axes by hand.
    assert charts.ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert charts.ticks(-1, 1, 4) == [-1, -0.5, 0, 0.5, 1]
    assert charts.ticks(3, 7.9) == [3, 4, 5, 6, 7]
