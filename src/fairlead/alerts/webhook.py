"""The channel `webhook`: an alert as JSON, posted to one address and signed.

```
fairlead-signature: t=1763820000,v1=5257a869…
```

`v1` is the HMAC-SHA256 (RFC 2104), in hex, of `t`, a dot and the body, with the secret that sender and receiver share. The time is
signed along, so that nobody can send a caught alert again a day later. `docs/howto/alerts.md` shows how a receiver verifies it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import Final
from urllib.parse import urlsplit

import msgspec

from fairlead.alerts.channel import SECONDS, Send
from fairlead.errors import InvalidInput, NotAllowed, Overloaded

__all__ = ["CHANNEL", "SIGNATURE", "Webhook", "is_signed", "signature"]

SIGNATURE: Final = "fairlead-signature"
"""The header with time and signature."""

_LATER: Final = frozenset({408, 425, 429})
"""Refusals that ask for another attempt; so does every 5xx."""

_encode = msgspec.json.Encoder().encode


def signature(secret: str, seconds: int, body: bytes) -> str:
    """The value of the header `fairlead-signature`.

    Args:
        secret: Shared by sender and receiver.
        seconds: When it is sent, since 1970 (UTC).
        body: As it is sent, byte for byte.
    """
    return f"t={seconds},v1={_digest(secret, str(seconds), body)}"


def is_signed(header: str, secret: str, body: bytes, *, now: float, tolerance: float = 300.0) -> bool:
    """Whether a body comes from somebody who has the secret, and was sent just now.

    Args:
        header: The value of `fairlead-signature`.
        secret: Shared by sender and receiver.
        body: As it was received, byte for byte.
        now: The receiver's clock, in seconds since 1970 (UTC).
        tolerance: How far the clocks may differ, in seconds.
    """
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    sent, given = parts.get("t", ""), parts.get("v1", "")
    if not (sent.isascii() and sent.isdigit() and len(sent) < 13 and given.isascii()):
        return False
    return hmac.compare_digest(_digest(secret, sent, body), given) and abs(now - int(sent)) <= tolerance


def _digest(secret: str, seconds: str, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()


class Webhook:
    """The channel `webhook` (a `channel.Channel`)."""

    summary = "Posts signed JSON to one address."

    def open(self, url: str, secret: str) -> Send:
        """Get ready to post (see `channel.Channel.open`)."""
        check_url(url)
        if not secret:
            raise InvalidInput(
                "alert_webhook is set and there is no secret to sign with.",
                hint="Give FAIRLEAD_ALERT_SECRET in the environment; the receiver needs the same.",
            )
        return lambda alert: _post(url, secret, _encode(alert))


CHANNEL = Webhook()


def check_url(url: str) -> None:
    """Refuse what is no address of a web server.

    Raises:
        InvalidInput: It is none.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or any(character.isspace() or not character.isprintable() for character in url):
        raise InvalidInput("alert_webhook is no address of a web server.", hint="Give https://HOST/PATH.")


def _post(url: str, secret: str, body: bytes) -> None:
    """One attempt.

    Raises:
        Overloaded: Nobody was reached, or the receiver asks to come back.
        NotAllowed: The receiver refuses.
    """
    status = asyncio.run(_status_of(url, secret, body))
    if status in _LATER or status >= 500:
        raise Overloaded(f"The receiver answered {status}.")
    if not 200 <= status < 300:
        raise NotAllowed(f"The receiver answered {status}.", hint="Is alert_webhook the right address?")


async def _status_of(url: str, secret: str, body: bytes) -> int:
    """What the receiver answered. An event loop of its own, because only that ends the whole exchange in time."""
    import httpx

    headers = {
        "content-type": "application/json",
        "user-agent": "fairlead",
        SIGNATURE: signature(secret, int(time.time()), body),
    }
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(timeout=SECONDS, follow_redirects=False) as client,
            client.stream("POST", url, content=body, headers=headers) as reply,
        ):
            return reply.status_code  # what it says besides is not read
    except TimeoutError as error:
        raise Overloaded(f"The receiver did not answer within {SECONDS:g} s.") from error
    except httpx.HTTPError as error:
        # The error's own text may hold the address.
        raise Overloaded(f"The receiver cannot be reached ({type(error).__name__}).") from error
