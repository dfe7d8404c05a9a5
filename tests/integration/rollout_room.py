"""A home with a rollout in it and no service, for the doors of rollouts; what a controller would do is done by hand."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import msgspec
from bundle_samples import SCHEMA, lay_out, sealed

from fairlead.bundle.reader import SCHEMA as SCHEMA_FILE
from fairlead.bundle.seal import seal
from fairlead.bundle.store import put_bundle
from fairlead.registry.registry import publish
from fairlead.rollout.decide import Decision
from fairlead.rollout.direct import deploy
from fairlead.rollout.moves import moved
from fairlead.rollout.report import Measure, Report, Side
from fairlead.rollout.store import active_of, append_log, commit
from fairlead.schema import Column, Schema
from fairlead.stats.interval import Interval
from fairlead.storage.blobs import open_blobs
from fairlead.storage.database import open_database

METRICS = {1: {"auc": 0.79, "log_loss": 0.41, "bias": 0.1}, 2: {"auc": 0.83, "log_loss": 0.44}, 3: {"auc": 0.83}}


def furnish(home: Path) -> Path:
    """`flights:1` answers at `flights`; `flights:2` and `3` fit there, `flights:4` wants one column more."""
    home.mkdir(exist_ok=True)
    database, blobs = stores(home)
    for number, metrics in METRICS.items():
        bundle = sealed(home / "made" / str(number), b"original %d" % number)
        publish_one(database, blobs, bundle, metrics, {"trees": 100 * number, "seed": 7})
    folder = lay_out(home / "made" / "4", b"original 4")
    wider = Schema((*SCHEMA.columns, Column("hour", "integer")), SCHEMA.output)
    (folder / SCHEMA_FILE).write_bytes(msgspec.json.encode(wider))
    other = seal(folder, name="flights", format="pickle", model_class="a.B", road="worker", git_commit="")
    publish_one(database, blobs, other, {}, {})
    deploy(database, blobs, "flights:1", actor="ann")
    database.close()
    return home


def publish_one(database, blobs, bundle, metrics, params):
    digest = put_bundle(bundle, blobs)
    facts = {"model": "flights", "road": "worker", "task": "classification", "actor": "ann"}
    publish(database, digest=digest, metrics=metrics, params=params, **facts)


def stores(home: Path):
    return open_database(f"sqlite:///{home}/fairlead.db"), open_blobs(str(home / "blobs"))


def carry(home: Path, *states: str, step: int = 0) -> None:
    """Do what a controller does, without looking."""
    database, _ = stores(home)
    for state in states:
        with database.write() as connection:
            rollout = active_of(connection, "flights")
            began = step if state == "progressing" else None
            commit(connection, moved(rollout, state, "so the test", time.time(), step=began), "controller")
    database.close()


def look(home: Path, verdict: str, because: str = "5 % of 400, stable 1 % of 3,600.") -> None:
    """Write down a look, in the form in which the controller does."""
    database, _ = stores(home)
    measure = Measure(
        "error_rate",
        "guardrail",
        verdict,
        because,
        Side(3600, 1.0),
        Side(400, 5.0),
        effect=4.0,
        interval=Interval(float("-inf"), 9.0),
        e_value=7.5,
    )
    with database.write() as connection:
        rollout = active_of(connection, "flights")
        content = {"step": rollout.step, "decision": Decision("hold", because), "report": Report((measure,))}
        append_log(connection, rollout, "controller", "look", "It goes on.", content)
    database.close()


def recorded(home: Path) -> list[tuple[int, str]]:
    """Number and state of each rollout, as SQLite itself reads them."""
    with sqlite3.connect(home / "fairlead.db") as plain:
        found = plain.execute("SELECT number, state FROM rollouts ORDER BY number").fetchall()
    plain.close()
    return found


def served(home: Path) -> dict[str, tuple[str, int]]:
    """Model and slots of each variant, from the row that the gateways obey."""
    with sqlite3.connect(home / "fairlead.db") as plain:
        (content,) = plain.execute("SELECT content FROM routing").fetchone()
    plain.close()
    (endpoint,) = msgspec.json.decode(content)["endpoints"]
    return {one["name"]: (one["model"], one["slots"]) for one in endpoint["variants"]}
