"""Small bundles for tests of what lies around them; the original is a few bytes that nobody opens."""

from pathlib import Path

import msgspec

from fairlead.bundle.manifest import Attempt, Expected, ParityReport, Samples
from fairlead.bundle.reader import Bundle
from fairlead.bundle.seal import seal
from fairlead.schema import Column, Output, Schema

SCHEMA = Schema(
    (
        Column("distance", "number", minimum=17.0, maximum=4983.0),
        Column("carrier", "string", nullable=True, categories=("UA", "B6")),
    ),
    Output("classification", "late", (0, 1), probabilities=True),
)
SAMPLES = Samples(((1400.0, "UA"),), (Expected(0, (0.75, 0.25)),))
PARITY = ParityReport(
    "worker",
    1e-5,
    (Attempt("worker", proven=True, reason="proven", real_rows=1, largest_difference=0.0, label_agreement=1.0),),
)


def lay_out(folder: Path, original: bytes = b"original") -> Path:
    """A folder with everything but its manifest."""
    (folder / "model").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for name, value in {
        "schema.json": SCHEMA,
        "samples.json": SAMPLES,
        "parity.json": PARITY,
        "environment.json": {"python": "3.11"},
        "metadata/metrics.json": {"auc": 0.79},
    }.items():
        (folder / name).write_bytes(msgspec.json.encode(value))
    (folder / "model" / "model.pkl").write_bytes(original)
    return folder


def sealed(folder: Path, original: bytes = b"original", **facts: object) -> Bundle:
    """A sealed bundle, answered by a worker."""
    given = {"name": "flights", "format": "pickle", "model_class": "a.B", "road": "worker", "git_commit": ""} | facts
    return seal(lay_out(folder, original), **given)
