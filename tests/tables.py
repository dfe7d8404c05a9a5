"""Writes routing tables as the controller does, for tests of what obeys them."""

from __future__ import annotations

import json

import msgspec

from fairlead.app import open_stores
from fairlead.config import load_config
from fairlead.registry.registry import resolve
from fairlead.routing.store import read_table, write_table
from fairlead.routing.table import Mirror


def mirror_of(home, model, *, name="candidate", percent=100.0):
    """A version of this home as a shadow."""
    version = resolve(open_stores(load_config(flags={"home": home})).database, model)
    return Mirror(name, model, version.digest, percent)


def change_endpoint(home, endpoint, **fields):
    """Put the next table in place, in which an endpoint has these fields; return its revision."""
    database = open_stores(load_config(flags={"home": home})).database
    with database.write() as connection:
        table = read_table(connection)
        changed = table.with_endpoint(msgspec.structs.replace(table.endpoint(endpoint), **fields))
        return write_table(connection, changed, table.revision).revision


def wait_for_revision(service, revision):
    """Wait until the first gateway serves this table, or a later one."""
    path = service.home / "run" / "gateways" / "gateway-0.json"
    service.wait_for(lambda: json.loads(path.read_text())["revision"] >= revision, 60)
