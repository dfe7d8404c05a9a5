"""What people say on the page: in a real browser, with and without JavaScript, and as a program sees the form."""

import re

import pytest
from page_double import HOUSES, Noted, Pages, gateway
from test_page_browser import axe, base, browser, empty, opened, playwright, predict  # noqa: F401 - fixtures

from fairlead.schema import Output
from fairlead.serving.feedback.box import FeedbackBox
from fairlead.serving.pages import feedback_form
from fairlead.serving.pages.web import build_app

HTML = {"Accept": "text/html"}
THREE = Output("classification", "size", ("small", "medium", "large"))


@pytest.fixture
def log():
    return Noted()


@pytest.fixture
def room():
    return gateway()


@pytest.fixture
def client(room, log):
    return Pages(build_app(room, feedback=FeedbackBox(log)))


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def hidden(page, name):
    return re.search(rf'name="{name}" value="([^"]*)"', page)[1]


def answered(client, hour="22"):
    """The page with an answer on it: the double says late from hour 15 on."""
    row = {"choice.carrier": "=UA", "choice.origin": "=EWR", "value.dest": "ALA", "value.distance": "1400"}
    row |= {"value.hour": hour, "value.month": "1", "value.weekday": "1"}
    row |= {f"value.{name}": "" for name in ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")}
    return client.post("/flights", data=row, headers=HTML).text


def said(client, page, path="/flights/feedback", **more):
    data = {"prediction": hidden(page, "prediction"), "about": "answer", "said": "true", **more}
    return client.post(path, data=data, headers=HTML)


# -- as a program sees it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pressed", "label"), [("yes", True), ("no", False)])
def test_yes_confirms_the_answer_and_no_is_the_other_of_two(client, log, pressed, label):
    page = answered(client)
    reply = said(client, page, right=pressed)
    assert reply.status_code == 200
    (event,) = log.events
    assert (event.id, event.endpoint) == (hidden(page, "prediction"), "flights")
    assert event.label is label
    assert (event.values, event.about, event.source) == ({"right": float(pressed == "yes")}, "answer", "page")


def test_thanks_repeat_what_was_said_and_the_entries_stay(client):
    page = answered(client)
    reply = said(client, page, right="no", rating="2", comment="It <b>landed</b>\r\nearly.", **{"value.hour": "22"})
    assert "Thank you. It is recorded. You said: not right · it was No · 2 of 5" in text_of(reply.text)
    assert "&lt;b&gt;landed&lt;/b&gt;" in reply.text
    assert 'name="value.hour" value="22"' in reply.text


def test_of_three_classes_no_needs_the_right_one_and_without_it_says_only_no():
    posted = {"prediction": "1", "said": "small", "right": "no"}
    assert feedback_form.fields_of(THREE, posted)["label"] == ""
    assert feedback_form.fields_of(THREE, posted)["values.right"] == "0"
    assert feedback_form.fields_of(THREE, posted | {"label": "large"})["label"] == "large"
    assert feedback_form.fields_of(THREE, posted | {"label": "large", "right": "yes"})["label"] == "small"
    form = feedback_form.asked_again(THREE, "1", "small", feedback_form.Entered())
    assert (form.widget, form.choices) == ("choice", (("medium", "medium"), ("large", "large")))


def test_a_number_is_asked_for_what_it_really_was(client, log):
    page = client.post("/houses", data={"value.area": "250", "choice.garden": "=true", "value.note": ""}).text
    assert "What was it really?" in page
    assert "Was this right?" not in page
    assert said(client, page, "/houses/feedback", label="700000.5", right="yes").status_code == 200
    assert (log.events[0].label, log.events[0].values) == (700000.5, None)
    assert feedback_form.answer_form(HOUSES.output, answer_of(750000.0)).in_words == "750,000"


def answer_of(value):
    from fairlead.answer import Answer

    return Answer(value, "1", "houses:1")


def test_the_page_itself_is_judged_apart_from_the_answer_and_before_there_is_one(client, log):
    page = client.get("/flights").text
    reply = said(client, page, about="page", rating="4", comment="More examples, please.")
    assert "Thank you" in text_of(reply.text)
    (event,) = log.events
    assert (event.about, event.rating, event.label) == ("page", 4, None)


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        ({}, 422, "Nothing was entered yet."),
        ({"rating": "9"}, 422, "The rating cannot be taken."),
        ({"comment": "x" * 2001}, 422, "The comment cannot be taken."),
        ({"right": "yes", "said": "perhaps"}, 422, "What it really was cannot be read."),
        ({"right": "yes", "prediction": "1-2-3"}, 404, "Your feedback was not taken."),
    ],
)
def test_what_cannot_be_taken_is_told_and_nothing_is_recorded(client, log, more, status, told):
    reply = said(client, answered(client), **more)
    assert reply.status_code == status
    assert told in text_of(reply.text)
    assert log.events == []


def test_when_it_cannot_be_recorded_nobody_is_thanked(client, log):
    page = answered(client)
    log.full = True
    reply = said(client, page, right="yes")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert "Thank you" not in reply.text


def test_without_an_event_log_the_page_asks_for_nothing(room):
    for closed in (None, FeedbackBox(None)):
        client = Pages(build_app(room, feedback=closed))
        page = answered(client)
        assert "Was this right?" not in page
        assert "About this page" not in page
        assert client.post("/flights/feedback", data={"right": "yes"}).status_code == 404


def test_another_sites_form_is_refused(client, log):
    page = answered(client)
    data = {"prediction": hidden(page, "prediction"), "said": "true", "right": "yes"}
    assert client.post("/flights/feedback", data=data, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert log.events == []


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("javascript", [True, False])
def test_a_person_says_what_was_right_and_is_thanked(opened, base, javascript):  # noqa: F811 - fixtures
    page = opened(java_script_enabled=javascript)
    page.goto(base + "/flights")
    page.fill("#field-4", "22")
    predict(page)
    page.get_by_label("No", exact=True).check()
    page.get_by_role("radiogroup", name="How useful was it?").get_by_label("4").check()
    page.get_by_label("Comment optional").fill("It landed early.")
    page.get_by_role("button", name="Send feedback").click()
    playwright.expect(page.locator(".feedback .thanks")).to_contain_text("not right · it was No · 4 of 5")
    assert page.input_value("#field-4") == "22"
    assert page.locator(".headline").count() == int(javascript)  # without it the page came anew


@pytest.mark.browser
def test_without_a_reload_the_answer_stays_and_the_thanks_are_announced(opened, base):  # noqa: F811 - fixtures
    page = opened()
    page.goto(base + "/flights")
    predict(page)
    page.wait_for_selector(".headline")
    page.evaluate("window.kept = true")
    page.get_by_role("button", name="Send feedback").click()
    page.wait_for_selector("#feedback-complaint")
    assert page.evaluate("document.activeElement.id") == "feedback-complaint"
    page.get_by_label("Yes", exact=True).check()
    page.get_by_role("button", name="Send feedback").click()
    page.wait_for_selector(".feedback .thanks")
    assert page.evaluate("window.kept") is True
    playwright.expect(page.locator("#announcement")).to_contain_text("Thank you")
    page.locator("#page-feedback summary").click()
    page.get_by_role("radiogroup", name="How well does it serve your work?").get_by_label("5").check()
    page.get_by_role("button", name="Send", exact=True).click()
    playwright.expect(page.locator("#page-feedback .thanks")).to_contain_text("5 of 5")


@pytest.mark.browser
def test_the_keyboard_alone_presses_and_shows_where_it_is(opened, base):  # noqa: F811 - fixtures
    page = opened()
    page.goto(base + "/flights")
    predict(page)
    page.wait_for_selector(".headline")
    page.get_by_label("Yes", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("No", exact=True).is_checked()
    style = page.evaluate("getComputedStyle(document.activeElement.nextElementSibling).outlineStyle")
    assert style == "solid"
