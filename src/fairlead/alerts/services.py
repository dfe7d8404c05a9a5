"""The channel `apprise`: mail, chats and pagers, through the package Apprise and its hundred services.

An extra: `pip install 'fairlead[apprise]'`. It takes every address whose scheme no other channel has.
"""

from __future__ import annotations

from typing import Any, Final

from fairlead.alerts.alert import Alert, Severity
from fairlead.alerts.channel import Send
from fairlead.errors import InvalidInput, Overloaded

__all__ = ["CHANNEL", "Services"]

_TYPES: Final[dict[Severity, str]] = {"info": "info", "warning": "warning", "critical": "failure"}


class Services:
    """The channel `apprise` (a `channel.Channel`)."""

    summary = "Mail, chats and pagers, through Apprise."

    def open(self, url: str, secret: str) -> Send:
        """Get ready to notify (see `channel.Channel.open`); Apprise signs nothing."""
        del secret
        service = _service(url)
        return lambda alert: _notify(service, alert)


CHANNEL = Services()


def _service(url: str) -> Any:
    try:
        import apprise
    except ImportError as error:
        raise InvalidInput(
            f"alert_urls has an address of {_scheme(url)}, which needs Apprise; it is not installed.",
            hint="pip install 'fairlead[apprise]'",
        ) from error
    # Not `Apprise.add`, which takes a list apart and would tell its log what it could not use.
    service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        raise InvalidInput(
            f"alert_urls has an address of {_scheme(url)} that Apprise cannot use.",
            hint="Apprise's documentation tells how the addresses of each service are written.",
        )
    return service


def _notify(service: Any, alert: Alert) -> None:
    """One attempt; Apprise's own limits are 4 s to connect and 4 s to read.

    Raises:
        Overloaded: It did not work; Apprise does not say why.
    """
    if not service.notify(title=alert.title, body=alert.text, notify_type=_TYPES[alert.severity]):
        raise Overloaded("Apprise could not deliver it.")


def _scheme(url: str) -> str:
    """What may be shown of an address."""
    name, found, _ = url.partition("://")
    return repr(f"{name[:32]}://") if found else "no scheme"
