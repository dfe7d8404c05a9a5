"""Who may ask a mounted endpoint: the application's to decide, unless the home has tokens.

The first token closes this door as it closes the service's: from then on an application that has its own doorkeeper says so.
The gate's other questions, whether a request is addressed to us and comes from no foreign page, are the application's: it knows
its names, and a prediction changes nothing.
"""

from __future__ import annotations

from fairlead.config import Paths
from fairlead.errors import InvalidInput, NotFound
from fairlead.mount.exchange import Asked
from fairlead.serving.http.request import Request
from fairlead.serving.keys.keyring import OPEN_SCOPES, Keyring, Need

__all__ = ["Admission"]


class Admission:
    """The doorkeeper of one mounted endpoint.

    Args:
        endpoint: Its name.
        paths: Where the tokens lie.
        tokens: Whether a token is needed: always, never, or (`None`) as soon as the home has had one.
    """

    def __init__(self, endpoint: str, paths: Paths, tokens: bool | None) -> None:  # noqa: FBT001 - its three values are told above
        self._endpoint = endpoint
        self._keyring: Keyring | None = None
        if tokens is not False:
            # Open, it lets everybody pass below; without a file of tokens it is closed in either case.
            self._keyring = Keyring(paths.tokens, paths.rates, open_scopes=frozenset() if tokens else OPEN_SCOPES)
            self._keyring.look()

    def look(self) -> None:
        """Follow the tokens' file; one `stat` where it has not changed."""
        if self._keyring is not None:
            self._keyring.look()

    def check(self, request: Request, wanted: Asked) -> None:
        """Let a request pass, or raise what to tell instead.

        Raises:
            Unauthenticated: It shows no token that holds.
            Forbidden: Its token may not do this.
            RateLimited: Its token asks too often.
            NotFound: The counters are shown to tokens only, and none is needed here.
        """
        keyring = self._keyring
        if keyring is None or keyring.is_open:
            if wanted == "metrics":
                raise NotFound(
                    "There is nothing at '/metrics'.", hint="The service's own /metrics tells these counters too."
                )
            return
        need = Need("read") if wanted == "metrics" else Need("predict", self._endpoint)
        error = keyring.admit(_authorization(request), need)
        if error is not None:
            raise error


def _authorization(request: Request) -> bytes | None:
    found = [value for name, value in request.headers if name == b"authorization"]
    if len(found) > 1:
        raise InvalidInput("The header 'authorization' stands twice in the request.", hint="Send it once.")
    return found[0] if found else None
