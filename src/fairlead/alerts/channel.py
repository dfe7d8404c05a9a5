"""What a channel is: it takes an address and tells alerts there. `alert_urls` finds it by the address's scheme.

```toml
[project.entry-points."fairlead.alerts"]
pager = "my_package.pager:CHANNEL"      # takes pager://…
```

A scheme that nobody installed a channel for is Apprise's. Addresses come from the operator's settings and from nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from fairlead.alerts.alert import Alert

__all__ = ["SECONDS", "Channel", "Send"]

SECONDS: Final = 5.0
"""How long one attempt may take."""

Send = Callable[[Alert], None]
"""Tells one alert, once; called from one thread at a time. It gives up after `SECONDS`, and raises

- `Overloaded` or `OSError` where the same may succeed a little later: it is tried again, with the same alert;
- anything else where it will not.
"""


@runtime_checkable
class Channel(Protocol):
    """One way in which alerts reach people.

    Attributes:
        summary: Which one, in a sentence.
    """

    summary: str

    def open(self, url: str, secret: str) -> Send:
        """Get ready to tell alerts to an address. Reaches no network, so that a service can start without one.

        Args:
            url: The address, as the operator wrote it; it may hold a password, so no message may show it.
            secret: The setting `alert_secret`, empty where there is none.

        Raises:
            InvalidInput: The address cannot be used; the message says which setting is wrong, and why.
        """
        ...
