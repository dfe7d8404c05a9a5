"""Whose word about the client is believed. The cases are those of nginx's `real_ip_recursive` and RFC 7239, section 8.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import InvalidInput
from fairlead.serving.keys.proxies import Proxies

TRUSTED = Proxies(["127.0.0.1", "10.0.0.0/24", "fd00::/8"])
HEADER = b"X-Forwarded-For"


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9", "10.0.0.7"], "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1, 203.0.113.9,10.0.0.7"], "203.0.113.9"),
        ("127.0.0.1", ["127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", ["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("fd00::1", ["2001:db8::9"], "2001:db8::9"),
        ("127.0.0.1", ["[2001:db8::9]:4711"], "2001:db8::9"),
        ("127.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("127.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::ffff:127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("fd00::1%eth0", ["fe80::1%eth0"], "fe80::1"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_proxy_of_ours(peer, said, client):
    assert TRUSTED.client(peer, [(HEADER, one.encode()) for one in said]) == client


@pytest.mark.parametrize("said", [b"unknown", b"203.0.113.9,", b"_hidden", b"x\xff", b"1" * 500, b"10.0.0.7," * 40])
def test_a_proxy_that_names_nobody_who_can_be_leaves_the_client_unknown(said):
    assert TRUSTED.client("127.0.0.1", [(HEADER, said)]) is None


@given(said=st.binary(max_size=60))
def test_who_is_not_trusted_is_who_asks_whatever_is_said(said):
    for proxies in (TRUSTED, Proxies()):
        assert proxies.client("203.0.113.5", [(HEADER, said)]) == "203.0.113.5"
    assert Proxies().client("127.0.0.1", [(HEADER, said)]) == "127.0.0.1"


@given(said=st.text(alphabet="0123456789.,: abc", max_size=60))
def test_what_the_client_says_of_itself_changes_nothing(said):
    assert TRUSTED.client("127.0.0.1", [(HEADER, f"{said}, 203.0.113.9, 10.0.0.7".encode())]) == "203.0.113.9"


@pytest.mark.parametrize("trusted", ["models.example.org", "10.0.0.7/33", "10.0.0", "0.0.0.0/0", "::/0", "*", ""])
def test_what_is_no_network_or_everybody_is_refused(trusted):
    with pytest.raises(InvalidInput, match="trusted_proxies"):
        Proxies([trusted])
