"""The monitoring report in a real browser: light and dark, wide and narrow, on paper, and against names that mean harm."""

import re

import pytest
from test_page_browser import LOOKS, axe, browser  # noqa: F401 - fixtures

import sample_reports
from fairlead.monitor.page.document import html

pytestmark = pytest.mark.browser

REPORTS = {
    "april": lambda: html(sample_reports.april(), trend=sample_reports.earlier()),
    "wide": lambda: html(sample_reports.wide(30, 6)),
    "hostile": lambda: html(sample_reports.hostile()),
    "empty": lambda: html(sample_reports.empty()),
}
SEEN = [*(("april", look) for look in LOOKS), ("hostile", ("dark", 360)), ("empty", ("light", 1280))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The reports as files, as somebody opens them from a mail."""
    where = tmp_path_factory.mktemp("reports")
    for name, make in REPORTS.items():
        (where / f"{name}.html").write_text(make(), encoding="utf-8")
    return where


@pytest.fixture
def opened(browser, folder):  # noqa: F811 - fixture
    """Opens a report in a fresh context; checks at the end that it asked nobody for anything and broke no rule of its policy."""
    contexts, seen = [], []

    def open_report(name, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        address = (folder / f"{name}.html").as_uri()
        page.on("request", lambda request: request.url in {address, "data:,"} or seen.append(request.url))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("console", lambda message: seen.append(message.text))
        page.on("dialog", lambda dialog: seen.append(dialog.message) or dialog.dismiss())
        page.goto(address)
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert seen == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "look"), SEEN, ids=str)
def test_axe_finds_nothing_and_nothing_overflows(browser, folder, axe, name, look):  # noqa: F811 - fixtures
    # axe is a script, and the report's policy allows none: here, and nowhere else, it is let in.
    context = browser.new_context(
        color_scheme=look[0], viewport={"width": look[1], "height": 900}, bypass_csp=True, reduced_motion="reduce"
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto((folder / f"{name}.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.evaluate(axe)
    told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in told["violations"]] == []
    assert wide <= 0


def test_the_style_is_applied_under_the_page_s_own_policy(opened):
    page = opened("april")
    # 28 px is the size of a page's title by the design's scale; without the style it would be 32.
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "28px"
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.chip.drift')).backgroundColor") != "rgba(0, 0, 0, 0)"
    )


def test_the_worst_comes_first_with_both_histograms_to_scale(opened):
    page = opened("april")
    assert page.locator(".finding h3").all_inner_texts()[:2] == ["p99 latency", "temp"]
    temp = page.locator(".finding", has=page.get_by_role("heading", name="temp", exact=True))
    assert "temp is warmer: D = 0.41" in temp.locator("figcaption").inner_text()
    # 21 edges, 20 bins; the bell's highest bin of the window is 55 to 60 °F, as 45 + 12 = 57 is in it.
    temp.locator("summary", has_text="Values").click()
    rows = [one.split("\t") for one in temp.locator("figure tbody tr").all_inner_texts()]
    assert len(rows) == 20
    assert max(rows, key=lambda row: float(row[3].strip("< %")))[:2] == ["55", "60"]
    box = temp.locator("svg.plot path.now").bounding_box()
    plot = temp.locator("svg.plot").bounding_box()
    assert box["width"] == pytest.approx(plot["width"], abs=12)  # its line has a width, too
    assert temp.locator("svg.plot text").last.inner_html() == "100"


def test_earlier_windows_are_a_line_and_a_table(opened):
    page = opened("april")
    temp = page.locator(".finding", has=page.get_by_role("heading", name="temp", exact=True))
    trend = temp.locator(".trend")
    assert "0.21 in January 2013, now 0.41" in trend.inner_text()
    trend.locator("summary").click()
    told = [one.split("\t") for one in trend.locator("tbody tr").all_inner_texts()]
    # February was amended from 0.19 to 0.17: the later report stands.
    assert told == [["January 2013", "0.21"], ["February 2013", "0.17"], ["March 2013", "0.08"], ["April 2013", "0.41"]]


def test_what_is_stable_is_folded_and_opens_without_a_script(opened):
    page = opened("wide", java_script_enabled=False)
    fold = page.locator("section[aria-labelledby=predictor] details.all")
    assert not fold.locator("table").is_visible()
    fold.locator("summary").click()
    assert fold.locator("tbody tr").count() == 24


def test_every_hostile_name_is_text_and_nothing_else(opened):
    page = opened("hostile")
    assert page.locator("script, img, iframe, object, form, input, [onmouseover], [style]").count() == 0
    assert page.title().startswith("<script>alert(1)</script>, April 2013")
    assert "{{ 7 * 7 }}" in page.locator("main").inner_text()
    assert page.locator("h3 bdi").first.inner_text() == "\\u202etxt.exe\\u202c"


@pytest.mark.parametrize("name", ["april", "wide"])
def test_it_prints_on_a4_with_all_that_is_stable(opened, name):
    page = opened(name)
    page.emulate_media(media="print")
    # ISO 216: 210 mm; 14 mm of margin at each side leave 182 mm, 688 px of CSS.
    page.set_viewport_size({"width": 688, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    assert page.locator("details.all tbody tr").first.is_visible()
    assert not page.locator(".skip").is_visible()
    sizes = re.findall(rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", page.pdf(prefer_css_page_size=True))
    # ISO 216: 210 mm by 297 mm, in points of 1/72 inch.
    assert {(round(float(x)), round(float(y))) for x, y in sizes} == {(595, 842)}
