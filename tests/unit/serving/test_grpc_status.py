"""One table from error to gRPC status; what stands in it was decided by gRPC's own description of its codes."""

import pytest
from grpc import StatusCode

from fairlead import errors
from fairlead.errors import FairleadError
from fairlead.serving.grpc.status import STATUS, code_of, retry_after, told
from fairlead.serving.http import problems


def tree(kind=FairleadError):
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def test_every_error_has_a_status_and_every_line_of_the_table_is_an_error():
    found = set(tree())
    assert set(STATUS) <= found
    assert all(isinstance(code_of(kind()), StatusCode) for kind in found)


def test_who_must_change_the_request_gets_a_4xx_over_http_and_never_an_internal_error_here():
    for kind in tree():
        error = kind()
        if problems.status_of(error) < 500:
            assert code_of(error) not in {StatusCode.INTERNAL, StatusCode.UNKNOWN}, kind


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SchemaMismatch(), StatusCode.INVALID_ARGUMENT),
        (errors.TooLarge(), StatusCode.INVALID_ARGUMENT),
        (errors.NotFound(), StatusCode.NOT_FOUND),
        (errors.Unauthenticated(), StatusCode.UNAUTHENTICATED),
        (errors.Forbidden(), StatusCode.PERMISSION_DENIED),
        (errors.QueueFull(), StatusCode.UNAVAILABLE),
        (errors.RateLimited(), StatusCode.RESOURCE_EXHAUSTED),
        (errors.DeadlineExceeded(), StatusCode.DEADLINE_EXCEEDED),
        (errors.PredictionFailed(), StatusCode.INTERNAL),
        (errors.ConversionUnsupported(), StatusCode.UNIMPLEMENTED),
    ],
)
def test_the_nearest_ancestor_decides(error, code):
    assert code_of(error) is code


def test_a_fault_of_ours_tells_its_title_only():
    assert told(errors.PredictionFailed("/home/secret: KeyError")) == "The model could not answer."
    assert "/home" not in told(errors.StorageError("/home/secret is full."))
    assert "/home" not in told(FairleadError("/home/secret"))


def test_a_mistake_of_the_callers_is_told_with_the_hint_and_within_what_a_trailer_holds():
    assert told(errors.InvalidInput("No.", hint="Do.")) == "No. Do."
    assert len(told(errors.InvalidInput("x" * 100_000))) == 1000


def test_when_to_try_again_is_said_in_milliseconds_as_grpcs_retries_read_it():
    assert retry_after(errors.QueueFull(retry_after=1.5)) == (("grpc-retry-pushback-ms", "1500"),)
    assert retry_after(errors.QueueFull()) == ()
