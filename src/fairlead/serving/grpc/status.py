"""One table from error to gRPC status, and what a caller is told of an error.

As over HTTP, a caller learns what to change and never a cause, a path or a stack trace: those stay in the log.
"""

from __future__ import annotations

from typing import Final

from grpc import StatusCode

from fairlead import errors
from fairlead.errors import FairleadError

__all__ = ["STATUS", "code_of", "retry_after", "told"]

STATUS: Final[dict[type[FairleadError], StatusCode]] = {
    FairleadError: StatusCode.INTERNAL,
    errors.InvalidInput: StatusCode.INVALID_ARGUMENT,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.Conflict: StatusCode.FAILED_PRECONDITION,
    errors.NotAllowed: StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.BundleError: StatusCode.INTERNAL,
    errors.ConversionUnsupported: StatusCode.UNIMPLEMENTED,
    errors.PredictionFailed: StatusCode.INTERNAL,
    errors.Overloaded: StatusCode.UNAVAILABLE,
    errors.RateLimited: StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.StorageError: StatusCode.UNAVAILABLE,
    errors.PluginError: StatusCode.INTERNAL,
}
"""Looked up along the class's ancestry, so a new error has the status of its nearest ancestor."""

_OUR_FAULT: Final = frozenset({StatusCode.INTERNAL, StatusCode.UNKNOWN})
_SHOWN: Final = 1000
"""Characters: the status travels in the trailer, whose size clients limit."""


def code_of(error: FairleadError) -> StatusCode:
    """The gRPC status of an error."""
    return next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)


def told(error: FairleadError) -> str:
    """What the caller reads: the whole of it where they can change something, the title alone where the fault is ours."""
    if code_of(error) in _OUR_FAULT or isinstance(error, errors.StorageError):
        return error.title
    return str(error)[:_SHOWN]


def retry_after(error: FairleadError) -> tuple[tuple[str, str], ...]:
    """The trailer that gRPC's own retries obey, in milliseconds; empty where the error does not say when to try again."""
    seconds = error.values.get("retry_after")
    if not isinstance(seconds, int | float):
        return ()
    return (("grpc-retry-pushback-ms", str(max(1, round(seconds * 1000)))),)
