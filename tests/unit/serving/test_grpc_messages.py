"""The wire's messages against protoc and against the descriptors that Triton's own client ships."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

from fairlead.serving.grpc.admission import need_of
from fairlead.serving.grpc.messages import HEALTH, INFERENCE, POOL, REFLECTION, message, reader_of
from fairlead.serving.keys.keyring import Need

FOLDER = Path(str(files("fairlead.serving.grpc").joinpath("protocol")))
METHODS = [one for name in (INFERENCE, HEALTH, *REFLECTION) for one in POOL.FindServiceByName(name).methods]


def fields(descriptor):
    """What stands on the wire: number, name, type and label of each field, in the order of the numbers."""
    return sorted(
        (
            one.number,
            one.name,
            one.type,
            one.is_repeated,
            one.message_type.name if one.message_type else one.enum_type.name if one.enum_type else "",
            one.containing_oneof.name if one.containing_oneof else "",
        )
        for one in descriptor.fields
    )


def reachable(descriptor, seen):
    """A message and all that stand in it."""
    if descriptor.full_name not in seen:
        seen[descriptor.full_name] = descriptor
        for one in descriptor.fields:
            if one.message_type is not None:
                reachable(one.message_type, seen)
    return seen


def theirs_of(name, *modules):
    """The same message as the other implementation has it, looked up by its path of names."""
    for module in modules:
        package = module.DESCRIPTOR.package
        found = module
        for part in name.removeprefix(f"{package}.").split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found.DESCRIPTOR
    raise AssertionError(f"{name} is not theirs")


def test_what_is_compiled_agrees_with_the_sources(tmp_path):
    names = sorted(path.name for path in FOLDER.glob("*.proto"))
    fresh = tmp_path / "fresh.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={FOLDER}", f"--descriptor_set_out={fresh}"]
    subprocess.run([*command, *names], check=True, timeout=60)
    committed = (FOLDER / "descriptors.binpb").read_bytes()
    assert descriptor_pb2.FileDescriptorSet.FromString(committed) == descriptor_pb2.FileDescriptorSet.FromString(
        fresh.read_bytes()
    )


def test_every_message_of_the_protocol_has_the_fields_that_tritons_client_knows():
    ours = {}
    for method in POOL.FindServiceByName(INFERENCE).methods:
        reachable(method.input_type, ours)
        reachable(method.output_type, ours)
    assert len(ours) > 40
    for name, descriptor in ours.items():
        theirs = fields(theirs_of(name, service_pb2, model_config_pb2))
        if name in {"inference.ModelConfig", "inference.ModelInput", "inference.ModelOutput"}:
            assert set(fields(descriptor)) <= set(theirs), name  # of a model's configuration, a part is told
        else:
            assert fields(descriptor) == theirs, name


def test_every_call_is_named_and_streamed_as_tritons_client_calls_it():
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    for ours in POOL.FindServiceByName(INFERENCE).methods:
        other = theirs[ours.name]
        assert ours.input_type.full_name == other.input_type.full_name
        assert ours.output_type.full_name == other.output_type.full_name
        assert (ours.client_streaming, ours.server_streaming) == (other.client_streaming, other.server_streaming)


def test_the_datatypes_of_a_configuration_are_tritons():
    assert {one.name: one.number for one in POOL.FindEnumTypeByName("inference.DataType").values} == dict(
        model_config_pb2.DataType.items()
    )


def test_health_and_reflection_have_the_fields_of_grpcs_own_packages():
    for name in ("HealthCheckRequest", "HealthCheckResponse"):
        found = POOL.FindMessageTypeByName(f"grpc.health.v1.{name}")
        assert fields(found) == fields(getattr(health_pb2, name).DESCRIPTOR)
    for package in ("v1", "v1alpha"):
        for name, theirs in reflection_pb2.DESCRIPTOR.message_types_by_name.items():
            if name != "ExtensionRequest":
                assert fields(POOL.FindMessageTypeByName(f"grpc.reflection.{package}.{name}")) == fields(theirs)


@pytest.mark.parametrize(
    "order", ["tritonclient.grpc, fairlead.serving.grpc.server", "fairlead.serving.grpc.server, tritonclient.grpc"]
)
def test_tritons_client_can_be_imported_in_the_same_process_before_and_after(order):
    subprocess.run([sys.executable, "-W", "error", "-c", f"import {order}"], check=True, timeout=60)


def test_bytes_that_are_no_message_read_as_none():
    read = reader_of(message("inference.ModelInferRequest"))
    assert read(b"\xff\xff\xff") is None
    assert read(b"\x0a\x02\xff\xfe") is None  # a name that is not UTF-8
    assert isinstance(read(b""), Message)


def test_only_life_and_readiness_are_open_to_everybody():
    public = {method.full_name for method in METHODS if need_of(method.full_name) is None}
    assert public == {f"{HEALTH}.Check", f"{HEALTH}.Watch", f"{INFERENCE}.ServerLive", f"{INFERENCE}.ServerReady"}


def test_a_call_that_nobody_thought_of_needs_an_administrator():
    need = need_of("inference.GRPCInferenceService.CudaSharedMemoryRegister")
    assert need is not None
    assert need(None) == Need("admin")


def test_what_is_served_is_changed_with_the_scope_deploy_for_that_endpoint():
    request = message("inference.RepositoryModelLoadRequest")(model_name="flights")
    for call in ("RepositoryModelLoad", "RepositoryModelUnload"):
        assert need_of(f"{INFERENCE}.{call}")(request) == Need("deploy", "flights")
