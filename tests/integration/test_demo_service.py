"""The demo's choice of a port, and a service that does not start."""

from __future__ import annotations

import socket

import pytest

from fairlead.demo import service
from fairlead.errors import StorageError


def test_a_port_on_which_somebody_listens_is_not_taken_even_where_sharing_is_allowed():
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert service.free_port("127.0.0.1", port) > port


def test_a_free_port_is_kept():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert service.free_port("127.0.0.1", port) == port


def test_a_service_that_ends_at_once_is_reported_with_what_it_said(tmp_path):
    # An address of nobody on this machine: the service cannot listen there. 192.0.2.0/24 is reserved for documentation.
    demo = service.serving(tmp_path / "home", "192.0.2.1", 18999)
    with pytest.raises(StorageError, match="did not become ready") as caught, demo:
        pass
    assert "serve.log" in caught.value.hint
