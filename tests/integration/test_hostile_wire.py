"""The lists of what brought other servers down, sent to every door of the real service.

The cases of JSON are those in which parsers differ (RFC 8259 leaves them open, or forbids them); those of HTTP are the ones that
RFC 9112 says to refuse, and what fuzzers of other model servers send. Nothing here may be answered by 5xx, end a process, let
memory grow, or make the service call anybody. No time is measured.
"""

import gzip
import json
import socket
import zlib
from pathlib import Path

import pytest

from running import alive, cli, exchange, post, serving
from toys import pack_iris

pytestmark = pytest.mark.slow

NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    pack_iris(home)
    cli(home, "deploy", "iris:1")
    with serving(home, "--console-port", "0") as running:
        before = running.pids("gateway")
        yield running
        assert running.pids("gateway") == before, "a gateway was lost"
        assert "Traceback" not in running.log


# -- JSON --------------------------------------------------------------------------------------------------------------


def row(value):
    return b"{%b}" % b", ".join(b'"%b": %b' % (name.encode(), value) for name in NAMES)


def tensors(value):
    one = b'{"name": "%b", "shape": [1], "datatype": "FP64", "data": [%b]}'
    return b'{"inputs": [%b]}' % b", ".join(one % (name.encode(), value) for name in NAMES)


DOORS = {
    "/predict/iris": row,
    "/v1/models/iris:predict": lambda value: b'{"instances": [%b]}' % row(value),
    "/v2/models/iris/infer": tensors,
    "/invocations": lambda value: b'{"dataframe_records": [%b]}' % row(value),
}

VALUES = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "1e999": b"1e999",
    "-1e999": b"-1e999",
    "5,000 digits": b"1" * 5000,
    "a number with a leading zero": b"01",
    "a hexadecimal number": b"0x1",
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "half of a surrogate pair": rb'"\ud800"',
    "bytes that are no UTF-8": b'"\xff\xfe"',
    "an overlong slash": b'"\xc0\xaf"',
    "a NUL": b'"\x00"',
    "a comment": b"1 /* one */",
    "single quotes": b"'1'",
    "nothing": b"",
}


def refused(path, status, headers, body):
    """That a refusal has its protocol's own shape, and says nothing that is not the caller's."""
    told = json.loads(body)
    if path.startswith("/v"):
        assert list(told) == ["error"]
    elif path == "/invocations":
        assert set(told) == {"error_code", "message"}
    else:
        assert (headers["content-type"], told["status"]) == ("application/problem+json", status)
    assert not [word for word in (b"Traceback", b".py", b"/tmp", b"site-packages") if word in body], body


@pytest.mark.parametrize("path", DOORS)
def test_the_form_itself_is_answered(service, path):
    """Otherwise the refusals below would prove nothing."""
    assert post(service.port, path, DOORS[path](b"1.5"))[0] == 200


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("path", DOORS)
def test_a_value_on_which_parsers_differ_is_refused_by_every_door(service, path, name):
    status, headers, body = post(service.port, path, DOORS[path](VALUES[name]))
    assert status in {400, 422}, body
    refused(path, status, headers, body)


@pytest.mark.parametrize("path", DOORS)
def test_a_body_that_is_cut_off_or_marked_is_refused_by_every_door(service, path):
    good = DOORS[path](b"1.5")
    for body in (
        b"",
        b"\xef\xbb\xbf" + good,
        good[:-1],
        good + b"x",
        b"\x1f\x8b" + good,
        good.decode().encode("utf-16"),
    ):
        status, headers, answer = post(service.port, path, body)
        assert status in {400, 422}
        refused(path, status, headers, answer)


# -- compression and chunks --------------------------------------------------------------------------------------------


def reset_peak(pid):
    """Forget the most memory that a process has had (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak(pid)


def peak(pid):
    """The most memory that it has had since, in bytes."""
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def packed(kind, size):
    return gzip.compress(b" " * size) if kind == "gzip" else zlib.compress(b" " * size)


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_a_small_body_that_inflates_to_much_is_refused_in_bounded_memory(service, kind):
    (pid,) = service.pids("gateway").values()
    bomb = packed(kind, 400 * MEGABYTE)
    before = reset_peak(pid)
    for path in ("/v2/models/iris/infer", "/v1/models/iris:predict", "/invocations"):
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-encoding: {kind}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(bomb)}\r\nconnection: close\r\n\r\n"
        )
        answer = exchange(service.port, head.encode() + bomb, timeout=60)
        assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
    assert peak(pid) - before < 64 * MEGABYTE


def test_a_million_chunks_are_one_body(service):
    (pid,) = service.pids("gateway").values()
    before = reset_peak(pid)
    head = b"POST /predict/iris HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n"
    body = b"2\r\n  \r\n" * 1_000_000 + b"0\r\n\r\n"
    answer = exchange(service.port, head + b"connection: close\r\n\r\n" + body, timeout=120)
    assert answer.startswith(b"HTTP/1.1 400 "), "white space is no row"
    assert peak(pid) - before < 64 * MEGABYTE, "two bytes a chunk, two megabytes in all"
    assert post(service.port, "/predict/iris", row(b"1.5"))[0] == 200


# -- HTTP --------------------------------------------------------------------------------------------------------------

LONG = b"a" * 30_000
TARGET = b"POST /predict/iris HTTP/1.1\r\nhost: x\r\n"
WIRE = {
    "a NUL in a header": TARGET + b"x-a: \x00\r\n\r\n",
    "a folded header": TARGET + b"x-a: 1\r\n 2\r\n\r\n",
    "a space before the colon": TARGET + b"content-length : 0\r\n\r\n",
    "a header without a name": TARGET + b": x\r\n\r\n",
    "two lengths that differ": TARGET + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    "a length and chunks": TARGET
    + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /flag HTTP/1.1\r\n\r\n",
    "chunked, but not at last": TARGET + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked, disguised": TARGET + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a negative length": TARGET + b"content-length: -1\r\n\r\n",
    "a length with a sign": TARGET + b"content-length: +2\r\n\r\n{}",
    "a length beyond 64 bits": TARGET + b"content-length: 99999999999999999999999\r\n\r\n",
    "a chunk beyond 64 bits": TARGET + b"transfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n\r\n",
    "a chunk of no number": TARGET + b"transfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk without its end": TARGET + b"transfer-encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n",
    "HTTP/2 out of the blue": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
    "no method": b" / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a method of nobody's": b"FROB / HTTP/1.1\r\nhost: x\r\n\r\n",
    "bytes beyond ASCII in the target": b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    "a bare line feed in a header": TARGET + b"x-a: 1\nx-b: 2\r\rx\r\n\r\n",
}
"""What is to be refused, and the connection closed."""

ODD = {
    "an upgrade with a protocol that is no ASCII": b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-protocol: \xff\xfe\r\n",
    "many ranges": b"range: bytes=" + b"0-0," * 7000 + b"0-0\r\n",
    "languages without end": b"accept-language: " + b"a-" * 14_000 + b"\r\n",
    "types without end": b"accept: " + b"a/b;q=0.1," * 2900 + b"\r\n",
    "a boundary without end": b"content-type: multipart/form-data; boundary=" + LONG + b"\r\n",
    "a content type of quotes": b'content-type: application/json; a="' + b'\\"' * 14_000 + b"\r\n",
    "cookies without end": b"cookie: " + b"a=b; " * 6000 + b"\r\n",
    "a long name": LONG + b": 1\r\n",
    "a wish for a proof": b"expect: 200-ok\r\n",
    "a trace without end": b"traceparent: 00-" + b"f" * 29_000 + b"\r\n",
    "baggage": b"tracestate: " + b"a=b," * 7000 + b"\r\n",
    "credentials without end": b"authorization: Basic " + b"A" * 29_000 + b"\r\n",
    "forwarded without end": b"x-forwarded-for: " + b"127.0.0.1, " * 2500 + b"\r\n",
}
"""Headers that are well-formed, and known to have cost others quadratic time or their process."""


@pytest.mark.parametrize("name", WIRE)
def test_what_no_server_may_read_two_ways_is_refused_and_the_connection_closed(service, name):
    answer = exchange(service.port, WIRE[name], half_close=True)
    if not answer:
        return  # closed without a word
    assert answer.startswith(
        (b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 404 ", b"HTTP/1.1 421 ", b"HTTP/1.1 505 ")
    ), answer
    assert answer.count(b"HTTP/1.1 ") == 1, "nothing that was hidden in it was answered"


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("path", [b"/predict/iris", b"/v2/models/iris/infer", b"/iris", b"/docs"])
def test_headers_that_cost_others_their_time_or_their_process_cost_us_an_answer(service, path, name):
    method = b"GET" if path in {b"/iris", b"/docs"} else b"POST"
    body = b"" if method == b"GET" else row(b"1.5")
    head = b"%b %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\nconnection: close\r\n" % (method, path, len(body))
    answer = exchange(service.port, head + ODD[name] + b"\r\n" + body, timeout=60)
    status = int(answer.split(b" ", 2)[1])
    assert status == 101 or 200 <= status < 500, answer[:200]
    assert status != 101, "no other protocol is spoken"
    assert b"Traceback" not in answer


def test_no_header_makes_the_service_call_anybody(service):
    """The addresses in these headers are a listener of this test; whoever follows one connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        here = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        names = [
            "x-request-id",
            "x-forwarded-host",
            "x-forwarded-for",
            "x-original-url",
            "x-rewrite-url",
            "referer",
            "origin",
        ]
        names += [
            "forwarded",
            "traceparent",
            "tracestate",
            "x-callback-url",
            "link",
            "x-wap-profile",
            "proxy",
            "destination",
        ]
        for path in ("/predict/iris", "/invocations", "/v2/models/iris/infer", "/v1/models/iris:predict"):
            body = DOORS[path](b'"%b"' % here.encode())
            lines = "".join(f"{name}: {here}\r\n" for name in names if name != "origin")
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            assert exchange(service.port, head.encode() + body).startswith(b"HTTP/1.1 4")
        assert post(service.port, "/predict/iris", row(b"1.5"))[0] == 200
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_after_all_that_the_same_process_answers(service):
    (pid,) = service.pids("gateway").values()
    assert alive(pid)
    assert post(service.port, "/predict/iris", row(b"1.5"))[0] == 200
