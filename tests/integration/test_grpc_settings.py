"""When the gRPC port is opened, when it is not, and what is said then."""

import socket
import subprocess
import sys

import pytest

from fairlead import service
from fairlead.config import load_config
from fairlead.errors import InvalidInput
from running import cli, free_port


def test_a_service_without_the_port_imports_nothing_of_grpc():
    code = (
        "import sys, fairlead.service, fairlead.serving.processes.process, fairlead.cli.serve;"
        "print(sorted({'grpc', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_port_is_off_unless_it_is_set(tmp_path):
    assert load_config(folder=tmp_path, environment={}).grpc_port is None
    found = load_config(folder=tmp_path, environment={"FAIRLEAD_GRPC_PORT": "8090"})
    assert service.gateway_settings(found, "gateway-0", 8080).grpc_port == 8090


def test_without_the_extra_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'fairlead\[grpc\]'"):
        service.serve(load_config({"grpc_port": free_port()}, folder=tmp_path, environment={}), on_ready=print)


def test_one_port_cannot_be_both(tmp_path):
    port = str(free_port())
    done = cli(tmp_path, "serve", "--port", port, "--grpc-port", port, check=False)
    assert done.returncode == 2
    assert "cannot share the port" in done.stderr


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = cli(tmp_path, "serve", "--port", str(free_port()), "--grpc-port", str(port), check=False)
    assert done.returncode == 4
    assert f"127.0.0.1:{port} cannot be used" in done.stderr
