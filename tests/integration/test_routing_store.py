"""The routing table at rest and the gateways' reports, in a real database."""

import pytest

from fairlead.errors import Conflict, StorageError
from fairlead.routing.store import (
    GatewayReport,
    forget_gateway,
    live_gateways,
    read_revision,
    read_table,
    report_gateway,
    write_table,
)
from fairlead.routing.table import Endpoint, RoutingTable, Variant
from fairlead.storage.database import open_database

ENDPOINT = Endpoint("flights", (Variant("stable", "flights:1", "a" * 64),))


@pytest.fixture
def database(tmp_path):
    opened = open_database(f"sqlite:///{tmp_path}/fairlead.db")
    yield opened
    opened.close()


def write(database, table, expected):
    with database.write() as connection:
        write_table(connection, table, expected)


def read(database):
    with database.read() as connection:
        return read_table(connection), read_revision(connection)


def test_a_new_installation_serves_the_empty_table(database):
    assert read(database) == (RoutingTable(), 0)


def test_a_table_comes_back_as_it_was_written(database):
    table = RoutingTable(secret="ab" * 32).with_endpoint(ENDPOINT)
    write(database, table, 0)
    assert read(database) == (table, 1)
    write(database, table.without_endpoint(ENDPOINT.name), 1)
    assert read(database) == (RoutingTable(2, secret=table.secret), 2)


@pytest.mark.parametrize("expected", [0, 2, 7])
def test_a_writer_who_saw_another_revision_is_refused(expected, database):
    write(database, RoutingTable(1), 0)
    with pytest.raises(Conflict, match=f"its revision is 1, not {expected}"):
        write(database, RoutingTable(expected + 1), expected)
    assert read(database)[1] == 1


def test_a_row_that_cannot_be_read_is_a_storage_error(database):
    write(database, RoutingTable(1), 0)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE routing SET content = '{'")
    with pytest.raises(StorageError, match="cannot be read"):
        read(database)


def report(name, time, **facts):
    return GatewayReport(name, "host", 7, facts.get("revision", 1), facts.get("state", "ready"), "", time)


def test_only_gateways_that_reported_lately_are_live(database):
    with database.write() as connection:
        for one in (report("b", 100.0), report("a", 200.0), report("b", 201.0, revision=2, state="loading")):
            report_gateway(connection, one)
    with database.read() as connection:
        assert live_gateways(connection, 150.0) == [report("a", 200.0), report("b", 201.0, revision=2, state="loading")]
        assert live_gateways(connection, 201.0) == [report("b", 201.0, revision=2, state="loading")]


def test_a_gateway_that_ends_is_forgotten(database):
    with database.write() as connection:
        report_gateway(connection, report("a", 1.0))
        forget_gateway(connection, "a")
        forget_gateway(connection, "never there")
        assert live_gateways(connection, 0.0) == []


def test_the_first_table_draws_a_secret_and_every_later_one_keeps_it(database):
    write(database, RoutingTable().with_endpoint(ENDPOINT), 0)
    first, _ = read(database)
    assert len(bytes.fromhex(first.secret)) == 32
    write(database, first.without_endpoint(ENDPOINT.name), 1)
    assert read(database)[0].secret == first.secret
