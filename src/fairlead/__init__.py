"""Fairlead takes a trained machine-learning model to production and keeps it healthy there.

A short tour:

- `fairlead.pack(model, name="flights", data=X, target=y)` seals a model as a version and proves what it compiled.
- `fairlead.load("flights:champion").predict(X)` answers inside an application.
- `fairlead.Client("http://127.0.0.1:8080").predict("flights", row)` asks a running service.
- `fairlead.drift(january, april)` says what has changed between two tables, and whether that is sure.
- `app.mount("/flights", fairlead.asgi("flights"))` serves an endpoint within a FastAPI application; `fairlead.wsgi` within Flask.

The names are resolved on first use: `import fairlead` imports no framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.app import drift, load, pack
    from fairlead.client import AsyncClient, Client
    from fairlead.mount.asgi import asgi
    from fairlead.mount.wsgi import wsgi

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "asgi", "drift", "load", "pack", "wsgi"]

_HOMES = {
    "AsyncClient": "fairlead.client",
    "Client": "fairlead.client",
    "asgi": "fairlead.mount.asgi",
    "drift": "fairlead.app",
    "load": "fairlead.app",
    "pack": "fairlead.app",
    "wsgi": "fairlead.mount.wsgi",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fairlead' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
