"""Traces: one OpenTelemetry span a request, sent by OTLP where the standard `OTEL_*` variables say where to.

OpenTelemetry is the extra `fairlead[otel]` and is imported only where one of those variables asks for it. A span is made when
its request has been answered, with the ids that the access log tells; a thread of the SDK's sends them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from loguru import logger

from fairlead.logs import escaped
from fairlead.serving.http.request import Peer, Request
from fairlead.serving.observing.identity import Identity, identify

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Tracing", "asked_for", "open_tracing"]

_WHERE = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables want traces to be sent."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter == "otlp" or (exporter == "" and any(environment.get(name) for name in _WHERE))


def open_tracing(environment: Mapping[str, str], process: str) -> Tracing | None:
    """Begin to send traces, where that is asked for and OpenTelemetry is installed.

    Args:
        environment: The process's.
        process: "gateway-0".
    """
    if not asked_for(environment):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning("OTEL_* variables ask for traces, which need OpenTelemetry: pip install 'fairlead[otel]'.")
        return None
    provider, take = make_provider(process, service=environment.get("OTEL_SERVICE_NAME") or "fairlead")
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider, take)


def make_provider(process: str, *, service: str) -> tuple[TracerProvider, Callable[[Identity], None]]:
    """A provider whose next span has the ids it is given.

    Args:
        process: "gateway-0".
        service: The service's name in traces.

    Returns:
        The provider, and what takes the identity of the next span.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Given(IdGenerator):
        identity: Identity

        def generate_span_id(self) -> int:
            return int(self.identity.span, 16)

        def generate_trace_id(self) -> int:
            return int(self.identity.trace, 16)

    given = Given()
    resource = Resource.create({"service.name": service, "service.instance.id": process})
    provider = TracerProvider(resource=resource, id_generator=given)
    return provider, lambda identity: setattr(given, "identity", identity)


class Tracing:
    """Makes a span of every answered request.

    Args:
        provider: Made by `make_provider`.
        take: Takes the identity of the next span.
    """

    def __init__(self, provider: TracerProvider, take: Callable[[Identity], None]) -> None:
        from opentelemetry.trace import SpanKind, StatusCode

        self._provider = provider
        self._take = take
        self._tracer = provider.get_tracer("fairlead")
        self._server = SpanKind.SERVER
        self._error = StatusCode.ERROR

    def answered(self, peer: Peer, request: Request) -> None:  # noqa: ARG002 - the lane's signature
        """Make the span of one request (a `Lane.on_answer`)."""
        if request.identity is None:
            identify(request)
        end = time.time_ns()
        began = end - int((time.perf_counter() - request.received) * 1e9)
        self._take(request.identity)
        span = self._tracer.start_span(
            _name(request),
            context=_parent(request.identity),
            kind=self._server,
            start_time=began,
            attributes=_attributes(request),
        )
        if request.status >= 500:
            span.set_status(self._error)
        span.end(end)

    def close(self) -> None:
        """Send what has not been sent yet."""
        self._provider.shutdown()


def _name(request: Request) -> str:
    """By OpenTelemetry's rules: the method of gRPC, or HTTP's with what was asked."""
    if request.code:
        return request.url[1:].decode()
    method = request.method.decode("latin-1") or "HTTP"
    return f"{method} {request.live.name}" if request.live is not None else method


def _attributes(request: Request) -> dict[str, str | int]:
    """By OpenTelemetry's names for servers of HTTP and of gRPC, and our own."""
    found: dict[str, str | int] = {"fairlead.request_id": request.identity.request}
    if request.code:
        found |= {"rpc.system.name": "grpc", "rpc.method": request.url[1:].decode()}
        found["rpc.response.status_code"] = request.code
    else:
        found["http.request.method"] = request.method.decode("latin-1") or "HTTP"
        found["url.path"] = escaped(request.url.partition(b"?")[0].decode("latin-1"))
        found["http.response.status_code"] = request.status
    if request.rows:
        found["fairlead.rows"] = request.rows
    if request.live is not None:
        found |= {"fairlead.endpoint": request.live.name, "fairlead.version": request.answered_by or request.live.model}
    return found


def _parent(identity: Identity) -> Context | None:
    """The caller's span, as the context of ours."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if identity.sampled is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if identity.sampled else TraceFlags.DEFAULT)
    above = SpanContext(int(identity.trace, 16), int(identity.parent, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(above), Context())
