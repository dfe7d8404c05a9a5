"""The gRPC port, asked by plain grpcio: the messages are those that reflection tells, health is asked with gRPC's own stubs."""

import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_room import SCHEMA, Doubling, endpoint, room
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.errors import PredictionFailed
from fairlead.schema import Column, Output, Schema
from fairlead.serving.http.request import Limits
from fairlead.serving.keys.keyring import Keyring
from fairlead.serving.keys.tokens_file import write_tokens
from fairlead.tokens import Token, TokenSet, digest_of, make_secret
from running import free_port

SERVICE = "inference.GRPCInferenceService"
SMALL = Limits(max_body=64 * 1024)
CITY = ("city", "BYTES", struct.pack("<I", 4) + b"Oslo", {"bytes_contents": [b"Oslo"]})
AGE = ("age", "FP64", struct.pack("<d", 40.5), {"fp64_contents": [40.5]})
VISITS = ("visits", "INT64", struct.pack("<q", 21), {"int64_contents": [21]})
MEMBER = ("member", "BOOL", b"\1", {"bool_contents": [True]})
ROW = (CITY, AGE, VISITS, MEMBER)
LABELS = Schema((Column("visits", "integer"),), Output("classification", target="good", classes=(False, True)))


class Labelling(Doubling):
    async def ask(self, rows):
        from fairlead.predictor.outcome import Outcome

        return [Outcome(row[0] > 10) for row in rows]


@pytest.fixture(scope="module")
def open_room():
    slow, sick = Doubling(seconds=30.0), Doubling(error=PredictionFailed("/home/secret: KeyError"))
    broken = Doubling(error=RuntimeError("/home/secret"))
    lives = [endpoint(Doubling()), endpoint(slow, "slow"), endpoint(sick, "sick"), endpoint(broken, "broken")]
    with room(free_port(), *lives, endpoint(Labelling(), "labels", LABELS), limits=SMALL) as found:
        yield found


@pytest.fixture(scope="module")
def channel(open_room):
    with grpc.insecure_channel(f"127.0.0.1:{open_room.port}") as found:
        yield found


@pytest.fixture(scope="module")
def pool(channel):
    """The descriptors as the server tells them."""
    return descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


@pytest.fixture(scope="module")
def call(channel, pool):
    """Asks a method of the service with a message that is made of keywords."""
    service = pool.FindServiceByName(SERVICE)

    def ask(name, /, timeout=10, metadata=None, over=channel, request=None, **said):
        method = service.FindMethodByName(name)
        write = message_factory.GetMessageClass(method.input_type)
        read = message_factory.GetMessageClass(method.output_type)
        stub = over.unary_unary(f"/{SERVICE}/{name}", write.SerializeToString, read.FromString)
        return stub(request or write(**said), timeout=timeout, metadata=metadata)

    return ask


def raw(*columns, shape=(1, 1)):
    return {
        "inputs": [{"name": name, "datatype": kind, "shape": shape} for name, kind, _, _ in columns],
        "raw_input_contents": [data for _, _, data, _ in columns],
    }


def typed(*columns, shape=(1, 1)):
    inputs = [{"name": name, "datatype": kind, "shape": shape, "contents": held} for name, kind, _, held in columns]
    return {"inputs": inputs}


def refused(code, call, *arguments, **more):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **more)
    assert caught.value.code() is grpc.StatusCode[code], caught.value
    assert "/home" not in caught.value.details()
    assert "Traceback" not in caught.value.details()
    return caught.value.details()


def code_of(call):
    try:
        call()
    except grpc.RpcError as err:
        return err.code()
    return grpc.StatusCode.OK


# -- reflection


def test_reflection_lists_the_services_and_finds_their_files(channel):
    told = ProtoReflectionDescriptorDatabase(channel)
    services = told.get_services()
    assert set(services) == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    for name in services:
        file = told.FindFileContainingSymbol(name)
        assert told.FindFileByName(file.name).package == file.package
    with pytest.raises(KeyError):
        told.FindFileContainingSymbol("inference.Nothing")
    with pytest.raises(KeyError):
        told.FindFileByName("nothing.proto")


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_versions_of_reflection_answer_alike(channel, version):
    # The bytes of both versions are the same, so the stubs of the older one read the newer one as well.
    stub = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{SERVICE}.ModelInfer"),
        reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="inference.ModelConfig"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="nothing"),
    ]
    services, file, extensions, nothing = stub(iter(asked), timeout=10)
    assert len(services.list_services_response.service) == 4
    found = descriptor_pb2.FileDescriptorProto.FromString(file.file_descriptor_response.file_descriptor_proto[0])
    assert found.service[0].name == "GRPCInferenceService"
    assert extensions.all_extension_numbers_response.base_type_name == "inference.ModelConfig"
    assert nothing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    refused("INVALID_ARGUMENT", list, stub(iter([reflection_pb2.ServerReflectionRequest()]), timeout=10))


# -- infer: typed and raw


def test_a_typed_request_gets_a_typed_reply(call):
    found = call("ModelInfer", model_name="doubling", id="a", **typed(*ROW))
    assert (found.id, found.model_version, len(found.raw_output_contents)) == ("a", "4", 0)
    assert list(found.outputs[0].contents.fp64_contents) == [42.0]
    assert list(found.outputs[0].shape) == [1, 1]
    assert found.outputs[1].contents.bytes_contents[0]


def test_a_raw_request_gets_a_raw_reply(call):
    found = call("ModelInfer", model_name="doubling", **raw(*ROW))
    assert struct.unpack("<d", found.raw_output_contents[0]) == (42.0,)
    assert not any(one.HasField("contents") for one in found.outputs)
    (length,) = struct.unpack("<I", found.raw_output_contents[1][:4])
    assert len(found.raw_output_contents[1]) == 4 + length


@pytest.mark.parametrize("form", [raw, typed])
def test_labels_that_are_true_or_false_are_answered_as_such(call, form):
    said = form(("visits", "INT64", struct.pack("<qq", 9, 11), {"int64_contents": [9, 11]}), shape=(2, 1))
    found = call("ModelInfer", model_name="labels", **said)
    if form is raw:
        assert found.raw_output_contents[0] == b"\0\1"
    else:
        assert list(found.outputs[0].contents.bool_contents) == [False, True]
    assert found.outputs[0].datatype == "BOOL"


@pytest.mark.parametrize(
    ("datatype", "data", "contents"),
    [
        ("INT8", struct.pack("<b", 21), {"int_contents": [21]}),
        ("INT32", struct.pack("<i", 21), {"int_contents": [21]}),
        ("UINT16", struct.pack("<H", 21), {"uint_contents": [21]}),
        ("UINT64", struct.pack("<Q", 21), {"uint64_contents": [21]}),
        ("FP32", struct.pack("<f", 21), {"fp32_contents": [21.0]}),
        ("FP16", struct.pack("<e", 21), None),
    ],
)
def test_a_number_comes_in_any_datatype_that_holds_it(call, datatype, data, contents):
    column = ("visits", datatype, data, contents)
    found = call("ModelInfer", model_name="doubling", **raw(CITY, AGE, column, MEMBER))
    assert struct.unpack("<d", found.raw_output_contents[0]) == (42.0,)
    if contents is None:
        said = typed(CITY, AGE, ("visits", datatype, b"", {"fp32_contents": [21.0]}), MEMBER)
        assert "raw_input_contents" in refused("INVALID_ARGUMENT", call, "ModelInfer", model_name="doubling", **said)
    else:
        found = call("ModelInfer", model_name="doubling", **typed(CITY, AGE, column, MEMBER))
        assert list(found.outputs[0].contents.fp64_contents) == [42.0]


def test_both_forms_in_one_request_are_refused(call):
    mixed = raw(*ROW)
    mixed["inputs"][1]["contents"] = {"fp64_contents": [1.0]}
    refused("INVALID_ARGUMENT", call, "ModelInfer", model_name="doubling", **mixed)
    too_few = raw(*ROW) | {"raw_input_contents": [data for _, _, data, _ in ROW[:2]]}
    refused("INVALID_ARGUMENT", call, "ModelInfer", model_name="doubling", **too_few)
    misplaced = typed(CITY, AGE, ("visits", "INT64", b"", {"fp64_contents": [21.0]}), MEMBER)
    assert "int64_contents" in refused("INVALID_ARGUMENT", call, "ModelInfer", model_name="doubling", **misplaced)


@pytest.mark.parametrize(
    "column",
    [
        ("visits", "INT64", struct.pack("<q", 2**60), None),
        ("visits", "INT64", b"\0" * 7, None),
        ("visits", "NONSENSE", b"\0" * 8, None),
        ("visits", "FP64", struct.pack("<d", float("nan")), None),
        ("colour", "INT64", struct.pack("<q", 1), None),
    ],
)
def test_an_entry_that_does_not_fit_is_refused(call, column):
    refused("INVALID_ARGUMENT", call, "ModelInfer", model_name="doubling", **raw(CITY, AGE, column, MEMBER))


def test_text_beyond_its_own_length_is_refused(call):
    for data in (b"\xff\xff\xff\xff", b"\5\0\0\0Oslo", b"\2\0\0\0\xff\xfe", b""):
        column = ("city", "BYTES", data, None)
        refused("INVALID_ARGUMENT", call, "ModelInfer", model_name="doubling", **raw(column, *ROW[1:]))


@pytest.mark.parametrize("shape", [(2**31, 2**31), (-1, 1), (2**62,), (0, 1), (), (1, 1, 1), (2, 1)])
def test_a_shape_that_lies_is_refused(call, shape):
    refused("INVALID_ARGUMENT", call, "ModelInfer", model_name="doubling", **raw(*ROW, shape=shape))


number = st.integers(-(2**63), 2**63 - 1)
one_input = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*SCHEMA.names, "colour", ""]),
        "datatype": st.sampled_from(["BYTES", "FP64", "INT64", "BOOL", "FP16", "BF16", "UINT8", "x"]),
        "shape": st.lists(st.one_of(st.integers(-1, 3), number), max_size=3),
        "contents": st.one_of(
            st.just({}),
            st.fixed_dictionaries({"int64_contents": st.lists(number, max_size=3)}),
            st.fixed_dictionaries({"bytes_contents": st.lists(st.binary(max_size=4), max_size=3)}),
        ),
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(one_input, max_size=5), st.lists(st.binary(max_size=16), max_size=5))
def test_whatever_is_sent_is_answered_or_refused_and_never_a_fault_of_ours(call, inputs, data):
    code = code_of(lambda: call("ModelInfer", model_name="doubling", inputs=inputs, raw_input_contents=data))
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["ModelInfer", "ModelMetadata", "RepositoryIndex", "ServerLive"]), st.binary(max_size=40))
def test_bytes_that_are_no_message_are_refused(channel, name, data):
    code = code_of(lambda: channel.unary_unary(f"/{SERVICE}/{name}")(data, timeout=10))
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def test_a_stream_goes_on_after_bytes_that_are_no_message(channel, pool):
    write = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))
    read = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelStreamInferResponse"))
    stub = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer", None, read.FromString)
    good = write(model_name="doubling", id="good", **raw(*ROW)).SerializeToString()
    none, found = stub(iter([b"\xff\xff", good]), timeout=10)
    assert none.error_message
    assert found.infer_response.id == "good"


# -- limits, deadlines, faults


def test_a_message_beyond_the_limit_is_refused(call):
    column = ("city", "BYTES", b"x" * (SMALL.max_body + 1), None)
    refused("RESOURCE_EXHAUSTED", call, "ModelInfer", model_name="doubling", **raw(column, *ROW[1:]))


def test_a_message_that_inflates_beyond_the_limit_is_refused(open_room, pool):
    write = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))
    bomb = write(model_name="doubling", raw_input_contents=[bytes(32 * 2**20)])
    with grpc.insecure_channel(f"127.0.0.1:{open_room.port}", compression=grpc.Compression.Gzip) as zipped:
        stub = zipped.unary_unary(f"/{SERVICE}/ModelInfer", write.SerializeToString, None)
        refused("RESOURCE_EXHAUSTED", stub, bomb, timeout=20)


def test_the_deadline_of_the_caller_is_obeyed_here_as_well(open_room, call):
    begun = time.monotonic()
    refused("DEADLINE_EXCEEDED", call, "ModelInfer", model_name="slow", timeout=0.3, **raw(*ROW))
    assert time.monotonic() - begun < 5
    end = time.monotonic() + 5
    while "deadline_exceeded" not in open_room.failures and time.monotonic() < end:
        time.sleep(0.02)
    assert "deadline_exceeded" in open_room.failures


def test_a_model_that_fails_is_our_fault_and_its_reason_stays_here(call):
    assert refused("INTERNAL", call, "ModelInfer", model_name="sick", **raw(*ROW)) == "The model could not answer."
    refused("INTERNAL", call, "ModelInfer", model_name="broken", **raw(*ROW))


def test_a_caller_that_leaves_hurts_nobody(open_room, channel, pool, call):
    write = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))
    stub = channel.unary_unary(f"/{SERVICE}/ModelInfer", write.SerializeToString, None)
    left = [stub.future(write(model_name="doubling", **raw(*ROW)), timeout=10) for _ in range(50)]
    for one in left:
        one.cancel()
    found = call("ModelInfer", model_name="doubling", **raw(*ROW))
    assert struct.unpack("<d", found.raw_output_contents[0]) == (42.0,)


# -- health


def test_health_is_checked_as_grpc_defines_it(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE, "grpc.health.v1.Health"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status == 1
    refused("NOT_FOUND", stub.Check, health_pb2.HealthCheckRequest(service="nothing"), timeout=5)
    watching = stub.Watch(health_pb2.HealthCheckRequest(service="nothing"), timeout=5)
    assert next(watching).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watching.cancel()


def test_a_model_whose_process_is_gone_is_not_ready(call):
    predictor = Doubling()
    with room(free_port(), endpoint(predictor)) as found, grpc.insecure_channel(f"127.0.0.1:{found.port}") as over:
        stub = health_pb2_grpc.HealthStub(over)
        watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        predictor.healthy = False
        assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not call("ModelReady", over=over, name="doubling").ready
        assert not call("ServerReady", over=over).ready
        assert call("ServerLive", over=over).live
        index = call("RepositoryIndex", over=over).models
        assert [(one.name, one.state) for one in index] == [("doubling", "UNAVAILABLE")]
        assert not call("RepositoryIndex", over=over, ready=True).models
        watching.cancel()


def test_stopping_finishes_what_was_begun_and_ends_who_only_waits(call, pool):
    write = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))
    read = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelStreamInferResponse"))
    closed = threading.Event()
    with (
        room(free_port(), endpoint(Doubling(seconds=1.0))) as found,
        grpc.insecure_channel(f"127.0.0.1:{found.port}") as over,
        ThreadPoolExecutor(1) as pool_of_one,
    ):
        watching = health_pb2_grpc.HealthStub(over).Watch(health_pb2.HealthCheckRequest(), timeout=20)
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        stub = over.stream_stream(f"/{SERVICE}/ModelStreamInfer", write.SerializeToString, read.FromString)
        waiting = stub(iter(closed.wait, True), timeout=20)
        asked = pool_of_one.submit(lambda: call("ModelInfer", over=over, model_name="doubling", **raw(*ROW)))
        end = time.monotonic() + 5
        while not found.gateway.in_flight and time.monotonic() < end:
            time.sleep(0.01)
        stopped = found.stop(10.0)
        assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert list(watching) == []
        assert "stopping" in refused("UNAVAILABLE", next, waiting)
        assert struct.unpack("<d", asked.result(10).raw_output_contents[0]) == (42.0,)
        stopped.result(10)
        closed.set()
        refused("UNAVAILABLE", call, "ServerLive", over=over, timeout=2)


# -- tokens


@pytest.fixture(scope="module")
def wishes():
    """What was to be loaded or unloaded, and in whose name."""
    return []


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, wishes):
    """A port with tokens: one for everything, one to ask the doubling endpoint, one to tell what became of it."""
    folder = tmp_path_factory.mktemp("tokens")
    secrets = {name: make_secret() for name in ("everything", "ask", "feedback")}
    scopes = {"everything": (("admin",), ()), "ask": (("predict",), ("doubling",)), "feedback": (("feedback",), ())}
    tokens = tuple(
        Token(number, secrets[name][1], name, digest_of(secrets[name][0]), *scopes[name])
        for number, name in enumerate(secrets, 1)
    )
    write_tokens(folder / "tokens.json", TokenSet(len(tokens), tokens))
    keyring = Keyring(folder / "tokens.json", folder / "rates")
    keyring.look()

    async def steer(*wish):
        wishes.append(wish)

    with (
        room(free_port(), endpoint(Doubling()), endpoint(Doubling(), "other"), keyring=keyring, steer=steer) as found,
        grpc.insecure_channel(f"127.0.0.1:{found.port}") as over,
    ):
        yield over, {name: (("authorization", f"Bearer {secret}"),) for name, (secret, _) in secrets.items()}


def test_every_call_but_life_and_readiness_needs_a_token(guarded, pool, call):
    over, held = guarded
    for method in pool.FindServiceByName(SERVICE).methods:
        if method.name in {"ServerLive", "ServerReady"}:
            call(method.name, over=over)
        elif method.name != "ModelStreamInfer":
            refused("UNAUTHENTICATED", call, method.name, over=over)
            refused("UNAUTHENTICATED", call, method.name, over=over, metadata=(("authorization", "Bearer fl_a_b"),))
            refused("PERMISSION_DENIED", call, method.name, over=over, metadata=held["feedback"])
            assert refused("INVALID_ARGUMENT", call, method.name, over=over, metadata=held["ask"] * 2)
    with pytest.raises(grpc.RpcError) as caught:
        ProtoReflectionDescriptorDatabase(over).get_services()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert health_pb2_grpc.HealthStub(over).Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1


def test_a_token_asks_where_it_may(guarded, call):
    over, held = guarded
    assert call("ModelInfer", over=over, metadata=held["ask"], model_name="doubling", **raw(*ROW)).model_version == "4"
    assert call("ModelMetadata", over=over, metadata=held["ask"], name="doubling").name == "doubling"
    refused("PERMISSION_DENIED", call, "ModelInfer", over=over, metadata=held["ask"], model_name="other", **raw(*ROW))
    refused("PERMISSION_DENIED", call, "RepositoryModelLoad", over=over, metadata=held["ask"], model_name="doubling")


def test_who_may_deploy_loads_and_unloads_and_the_audit_hears_their_name(guarded, call, wishes):
    over, held = guarded
    call("RepositoryModelLoad", over=over, metadata=held["everything"], model_name="doubling")
    # KServe's clients put the model's name where Triton's put the repository's.
    call("RepositoryModelUnload", over=over, metadata=held["everything"], repository_name="other")
    assert wishes == [("load", "doubling", "token everything"), ("unload", "other", "token everything")]


def test_a_request_to_load_brings_no_files(guarded, call, wishes):
    over, held = guarded
    files = {"file:1/model.onnx": {"bytes_param": b"x"}}
    said = {"model_name": "doubling", "parameters": files}
    refused("INVALID_ARGUMENT", call, "RepositoryModelLoad", over=over, metadata=held["everything"], **said)


def test_each_message_of_a_stream_is_asked_for_what_it_needs(guarded, pool):
    over, held = guarded
    write = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))
    read = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelStreamInferResponse"))
    stub = over.stream_stream(f"/{SERVICE}/ModelStreamInfer", write.SerializeToString, read.FromString)
    asked = [write(model_name=name, id=name, **raw(*ROW)) for name in ("doubling", "other", "doubling")]
    answers = stub(iter(asked), timeout=10, metadata=held["ask"])
    assert next(answers).infer_response.id == "doubling"
    refused("PERMISSION_DENIED", next, answers)
    refused("UNAUTHENTICATED", next, stub(iter(asked), timeout=10))
