"""What an examination leaves: the data between those who hold a model and those who seal it.

It crosses a process boundary as MessagePack, which keeps bytes and every bit of a float, and is decoded by type: from the
opener's process it is untrusted.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fairlead.bundle.manifest import Attempt, Road, Samples
from fairlead.formats.frames import FrameForm
from fairlead.formats.layout import Layout
from fairlead.ir.model import Model
from fairlead.profiles.profile import Profile
from fairlead.schema import Schema, Value

__all__ = ["TOLERANCE", "Examination", "Proof", "Say"]

Say = Callable[[str], None]
"""Is told what is being done, a line each."""

TOLERANCE = 1e-5
"""The largest difference of a probability, or of a value relative to its size beyond 1, that counts as equal."""


class Proof(msgspec.Struct, frozen=True):
    """A compiled road that gives the original's answers.

    Attributes:
        road: "ir" or "graph".
        graph: The ONNX graph.
        layout: How rows become its tensors.
        ir: The intermediate representation, for the road "ir".
    """

    road: Road
    graph: bytes
    layout: Layout
    ir: Model | None = None


class Examination(msgspec.Struct, frozen=True):
    """What was found out about a model.

    Attributes:
        model_class: For people: "sklearn.pipeline.Pipeline".
        schema: What it takes and gives.
        form: How the table looked that the original is asked with.
        samples: Real rows with the original's answers.
        attempts: The compiled roads that were tried, in order.
        proof: The road that was proven; `None` where none was, and the original has to answer itself.
        metrics: Computed on the given table; empty where no target was given.
        params: The model's own parameters, by name.
        modules: Top-level modules that the original is made of.
        rows: How many rows the table has.
        profile: Of the table, or of the reference.
    """

    model_class: str
    schema: Schema
    form: FrameForm
    samples: Samples
    attempts: tuple[Attempt, ...]
    proof: Proof | None
    metrics: dict[str, float]
    params: dict[str, Value]
    modules: tuple[str, ...]
    rows: int
    profile: Profile
