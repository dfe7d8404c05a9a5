"""The pages in a real browser: with and without JavaScript, light and dark, wide and narrow."""

import csv
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from sharing import free_port

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser

HERE = Path(__file__).parent
AXE = "4.14.1"
ARGUMENTS = [
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
REFUSED = re.compile(r"the server responded with a status of (4..|503) ")
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 360)]


def lacking(reason):
    """Skip at home, fail in CI: a check that quietly never runs is none."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def axe(request):
    """The source of axe-core, from npm; kept in pytest's cache."""
    npm = shutil.which("npm")
    folder = request.config.cache.mkdir("axe-core") / AXE
    source = folder / "node_modules" / "axe-core" / "axe.min.js"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may want it at once
        if not source.exists():
            if npm is None:
                lacking("npm is not installed; axe-core cannot be fetched.")
            folder.mkdir(exist_ok=True)
            command = [
                npm,
                "install",
                "--prefix",
                str(folder),
                "--no-save",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
            ]
            done = subprocess.run(
                [*command, f"axe-core@{AXE}"], capture_output=True, text=True, timeout=100, check=False
            )
            if done.returncode:
                lacking(f"axe-core could not be fetched: {done.stderr[-500:]}")
    return source.read_text(encoding="utf-8")


def serve(*names):
    """Start the service; returns its process and its address once it answers."""
    port = free_port()
    path = {**os.environ, "PYTHONPATH": str(HERE.parent)}  # it shares a module with other tests
    process = subprocess.Popen([sys.executable, str(HERE / "page_double.py"), str(port), *names], env=path)
    base = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            httpx.get(base + "/livez", timeout=1)
        except httpx.TransportError:
            assert process.poll() is None, "the service ended by itself"
            time.sleep(0.05)
        else:
            return process, base
    process.kill()
    pytest.fail("the service did not start within 10 s")


@pytest.fixture(scope="module")
def base():
    process, address = serve("flights", "houses", "hostile")
    yield address
    process.kill()
    process.wait(10)


@pytest.fixture(scope="module")
def empty():
    process, address = serve()
    yield address
    process.kill()
    process.wait(10)


@pytest.fixture(scope="module")
def browser():
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        lacking("Chromium is not installed.")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield found
        found.close()


class Watch:
    """What a page did that it must not: requests elsewhere, errors in the console, breaches of its policy."""

    def __init__(self, page, *bases):
        self.elsewhere, self.errors = [], []
        page.on("request", lambda request: request.url.startswith(bases) or self.elsewhere.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message):
        # Chromium reports every refusal; those are what the pages were asked to show here.
        if message.type in {"error", "warning"} and not REFUSED.search(message.text):
            self.errors.append(message.text)

    def saw_nothing(self):
        assert (self.elsewhere, self.errors) == ([], [])


@pytest.fixture
def opened(browser, base, empty):
    """Opens a page in a fresh context; checks at the end that nothing went wrong in it."""
    contexts, watches = [], []

    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        watches.append(Watch(page, base, empty))
        return page

    yield open_page
    for context in contexts:
        context.close()
    for watch in watches:
        watch.saw_nothing()


def predict(page):
    page.get_by_role("button", name="Predict", exact=True).click()


def table_file(page, base, folder, rows, *, spoil=""):
    header, *lines = page.request.get(base + "/flights/template.csv").text().splitlines()
    text = "\n".join([header, *(lines[index % len(lines)] for index in range(rows))])
    path = folder / "flights.csv"
    path.write_text(text.replace("1089", spoil) if spoil else text, encoding="utf-8")
    return path


def upload(page, path):
    page.set_input_files("#table", path)
    page.get_by_role("button", name="Predict all rows").click()


def states(page, base, empty, folder):
    """Brings the page into every state that it has, and names it."""
    for name, address in (("index", "/"), ("api", "/docs"), ("error", "/nothing"), ("hostile", "/hostile")):
        page.goto(base + address)
        yield name
    page.goto(empty + "/")
    yield "empty index"
    page.goto(empty + "/docs")
    yield "empty api"
    page.goto(base + "/flights")
    yield "form"
    page.select_option("#field-0", "other")
    page.get_by_label("Another value: Carrier").fill("ZZ")
    page.fill("#field-7", "140")
    predict(page)
    page.wait_for_selector(".caution")
    yield "answer with cautions"
    page.get_by_role("button", name="Send feedback").click()
    page.wait_for_selector("#feedback-complaint")
    yield "no feedback entered"
    page.get_by_label("No", exact=True).check()
    page.get_by_role("button", name="Send feedback").click()
    page.wait_for_selector(".feedback .thanks")
    yield "thanks"
    page.locator("#page-feedback summary").click()
    page.get_by_role("button", name="Send", exact=True).click()
    page.wait_for_selector("#page-feedback-complaint")
    yield "no page feedback entered"
    page.fill("#field-4", "")
    predict(page)
    page.wait_for_selector("#complaint")
    yield "mistakes"
    upload(page, table_file(page, base, folder, 130))
    page.wait_for_selector(".results")
    yield "table"
    upload(page, table_file(page, base, folder, 3, spoil="far"))
    page.wait_for_selector("#table-complaint")
    yield "bad table"
    page.goto(base + "/houses")
    page.fill("#field-0", "503")
    predict(page)
    page.wait_for_selector("#answer .complaint")
    yield "busy"


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_axe_finds_nothing_and_nothing_overflows_in_any_state(opened, base, empty, axe, tmp_path, look):
    page = opened(color_scheme=look[0], viewport={"width": look[1], "height": 900})
    found = {}
    for state in states(page, base, empty, tmp_path):
        if not page.evaluate("typeof axe === 'object'"):
            page.evaluate(axe)
        told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found[state] = [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in told["violations"]]
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            found[state].append(("overflow", wide))
    assert {state: list_ for state, list_ in found.items() if list_} == {}
    assert len(found) == 15


def test_the_answer_comes_without_a_reload_and_is_announced(opened, base):
    page = opened()
    page.goto(base + "/flights")
    page.evaluate("window.kept = true")
    page.fill("#field-4", "22")
    predict(page)
    page.wait_for_selector(".headline")
    # The double's arithmetic: 0.02 + 22 / 30 = 75.33 %.
    assert page.inner_text(".headline") == "Yes"
    assert page.inner_text(".shares .chosen td") == "75.3 %"
    assert page.evaluate("window.kept") is True
    # Not wait_for_function: it evaluates text in the page again and again, which the page's own policy forbids.
    playwright.expect(page.locator("#announcement")).to_contain_text("Late: Yes")
    assert page.input_value("#field-4") == "22"


def test_the_keyboard_alone_gets_an_answer_and_keeps_its_place(opened, base):
    page = opened()
    page.goto(base + "/houses")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#field-0")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Control+A")
    page.keyboard.type("200")
    page.keyboard.press("Enter")
    page.wait_for_selector(".headline")
    assert page.inner_text(".headline") == "600,000"
    assert page.evaluate("document.activeElement.id") == "field-0"


def test_another_example_goes_through_the_sample_rows_and_round(opened, base):
    page = opened()
    page.goto(base + "/flights")
    carriers = []
    for hour in ("5", "18", "9", "5"):
        playwright.expect(page.locator("#field-4")).to_have_value(hour)
        carriers.append(page.input_value("#field-0"))
        page.get_by_role("link", name="Another example").click()
    assert carriers == ["=UA", "=B6", "=DL", "=UA"]


def test_a_mistake_is_focused_linked_and_gone_when_corrected(opened, base):
    page = opened()
    page.goto(base + "/flights")
    page.fill("#field-4", "")
    predict(page)
    page.wait_for_selector("#complaint")
    assert page.evaluate("document.activeElement.id") == "complaint"
    assert page.get_attribute("#field-4", "aria-invalid") == "true"
    page.click("#complaint a")
    assert page.evaluate("document.activeElement.id") == "field-4"
    page.fill("#field-4", "7")
    predict(page)
    page.wait_for_selector(".headline")
    assert page.locator("#complaint").count() == 0


def test_a_service_that_is_gone_is_told_and_the_entries_stay(browser):
    process, base = serve("houses")
    try:
        page = browser.new_page()
        page.goto(base + "/houses")
        page.fill("#field-0", "123")
    finally:
        process.kill()
        process.wait(10)
    predict(page)
    page.wait_for_selector("#answer .complaint")
    assert "cannot be reached" in page.inner_text("#answer")
    assert page.input_value("#field-0") == "123"
    assert page.get_by_role("button", name="Predict", exact=True).is_enabled()
    page.context.close()


def test_everything_works_without_javascript(opened, base, tmp_path):
    page = opened(java_script_enabled=False)
    page.goto(base + "/flights")
    page.get_by_role("link", name="Another example").click()
    assert page.input_value("#field-4") == "18"
    page.select_option("#field-0", "other")
    page.get_by_label("Another value: Carrier").fill("ZZ")
    predict(page)
    assert page.inner_text(".headline") == "Yes"
    assert "Carrier “ZZ” never occurred in training" in page.inner_text(".caution")
    page.fill("#field-4", "")
    predict(page)
    assert "Hour: Enter a whole number." in page.inner_text("#complaint")
    upload(page, table_file(page, base, tmp_path, 130))
    assert "130 answers" in page.inner_text(".results")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download all as CSV").click()
    waiting.value.save_as(tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert (len(lines), lines[0]["prediction"], lines[1]["prediction"]) == (130, "false", "true")


def test_the_field_for_another_value_shows_only_when_it_is_wanted(opened, base):
    page = opened(java_script_enabled=False)
    page.goto(base + "/flights")
    other = page.get_by_label("Another value: Carrier")
    assert not other.is_visible()
    page.select_option("#field-0", "other")
    assert other.is_visible()


def test_a_table_is_answered_and_downloaded_without_leaving_the_page(opened, base, tmp_path):
    page = opened()
    page.goto(base + "/flights")
    upload(page, table_file(page, base, tmp_path, 250))
    page.wait_for_selector(".results")
    assert page.locator(".results tbody tr").count() == 100
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download all as CSV").click()
    assert waiting.value.suggested_filename == "flights-answers.csv"
    with Path(waiting.value.path()).open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 250


def test_strangers_text_never_runs(opened, base):
    page = opened()
    for address in ("/", "/docs", "/hostile", "/%3Cscript%3Ewindow.__xss=1%3C/script%3E"):
        page.goto(base + address)
        assert page.evaluate("window.__xss") is None
    page.goto(base + "/hostile")
    for field in page.locator(".fields select").all():
        field.select_option("other")
    for typed in page.locator(".fields input.other").all():
        typed.fill("<img src=x onerror=window.__xss=1>")
    predict(page)
    page.wait_for_selector(".headline")
    assert "<img src=x" in page.inner_text(".caution")
    assert page.evaluate("window.__xss") is None


def test_the_api_page_asks_the_real_door(opened, base):
    page = opened()
    page.goto(base + "/docs")
    tried = page.locator("#houses form.try")
    tried.get_by_role("button", name="Send").click()
    tried.locator(".outcome pre").wait_for()
    assert tried.locator(".outcome p").inner_text().startswith("200 answered in")
    assert '"prediction": 300000' in tried.locator(".outcome pre").inner_text()
    tried.locator("textarea").fill('{"area": "big"}')
    tried.get_by_role("button", name="Send").click()
    playwright.expect(tried.locator(".outcome p")).to_contain_text("422 refused")


def test_a_printed_answer_leaves_out_what_cannot_be_pressed(opened, base):
    page = opened()
    page.goto(base + "/flights")
    predict(page)
    page.wait_for_selector(".headline")
    page.emulate_media(media="print")
    assert page.locator(".headline").is_visible()
    assert not page.locator("header nav").is_visible()
    assert not page.get_by_role("button", name="Predict", exact=True).is_visible()
