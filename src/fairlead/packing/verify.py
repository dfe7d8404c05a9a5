"""Does a bundle still give the answers it was sealed with?

Digests say that the bytes are the same; the samples say that this machine, with its processor and its libraries, makes the
same of them. The rows are answered by the predictor that serves: in this process for a compiled road, in the worker
for the original.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from fairlead.bundle.manifest import Expected, Road
from fairlead.bundle.reader import Bundle, open_bundle
from fairlead.errors import BundleError, FairleadError, ParityFailed
from fairlead.packing.examination import TOLERANCE
from fairlead.packing.reopening import answer_in_worker
from fairlead.predictor.compiled import open_compiled
from fairlead.schema import Schema, Value

__all__ = ["Problem", "VerifyReport", "answer_distance", "answers_differ", "corrupt", "verify_bundle"]


class Problem(msgspec.Struct, frozen=True):
    """One thing that is not as it was sealed.

    Attributes:
        where: The file, or the sample row.
        what: What is wrong with it.
    """

    where: str
    what: str


class VerifyReport(msgspec.Struct, frozen=True):
    """What became of a bundle.

    Attributes:
        digest: Of the bundle.
        road: How it answers.
        files: How many files were compared with their digests.
        samples: How many sample rows were answered again.
        largest_difference: Of a probability or value from the expected one; `None` where no row was answered.
        problems: What is not as it was sealed; empty where all is well.
    """

    digest: str
    road: Road
    files: int
    samples: int
    largest_difference: float | None
    problems: tuple[Problem, ...]

    @property
    def holds(self) -> bool:
        """Whether everything is as it was sealed."""
        return not self.problems

    def require(self) -> None:
        """Do nothing where everything holds.

        Raises:
            ParityFailed: Something does not; the first problem is named.
        """
        if self.problems:
            first = self.problems[0]
            more = f" ({len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            raise ParityFailed(f"{first.where}: {first.what}{more}", hint="Pack the model again.", where=first.where)


def verify_bundle(bundle: Bundle) -> VerifyReport:
    """Compare every file with its digest and answer every sample again.

    What is wrong is reported, not raised: a person wants to see all of it at once.
    """
    files = len(bundle.manifest.files)
    try:
        open_bundle(bundle.folder, bundle.digest)
        said = _answer(bundle)
    except FairleadError as err:
        cause = f" ({err.__cause__})" if err.__cause__ else ""
        where = str(err.values.get("file", "bundle"))
        return VerifyReport(
            bundle.digest, bundle.manifest.road, files, 0, None, (Problem(where, f"{err.detail}{cause}"),)
        )
    expected = bundle.samples.expected
    problems = tuple(
        Problem(f"samples.json, row {row}", difference)
        for row, (then, now) in enumerate(zip(expected, said, strict=True))
        if (difference := answers_differ(bundle.schema, then, now))
    )
    largest = max((answer_distance(then, now) for then, now in zip(expected, said, strict=True)), default=None)
    return VerifyReport(bundle.digest, bundle.manifest.road, files, len(said), largest, problems)


def corrupt(digest: str, road: Road, errors: Sequence[BundleError]) -> VerifyReport:
    """The report on a bundle whose blobs are not the sealed ones; nothing of it is opened."""
    problems = tuple(Problem(str(err.values.get("file", "manifest.json")), err.detail) for err in errors)
    return VerifyReport(digest, road, 0, 0, None, problems)


def answers_differ(schema: Schema, then: Expected, now: Expected) -> str:
    """In words, how an answer differs from the expected one; empty where it does not.

    Labels have to be equal; probabilities, and values relative to their size beyond 1, within the tolerance.
    """
    if schema.output.task == "classification" and then.prediction != now.prediction:
        return f"expected {then.prediction!r}, answered {now.prediction!r}"
    if (then.probabilities is None) != (now.probabilities is None):
        return "probabilities are given on one side only"
    distance = answer_distance(then, now)
    if not distance <= TOLERANCE:
        return f"the answer is off by {distance:.3g}, more than {TOLERANCE:g}"
    return ""


def _answer(bundle: Bundle) -> Sequence[Expected]:
    """The samples, answered by what serves this bundle."""
    samples, schema, layout, graph = bundle.samples, bundle.schema, bundle.layout, bundle.graph
    if len(samples.rows) != len(samples.expected):
        raise BundleError("samples.json has not one answer a row.", file="samples.json")
    if layout is not None and graph is not None:
        outcomes = open_compiled(graph, layout, schema).answer(samples.rows)
        return [Expected(outcome.prediction, outcome.probabilities) for outcome in outcomes]
    return answer_in_worker(bundle, samples.rows)


def answer_distance(then: Expected, now: Expected) -> float:
    """The largest difference of a probability, or of a value relative to its size beyond 1."""
    if then.probabilities is not None and now.probabilities is not None:
        if len(then.probabilities) != len(now.probabilities):
            return math.inf
        return max(
            (abs(one - two) for one, two in zip(then.probabilities, now.probabilities, strict=True)), default=0.0
        )
    return _apart(then.prediction, now.prediction)


def _apart(then: Value, now: Value) -> float:
    """How far two values are apart; labels that are no numbers are not measured."""
    if isinstance(then, str | bool) or isinstance(now, str | bool) or then is None or now is None:
        return 0.0
    return abs(then - now) / max(1.0, abs(then))
