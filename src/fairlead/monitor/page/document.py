"""Makes the page: `html` is what the command line, the operator's port and notebooks call.

One text with its style inside and no script. Its policy forbids everything else, and names the style by its digest, so that a
category called `<script>` stays a name even if an escape were forgotten. It is at most `LIMIT` bytes long: where a report would make
more, less of it is told in full, and the page says so.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from fairlead.monitor import words
from fairlead.monitor.page.view import Detail, view
from fairlead.monitor.report import Report

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["LIMIT", "html", "policy"]

LIMIT: Final = 300_000
"""The most bytes of a page."""

_DETAILS: Final = (
    Detail(cards=40, told=1000, stable=1000, notes=100, letters=400),
    Detail(cards=24, told=400, stable=400, notes=50, letters=300),
    Detail(cards=12, told=400, stable=400, notes=20, letters=200),
    Detail(cards=6, told=100, stable=100, notes=20, letters=160),
    Detail(cards=3, told=4, stable=4, notes=3, letters=80),
)
"""From all that anybody reads to what fits whatever the names are like."""


def html(report: Report, *, trend: Sequence[Report] = ()) -> str:
    """A report as one self-contained page of at most `LIMIT` bytes.

    Args:
        report: The report.
        trend: Earlier reports of the same endpoint, in any order, for the lines through time.
    """
    text = ""
    for detail in _DETAILS:
        text = _rendered(report, trend, detail)
        if len(text.encode()) <= LIMIT:
            return text
    return text


def policy() -> str:
    """The `Content-Security-Policy` of the page, for who serves it with a header."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _rendered(report: Report, trend: Sequence[Report], detail: Detail) -> str:
    page = _environment().get_template("report.html")
    return page.render(
        page=view(report, trend, detail),
        style=_style(),
        policy=policy(),
        verdicts=words.VERDICTS,
        signs=words.SIGNS,
    )


@cache
def _style() -> str:
    return f"\n{(files('fairlead.monitor.page') / 'report.css').read_text(encoding='utf-8')}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("fairlead.monitor.page")
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
