"""The pages as a program sees them: statuses, headers, bytes."""

import csv
import io
import re

import pytest
from page_double import PAYLOADS, ROWS, Pages, gateway

from fairlead.serving.pages.look import HEADERS, assets
from fairlead.serving.pages.web import build_app

HTML = {"Accept": "text/html"}
FLIGHT = {
    "choice.carrier": "=UA",
    "choice.origin": "=EWR",
    "value.dest": "ALA",
    "value.distance": "1400",
    "value.hour": "5",
    "value.month": "1",
    "value.weekday": "1",
    **{f"value.{name}": "" for name in ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")},
}


@pytest.fixture
def room():
    return gateway()


@pytest.fixture
def client(room):
    return Pages(build_app(room))


def table_of(client, text, **more):
    files = {"table": ("flights.csv", text.encode() if isinstance(text, str) else text, "text/csv")}
    return client.post("/flights", files=files, headers=HTML, **more)


def template(client, rows=3):
    header, *lines = client.get("/flights/template.csv").text.splitlines()
    return "\n".join([header, *(lines[index % len(lines)] for index in range(rows))])


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/flights", "/flights/template.csv", "/nothing", "/favicon.ico"]
)
def test_every_answer_carries_the_headers_that_keep_strangers_text_harmless(client, path):
    found = client.get(path, headers=HTML).headers
    assert {name: found.get(name) for name in HEADERS} == dict(HEADERS)
    assert found["Cache-Control"]


def test_no_page_holds_an_inline_style_or_script(client):
    for path in ("/", "/docs", "/flights", "/hostile", "/nothing"):
        page = client.get(path, headers=HTML).text
        assert not re.search(
            r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=[\"']", page.replace("&#39;", "").replace("&#34;", "")
        )


def test_every_link_of_a_page_stays_on_this_host(client):
    for path in ("/", "/docs", "/flights", "/nothing"):
        page = client.get(path, headers=HTML).text
        targets = re.findall(r'(?:href|src|action)="([^"]*)"', page)
        assert targets
        assert all(target.startswith(("/", "#")) and not target.startswith("//") for target in targets)


def test_an_asset_is_kept_for_ever_under_the_name_with_its_digest(client):
    asset = assets()["fairlead.css"]
    found = client.get(f"/assets/{asset.link}")
    assert "immutable" in found.headers["Cache-Control"]
    assert client.get("/assets/fairlead.css").headers["Cache-Control"] == "no-cache"
    again = client.get("/assets/fairlead.css", headers={"If-None-Match": found.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["../look.py", "..%2flook.py", "%2e%2e/look.py", "fairlead.css/", "", ".", "fairlead.css%00"]
)
def test_no_asset_name_reaches_another_file(client, name):
    found = client.get(f"/assets/{name}")
    assert found.status_code == 404
    assert "import" not in found.text


def test_the_form_is_filled_with_a_real_row(client):
    page = client.get("/flights").text
    assert '<option value="=UA" selected>' in page
    assert 'value="12.65858"' in page


@pytest.mark.parametrize(
    ("query", "carrier"), [("0", "UA"), ("1", "B6"), ("4", "B6"), ("-1", "UA"), ("x", "UA"), ("9" * 5000, "UA")]
)
def test_another_example_fills_in_another_row(client, query, carrier):
    assert f'<option value="={carrier}" selected>' in client.get("/flights", params={"sample": query}).text


def test_optional_fields_are_marked_where_some_are_and_told_once_where_all_are(client):
    assert client.get("/flights").text.count('<span class="optional">') == 7
    page = client.get("/hostile").text
    assert '<span class="optional">' not in page
    assert "Leave empty what is not known." in page


def test_a_posted_form_is_answered_in_words(client):
    # The double's arithmetic: 0.02 + 5 / 30 = 18.67 % late.
    found = client.post("/flights", data=FLIGHT, headers=HTML)
    assert found.status_code == 200
    assert "Late: No, with a probability of 81.3 %." in text_of(found.text)
    assert "flights:3" in found.text
    assert found.headers["Cache-Control"] == "no-store"


def test_an_unseen_category_is_answered_and_flagged(client):
    posted = FLIGHT | {"choice.carrier": "other", "value.carrier": "ZZ"}
    assert "Carrier “ZZ” never occurred in training" in text_of(client.post("/flights", data=posted, headers=HTML).text)


def test_a_wrong_entry_keeps_what_was_entered_and_says_what_to_do(client):
    found = client.post("/flights", data=FLIGHT | {"value.hour": "soon", "value.month": ""}, headers=HTML)
    assert found.status_code == 422
    assert 'value="soon"' in found.text
    assert 'aria-describedby="seen-field-4 error-field-4" aria-invalid="true"' in found.text
    assert "Enter a whole number instead of the text" in found.text
    assert "2 fields to correct" in found.text


def test_a_refused_form_is_recorded_as_refused(client, room):
    client.post("/flights", data=FLIGHT | {"value.hour": "soon"}, headers=HTML)
    assert (room.failed, room.answered) == (1, 0)


def test_a_model_that_fails_costs_its_request_and_tells_no_cause(client):
    found = client.post("/houses", data={"value.area": "666", "choice.garden": "=true", "value.note": ""}, headers=HTML)
    assert found.status_code == 500
    assert "secret" not in found.text
    assert 'value="666"' in found.text


def test_a_busy_service_keeps_the_entries_and_says_when_to_come_back(client):
    found = client.post("/houses", data={"value.area": "503", "choice.garden": "=true", "value.note": ""}, headers=HTML)
    assert (found.status_code, found.headers["Retry-After"]) == (503, "7")
    assert "The service is busy" in found.text


def test_a_table_is_answered_and_comes_back_whole_as_a_file(client, room):
    page = table_of(client, template(client, 250))
    assert page.status_code == 200
    assert "250 answers" in text_of(page.text)
    assert page.text.count('<th scope="row" class="amount">') == 100
    packed = re.search(r'name="answers" value="([^"]*)"', page.text)[1]
    found = client.post("/flights/answers.csv", files={"answers": (None, packed)})
    assert found.headers["Content-Disposition"] == 'attachment; filename="flights-answers.csv"'
    lines = list(csv.DictReader(io.StringIO(found.text, newline="")))
    assert len(lines) == 250
    # 0.02 + 18 / 30 for the second sample row, and the ids that the page told.
    assert (lines[1]["carrier"], lines[1]["prediction"], lines[1]["probability_true"]) == ("B6", "true", "0.62")
    assert len({line["id"] for line in lines}) == 250
    assert room.answered == 250  # the file did not ask the model again


def test_a_formula_in_an_uploaded_table_is_harmless_in_the_file(client):
    text = template(client, 1).replace("ALA", "=HYPERLINK()")
    packed = re.search(r'name="answers" value="([^"]*)"', table_of(client, text).text)[1]
    assert "'=HYPERLINK()" in client.post("/flights/answers.csv", data={"answers": packed}).text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "The table is empty."),
        (b"\xff\xfe", "not UTF-8 text (line 1)"),
        (b"carrier,origin\nA,\xe9\n", "not UTF-8 text (line 2)"),
        ("carrier,origin\nUA,EWR\n", "Header, dest: expected a column, got nothing."),
        ('carrier,"origin\n', "The table is not CSV"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_the_place(client, text, told):
    found = table_of(client, text)
    assert found.status_code in {400, 422}
    assert told in text_of(found.text)


def test_a_bad_cell_is_named_with_row_column_and_value(client):
    found = table_of(client, template(client, 3).replace("1089", "far"))
    assert found.status_code == 422
    assert "Row 2, distance: expected an integer, got the text &#39;far&#39;." in text_of(found.text)


def test_a_table_with_too_many_rows_is_refused(client):
    found = table_of(client, template(client, 10_001))
    assert found.status_code == 413
    assert "10001 rows are more than the 10000" in text_of(found.text)


def test_sending_no_file_says_so(client):
    found = client.post("/flights", files={"table": ("", b"", "application/octet-stream")}, headers=HTML)
    assert found.status_code in {400, 422}


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(room):
    small = Pages(build_app(room, max_body=10_000))
    found = table_of(small, "x" * 10_001)
    assert found.status_code == 413
    assert "9.766 KB" in found.text

    async def chunks():
        for _ in range(50):
            yield b"value.hour=" + b"1" * 1000

    streamed = small.post("/flights", content=chunks(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.example"},
    ],
)
def test_a_form_sent_by_another_sites_page_is_refused(client, room, headers):
    found = client.post("/flights", data=FLIGHT, headers=headers)
    assert (found.status_code, found.json()["code"]) == (403, "forbidden")
    assert room.answered == 0


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver"}])
def test_a_form_of_ours_and_a_program_may_post(client, headers):
    assert client.post("/flights", data=FLIGHT, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/nothing", 404, "not_found"),
        ("GET", "/flights/nothing", 404, "not_found"),
        ("PUT", "/flights", 405, "method_not_allowed"),
        ("DELETE", "/docs", 405, "method_not_allowed"),
        ("POST", "/flights/answers.csv", 400, "invalid_input"),
    ],
)
def test_a_mistake_is_a_page_for_a_browser_and_problem_details_for_a_program(client, method, path, status, code):
    told = client.request(method, path)
    assert told.headers["Content-Type"] == "application/problem+json"
    assert (told.status_code, told.json()["code"], told.json()["status"]) == (status, code, status)
    shown = client.request(method, path, headers=HTML)
    assert (shown.status_code, shown.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f"Error {status}" in shown.text


def test_a_wrong_method_is_told_the_right_ones(client):
    assert {"GET", "POST"} <= set(client.request("PUT", "/flights").headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "body", [b"", b"--x\r\n", b"\xff" * 100, b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"]
)
def test_a_broken_form_is_the_callers_mistake_and_no_failure_of_ours(client, body):
    found = client.post("/flights", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert 400 <= found.status_code < 500


def test_text_of_strangers_is_escaped_on_every_page(client):
    posted = {f"choice.{payload}": "other" for payload in PAYLOADS} | {
        f"value.{payload}": payload for payload in PAYLOADS
    }
    pages = [client.get(path, headers=HTML).text for path in ("/", "/docs", "/hostile", f"/{PAYLOADS[0]}")]
    pages += [client.post("/hostile", data=posted, headers=HTML).text]
    pages += [client.post("/hostile", data={}, headers=HTML).text]
    for page in pages:
        for payload in PAYLOADS[:2] + PAYLOADS[3:4]:
            assert payload not in page
        assert "49${7*7}" not in page  # a template inside a name is text


def test_an_empty_service_says_what_to_do_next():
    empty = Pages(build_app(gateway(())))
    assert "fairlead deploy" in empty.get("/", headers=HTML).text
    assert empty.get("/").json() == {"status": "alive", "endpoints": []}
    assert "fairlead deploy" in empty.get("/docs").text
    assert [path for path in empty.get("/openapi.json").json()["paths"] if "predict" in path] == []


def test_a_page_grows_with_its_columns_and_not_with_their_categories(client):
    assert len(client.get("/flights").content) < 40_000


def test_the_template_reads_back_as_the_sample_rows(client):
    lines = list(csv.reader(io.StringIO(client.get("/flights/template.csv").text, newline="")))
    assert len(lines) == 1 + len(ROWS)
    assert lines[1][:4] == ["UA", "EWR", "ALA", "1400"]
