"""Spans. The truth is what OpenTelemetry's own in-memory exporter was given."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fairlead.serving.http.request import Request
from fairlead.serving.observing.identity import identify
from fairlead.serving.observing.tracing import Tracing, asked_for, make_provider, open_tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def traced():
    provider, take = make_provider("gateway-0", service="fairlead")
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider, take)
    yield tracing, exporter
    tracing.close()


def request(*headers, status=200, live=None):
    made = Request(b"POST", b"/predict/flights?key=secret", list(headers), b"", keep_alive=True, version="1.1")
    made.status, made.live = status, live
    identify(made)
    return made


def test_an_answer_is_a_span_of_the_callers_trace(traced):
    tracing, exporter = traced
    asked = request(
        (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()), live=SimpleNamespace(name="flights", model="flights:3")
    )
    tracing.answered(None, asked)
    (span,) = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert f"{span.context.span_id:016x}" == asked.identity.span
    assert span.name == "POST flights"
    assert span.kind.name == "SERVER"
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "url.path": "/predict/flights",
        "http.response.status_code": 200,
        "fairlead.request_id": asked.identity.request,
        "fairlead.endpoint": "flights",
        "fairlead.version": "flights:3",
    }
    assert 0 <= span.end_time - span.start_time < 10e9
    assert span.resource.attributes["service.instance.id"] == "gateway-0"


def test_a_call_of_grpc_has_the_names_that_opentelemetry_gives_it(traced):
    """The names are those of its semantic conventions for gRPC servers, as its own package has them."""
    from opentelemetry.semconv._incubating.attributes import rpc_attributes as rpc

    tracing, exporter = traced
    made = Request(b"POST", b"/inference.GRPCInferenceService/ModelInfer", [], b"", keep_alive=True, version="2")
    made.status, made.code, made.rows = 400, "INVALID_ARGUMENT", 3
    tracing.answered(None, made)
    (span,) = exporter.get_finished_spans()
    assert span.name == "inference.GRPCInferenceService/ModelInfer"
    assert dict(span.attributes) == {
        rpc.RPC_SYSTEM_NAME: "grpc",
        rpc.RPC_METHOD: "inference.GRPCInferenceService/ModelInfer",
        rpc.RPC_RESPONSE_STATUS_CODE: "INVALID_ARGUMENT",
        "fairlead.request_id": made.identity.request,
        "fairlead.rows": 3,
    }


def test_a_trace_that_begins_here_has_the_ids_of_the_access_log(traced):
    tracing, exporter = traced
    asked = request(status=503)
    tracing.answered(None, asked)
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" == asked.identity.trace
    assert f"{span.context.span_id:016x}" == asked.identity.span
    assert span.status.status_code.name == "ERROR"


def test_what_the_caller_does_not_record_is_not_recorded(traced):
    tracing, exporter = traced
    tracing.answered(None, request((b"traceparent", f"00-{TRACE}-{PARENT}-00".encode())))
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ],
)
def test_traces_are_sent_where_the_standard_variables_say_so(environment, wanted):
    assert asked_for(environment) is wanted


def test_without_them_opentelemetry_is_not_imported():
    code = (
        "import sys; from fairlead.serving.observing.tracing import open_tracing; assert open_tracing({}, 'g') is None;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_spans_reach_a_collector_by_otlp(monkeypatch):
    import gzip
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            import os

            tracing = open_tracing(os.environ, "gateway-0")
            tracing.answered(None, request())
            tracing.close()
        finally:
            server.shutdown()
            thread.join(5)
    path, told = received[0]
    assert path == "/v1/traces"
    assert told.resource_spans[0].scope_spans[0].spans[0].name == "POST"
