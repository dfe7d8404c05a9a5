"""What the gate decides, without a socket: names, paths, tokens."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import Forbidden, InvalidInput, Unauthenticated
from fairlead.serving.http.problems import MisdirectedRequest
from fairlead.serving.http.request import Request
from fairlead.serving.keys.gate import PUBLIC, Gate, Hosts, is_loopback, public_need
from fairlead.serving.keys.keyring import OPEN_SCOPES, Keyring, Need, refusal
from fairlead.serving.keys.tokens_file import read_tokens, write_tokens
from fairlead.tokens import Token, TokenSet, digest_of, make_secret

SECRET, ID = make_secret()
OTHER, OTHER_ID = make_secret()


class FakeConnection:
    """Where a client came to."""

    def __init__(self, host="127.0.0.1", port=8080):
        self.server = (host, port)


def token(**facts):
    return Token(**{"number": 1, "id": ID, "name": "app", "digest": digest_of(SECRET), "scopes": ("predict",), **facts})


@pytest.fixture
def keyring(tmp_path):
    def made(*tokens, issued=None, **more):
        write_tokens(tmp_path / "tokens.json", TokenSet(len(tokens) if issued is None else issued, tokens))
        ring = Keyring(tmp_path / "tokens.json", tmp_path / "rates", **more)
        ring.look()
        return ring

    return made


def request(*headers, method=b"POST", url=b"/predict/flights"):
    return Request(method, url, list(headers), b"", keep_alive=True, version="1.1")


HOST = (b"Host", b"127.0.0.1:8080")


def gate(keyring, host="127.0.0.1"):
    return Gate(keyring, Hosts(host, 8080), public_need)


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:8080", b"localhost:8080", b"LOCALHOST:8080", b"[::1]:8080", b"models.example.org"]
)
def test_our_own_names_are_held(host):
    assert Hosts("127.0.0.1", 8080, ["Models.example.org"]).hold(host, FakeConnection())


# The corpus of the usual ways around an allow-list: user information, a trailing dot, a zone, other spellings of an address.
FOREIGN = [
    b"evil.example",
    b"evil.example:8080",
    b"",
    b":8080",
    b"127.0.0.1",
    b"127.0.0.1:80",
    b"127.0.0.1:08080",
    b"127.0.0.1:8080@evil.example",
    b"evil.example@127.0.0.1:8080",
    b"user:password@localhost:8080",
    b"127.0.0.1.:8080",
    b"localhost.:8080",
    b"localhost:8080.",
    b"[::1%25lo]:8080",
    b"[fe80::1%eth0]:8080",
    b"[::ffff:127.0.0.1]:8080",
    b"0x7f.0.0.1:8080",
    b"2130706433:8080",
    b"127.1:8080",
    b"0.0.0.0:8080",
    b"localhost:8080,evil.example",
    b"localhost:8080 evil.example",
    b"localhost:8080/",
    b"localhost:8080#",
    b"http://localhost:8080",
    b"xlocalhost:8080",
    b"localhost\xc2\xa0:8080",
    b"models.example.org.",
    b"models.example.org:8080",
]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", [b"/predict/flights", b"/livez", b"/readyz", b"/", b"/v2/health/live", b"/x"])
def test_a_foreign_host_is_refused_on_every_path(keyring, host, path):
    ring = keyring(open_scopes=OPEN_SCOPES)
    found = Gate(ring, Hosts("127.0.0.1", 8080, ["models.example.org"]), public_need)(
        FakeConnection(), request((b"host", host), (b"x-forwarded-host", b"localhost:8080"), method=b"GET", url=path)
    )
    assert isinstance(found, MisdirectedRequest)


def test_a_missing_or_a_second_host_is_refused(keyring):
    ring = keyring(open_scopes=OPEN_SCOPES)
    assert isinstance(gate(ring)(FakeConnection(), request()), MisdirectedRequest)
    assert isinstance(gate(ring)(FakeConnection(), request(HOST, HOST)), MisdirectedRequest)


def test_a_port_on_all_addresses_answers_to_the_address_that_was_reached_and_to_no_name():
    hosts = Hosts("0.0.0.0", 8080)
    assert hosts.hold(b"10.1.2.3:8080", FakeConnection("10.1.2.3"))
    assert not hosts.hold(b"10.1.2.4:8080", FakeConnection("10.1.2.3"))
    assert not hosts.hold(b"localhost:8080", FakeConnection("10.1.2.3"))
    assert hosts.hold(b"localhost:8080", FakeConnection("127.0.0.1"))
    assert Hosts("::", 8080).hold(b"10.1.2.3:8080", FakeConnection("::ffff:10.1.2.3"))
    assert Hosts("::", 8080).hold(b"[2001:db8::1]:8080", FakeConnection("2001:db8::1"))


def test_the_port_may_be_left_out_where_http_leaves_it_out():
    assert Hosts("10.1.2.3", 80).hold(b"10.1.2.3", FakeConnection())
    assert Hosts("10.1.2.3", 80).hold(b"10.1.2.3:80", FakeConnection())


@pytest.mark.parametrize(
    "host", [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
)
def test_an_address_that_only_this_machine_reaches_is_known(host):
    assert is_loopback(host[0]) is host[1]


def test_a_name_is_no_address():
    with pytest.raises(InvalidInput, match="is not an IP address"):
        is_loopback("example.org")


_NAMES = st.sampled_from([b"host", b"Host", b"authorization", b"origin", b"sec-fetch-site", b"x-forwarded-host"])


@given(
    headers=st.lists(st.tuples(_NAMES, st.sampled_from([b"127.0.0.1:8080", b"null"]) | st.binary(max_size=30))),
    url=st.binary(max_size=40),
    method=st.sampled_from([b"GET", b"POST", b"PUT"]),
)
def test_whatever_is_sent_without_a_token_gets_no_further_than_what_is_public(tmp_path_factory, headers, url, method):
    folder = tmp_path_factory.mktemp("gate")
    write_tokens(folder / "tokens.json", TokenSet(1, (token(),)))
    ring = Keyring(folder / "tokens.json", folder / "rates")
    ring.look()
    found = gate(ring)(FakeConnection(), request(*headers, method=method, url=b"/" + url))
    assert found is not None or url.partition(b"?")[0].lstrip(b"/").startswith(
        (b"livez", b"readyz", b"health", b"ping", b"v2/health/", b"favicon.ico", b"assets/", b"%")
    )


# -- paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        (b"POST", "/cases/flights", Need("predict", "flights")),
        (b"POST", "/predict/flights", Need("predict", "flights")),
        (b"POST", "/feedback/flights", Need("feedback", "flights")),
        (b"GET", "/metrics", Need("read")),
        (b"GET", "/", Need("predict")),
        (b"GET", "/docs", Need("predict")),
        (b"GET", "/flights", Need("predict", "flights")),
        (b"POST", "/flights/answers.csv", Need("predict", "flights")),
        (b"POST", "/flights/feedback", Need("predict", "flights")),
        (b"POST", "/invocations", Need("predict", reach="meant")),
        (b"POST", "/invocations/flights", Need("predict")),
        (b"GET", "/version", Need("predict", reach="service")),
        (b"GET", "/v1/models", Need("predict")),
        (b"POST", "/v1/models/flights:predict", Need("predict", "flights")),
        (b"POST", "/v1/models/flights/versions/3:predict", Need("predict", "flights")),
        (b"GET", "/v2", Need("predict", reach="service")),
        (b"GET", "/v2/models/flights/ready", Need("predict", "flights")),
        (b"GET", "/v2/models/stats", Need("predict")),
        (b"POST", "/v2/models/flights/versions/3/infer", Need("predict", "flights")),
        (b"POST", "/v2/repository/index", Need("predict")),
        (b"POST", "/v2/repository/models/flights/load", Need("deploy", "flights")),
        (b"POST", "/v2/repository/models/flights/unload", Need("deploy", "flights")),
        (b"GET", "/a/b/c", Need("predict")),
        (b"POST", "/a/b/c", Need("admin")),
        (b"DELETE", "/assets/fairlead.css", Need("admin")),
    ],
)
def test_each_path_needs_its_scope_where_it_names_an_endpoint(method, path, need):
    assert public_need(method, path) == need


@given(method=st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS"]), path=st.text(max_size=40))
def test_nothing_is_public_but_what_is_said_to_be(method, path):
    path = "/" + path
    open_to_all = path in PUBLIC or (path.startswith("/assets/") and method == b"GET")
    assert (public_need(method, path) is None) == open_to_all


def test_percent_signs_do_not_lead_around_a_scope(keyring):
    ring = keyring(token())
    asked = request(HOST, (b"authorization", b"Bearer " + SECRET.encode()), url=b"/v2/%72epository/models/x/lo%61d")
    found = gate(ring)(FakeConnection(), asked)
    assert isinstance(found, Forbidden)
    assert "'deploy'" in found.detail


@pytest.mark.parametrize("url", [b"http://127.0.0.1:8080/livez", b"*", b"127.0.0.1:8080"])
def test_a_target_that_is_no_path_is_refused(keyring, url):
    assert isinstance(gate(keyring())(FakeConnection(), request(HOST, url=url)), MisdirectedRequest)


# -- another site's page -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Sec-Fetch-Site", b"cross-site")],
        [(b"Sec-Fetch-Site", b"same-site")],
        [(b"Sec-Fetch-Site", b"cross-site"), (b"Origin", b"http://127.0.0.1:8080")],
        [(b"Origin", b"https://evil.example")],
        [(b"Origin", b"http://127.0.0.1:8081")],
        [(b"Origin", b"null")],
        [(b"Origin", b"")],
    ],
)
def test_what_another_sites_page_sends_is_refused_token_or_not(keyring, headers):
    ring = keyring(token())
    asked = request(HOST, *headers, (b"Authorization", b"Bearer " + SECRET.encode()))
    assert isinstance(gate(ring)(FakeConnection(), asked), Forbidden)


@pytest.mark.parametrize(
    "headers", [[], [(b"Sec-Fetch-Site", b"same-origin")], [(b"Origin", b"http://127.0.0.1:8080")]]
)
def test_what_our_own_page_or_a_program_sends_passes(keyring, headers):
    ring = keyring(token())
    asked = request(HOST, *headers, (b"Authorization", b"Bearer " + SECRET.encode()))
    assert gate(ring)(FakeConnection(), asked) is None


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_without_any_token_loopback_is_open_for_asking_and_for_nothing_else(keyring):
    ring = keyring(open_scopes=OPEN_SCOPES)
    assert ring.admit(None, Need("predict", "flights"), local=True) is None
    assert ring.admit(None, Need("read"), local=True) is None
    # Feedback needs the id of an answer, too, which only who asked for it has.
    assert ring.admit(None, Need("feedback", "flights"), local=True) is None
    for scope in ("deploy", "admin"):
        assert isinstance(ring.admit(None, Need(scope), local=True), Forbidden)


@pytest.mark.parametrize("host", [b"127.0.0.1:8080", b"localhost:8080", b"LocalHost:8080", b"[::1]:8080"])
def test_without_any_token_this_machine_may_ask_by_its_own_name(keyring, host):
    assert gate(keyring(open_scopes=OPEN_SCOPES))(FakeConnection(), request((b"host", host))) is None


# What nginx, Apache, HAProxy, Caddy, Traefik and Envoy leave by their own documentation; every spelling of the name counts.
MARKS = [
    (b"X-Forwarded-For", b"203.0.113.9"),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"X-FORWARDED-FOR", b""),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"localhost:8080"),
    (b"X-Real-IP", b"127.0.0.1"),
    (b"Forwarded", b"for=127.0.0.1"),
    (b"Via", b"1.1 vegur"),
]


@pytest.mark.parametrize("mark", MARKS)
def test_a_proxy_on_this_machine_does_not_make_the_world_local(keyring, mark):
    ring = keyring(open_scopes=OPEN_SCOPES)
    found = gate(ring)(FakeConnection(), request(HOST, mark, (b"x-forwarded-for", b"127.0.0.1")))
    assert isinstance(found, Unauthenticated)
    assert "fairlead token create" in found.hint
    assert gate(ring)(FakeConnection(), request(HOST, mark, method=b"GET", url=b"/readyz")) is None, (
        "probes stay public"
    )


def test_who_asks_for_a_public_name_is_not_this_machine(keyring):
    ring = keyring(open_scopes=OPEN_SCOPES)
    guard = Gate(ring, Hosts("127.0.0.1", 8080, ["models.example.org"]), public_need)
    assert isinstance(guard(FakeConnection(), request((b"host", b"models.example.org"))), Unauthenticated)
    assert guard(FakeConnection(), request(HOST)) is None


def test_a_token_passes_by_any_proxy(keyring):
    shown = (b"authorization", b"Bearer " + SECRET.encode())
    for mark in MARKS:
        assert gate(keyring(token()))(FakeConnection(), request(HOST, mark, mark, shown)) is None


def test_elsewhere_nothing_is_open(keyring):
    assert isinstance(keyring().admit(None, Need("predict"), local=True), Unauthenticated)


def test_before_the_first_delivery_nothing_is_open(tmp_path):
    ring = Keyring(tmp_path / "missing.json", tmp_path / "rates", open_scopes=OPEN_SCOPES)
    ring.look()
    assert isinstance(ring.admit(None, Need("predict"), local=True), Unauthenticated)


def test_when_all_tokens_are_revoked_the_door_does_not_open_again(keyring):
    ring = keyring(issued=3, open_scopes=OPEN_SCOPES)
    assert isinstance(ring.admit(None, Need("predict"), local=True), Unauthenticated)


def test_a_file_that_cannot_be_read_changes_nothing(keyring, tmp_path):
    ring = keyring(token())
    (tmp_path / "tokens.json").write_bytes(b'{"issued": 0, "tok')
    ring.look()
    assert ring.admit(b"Bearer " + SECRET.encode(), Need("predict")) is None
    assert isinstance(ring.admit(None, Need("predict")), Unauthenticated)


WRONG = [
    b"",
    b"Bearer",
    b"Bearer ",
    b"Bearer " + OTHER.encode(),
    b"Bearer " + SECRET.encode()[:-1],
    b"Bearer " + SECRET.encode() + b"x",
    b"Bearer " + f"fl_{ID}_".encode(),
    b"Bearer " + digest_of(SECRET).encode(),
    b"Token " + SECRET.encode(),
    SECRET.encode(),
    b"Bearer \xff\xfe\x00",
    b"Basic " + SECRET.encode(),
    b"Basic !!!!",
    b"Basic " + base64.b64encode(b"\xff:\xff"),
    b"Basic " + base64.b64encode(SECRET.encode()),
    b"bearer" + b" x" * 1000,
]


@pytest.mark.parametrize("authorization", WRONG, ids=range(len(WRONG)))
def test_what_is_not_the_token_is_refused(keyring, authorization):
    found = keyring(token()).admit(authorization, Need("predict"))
    assert isinstance(found, Unauthenticated)
    assert SECRET not in str(found)
    assert str(found.values["authenticate"]).startswith("Bearer ")


@given(authorization=st.binary(max_size=120))
def test_whatever_is_sent_is_refused_and_never_remembered(tmp_path_factory, authorization):
    folder = tmp_path_factory.mktemp("ring")
    write_tokens(folder / "tokens.json", TokenSet(1, (token(),)))
    ring = Keyring(folder / "tokens.json", folder / "rates")
    ring.look()
    assert isinstance(ring.admit(authorization, Need("predict")), Unauthenticated)
    assert ring._remembered == {}


def test_a_browser_shows_the_token_as_a_password(keyring):
    shown = b"Basic " + base64.b64encode(f"anybody:{SECRET}".encode())
    assert keyring(token()).admit(shown, Need("predict")) is None


def test_a_token_ends_at_its_hour(keyring):
    now = [1000.0]
    ring = keyring(token(expires=1500.0), clock=lambda: now[0])
    shown = b"Bearer " + SECRET.encode()
    assert ring.admit(shown, Need("predict")) is None
    now[0] = 1500.0
    found = ring.admit(shown, Need("predict"))
    assert isinstance(found, Unauthenticated)
    assert "expired" in found.detail


def test_a_token_of_one_endpoint_opens_that_one_only():
    bound = token(endpoints=("flights", "trains"))
    assert refusal(bound, Need("predict", "flights")) is None
    assert refusal(bound, Need("predict", "ships")) is not None
    assert refusal(bound, Need("predict")) is not None, "what names no endpoint may show others'"
    assert refusal(token(), Need("predict")) is None


def test_a_token_of_one_endpoint_opens_what_the_request_means_and_nothing_else_at_the_same_address(keyring):
    ring = keyring(token(endpoints=("flights",)))
    shown = (b"authorization", b"Bearer " + SECRET.encode())

    def asked(meant):
        guard = Gate(ring, Hosts("127.0.0.1", 8080), public_need, meant=lambda _: meant)
        return guard(FakeConnection(), request(HOST, shown, url=b"/invocations"))

    assert asked("flights") is None
    assert isinstance(asked("trains"), Forbidden)
    assert isinstance(asked(None), Forbidden)


def test_a_token_of_one_endpoint_learns_of_the_service_what_tells_nothing_of_others():
    bound = token(endpoints=("flights",))
    assert refusal(bound, Need("predict", reach="service")) is None
    assert refusal(bound, Need("read", reach="service")) is not None, "the scope counts all the same"


def test_a_refusal_names_the_scope_that_is_missing():
    found = refusal(token(scopes=("predict", "read")), Need("deploy", "flights"))
    assert "'deploy'" in found.detail
    assert "'predict', 'read'" in found.detail


def test_the_file_is_for_its_owner_only_even_where_the_mask_is_wide(tmp_path):
    before = os.umask(0)
    try:
        write_tokens(tmp_path / "deep" / "tokens.json", TokenSet(1, (token(),)))
    finally:
        os.umask(before)
    assert (tmp_path / "deep" / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert read_tokens(tmp_path / "deep" / "tokens.json") == TokenSet(1, (token(),))
    assert SECRET.encode() not in (tmp_path / "deep" / "tokens.json").read_bytes()
