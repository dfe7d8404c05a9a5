"""Checks that schemathesis loads into its own process, where its own know less than we do (see `schemathesis_run`)."""

from __future__ import annotations

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

LARGEST_SINGLE = 3.4028235e38


@schemathesis.check
def what_fits_is_answered(ctx, response, case):
    """Its own check, but for what the document says in words, since JSON schemas cannot.

    Which texts are tables, and that a model need not have an answer to a number that no single-precision float holds.
    """
    if case.media_type == "text/csv" or (response.status_code == 422 and extreme(case.body)):
        return None
    return positive_data_acceptance(ctx, response, case)


def extreme(value: object) -> bool:
    """Whether there is a number beyond the largest single-precision float in it."""
    if isinstance(value, dict | list):
        return any(map(extreme, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int | float) and abs(value) > LARGEST_SINGLE


@schemathesis.check
def nothing_is_the_services_fault(ctx, response, case):
    """No 5xx, but for a caller who allows less time than the model needs: that one is told so by 504."""
    late = response.status_code == 504 and "fairlead-deadline-ms" in (case.headers or {})
    assert response.status_code < 500 or late, f"the service failed: {response.status_code} {response.text[:200]}"


@schemathesis.check
def a_refusal_has_its_protocols_shape(ctx, response, case):
    """One member `error` with a sentence in V2, RFC 9457's members elsewhere; never a stack trace or a path."""
    if response.status_code < 400 or case.method.upper() == "HEAD":
        return
    told = response.json()
    if case.path.startswith("/v2"):
        assert list(told) == ["error"], told
        assert isinstance(told["error"], str), told
    else:
        assert {"type", "title", "status", "detail", "code"} <= set(told), told
    assert "Traceback" not in response.text
    assert ".py" not in response.text
