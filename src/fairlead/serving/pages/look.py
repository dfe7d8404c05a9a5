"""The one look of every page: templates, style, script, and the headers that keep strangers' text harmless.

Assets are read once from the package into a map of exact names; a request is looked up in it and never becomes a path. An
asset is linked under a name that holds its digest, so a browser may keep it for ever. Templates are compiled when the first
page is asked for: a gateway that only answers predictions never pays for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["HEADERS", "Asset", "assets", "render"]

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""On every answer of the pages."""

_TYPES = {
    "fairlead.css": "text/css; charset=utf-8",
    "fairlead.js": "text/javascript; charset=utf-8",
    "fairlead.svg": "image/svg+xml",
}


class Asset(msgspec.Struct, frozen=True):
    """One file that pages link to.

    Attributes:
        link: The name with its digest.
        content: The bytes.
        media_type: Its content type.
        etag: A quoted digest of the bytes.
    """

    link: str
    content: bytes
    media_type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """Every asset by its plain name and by the name with its digest."""
    found: dict[str, Asset] = {}
    folder = files("fairlead.serving.pages") / "assets"
    for name, media_type in _TYPES.items():
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        stem, _, ending = name.rpartition(".")
        asset = Asset(f"{stem}.{digest}.{ending}", content, media_type, f'"{digest}"')
        found[name] = found[asset.link] = asset
    return found


def render(template: str, **values: object) -> str:
    """A page as HTML; everything that is put into it is escaped."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("fairlead.serving.pages") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = lambda name: f"/assets/{assets()[name].link}"
    return environment
