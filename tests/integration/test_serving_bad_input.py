"""Whatever is sent, the answer is a problem with a stable code, or a closed connection; no process is lost by it."""

import json
import shutil
import socket
import time

import pytest

from running import at, cli, exchange, post, serving

pytestmark = pytest.mark.slow

SHORT = {
    "FAIRLEAD_HEADER_TIMEOUT": "1",
    "FAIRLEAD_BODY_TIMEOUT": "1",
    "FAIRLEAD_IDLE_TIMEOUT": "1",
    "FAIRLEAD_WRITE_TIMEOUT": "1",
}


@pytest.fixture(scope="module")
def service(packed_home, tmp_path_factory):
    import os

    home = shutil.copytree(packed_home, tmp_path_factory.mktemp("bad") / "home")
    cli(home, "deploy", "flights:1")
    with serving(home, env={**os.environ, **SHORT}) as running:
        before = running.pids("gateway")
        yield running
        assert running.pids("gateway") == before, "a gateway was lost"


@pytest.fixture
def good(april_rows):
    return dict(april_rows[0])


def changed(good, **values):
    return json.dumps({**good, **values}).encode()


def raw(good, name, text):
    """The row with a value that Python's writer would not write."""
    marked = json.dumps({**good, name: "@"})
    return marked.replace('"@"', text).encode()


ROWS = {
    "a missing column": (lambda row: json.dumps({k: v for k, v in row.items() if k != "temp"}).encode(), 422, "temp"),
    "an extra column": (lambda row: changed(row, tempo=1), 422, "tempo"),
    "text for a number": (lambda row: changed(row, temp="warm"), 422, "temp"),
    "a number as text": (lambda row: changed(row, temp="41.5"), 422, "temp"),
    "a number for text": (lambda row: changed(row, carrier=7), 422, "carrier"),
    "true for a number": (lambda row: changed(row, temp=True), 422, "temp"),
    "an object for a number": (lambda row: changed(row, temp={}), 422, "temp"),
    "half an integer": (lambda row: changed(row, month=4.5), 422, "month"),
    "NaN": (lambda row: raw(row, "temp", "NaN"), 422, "temp"),
    "Infinity": (lambda row: raw(row, "temp", "-Infinity"), 422, "temp"),
    "1e999": (lambda row: raw(row, "temp", "1e999"), 422, "temp"),
    "an integer beyond 2^53": (lambda row: changed(row, month=2**60), 422, "month"),
    "a duplicate key": (lambda row: changed(row)[:-1] + b', "temp": 1}', 422, "temp"),
    "half of a surrogate pair": (lambda row: raw(row, "carrier", r'"\ud800"'), 422, "carrier"),
    "deep nesting in a field": (lambda row: raw(row, "temp", "[" * 100_000 + "]" * 100_000), 400, None),
    "5,000 digits": (lambda row: raw(row, "temp", "1" * 5_000), 400, None),
    "an empty body": (lambda _: b"", 400, None),
    "white space": (lambda _: b"  \n ", 400, None),
    "an empty array": (lambda _: b"[]", 400, None),
    "a bare number": (lambda _: b"3", 422, None),
    "an array of numbers": (lambda _: b"[1, 2]", 422, None),
    "broken UTF-8": (lambda row: changed(row, carrier="@").replace(b"@", b"\xff\xfe"), 400, None),
    "a byte order mark": (lambda row: b"\xef\xbb\xbf" + changed(row), 400, None),
    "cut off": (lambda row: changed(row)[:-9], 400, None),
    "trailing text": (lambda row: changed(row) + b" x", 400, None),
    "100,000 levels": (lambda _: b"[" * 100_000, 400, None),
    "10,001 rows": (lambda row: b"[" + b",".join([changed(row)] * 10_001) + b"]", 413, None),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_body_that_cannot_be_read_is_refused_and_says_why(service, good, name):
    make, status, field = ROWS[name]
    got, headers, body = post(service.port, "/predict/flights", make(good))
    told = json.loads(body)
    assert (got, headers["content-type"]) == (status, "application/problem+json"), told
    assert told["status"] == status
    assert told["code"] in {"schema_mismatch", "invalid_input", "too_large"}
    assert told.get("field") == field
    assert "Traceback" not in body.decode()
    assert "/" not in told["detail"] or status == 422


def test_the_problem_names_row_and_field_of_the_guilty_row(service, good):
    rows = [good, good, {**good, "visib": "far"}, good]
    status, _, body = post(service.port, "/predict/flights", json.dumps(rows).encode())
    told = json.loads(body)
    assert status == 422
    assert (told["row"], told["field"], told["expected"], told["got"]) == (
        2,
        "visib",
        "a number or null",
        "the text 'far'",
    )


def test_all_problems_of_a_row_are_named_at_once(service, good):
    status, _, body = post(service.port, "/predict/flights", changed(good, temp="x", humid="y", carrier=1))
    assert status == 422
    assert {one["field"] for one in json.loads(body)["errors"]} == {"temp", "humid", "carrier"}


def test_an_integer_written_as_a_float_is_taken(service, good):
    status, _, body = post(service.port, "/predict/flights", raw(good, "month", "4.0"))
    assert status == 200, body


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/predict/trains", "POST", 404, "not_found"),
        ("/predict/flights:9", "POST", 404, "not_found"),
        ("/predict/", "POST", 404, "not_found"),
        ("/predict/..%2f..%2fetc", "POST", 404, "not_found"),
        ("/predict/flights", "GET", 405, "method_not_allowed"),
        ("/predict/flights", "DELETE", 405, "method_not_allowed"),
        ("/livez", "POST", 405, "method_not_allowed"),
    ],
)
def test_wrong_addresses_and_methods_are_told_so(service, good, path, method, status, code):
    got, headers, body = post(service.port, path, changed(good), method=method)
    assert (got, json.loads(body)["code"]) == (status, code)
    if status == 405:
        assert headers["allow"]


def test_another_content_type_is_refused(service, good):
    status, _, body = post(service.port, "/predict/flights", changed(good), "application/x-www-form-urlencoded")
    assert (status, json.loads(body)["code"]) == (415, "unsupported_media_type")
    assert "curl" in json.loads(body)["hint"]


@pytest.mark.parametrize(
    ("text", "status", "field"),
    [
        ("", 400, None),
        ("carrier,origin\nUA,JFK\n", 422, "dest"),
        ("\x00", 422, "\x00"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(service, text, status, field):
    got, _, body = post(service.port, "/predict/flights", text.encode(), "text/csv")
    assert got == status
    assert json.loads(body).get("field") == field


def test_20_megabytes_are_refused_before_they_are_read(service):
    start = time.monotonic()
    received = exchange(
        service.port,
        b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20971520\r\n\r\n[",
    )
    assert received.startswith(b"HTTP/1.1 413 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "too_large"
    assert time.monotonic() - start < 1


def test_20_megabytes_that_are_sent_anyway_are_refused(service):
    status, _, body = post(service.port, "/predict/flights", b"[" + b" " * (20 * 2**20))
    assert (status, json.loads(body)["code"]) == (413, "too_large")


def test_chunks_without_end_are_refused_at_the_limit(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        head = b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.sendall(at(service.port, head))
        chunk = b"%x\r\n%b\r\n" % (2**20, b" " * 2**20)
        received = b""
        try:
            for _ in range(18):
                connection.sendall(chunk)
        except ConnectionError:
            pass
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "text",
    [
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_http_is_answered_400_and_closed(service, text):
    received = exchange(service.port, text, half_close=True)
    assert received.startswith(b"HTTP/1.1 400 "), received
    assert b"connection: close" in received


def test_a_header_without_end_is_refused(service):
    received = exchange(service.port, b"GET / HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 100_000)
    assert received.startswith(b"HTTP/1.1 431 ")


def test_many_headers_are_refused(service):
    received = exchange(service.port, b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-a: abcdefgh\r\n" * 5_000 + b"\r\n")
    assert received.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /predict/flights HTTP/1.1\r\nhost: x\r\n",
        b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    ],
)
def test_a_slow_header_or_body_is_ended_at_its_deadline(service, begun):
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(at(service.port, begun))
        connection.settimeout(0.3)
        received = b""
        while time.monotonic() - start < 8:
            try:
                part = connection.recv(65536)
                received += part
                if not part:
                    break
            except TimeoutError:
                try:
                    connection.sendall(b"x")  # one byte now and then does not put the deadline off
                except ConnectionError:
                    break
    assert received.startswith(b"HTTP/1.1 408 "), received
    assert time.monotonic() - start < 6


def test_a_silent_connection_is_closed(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        assert connection.recv(1) == b""


def test_a_client_that_does_not_read_is_closed_and_disturbs_nobody(service, good):
    body = changed(good)
    one = (
        b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (
            len(body),
            body,
        )
    )
    one = at(service.port, one)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.settimeout(0.5)
        start = time.monotonic()
        closed = False
        while not closed and time.monotonic() - start < 20:
            try:
                connection.sendall(one * 100)
            except TimeoutError:  # the buffers are full; others are answered nevertheless
                assert post(service.port, "/predict/flights", body)[0] == 200
            except OSError:
                closed = True
        assert closed


def test_clients_that_leave_in_the_middle_disturb_nobody(service, good):
    body = changed(good)
    head = b"POST /predict/flights HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    head = at(service.port, head)
    for cut in range(0, len(body), 7):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(head % len(body) + body[:cut])
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(head % len(body) + body)
    assert post(service.port, "/predict/flights", body)[0] == 200


def test_a_refused_request_is_in_the_event_log(service, good):
    from fairlead.eventlog.reader import read_log

    post(service.port, "/predict/flights", changed(good, temp="warm"))
    assert "schema_mismatch" in {one.prediction.status for one in read_log(service.home / "events")}
