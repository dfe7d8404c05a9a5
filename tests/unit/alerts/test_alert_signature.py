"""The signature of a webhook. The expected digest is openssl's:

printf '1763820000.{"kind":"rollout_aborted"}' | openssl dgst -sha256 -hmac correct-horse-battery
"""

import pytest

from fairlead.alerts.webhook import Webhook, is_signed, signature
from fairlead.errors import InvalidInput

SECRET = "correct-horse-battery"
BODY = b'{"kind":"rollout_aborted"}'
SENT = 1763820000
OPENSSL = "b6c2244de354de99810dd88f427d37f8e79100e51ad3da3b29fe8d1f8ea03606"
HEADER = f"t={SENT},v1={OPENSSL}"


def test_the_signature_is_the_one_that_openssl_computes():
    assert signature(SECRET, SENT, BODY) == HEADER
    assert is_signed(HEADER, SECRET, BODY, now=SENT + 299.0)


@pytest.mark.parametrize(
    ("header", "secret", "body", "now"),
    [
        (HEADER, SECRET, BODY + b" ", SENT),
        (HEADER, SECRET + "x", BODY, SENT),
        (HEADER.replace("t=1", "t=2"), SECRET, BODY, SENT + 1_000_000_000),
        (HEADER, SECRET, BODY, SENT + 301),
        (HEADER, SECRET, BODY, SENT - 301),
        (f"v1={OPENSSL}", SECRET, BODY, SENT),
        (f"t={SENT}", SECRET, BODY, SENT),
        (f"t=x,v1={OPENSSL}", SECRET, BODY, SENT),
        (f"t={'9' * 5000},v1={OPENSSL}", SECRET, BODY, SENT),
        (f"t={SENT},v1=ä", SECRET, BODY, SENT),
        ("", SECRET, BODY, SENT),
        (",=,==", SECRET, BODY, SENT),
    ],
    ids=[
        "another body",
        "another secret",
        "another time",
        "too late",
        "too early",
        "no time",
        "no signature",
        "a time that is none",
        "a time of 5,000 digits",
        "a signature that is no ASCII",
        "empty",
        "nonsense",
    ],
)
def test_whatever_is_changed_the_signature_does_not_hold(header, secret, body, now):
    assert not is_signed(header, secret, body, now=now)


@pytest.mark.parametrize(
    "url", ["", "example.org/x", "ftp://example.org", "http://", "https://h:99999/", "http://h/a b", "http://h/\n"]
)
def test_what_is_no_web_address_is_refused_without_being_shown(url):
    with pytest.raises(InvalidInput, match="alert_webhook is no address") as caught:
        Webhook().open(url, SECRET)
    assert not url or url not in str(caught.value)


def test_without_a_secret_nothing_is_sent():
    with pytest.raises(InvalidInput, match="no secret") as caught:
        Webhook().open("https://example.org/hook", "")
    assert "FAIRLEAD_ALERT_SECRET" in caught.value.hint
