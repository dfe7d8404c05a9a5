"""A room for tests of the monitor: a small version in a registry, events at moments of one's choice, and a clock that stands still.

The version says whether a flight is late by its delay and its carrier, so whoever writes events knows what is in them.
"""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from fairlead.app import Stores, open_stores
from fairlead.bundle.reader import open_bundle
from fairlead.bundle.store import fetch_bundle
from fairlead.config import load_config
from fairlead.eventlog import segment
from fairlead.events import Columns, Feedback, Prediction
from fairlead.monitor.overlay import Tables, tables_of
from fairlead.monitor.records import Records
from fairlead.monitor.report import Report
from fairlead.monitor.store import recent_reports
from fairlead.monitor.watching import Watcher
from fairlead.registry.registry import resolve
from fairlead.rollout.direct import deploy

HOUR = 3600.0
MORNING = datetime(2026, 3, 2, 6, tzinfo=UTC).timestamp()
"""A Monday, six o'clock; long enough ago that nobody's clock is before it."""

CARRIERS = ("UA", "DL", "B6")
SHARES = (0.5, 0.3, 0.2)


def table(rows: int = 4000, seed: int = 1) -> pd.DataFrame:
    """Delays around ten minutes, and three carriers; late is who has more than fifteen, with some luck."""
    maker = np.random.default_rng(seed)
    delay = maker.normal(10, 5, rows)
    found = pd.DataFrame({"delay": delay, "carrier": maker.choice(CARRIERS, rows, p=SHARES)})
    found["late"] = np.where(delay + maker.normal(0, 3, rows) > 15, "late", "on time")
    return found


def pack_lateness(home: Path, *, versions: int = 1) -> None:
    """`late:1` and so on, in a home."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    import fairlead

    data = table()
    for _ in range(versions):
        model = make_pipeline(
            make_column_transformer(
                (StandardScaler(), ["delay"]), (OneHotEncoder(handle_unknown="ignore"), ["carrier"])
            ),
            LogisticRegression(),
        ).fit(data[["delay", "carrier"]], data["late"])
        # Figures of training rows judge nothing, so the author gives one.
        fairlead.pack(model, name="late", data=data, target="late", home=home, metrics={"accuracy": 0.95})


class Clock:
    """What time it is, as a test says."""

    def __init__(self, now: float = MORNING) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Room:
    """A home with `late:1` served at `late`, and events in its log."""

    def __init__(self, home: Path) -> None:
        self.home = home
        config = load_config({"home": str(home)}, environment={}, folder=home)
        self.stores: Stores = open_stores(config)
        self.events, self.run, self.bundles = config.paths.events, config.paths.run, config.paths.bundles
        deploy(self.stores.database, self.stores.blobs, "late:1", "late", actor="ann")
        self.digest = resolve(self.stores.database, "late:1").digest
        open_bundle(fetch_bundle(self.digest, self.stores.blobs, self.bundles), self.digest)
        self.clock = Clock()
        self.told = []
        self._number = 0

    def records(self) -> Records:
        return Records(self.stores.database, self.stores.blobs, self.events, self.bundles)

    def watcher(self, holder: str = "here", **settings) -> Watcher:
        """A watcher that has just started."""
        return Watcher(
            self.records(),
            self.tables(**settings),
            run=self.run,
            holder=holder,
            tell=self.told.append,
            clock=self.clock,
        )

    @staticmethod
    def tables(**settings) -> Tables:
        return tables_of({"window": "1h", **settings}, "a test")

    def answered(
        self,
        rows: int,
        start: float,
        end: float,
        *,
        shift: float = 0.0,
        carriers=CARRIERS,
        model: str = "late:1",
        variant: str = "stable",
        status: str = "ok",
        seed: int = 7,
        endpoint: str = "late",
    ) -> list[Prediction]:
        """Write predictions, evenly over a time; delays are longer by `shift`."""
        maker = random.Random(seed)
        made = []
        for place in range(rows):
            self._number += 1
            delay = maker.gauss(10 + shift, 5)
            carrier = maker.choices(carriers, SHARES[: len(carriers)])[0]
            chance = 1 / (1 + 2.7183 ** -(0.6 * (delay - 15)))
            moment = start + (end - start) * place / rows
            said = "late" if chance > 0.5 else "on time"
            fine = status == "ok"
            made.append(
                Prediction(
                    f"{self._number:x}-id", moment, endpoint, model if fine else "", variant, None, status, 0.002,
                    (delay, carrier) if fine else None, said if fine else None, (chance, 1 - chance) if fine else None, (), 1,
                )
            )  # fmt: skip
        self._write([Columns(model, self.digest, ("delay", "carrier"), ("late", "on time")), *made], end)
        return made

    def labelled(self, predictions, when: float, *, wrong: float = 0.0, endpoint: str = "late") -> None:
        """Tell what proved true: what was said, but for a share of all."""
        maker = random.Random(3)
        other = {"late": "on time", "on time": "late"}
        told = [
            Feedback(one.id, when, endpoint, label=other[one.prediction] if maker.random() < wrong else one.prediction)
            for one in predictions
        ]
        self._write(told, when)

    def _write(self, events: list, when: float) -> None:
        """A segment as a gateway would have left it at this moment."""
        self._number += 1
        moment = time.gmtime(when)
        path = (
            self.events
            / time.strftime("%Y-%m-%d", moment)
            / f"{time.strftime('%H%M%S', moment)}-gw-{self._number:06}.seg"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(segment.MAGIC + b"".join(segment.encode(events)))
        os.utime(path, (when, when))

    def reports(self, endpoint: str = "late") -> list[Report]:
        """What counts of each window now, oldest first."""
        with self.stores.database.read() as connection:
            return recent_reports(connection, endpoint, 1000)

    def kinds(self) -> list[tuple[str, tuple[str, ...]]]:
        """What people were told."""
        return [(one.kind, one.new) for one in self.told]


def verdict(report: Report, area: str, subject: str, segment: str = "") -> str:
    """The worst verdict about one subject."""
    found = [one.verdict for one in report.of(area) if one.subject == subject and one.segment == segment]
    assert found, [(one.area, one.subject, one.segment) for one in report.findings]
    return found[0]


def until(what, seconds: float = 30.0):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen in {seconds} s")
