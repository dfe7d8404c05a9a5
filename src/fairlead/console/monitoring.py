"""Monitoring on the operator's API: the same that `fairlead monitor` does, with a token's name in the audit.

| route | what |
|---|---|
| `GET /api/endpoints/{e}/reports` | the endpoint's reports, newest first; `?limit=50` |
| `GET /api/endpoints/{e}/reports/{n}` | one in full; with `.html` behind the number, as a page |
| `POST /api/endpoints/{e}/reports` | makes one now: the body may name `window`, `reference`, `segments`, `save` |
| `GET /api/endpoints/{e}/monitor` | how it is watched: what holds, and what the operator has set of it |
| `PUT /api/endpoints/{e}/monitor` | sets that, instead of what was set before |

Reports are made of the events on this machine, one at a time; who asks while one is made gets 503.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from fairlead.console.exchange import (
    HEADERS,
    Operator,
    actor_of,
    decoded,
    json_body,
    json_reply,
    number_asked,
    operator_of,
)
from fairlead.errors import NotFound, Overloaded
from fairlead.monitor.overlay import plain
from fairlead.monitor.store import find_report, list_reports, read_settings, recent_reports, write_settings
from fairlead.routing.store import read_table
from fairlead.routing.table import check_endpoint

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from fairlead.monitor.report import Report

__all__ = ["monitor_routes"]

_LIMIT: Final = 50
_MOST: Final = 1000
_TREND: Final = 60
_PAGE: Final = ".html"
_WISH: Final = (
    'Send {"window": "1d", "reference": "past", "segments": ["carrier=UA"], "save": true}; each may be left out.'
)
_one_at_a_time = threading.Lock()


def monitor_routes() -> list[BaseRoute]:
    """The routes, for the API's app."""
    from starlette.routing import Route

    return [
        Route("/api/endpoints/{name}/reports", _reports, methods=["GET", "POST"]),
        Route("/api/endpoints/{name}/reports/{number}", _report),
        Route("/api/endpoints/{name}/monitor", _monitor, methods=["GET", "PUT"]),
    ]


async def _reports(request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool

    if request.method != "POST":
        return await run_in_threadpool(_listed, request)
    body = await json_body(request)
    return await run_in_threadpool(_made, request, body)


def _listed(request: Request) -> Response:
    name = check_endpoint(request.path_params["name"])
    with operator_of(request).database.read() as connection:
        found = list_reports(connection, name, number_asked(request, "limit", _LIMIT, _MOST))
        if not found and read_table(connection).endpoint(name) is None:
            raise NotFound(f"There is no endpoint {name!r}.", hint="`/api/status` lists them.")
    return json_reply(found)


def _made(request: Request, body: bytes) -> Response:
    """Make a report; what it needs is imported here, so that a control process starts without SciPy."""
    operator, name = operator_of(request), check_endpoint(request.path_params["name"])
    from fairlead.monitor.asked import Wish, make_asked

    wish = decoded(body, Wish, "wish for a report", _WISH) if body.strip() else Wish()
    if not _one_at_a_time.acquire(blocking=False):
        raise Overloaded("Another report is being made.", hint="Ask again when it is done.")
    try:
        report = make_asked(_records(operator), operator.watched, name, wish, time.time())
    finally:
        _one_at_a_time.release()
    if not report.number:
        return json_reply(report)
    return json_reply(report, 201, Location=f"/api/endpoints/{name}/reports/{report.number}")


def _records(operator: Operator) -> Any:
    from fairlead.monitor.records import Records

    return Records(operator.database, operator.blobs, operator.events, operator.bundles)


def _report(request: Request) -> Response:
    name, text = check_endpoint(request.path_params["name"]), request.path_params["number"]
    number = text.removesuffix(_PAGE)
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFound(f"There is no report {text[:20]!r}.", hint="Reports are numbered: 1, 2, 3, …")
    with operator_of(request).database.read() as connection:
        report = find_report(connection, int(number), name)
        trend = recent_reports(connection, name, _TREND) if text.endswith(_PAGE) else []
    return _paged(report, trend) if text.endswith(_PAGE) else json_reply(report)


def _paged(report: Report, trend: list[Report]) -> Response:
    """The page; it carries its own policy, and runs and loads nothing."""
    from starlette.responses import Response

    from fairlead.monitor.page.document import html, policy

    headers = {**HEADERS, "Content-Security-Policy": f"{policy()}; frame-ancestors 'none'"}
    return Response(html(report, trend=trend), media_type="text/html; charset=utf-8", headers=headers)


async def _monitor(request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool

    if request.method == "PUT":
        body = await json_body(request)
        return await run_in_threadpool(_set, request, body)
    return await run_in_threadpool(_shown, request)


def _shown(request: Request) -> Response:
    operator, name = operator_of(request), check_endpoint(request.path_params["name"])
    with operator.database.read() as connection:
        stored = read_settings(connection, name)
    return json_reply({"settings": plain(operator.watched.of(name, stored)), "set": stored})


def _set(request: Request, body: bytes) -> Response:
    operator, name = operator_of(request), check_endpoint(request.path_params["name"])
    table = decoded(body, dict[str, Any], "table of settings", 'Send {"window": "1h"}, or {} for none.')
    settings = operator.watched.of(name, table)
    with operator.database.write() as connection:
        write_settings(connection, name, table, actor_of(request))
    return json_reply({"settings": plain(settings), "set": table})
