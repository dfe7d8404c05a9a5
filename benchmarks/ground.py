"""One service with the flights model on one core, and what its routing table says: for benchmarks that change the table under load."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from fairlead.app import Stores, open_stores
from fairlead.config import load_config
from fairlead.routing.store import read_table, write_table
from fairlead.routing.table import Endpoint
from material import ROWS
from measuring import SERVER_CORE, free_port, pinned, stop

__all__ = ["Ground", "serving", "wait_until"]


class Ground(msgspec.Struct, frozen=True):
    """What is measured on."""

    home: Path
    stores: Stores
    server: subprocess.Popen[bytes]
    port: int
    rows: Path

    def told(self) -> dict[str, object]:
        """What the gateway says of itself."""
        found: dict[str, object] = json.loads((self.home / "run/gateways/gateway-0.json").read_text())
        return found

    def change(self, change: Callable[[Endpoint], Endpoint]) -> None:
        """Put a changed endpoint in the routing table, and wait until the gateway serves it."""
        with self.stores.database.write() as connection:
            table = read_table(connection)
            endpoint = table.endpoint("flights")
            assert endpoint is not None
            revision = write_table(connection, table.with_endpoint(change(endpoint)), table.revision).revision
        wait_until(lambda: int(str(self.told()["revision"])) >= revision)


@contextlib.contextmanager
def serving(home: Path, folder: Path, gateways: int = 1) -> Iterator[Ground]:
    """A service on the servers' core, for as long as it is measured."""
    port = free_port()
    command = [sys.executable, "-m", "fairlead.cli.main", "--home", str(home), "serve", "--workers", str(gateways)]
    with (folder / "serve.log").open("wb") as out:
        server = subprocess.Popen(
            pinned(SERVER_CORE, [*command, "--port", str(port)]),
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=os.environ | {"FAIRLEAD_WORKER_TIMEOUT": "2"},
        )
    try:
        wait_until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).status == 200)
        yield Ground(home, open_stores(load_config(flags={"home": home})), server, port, folder / ROWS)
    finally:
        stop(server)


def wait_until(what: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until something holds; what cannot be asked yet does not hold yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if what():
                return
        time.sleep(0.1)
    raise SystemExit(f"It did not happen within {seconds:g} s.")
