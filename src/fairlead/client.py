"""A client of a running service, for Python: `Client` blocks, `AsyncClient` does not. Both raise Fairlead's own errors.

What they share (addresses, what a reply means) are functions; the two classes only differ in how they wait.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from fairlead.answer import Answer, Receipt
from fairlead.errors import FairleadError, Overloaded
from fairlead.refs import check_name
from fairlead.schema import Value

__all__ = ["AsyncClient", "Client"]

_TIMEOUT = 30.0


class Client:
    """Asks a running service; keeps its connections open between calls.

    Args:
        url: Where it is, "http://127.0.0.1:8080".
        token: Shown with every call; the environment's FAIRLEAD_TOKEN where it is `None`.
        timeout: How long one call may take, in seconds.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, token: str | None = None, timeout: float = _TIMEOUT
    ) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=_shown(token))

    def predict(self, endpoint: str, row: Mapping[str, Any]) -> Answer:
        """Ask about one row.

        Raises:
            InvalidInput: The row cannot be read; `SchemaMismatch` names the field.
            NotFound: There is no such endpoint.
            Unauthenticated: The service wants a token; `Forbidden` says that another is needed.
            Overloaded: The service cannot be reached, or has too much to do.
        """
        return msgspec.json.decode(self._post(endpoint, row), type=Answer)

    def predict_many(self, endpoint: str, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Ask about many rows at once. Raises as `predict`."""
        return msgspec.json.decode(self._post(endpoint, rows), type=list[Answer])

    def predict_text(self, endpoint: str, text: str, *, csv: bool = False) -> Answer | list[Answer]:
        """Ask about rows that are JSON or CSV already: one reply to one object, else a list. Raises as `predict`."""
        kind = "text/csv" if csv else "application/json"
        return msgspec.json.decode(self._send(_path(endpoint), text.encode(), kind), type=Answer | list[Answer])

    def feedback(  # noqa: PLR0913 - what feedback may say, each by its name
        self,
        endpoint: str,
        identity: str,
        *,
        label: Value = None,
        rating: int | None = None,
        comment: str | None = None,
        values: Mapping[str, float] | None = None,
        about: str = "answer",
    ) -> Receipt:
        """Tell what became of one prediction.

        Args:
            endpoint: That was asked.
            identity: The answer's `id`.
            label: What proved true, or what a person decided.
            rating: 1 (bad) to 5 (good).
            comment: In a person's words.
            values: Numbers by name, such as what it earned.
            about: "answer", or "page" for the page and the way of working.

        Raises:
            NotFound: The id was never given out at this endpoint.
            InvalidInput: It cannot be taken; `SchemaMismatch` names the field.
            Unauthenticated: The service wants a token; `Forbidden` says that another is needed.
            Overloaded: The service cannot be reached, or cannot record it now.
        """
        told = _told(identity, label=label, rating=rating, comment=comment, values=values, about=about)
        return self.feedback_many(endpoint, [told])

    def feedback_many(self, endpoint: str, told: Sequence[Mapping[str, Any]]) -> Receipt:
        """Tell what became of many predictions, each with its `id`: all of it is recorded, or nothing. Raises as `feedback`."""
        reply = self._send(_feedback_path(endpoint), _body(told), "application/json")
        return msgspec.json.decode(reply, type=Receipt)

    def feedback_text(self, endpoint: str, text: str, *, csv: bool = False) -> Receipt:
        """Tell what stands in JSON or CSV already. Raises as `feedback`."""
        reply = self._send(_feedback_path(endpoint), text.encode(), "text/csv" if csv else "application/json")
        return msgspec.json.decode(reply, type=Receipt)

    def ready(self) -> bool:
        """Whether the service says it is ready."""
        try:
            return self._http.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(self, endpoint: str, content: object) -> bytes:
        return self._send(_path(endpoint), _body(content), "application/json")

    def _send(self, path: str, body: bytes, kind: str) -> bytes:
        try:
            reply = self._http.post(path, content=body, headers={"content-type": kind})
        except httpx.TransportError as err:
            raise _unreachable(self._url, err) from err
        return _checked(reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """`Client` for asyncio: the same calls, awaited.

    Args:
        url: Where the service is.
        token: Shown with every call; the environment's FAIRLEAD_TOKEN where it is `None`.
        timeout: How long one call may take, in seconds.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, token: str | None = None, timeout: float = _TIMEOUT
    ) -> None:
        self._url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout, headers=_shown(token))

    async def predict(self, endpoint: str, row: Mapping[str, Any]) -> Answer:
        """Ask about one row. Raises as `Client.predict`."""
        return msgspec.json.decode(await self._post(_path(endpoint), row), type=Answer)

    async def predict_many(self, endpoint: str, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Ask about many rows at once. Raises as `Client.predict`."""
        return msgspec.json.decode(await self._post(_path(endpoint), rows), type=list[Answer])

    async def feedback(  # noqa: PLR0913 - as `Client.feedback`
        self,
        endpoint: str,
        identity: str,
        *,
        label: Value = None,
        rating: int | None = None,
        comment: str | None = None,
        values: Mapping[str, float] | None = None,
        about: str = "answer",
    ) -> Receipt:
        """Tell what became of one prediction, as `Client.feedback`."""
        told = _told(identity, label=label, rating=rating, comment=comment, values=values, about=about)
        return await self.feedback_many(endpoint, [told])

    async def feedback_many(self, endpoint: str, told: Sequence[Mapping[str, Any]]) -> Receipt:
        """Tell what became of many predictions, as `Client.feedback_many`."""
        return msgspec.json.decode(await self._post(_feedback_path(endpoint), told), type=Receipt)

    async def ready(self) -> bool:
        """Whether the service says it is ready."""
        try:
            return (await self._http.get("/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, path: str, content: object) -> bytes:
        try:
            headers = {"content-type": "application/json"}
            reply = await self._http.post(path, content=_body(content), headers=headers)
        except httpx.TransportError as err:
            raise _unreachable(self._url, err) from err
        return _checked(reply)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _shown(token: str | None) -> dict[str, str]:
    token = os.environ.get("FAIRLEAD_TOKEN") if token is None else token
    return {"authorization": f"Bearer {token}"} if token else {}


def _path(endpoint: str) -> str:
    return f"/predict/{check_name(endpoint, 'endpoint')}"


def _feedback_path(endpoint: str) -> str:
    return f"/feedback/{check_name(endpoint, 'endpoint')}"


def _told(identity: str, *, about: str, **said: object) -> dict[str, object]:
    """One feedback as it is sent, without what was not said."""
    found = {"id": identity, **{name: value for name, value in said.items() if value is not None}}
    return found if about == "answer" else {**found, "about": about}


def _body(content: object) -> bytes:
    """Rows as JSON; numpy's scalars are taken as their Python values, NaN as a missing entry."""
    return msgspec.json.encode(content, enc_hook=_plain)


def _plain(value: Any) -> object:
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    raise NotImplementedError(f"{type(value).__name__} cannot be sent as JSON")


def _checked(reply: httpx.Response) -> bytes:
    """The body of a good reply; a bad one as the error it tells."""
    if reply.is_success:
        return reply.content
    try:
        told = msgspec.json.decode(reply.content, type=dict[str, Any])
    except msgspec.DecodeError:
        told = {"detail": f"The service answered {reply.status_code} {reply.reason_phrase}."}
    kind = FairleadError.of_code(str(told.get("code")))
    values = {name: value for name, value in told.items() if name in _VALUES}
    if retry := reply.headers.get("retry-after"):
        values["retry_after"] = float(retry)
    raise kind(str(told.get("detail", "")), hint=str(told.get("hint", "")), **values)


_VALUES = frozenset({"row", "field", "expected", "got", "errors", "limit", "allow", "status"})


def _unreachable(url: str, err: httpx.TransportError) -> Overloaded:
    kind = "did not answer in time" if isinstance(err, httpx.TimeoutException) else "cannot be reached"
    return Overloaded(f"The service at {url} {kind}.", hint="Start it with `fairlead serve`, or check the address.")
