"""What a call of gRPC has as a request of HTTP has it: ids, a line in the log, deadlines, limits, answers that are worked on together.

The clients are plain grpcio and raw sockets; what looks on is given to the port by the test, or is a real service's access log.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
import time

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_room import Doubling, endpoint, room

from fairlead.predictor.outcome import Outcome
from fairlead.serving.http.reading import Intake
from fairlead.serving.http.request import Limits
from fairlead.serving.observing.identity import identify
from running import cli, free_port, serving
from toys import pack_iris

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
COLUMNS = (("city", "BYTES", struct.pack("<I", 4) + b"Oslo"), ("age", "FP64", struct.pack("<d", 40.5)))
LIMITS = Limits(max_connections=8, max_body=2**20)


class Onlooker:
    """Keeps what it is told."""

    identify = staticmethod(identify)

    def __init__(self):
        self.seen = []

    def answered(self, peer, request):
        self.seen.append((peer.peer, request))

    def wait_for(self, count):
        """The requests, once there are so many."""
        return [request for _, request in eventually(lambda: len(self.seen) >= count and self.seen)]


class Patient(Doubling):
    """Answers rows once `until` holds of how many there are."""

    def __init__(self, until):
        super().__init__()
        self.until = until

    async def ask(self, rows):
        while not self.until(len(rows)):  # noqa: ASYNC110 - what it waits for is others' counters
            await asyncio.sleep(0.01)
        self.asked += len(rows)
        return [Outcome(float(row[2] * 2)) for row in rows]


def eventually(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen in {seconds} s")


@pytest.fixture
def seen():
    return Onlooker()


@pytest.fixture
def opened(seen):
    """A port with an endpoint that answers, one that waits for it, and one that answers when eight wait."""
    quick, over = Doubling(), threading.Event()
    waiting = Patient(lambda _: quick.asked > 0)
    crowded = Patient(lambda rows: rows + crowded.queue.queued >= 8 or crowded.asked > 0)
    lives = [endpoint(quick), endpoint(waiting, "waiting"), endpoint(crowded, "crowded")]
    never = endpoint(Patient(lambda _: over.is_set()), "never")
    intake = Intake(LIMITS, 0.0)
    with room(free_port(), *lives, never, limits=LIMITS, onlooker=seen, intake=intake, deadline=60.0) as found:
        found.intake = intake
        yield found
        over.set()


@pytest.fixture
def channel(opened):
    with grpc.insecure_channel(f"127.0.0.1:{opened.port}") as found:
        yield found


@pytest.fixture
def messages(channel):
    """The messages as the server tells them."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))


@pytest.fixture
def question(messages):
    def made(model="doubling", visits=21, **more):
        tensors = (*COLUMNS, ("visits", "INT64", struct.pack("<q", visits)), ("member", "BOOL", b"\1"))
        return messages("ModelInferRequest")(
            model_name=model,
            inputs=[{"name": name, "datatype": kind, "shape": (1, 1)} for name, kind, _ in tensors],
            raw_input_contents=[data for _, _, data in tensors],
            **more,
        )

    return made


@pytest.fixture
def infer(channel, messages):
    return channel.unary_unary(
        INFER, messages("ModelInferRequest").SerializeToString, messages("ModelInferResponse").FromString
    )


@pytest.fixture
def stream(channel, messages):
    return channel.stream_stream(
        STREAM, messages("ModelInferRequest").SerializeToString, messages("ModelStreamInferResponse").FromString
    )


def doubled(reply):
    return struct.unpack("<d", reply.raw_output_contents[0])[0] / 2


def of(path, requests):
    return [one for one in requests if one.url == path.encode()]


# -- who looks on


def test_a_call_is_told_of_with_its_id_and_its_place_in_the_callers_trace(seen, infer, question):
    metadata = (("x-request-id", "order-7"), ("traceparent", f"00-{TRACE}-{PARENT}-01"))
    reply, call = infer.with_call(question(), timeout=30, metadata=metadata)
    told = dict(call.trailing_metadata())
    eventually(lambda: of(INFER, [one for _, one in seen.seen]))
    ((peer, one),) = [(peer, one) for peer, one in seen.seen if one.url == INFER.encode()]
    assert told["x-request-id"] == one.identity.request == "order-7"
    assert told["traceparent"] == f"00-{TRACE}-{one.identity.span}-01"
    assert (one.identity.trace, one.identity.parent) == (TRACE, PARENT)
    assert (one.status, one.code, one.rows, one.size) == (200, "OK", 1, reply.ByteSize())
    assert (one.live.name, one.answered_by, peer[0]) == ("doubling", "doubling:4", "127.0.0.1")


def test_a_refusal_is_told_of_and_tells_its_id_too(seen, infer, question):
    with pytest.raises(grpc.RpcError) as caught:
        infer(question("nothing"), timeout=30)
    (one,) = of(INFER, seen.wait_for(2))[-1:]
    assert (one.status, one.code, caught.value.code()) == (404, "NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    assert dict(caught.value.trailing_metadata())["x-request-id"] == one.identity.request


def test_a_stream_is_one_request_with_all_its_rows(seen, stream, question):
    replies = list(stream(iter([question(visits=1), question("nothing"), question(visits=2)]), timeout=30))
    (one,) = eventually(lambda: of(STREAM, [request for _, request in seen.seen]))
    assert (one.status, one.code, one.rows) == (200, "OK", 2)
    assert one.size == sum(reply.ByteSize() for reply in replies)


def test_a_caller_that_leaves_is_told_of_as_one_that_left(opened, seen, infer, question):
    begun = infer.future(question("never"), timeout=120)
    eventually(lambda: opened.gateway.in_flight)
    begun.cancel()
    (one,) = eventually(lambda: of(INFER, [one for _, one in seen.seen]))
    assert (one.status, one.code) == (499, "CANCELLED")


# -- deadlines


@pytest.mark.parametrize("how", ["grpc-timeout", "metadata", "metadata in a stream"])
def test_who_does_not_wait_is_told_so(how, opened, infer, stream, question):
    metadata = (("fairlead-deadline-ms", "50"),)
    if how == "metadata in a stream":
        (reply,) = stream(iter([question("never")]), timeout=120, metadata=metadata)
        assert "did not answer within" in reply.error_message
    else:
        # On a busy machine a short time may be over before the call has arrived; then it is asked again, with more.
        limits = [{"timeout": 120, "metadata": metadata}]
        limits = [{"timeout": seconds} for seconds in (0.1, 1, 10)] if how == "grpc-timeout" else limits
        for limit in limits:
            with pytest.raises(grpc.RpcError) as caught:
                infer(question("never"), **limit)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if "deadline_exceeded" in opened.failures:
                break
    eventually(lambda: "deadline_exceeded" in opened.failures)


def test_a_deadline_that_is_no_number_is_refused_by_its_name(infer, question):
    with pytest.raises(grpc.RpcError) as caught:
        infer(question(), timeout=30, metadata=(("fairlead-deadline-ms", "soon"),))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "fairlead-deadline-ms is 'soon'" in caught.value.details()


# -- streams


def test_the_requests_of_a_stream_are_answered_together(stream, question):
    """The endpoint answers the first only when eight wait: one by one, it never would."""
    replies = list(stream((question("crowded", visits) for visits in range(8)), timeout=60))
    assert [doubled(one.infer_response) for one in replies] == list(range(8))


def test_answers_come_in_the_order_of_their_requests_though_a_later_one_is_ready_first(stream, question):
    """The first endpoint answers only after the second has; still its answer comes first, as Triton's stream keeps it."""
    asked = [
        question("waiting", 1, id="first"),
        question("doubling", 2, id="second"),
        question("waiting", 3, id="third"),
    ]
    replies = [one.infer_response for one in stream(iter(asked), timeout=60)]
    assert [(one.id, doubled(one)) for one in replies] == [("first", 1), ("second", 2), ("third", 3)]


def test_a_stream_that_is_left_leaves_nothing_behind(opened, stream, question):
    large = question("never")
    large.inputs[0].parameters["padding"].string_param = "x" * 100_000
    begun = stream(iter([large, question("never")]), timeout=120)
    eventually(lambda: opened.intake.buffered > 100_000)
    begun.cancel()
    eventually(lambda: opened.intake.buffered == 0)


# -- limits


def test_large_requests_together_have_the_bound_that_http_has(opened, infer, question):
    large = question()
    large.inputs[0].parameters["padding"].string_param = "x" * 100_000
    opened.intake.hold(LIMITS.max_buffered)
    with pytest.raises(grpc.RpcError) as caught:
        infer(large, timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"].isdecimal()
    opened.intake.release(LIMITS.max_buffered)
    assert doubled(infer(large, timeout=30)) == 21
    eventually(lambda: opened.intake.buffered == 0)


def test_metadata_may_be_as_large_as_a_header_of_http(infer, question):
    assert doubled(infer(question(), timeout=30, metadata=(("x-long", "y" * 30_000),))) == 21
    with pytest.raises(grpc.RpcError) as caught:
        infer(question(), timeout=30, metadata=(("x-long", "y" * 40_000),))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def received(port, data=b""):
    """What comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(data)
        found = b""
        try:
            while part := connection.recv(4096):
                found += part
        except ConnectionError:
            pass
        return found


def test_a_connection_that_says_nothing_is_closed():
    with room(free_port(), limits=Limits(header_timeout=0.5)) as impatient:
        assert b"handshake timeout" in received(impatient.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


def test_what_a_browser_can_send_is_not_spoken_here(opened, seen):
    """Browsers speak HTTP/1.1 where there is no TLS; so a page under a foreign name (DNS rebinding) reaches nothing."""
    body = b"POST %b HTTP/1.1\r\nhost: evil.example\r\ncontent-type: application/grpc\r\ncontent-length: 5\r\n\r\n" % (
        INFER.encode()
    )
    assert b"HTTP/1" not in received(opened.port, body + bytes(5))
    assert not seen.seen


def test_a_connection_too_many_is_closed_and_the_others_are_served(opened, infer, question):
    held = []
    try:
        for _ in range(LIMITS.max_connections * 2):
            held.append(socket.create_connection(("127.0.0.1", opened.port), timeout=60))
            held[-1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5))
        assert doubled(infer(question(), timeout=30)) == 21
        held[-1].settimeout(60)
        while held[-1].recv(4096):
            pass
    except ConnectionError:
        pass  # closed as well
    finally:
        for one in held:
            one.close()


# -- a real service


@pytest.mark.slow
def test_a_service_logs_and_counts_calls_beside_requests(tmp_path):
    pack_iris(tmp_path)
    cli(tmp_path, "deploy", "iris:1")
    port, log = free_port(), tmp_path / "access.log"
    settings = {**os.environ, "FAIRLEAD_ACCESS_LOG": "access.log"}
    with serving(tmp_path, "--grpc-port", str(port), env=settings) as service:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest()
            assert stub.Check(asked, timeout=30, metadata=(("x-request-id", "probe-1"),)).status == 1
            with pytest.raises(grpc.RpcError):
                stub.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=30)

        def lines():
            found = [json.loads(line) for line in log.read_bytes().splitlines()] if log.exists() else []
            return {one["id"]: one for one in found if one["path"].startswith("/grpc.")}

        found = service.wait_for(lambda: len(lines()) == 2 and lines())
        probe = found.pop("probe-1")
        assert (probe["path"], probe["status"], probe["code"]) == ("/grpc.health.v1.Health/Check", 200, "OK")
        (other,) = found.values()
        assert (other["status"], other["code"], other["process"]) == (404, "NOT_FOUND", "gateway-0")
