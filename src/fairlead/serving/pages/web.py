"""Everything the public port serves beside predictions: pages, the API's description, assets.

The gateway's fast lane passes each request that is no prediction to the app made here. Around every page stand three guards:
what a browser of another site posts is refused, no body grows beyond the limit, and every answer carries the headers of
`look.HEADERS`. An error is a page for a browser and problem details for a program; its status stands in `problems`.

Starlette is imported when the app is built, which the bridge does at the first such request: a gateway that only predicts
starts without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from fairlead.errors import FairleadError, Forbidden, InvalidInput, NotFound, TooLarge
from fairlead.serving.http import problems
from fairlead.serving.pages import look, words

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from fairlead.serving.feedback.box import FeedbackBox
    from fairlead.serving.gateway import Gateway

__all__ = ["ASGIApp", "build_app"]

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
ASGIApp = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def build_app(
    gateway: Gateway,
    *,
    max_body: int = 16 * 2**20,
    token_needed: Callable[[], bool] = lambda: False,
    feedback: FeedbackBox | None = None,
) -> ASGIApp:
    """The ASGI app of the pages.

    Args:
        gateway: The live endpoints, and who answers.
        max_body: Bytes that a posted form may have; the lane refuses more before the app is asked.
        token_needed: Whether nobody may ask without a token, for the description of the API.
        feedback: Takes feedback; the pages ask for none where it is `None` or records nothing.
    """
    app = _starlette(gateway, max_body)
    app.state.token_needed = token_needed
    app.state.feedback = feedback if feedback is not None and feedback.open else None

    async def guarded(scope: _Scope, receive: _Receive, send: _Send) -> None:
        await _guarded(app, scope, receive, send)

    return guarded


async def _guarded(app: Starlette, scope: _Scope, receive: _Receive, send: _Send) -> None:
    """Run the app with a bounded body and with our headers on what it answers."""
    if scope["type"] != "http":
        await app(scope, receive, send)
        return
    read = 0

    async def bounded() -> _Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > app.state.max_body:
            raise _too_large(app.state.max_body)
        return message

    async def dressed(message: _Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            extra = [(name.lower().encode(), value.encode()) for name, value in look.HEADERS.items()]
            kept = [pair for pair in extra if pair[0] not in present]
            message = {**message, "headers": [*message["headers"], *kept]}
        await send(message)

    await app(scope, bounded, dressed)


def _starlette(gateway: Gateway, max_body: int) -> Starlette:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    from fairlead.serving.pages import page

    routes = [
        Route("/", _index),
        Route("/docs", _docs),
        Route("/openapi.json", _openapi),
        Route("/favicon.ico", _icon),
        Route("/assets/{name}", _asset),
        Route("/{endpoint}", _posted(page.show_or_reply), methods=["GET", "POST"]),
        Route("/{endpoint}/feedback", _posted(page.take_feedback), methods=["POST"]),
        Route("/{endpoint}/answers.csv", _posted(page.answers_file), methods=["POST"]),
        Route("/{endpoint}/template.csv", page.template_file),
    ]
    handlers: dict[Any, Any] = {FairleadError: _refuse, HTTPException: _refuse_http, Exception: _refuse_unexpected}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    app.state.max_body = max_body
    return app


_Handler = Callable[["Request"], Awaitable["Response"]]


def _posted(handler: _Handler) -> _Handler:
    """The handler, behind the guards of what a browser posts."""

    async def guarded(request: Request) -> Response:
        if request.method == "POST":
            _check_origin(request.headers)
            length = request.headers.get("content-length", "")
            limit = request.app.state.max_body
            if length.isdigit() and (len(length) > 15 or int(length) > limit):
                raise _too_large(limit)
        return await handler(request)

    return guarded


def _check_origin(headers: Mapping[str, str]) -> None:
    """Refuse a form that another site's page sends in a visitor's name; programs send neither header and may pass.

    Raises:
        Forbidden: The browser says that the request comes from elsewhere.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    foreign = site not in {None, "same-origin", "none"}
    if not foreign and site is None and origin is not None:
        foreign = urlsplit(origin).netloc != headers.get("host")
    if foreign:
        raise Forbidden("This form was sent from another site.", hint="Open the page itself and send it from there.")


def _too_large(limit: int) -> TooLarge:
    size = words.size(limit)
    return TooLarge(f"The file is larger than {size}.", hint=f"Send the table in parts of at most {size}.", limit=limit)


async def _index(request: Request) -> Response:
    """What is served: a page for a browser; for a program its names, with the word that KServe's V1 client waits for."""
    endpoints = request.app.state.gateway.endpoints
    if not _for_browser(request):
        return _json({"status": "alive", "endpoints": sorted(endpoints)}, {"Vary": "Accept"})
    listed = [
        {"name": name, "model": one.model, "output": one.schema.output, "columns": len(one.schema.columns)}
        for name, one in sorted(endpoints.items())
    ]
    page = _html(look.render("index.html", endpoints=listed))
    page.headers["Vary"] = "Accept"
    return page


async def _docs(request: Request) -> Response:
    from fairlead.serving.pages import docs_page

    return _html(look.render("docs.html", **docs_page.docs_values(_document(request), _base(request))))


async def _openapi(request: Request) -> Response:
    return _json(_document(request), {})


async def _asset(request: Request) -> Response:
    from starlette.responses import Response

    name = request.path_params["name"]
    asset = look.assets().get(name)
    if asset is None:
        raise NotFound(f"There is no asset {name[:80]!r}.")
    # A name with the digest can never mean other bytes; a plain name is asked for again.
    kept = "public, max-age=31536000, immutable" if name == asset.link else "no-cache"
    headers = {"Cache-Control": kept, "ETag": asset.etag}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


async def _icon(request: Request) -> Response:
    request.path_params["name"] = "fairlead.svg"
    return await _asset(request)


def _document(request: Request) -> dict[str, Any]:
    from fairlead.serving.pages import openapi

    state = request.app.state
    return openapi.document(state.gateway.endpoints, max_body=state.max_body, token_needed=state.token_needed())


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _for_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _json(told: object, headers: Mapping[str, str]) -> Response:
    from starlette.responses import Response

    content = msgspec.json.encode(told)
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-cache", **headers})


def _html(text: str, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-cache"})


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, FairleadError)  # the table of handlers sends nothing else here
    return _refusal(request, error, problems.status_of(error), {})


async def _refuse_http(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: an unknown path, a wrong method, a broken form."""
    from starlette.exceptions import HTTPException

    assert isinstance(error, HTTPException)  # as above
    headers = dict(error.headers or {})
    method, path = request.method[:20], request.url.path[:80]
    if error.status_code == 404:
        told: FairleadError = NotFound(
            f"There is nothing at {path!r}.", hint="The start page lists what is served here."
        )
    elif error.status_code == 405:
        allow = headers.get("Allow", "")
        told = problems.MethodNotAllowed(f"{path!r} does not take {method}.", hint=f"It takes {allow}.", allow=allow)
    else:
        told = InvalidInput(f"The request cannot be read: {error.detail}")
    return _refusal(request, told, error.status_code, headers)


async def _refuse_unexpected(request: Request, error: Exception) -> Response:
    """Tell nothing of what went wrong; Starlette raises it again for the operator's log."""
    del error
    return _refusal(request, problems.unexpected(), 500, {})


def _refusal(request: Request, error: FairleadError, status: int, headers: dict[str, str]) -> Response:
    from starlette.responses import Response

    told = problems.problem(error, status)
    if _for_browser(request):
        response = _html(look.render("error.html", problem=told), status)
    else:
        response = Response(problems.problem_bytes(error, status), status, media_type=problems.CONTENT_TYPE)
    response.headers.update({"Cache-Control": "no-store", **headers})
    return response
