"""One table from error to HTTP status, and errors as RFC 9457 problem details.

A problem tells the caller what to change. It never tells a cause, a path or a stack trace: those stay in the log.
"""

from __future__ import annotations

import msgspec

from fairlead import errors
from fairlead.errors import FairleadError

__all__ = [
    "CONTENT_TYPE",
    "STATUS",
    "HeaderTooLarge",
    "MethodNotAllowed",
    "MisdirectedRequest",
    "RequestTimeout",
    "UnsupportedMediaType",
    "method_not_allowed",
    "problem",
    "problem_bytes",
    "status_of",
    "told",
    "unexpected",
]

CONTENT_TYPE = "application/problem+json"


class MethodNotAllowed(errors.InvalidInput):
    """This address does not answer to this method.

    `values` holds `allow`, the methods it answers to.
    """


class MisdirectedRequest(errors.InvalidInput):
    """The request is addressed to a host that is not served here."""


class RequestTimeout(errors.InvalidInput):
    """The request did not arrive in time."""


class UnsupportedMediaType(errors.InvalidInput):
    """The body is of a type that this address does not read."""


class HeaderTooLarge(errors.TooLarge):
    """The request's header is larger than the limit."""


STATUS: dict[type[FairleadError], int] = {
    FairleadError: 500,
    errors.InvalidInput: 400,
    errors.SchemaMismatch: 422,
    errors.TooLarge: 413,
    MethodNotAllowed: 405,
    MisdirectedRequest: 421,
    RequestTimeout: 408,
    UnsupportedMediaType: 415,
    HeaderTooLarge: 431,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Unauthenticated: 401,
    errors.NotAllowed: 403,
    errors.BundleError: 500,
    errors.ConversionUnsupported: 422,
    errors.PredictionFailed: 500,
    errors.Overloaded: 503,
    errors.RateLimited: 429,
    errors.DeadlineExceeded: 504,
    errors.StorageError: 503,
    errors.PluginError: 500,
}
"""Looked up along the class's ancestry, so a new error has the status of its nearest ancestor."""

_SHOWN = ("row", "field", "expected", "got", "errors", "limit", "allow")
_encode = msgspec.json.Encoder().encode


def status_of(error: FairleadError) -> int:
    """The HTTP status of an error."""
    return next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)


def problem(error: FairleadError, status: int | None = None) -> dict[str, object]:
    """The error as RFC 9457 problem details.

    Args:
        error: What went wrong.
        status: Where the door knows a more exact status than the table (405, 408, 415).
    """
    status = status or status_of(error)
    told: dict[str, object] = {
        "type": f"urn:fairlead:problem:{error.code}",
        "title": error.title,
        "status": status,
        "detail": error.detail if status < 500 or isinstance(error, errors.Overloaded) else error.title,
        "code": error.code,
    }
    if error.hint:
        told["hint"] = error.hint
    told.update((name, error.values[name]) for name in _SHOWN if error.values.get(name) is not None)
    return told


def problem_bytes(error: FairleadError, status: int | None = None) -> bytes:
    """The problem as JSON."""
    return _encode(problem(error, status))


def told(error: FairleadError) -> tuple[int, bytes, bytes]:
    """The error as the lane sends it: status, body, content type (a `lane.ErrorShape`)."""
    return status_of(error), problem_bytes(error), CONTENT_TYPE.encode()


def method_not_allowed(method: bytes, allow: str, hint: str) -> MethodNotAllowed:
    """What to tell a caller who used the wrong method; `allow` lists the right ones."""
    return MethodNotAllowed(f"{method.decode('ascii', 'replace')} is not answered here.", hint=hint, allow=allow)


def unexpected() -> FairleadError:
    """What a caller is told of an exception that nobody foresaw; the log has the cause."""
    return FairleadError("The service failed while answering; the operator's log says why.")
