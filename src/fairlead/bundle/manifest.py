"""The manifest: what a bundle holds, as data.

A bundle is a folder. Its manifest names every other file with size and SHA-256; the digest of the manifest's own bytes is
the digest of the bundle. Nothing in a bundle is ever changed.

```
manifest.json               this
schema.json                 Schema
parity.json                 ParityReport: which road, why, how far off
samples.json                Samples: rows with the original's answers
profile.json.gz             Profile: the training table, or a held-out one, in counts
environment.json            python, packages, platform
model/…                     the original, as it was saved
compiled/graph.onnx         what is served, where a road was proven
compiled/layout.json        Layout
compiled/ir.json            the intermediate representation, where the road is "ir"
metadata/metrics.json, params.json, data.json, plots/…
```
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fairlead.schema import Value

__all__ = [
    "FORMAT_VERSION",
    "Attempt",
    "Expected",
    "FileEntry",
    "Manifest",
    "ParityReport",
    "Road",
    "Samples",
]

FORMAT_VERSION = 1
"""Raised when a reader of the former version could misunderstand a bundle; `bundle/old/` keeps the former readers."""

Road = Literal["ir", "graph", "worker"]
"""How a version answers.

- `ir`: taken apart into the intermediate representation, compiled to one node, answered in the gateway.
- `graph`: converted to a general ONNX graph by skl2onnx, answered in the gateway.
- `worker`: the original as it is, in a process of its own.
"""


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a bundle: its path with forward slashes, its size in bytes, its SHA-256 in hex."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle holds.

    Attributes:
        format_version: `FORMAT_VERSION` of the writer.
        name: The model's name.
        created: When it was sealed, seconds since 1970 (UTC).
        created_with: The Fairlead version that sealed it.
        format: How the original is stored: "pickle".
        model_class: The original's class, for people: "sklearn.pipeline.Pipeline".
        road: How it answers.
        git_commit: Of the working folder at packing; empty outside a repository.
        files: Every file but the manifest, sorted by path.
    """

    format_version: int
    name: str
    created: float
    created_with: str
    format: str
    model_class: str
    road: Road
    git_commit: str
    files: tuple[FileEntry, ...]


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One road that was tried at packing.

    Attributes:
        road: Which.
        proven: Whether it gives the original's answers; the first proven road is served.
        reason: Why it was refused, or "proven".
        real_rows: How many rows of the given table were compared.
        hard_rows: How many rows on and beside thresholds, missing and unseen were compared.
        largest_difference: Of a probability or a value, over all rows; `None` where nothing could be compared.
        label_agreement: Share of rows with equal labels, 0 to 1; `None` for regression.
        worst_rows: Up to five of the rows that differ most, as text for people.
    """

    road: Road
    proven: bool
    reason: str
    real_rows: int = 0
    hard_rows: int = 0
    largest_difference: float | None = None
    label_agreement: float | None = None
    worst_rows: tuple[str, ...] = ()


class ParityReport(msgspec.Struct, frozen=True):
    """Which road is served, and the evidence.

    Attributes:
        road: The road that is served.
        tolerance: The largest difference that was allowed.
        attempts: In the order tried; the last is the one that is served.
    """

    road: Road
    tolerance: float
    attempts: tuple[Attempt, ...]


class Expected(msgspec.Struct, frozen=True):
    """The original's answer to one sample row."""

    prediction: Value
    probabilities: tuple[float, ...] | None = None


class Samples(msgspec.Struct, frozen=True):
    """Real rows with the original's answers: for warm-up, for `verify`, for the example in the API and on the page.

    Attributes:
        rows: In the order of the schema; the first one is complete (nothing missing) where such a row exists.
        expected: One for each row.
    """

    rows: tuple[tuple[Value, ...], ...]
    expected: tuple[Expected, ...]
