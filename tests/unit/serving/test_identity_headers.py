"""Request ids and traceparent. The headers are those of W3C Trace Context, section 3.2 and its test suite."""

from __future__ import annotations

import pytest

from fairlead.serving.http.request import Request
from fairlead.serving.observing.identity import identify

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def identified(*headers):
    request = Request(b"GET", b"/", list(headers), b"", keep_alive=True, version="1.1")
    answer = identify(request)
    return request.identity, answer


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_trace_is_continued(header, sampled):
    found, _ = identified((b"TraceParent", header.encode()))
    assert (found.trace, found.parent, found.sampled) == (TRACE, PARENT, sampled)
    assert found.span != PARENT
    assert len(found.span) == 16


@pytest.mark.parametrize(
    "header",
    [
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        "",
        "00-\n",
    ],
)
def test_a_header_that_the_standard_refuses_begins_a_new_trace(header):
    found, _ = identified((b"traceparent", header.encode()))
    assert found.trace != TRACE
    assert (found.parent, found.sampled) == ("", None)
    assert len(found.trace) == 32


def test_a_sane_request_id_is_kept_and_told():
    found, answer = identified((b"X-Request-ID", b"order-7/a.b:c"))
    assert found.request == "order-7/a.b:c"
    assert answer == b"x-request-id: order-7/a.b:c\r\n"


@pytest.mark.parametrize(
    "said", [b"", b"a" * 129, b"a b", b"a\x1b[31m", b"a\r\nset-cookie: x", "a\u2028b".encode(), "a\u202eb".encode()]
)
def test_any_other_request_id_is_replaced(said):
    found, answer = identified((b"x-request-id", said))
    assert found.request == found.trace
    assert answer == f"x-request-id: {found.trace}\r\n".encode()


def test_two_requests_have_two_names():
    assert len({identified()[0].request for _ in range(1000)}) == 1000
