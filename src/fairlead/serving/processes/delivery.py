"""Delivery: brings the routing table, the bundles it names, and the tokens from the stores to this machine's disk.

It is the only part of the request half that talks to a database, and it runs in a process of its own, so a database that
hangs delays a change and never a prediction. The bundles come first and the table last: a table on the disk names nothing
that is not there.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import sqlalchemy as sa
from loguru import logger

from fairlead.bundle.store import fetch_bundle
from fairlead.bundle.unfinished import sweep_unfinished
from fairlead.errors import BundleError, Conflict, FairleadError, StorageError
from fairlead.routing.cache import read_cached, write_cached
from fairlead.routing.store import (
    GatewayReport,
    forget_gateway,
    live_gateways,
    read_revision,
    read_table,
    report_gateway,
)
from fairlead.routing.table import RoutingTable
from fairlead.serving.keys.tokens_file import read_tokens, write_tokens
from fairlead.serving.processes.status import GatewayStatus, read_statuses
from fairlead.storage.blobs import Blobs
from fairlead.storage.changes import Changes
from fairlead.storage.database import Database
from fairlead.tokens import TokenSet

__all__ = ["Delivery", "TokenSource", "deliver", "deliver_tokens"]

_LOOK_SECONDS = 0.2
_REPORT_SECONDS = 1.0
_RETRY_SECONDS = 2.0
_FORGET_SECONDS = 60.0


def deliver(database: Database, blobs: Blobs, *, bundles: Path, table: Path) -> RoutingTable:
    """Bring the newest table here, if it is not here already.

    Args:
        database: Holds the routing table.
        blobs: Holds the bundles.
        bundles: The folder of unpacked bundles.
        table: The table's file.

    Returns:
        The table that lies here now.

    Raises:
        Conflict: The database has lost what is served here.
        BundleError: A bundle that it names is missing or corrupt; the table that was here stays.
        StorageError: A store or the disk refuses.
    """
    with database.read() as connection:
        wanted = read_table(connection)
    here = read_cached(table)
    if here == wanted:
        return wanted
    if here is not None and wanted.revision == 0:
        raise Conflict(
            f"The database is empty, but revision {here.revision} is served here; it goes on.",
            hint="Bring the database back, or deploy again.",
        )
    answering = {variant.digest for variant in wanted.variants()}
    for digest in wanted.digests():
        try:
            fetch_bundle(digest, blobs, bundles)
        except BundleError as error:
            if digest in answering:
                raise
            # Nobody waits for a shadow: its gateways say that it cannot be loaded.
            logger.error("A shadow's bundle cannot be delivered: {error}", error=str(error))
    write_cached(table, wanted)
    return wanted


class TokenSource(msgspec.Struct, frozen=True):
    """How the registry is asked for its tokens; it belongs to the other half, so it is given and not imported.

    Attributes:
        stamp: Changes whenever the tokens do; cheap.
        read: All that hold.
    """

    stamp: Callable[[sa.Connection], tuple[int, int]]
    read: Callable[[sa.Connection], TokenSet]


def deliver_tokens(database: Database, source: TokenSource, tokens: Path) -> TokenSet:
    """Bring the tokens here, hashed, if they are not here already.

    Args:
        database: Holds them.
        source: Reads them.
        tokens: The tokens' file.

    Returns:
        The tokens that lie here now.

    Raises:
        Conflict: The database has lost its tokens; those that are here go on to count.
        StorageError: The database or the disk refuses.
    """
    with database.read() as connection:
        wanted = source.read(connection)
    here = _tokens_here(tokens)
    if here == wanted:
        return wanted
    if here is not None and here.issued and not wanted.issued:
        raise Conflict(
            "The database knows of no token, but some are in use here; they go on to count.",
            hint="Bring the database back, or create a token again.",
        )
    write_tokens(tokens, wanted)
    return wanted


def _tokens_here(path: Path) -> TokenSet | None:
    try:
        return read_tokens(path)
    except StorageError:
        return None  # it is replaced


class Delivery:
    """Delivers again and again, and carries back what the gateways report.

    Args:
        database: Holds the routing table and the gateways' reports.
        blobs: Holds the bundles.
        bundles: The folder of unpacked bundles.
        table: The table's file.
        run: The folder of the gateways' statuses.
        tokens: The tokens' file.
        token_source: How the registry is asked for them.
    """

    def __init__(  # noqa: PLR0913 - from where, to where
        self,
        database: Database,
        blobs: Blobs,
        *,
        bundles: Path,
        table: Path,
        run: Path,
        tokens: Path,
        token_source: TokenSource,
    ) -> None:
        self._database = database
        self._changes = Changes(database)
        self._due = True  # what was to be delivered may not be here yet
        self._blobs = blobs
        self._bundles = bundles
        self._table = table
        self._run = run
        self._host = socket.gethostname()
        self._tokens = tokens
        self._token_source = token_source
        self._token_stamp: tuple[int, int] | None = None
        self._delivered = -1
        self._told: dict[str, tuple[object, ...]] = {}
        self._report_at = 0.0

    def step(self) -> float:
        """Look once; return how long to wait before the next look, in seconds."""
        if self._delivered < 0:
            for folder in sweep_unfinished(self._bundles):
                logger.info("{folder}, which a killed process has left, is removed.", folder=folder.name)
        try:
            self._look()
            self._report()
        except FairleadError as err:
            logger.error("Delivery failed: {error}", error=str(err))
            return _RETRY_SECONDS
        return _LOOK_SECONDS

    def _look(self) -> None:
        changed = self._changes.since()
        if not (changed or self._due):
            return
        self._due = True  # and stays so if anything goes wrong
        with self._database.read() as connection:
            revision, stamp = read_revision(connection), self._token_source.stamp(connection)
        if stamp != self._token_stamp:  # first, since a bundle that is corrupt must not keep a revoked token alive
            deliver_tokens(self._database, self._token_source, self._tokens)
            self._token_stamp = stamp
        if revision != self._delivered:
            self._delivered = deliver(self._database, self._blobs, bundles=self._bundles, table=self._table).revision
            logger.info("Delivered revision {revision}.", revision=self._delivered)
        self._due = False

    def _report(self) -> None:
        """Write what has changed at once, and everything once a second."""
        statuses = read_statuses(self._run)
        told: dict[str, tuple[object, ...]] = {
            one.name: (one.pid, one.revision, one.state, one.detail) for one in statuses
        }
        now = time.monotonic()
        if told == self._told and now < self._report_at:
            return
        with self._database.write() as connection:
            for status in statuses:
                report_gateway(connection, self._report_of(status))
            for old in live_gateways(connection, 0.0):
                gone = old.host == self._host and old.name not in {f"{self._host}/{name}" for name in told}
                if gone or old.time < time.time() - _FORGET_SECONDS:
                    forget_gateway(connection, old.name)
        self._told, self._report_at = told, now + _REPORT_SECONDS

    def _report_of(self, status: GatewayStatus) -> GatewayReport:
        return GatewayReport(
            name=f"{self._host}/{status.name}",
            host=self._host,
            pid=status.pid,
            revision=status.revision,
            state=status.state,
            detail=status.detail,
            time=status.time,
        )
