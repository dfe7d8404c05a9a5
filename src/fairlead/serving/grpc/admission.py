"""What each call needs, for the keyring that guards both ports. A call that stands in no line here needs `admin`.

A token travels as `authorization` in the call's metadata, as it does in HTTP's header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fairlead.errors import InvalidInput
from fairlead.serving.grpc.messages import HEALTH, INFERENCE, REFLECTION
from fairlead.serving.http.request import Request
from fairlead.serving.keys.keyring import Need
from fairlead.serving.keys.proxies import FORWARDED

__all__ = ["authorization_of", "is_direct", "model_of", "need_of"]

_Need = Callable[[Any], Need]


def _ask(request: Any) -> Need:  # noqa: ARG001 - as its neighbours
    return Need("predict")


def _ask_of_service(request: Any) -> Need:  # noqa: ARG001 - as its neighbours
    return Need("predict", reach="service")


def _ask_by_name(request: Any) -> Need:
    return Need("predict", request.name or None)


def _infer(sized: Any) -> Need:
    return Need("predict", sized.request.model_name if sized.request is not None else None)


def _deploy(request: Any) -> Need:
    return Need("deploy", model_of(request) or None)


def _administer(request: Any) -> Need:  # noqa: ARG001 - as its neighbours
    return Need("admin")


_NEEDS: Final[Mapping[str, _Need | None]] = {
    f"{HEALTH}.Check": None,
    f"{HEALTH}.Watch": None,
    f"{INFERENCE}.ServerLive": None,
    f"{INFERENCE}.ServerReady": None,
    f"{INFERENCE}.ModelReady": _ask_by_name,
    f"{INFERENCE}.ServerMetadata": _ask_of_service,
    f"{INFERENCE}.ModelMetadata": _ask_by_name,
    f"{INFERENCE}.ModelInfer": _infer,
    f"{INFERENCE}.ModelStreamInfer": _infer,
    f"{INFERENCE}.ModelConfig": _ask_by_name,
    f"{INFERENCE}.ModelStatistics": _ask_by_name,
    f"{INFERENCE}.RepositoryIndex": _ask,
    f"{INFERENCE}.RepositoryModelLoad": _deploy,
    f"{INFERENCE}.RepositoryModelUnload": _deploy,
    **{f"{service}.ServerReflectionInfo": _ask_of_service for service in REFLECTION},
}
"""By the call's full name; `None` is public: whether we live."""


def need_of(method: str) -> _Need | None:
    """What a call needs, as a function of its request; `None` where it is public."""
    return _NEEDS.get(method, _administer)


def model_of(request: Any) -> str:
    """The model that is to be loaded or unloaded; KServe's clients name it where Triton's name the repository."""
    return str(request.model_name or request.repository_name)


def authorization_of(request: Request) -> bytes | None:
    """The `authorization` of a call.

    Raises:
        InvalidInput: There are two.
    """
    found = [value for name, value in request.headers if name == b"authorization"]
    if len(found) > 1:
        raise InvalidInput("The metadata 'authorization' stands twice in the call.", hint="Send it once.")
    return found[0] if found else None


def is_direct(request: Request) -> bool:
    """Whether no proxy has left its mark on a call; only then it may count as this machine's own."""
    return FORWARDED.isdisjoint(name for name, _ in request.headers)
