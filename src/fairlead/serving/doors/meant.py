"""Which endpoint is meant where the address names none, as in MLflow's and SageMaker's `/invocations`.

The gate asks here whether a token opens that endpoint, and the door asks here which one it is to answer for. One place, so that
no request can show the gate one endpoint and the door another.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from fairlead.errors import InvalidInput, NotFound
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.request import Request
from fairlead.serving.live import LiveEndpoint

__all__ = ["MeantEndpoint"]

_HEADERS: Final = frozenset({b"x-fairlead-endpoint", b"x-amzn-sagemaker-target-model"})
_SIZES: Final = frozenset(map(len, _HEADERS))
_LONGEST_QUERY: Final = 1000


class MeantEndpoint:
    """Tells which endpoint a request means.

    Args:
        gateway: Knows what is live.
        configured: The endpoint that is meant where a request names none (the setting `invocations`).
    """

    def __init__(self, gateway: Gateway, configured: str | None = None) -> None:
        self._gateway = gateway
        self._configured = configured

    def name(self, request: Request) -> str | None:
        """The endpoint that is named: by the request, by the setting, or by being the only one.

        `None` where that is nobody, or where a request names two; a token of one endpoint opens neither.
        """
        named = _named(request)
        if named:
            return named.pop() if len(named) == 1 else None
        if self._configured is not None:
            return self._configured
        live = self._gateway.endpoints
        return next(iter(live)) if len(live) == 1 else None

    def live(self, request: Request) -> LiveEndpoint:
        """The endpoint that answers.

        Raises:
            NotFound: There is none of this name, or none at all.
            InvalidInput: There are several and none is named, or the request names two.
        """
        name = self.name(request)
        if name is not None:
            return self._gateway.endpoint(name)
        if named := _named(request):
            raise InvalidInput(
                f"The request names {len(named)} endpoints.", hint="Name one, by ?endpoint=NAME or by one header."
            )
        if not self._gateway.endpoints:
            raise NotFound("Nothing is served yet.", hint="`fairlead deploy MODEL:VERSION` makes an endpoint.")
        names = ", ".join(sorted(self._gateway.endpoints))[:500]
        raise InvalidInput(
            "This service has several endpoints, and the request names none.",
            hint=f"Say which, as in /invocations?endpoint=NAME: {names}. The setting `invocations` names one for all.",
        )


def _named(request: Request) -> set[str]:
    """The endpoints that a request names."""
    query = request.url.partition(b"?")[2][:_LONGEST_QUERY].decode("utf-8", "replace")
    named = set(parse_qs(query, keep_blank_values=True).get("endpoint", ()))
    named |= {
        value.decode("utf-8", "replace")
        for name, value in request.headers
        if len(name) in _SIZES and name.lower() in _HEADERS
    }
    return named
