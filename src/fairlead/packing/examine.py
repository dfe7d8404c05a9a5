"""Ask the original, try the roads, keep the evidence.

Runs in whatever process holds the model: the user's own for an object, the opener's for a file. It writes nothing and
registers nothing; what it finds leaves as one frozen `Examination`.

```
describe ─▶ schema ─▶ the original's answers ─▶ ir ─▶ graph ─▶ (worker: proven by pack.py, in a process of its own)
                               │                 └─ compile, open with the predictor that serves, compare ─┘
                               └──────────────▶ profile
```
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import msgspec
import numpy as np

from fairlead.bundle.manifest import Attempt, Road, Samples
from fairlead.errors import ConversionUnsupported, FairleadError, InvalidInput
from fairlead.formats import frames, onnx, skl2onnx_graph, sklearn
from fairlead.formats.frames import FrameForm
from fairlead.ir import hardrows
from fairlead.ir.hardrows import unseen_value
from fairlead.ir.parity import Comparison, compare
from fairlead.packing.environment import modules_of
from fairlead.packing.examination import TOLERANCE, Examination, Proof, Say
from fairlead.packing.infer import allow_missing, infer_schema
from fairlead.packing.metrics import classification_metrics, regression_metrics
from fairlead.packing.original import Answers, Original, answer_rows, open_original
from fairlead.packing.profiling import Asked, make_profile, ordered_reference
from fairlead.packing.table import Table, rows_of, spread
from fairlead.predictor.compiled import open_compiled
from fairlead.profiles.profile import NOTHING, Profile
from fairlead.schema import Row, Schema, Sensitivity, Value

__all__ = ["choose_samples", "examine"]

REAL_ROWS = 10_000
"""How many rows of the table are compared at most."""

MEASURED_ROWS = 100_000
"""How many rows of the table the metrics are measured on at most."""

HARD_ROWS = 60_000
"""How many rows on and beside thresholds are compared at most."""

VISIBLE = 1e-9
"""A difference above this is shown row by row, also where it is tolerated."""

SAMPLES = 100
"""How many rows with their answers lie in a bundle at most."""

CHUNK = 4_096
"""Rows of one call, so that memory stays bounded whatever a graph makes of them inside."""


class _Case(msgspec.Struct, frozen=True):
    """What every road is compared on."""

    model: Any
    schema: Schema
    form: FrameForm
    closed: frozenset[str]
    rows: list[Row]
    answers: Answers


def examine(  # noqa: PLR0913 - what is known of a model besides itself and its table
    model: Any,
    table: Table,
    *,
    say: Say,
    measure: bool = True,
    reference: Table | None = None,
    sensitive: Mapping[str, Sensitivity] | None = None,
) -> Examination:
    """Find out what a model takes and gives, and which compiled road gives its answers.

    Args:
        model: A fitted estimator or pipeline, or any object with `predict`.
        table: The table it was trained on, or some hundreds of rows of it.
        say: Told what is being done, a line each.
        measure: Whether metrics are wanted, for which every row is asked, up to 100,000.
        reference: A held-out table for the profile; the training table where it is `None`.
        sensitive: Columns whose values no profile may hold, and what becomes of them elsewhere.

    Raises:
        SchemaMismatch: The table, or the reference, does not fit the model.
        InvalidInput: The object has no `predict`, or answers NaN for a row of the table.
        PredictionFailed: The original cannot answer the table's rows.
    """
    with warnings.catch_warnings():
        # What the frameworks have to say about names, versions and unseen categories is for whoever trains.
        warnings.simplefilter("ignore")
        original = open_original(model, table)
        say(f"{original.model_class}: {len(table.frame):,} rows, {len(original.table.frame.columns)} columns.")
        examination, asked = _examine(original, say, MEASURED_ROWS if measure else REAL_ROWS)
        schema = examination.schema.marked(sensitive or {})
        examination = msgspec.structs.replace(examination, schema=schema)
        say("Counting the profile.")
        return msgspec.structs.replace(examination, profile=_profile(original, examination, asked, reference))


def _examine(original: Original, say: Say, most: int) -> tuple[Examination, Asked]:
    asked = spread(len(original.table.frame), most)
    frame = original.table.frame.iloc[asked]
    answers = original.ask(frame)
    _check_answers(answers)
    schema = infer_schema(
        original.table,
        task=original.task,
        classes=original.classes,
        probabilities=original.probabilities,
        categories=original.categories,
    )
    form = frames.form(original.given(frame), schema)
    schema, closed = _tried(original, schema, form)
    chosen = spread(len(frame), REAL_ROWS)
    rows = rows_of(frame.iloc[chosen], schema.columns)
    case = _Case(original.model, schema, form, closed, rows, answers.take(chosen))
    attempts, proof = _try_roads(case, say)
    examination = Examination(
        original.model_class,
        schema,
        form,
        choose_samples(rows, case.answers),
        attempts,
        proof,
        _metrics(original.table, schema, asked, answers),
        original.params,
        modules_of(original.model),
        len(original.table.frame),
        NOTHING,
    )
    return examination, Asked(asked, answers)


def _profile(original: Original, examination: Examination, asked: Asked, reference: Table | None) -> Profile:
    """The profile of the training table, whose answers are known, or of the reference, whose rows are asked now."""
    schema, proof = examination.schema, examination.proof
    if reference is None:
        return make_profile(original.table, schema, proof, lambda: asked)
    table = ordered_reference(reference, schema)

    def ask() -> Asked:
        positions = spread(len(table.frame), MEASURED_ROWS if proof is None else REAL_ROWS)
        rows = rows_of(table.frame.iloc[positions], schema.columns)
        answers = answer_rows(original.model, rows, schema, examination.form)
        _check_answers(answers)
        return Asked(positions, answers)

    return make_profile(table, schema, proof, ask)


def choose_samples(rows: Sequence[Row], answers: Answers) -> Samples:
    """Up to 100 rows with the original's answers: a complete one first, the labels in turn."""
    complete = [position for position, row in enumerate(rows) if None not in row]
    others = sorted(set(range(len(rows))) - set(complete))
    whole, holed = _in_turn(complete, answers), _in_turn(others, answers)
    # The answers to rows with missing entries shall be proven, too: a tenth of the samples is theirs where there are any.
    first = whole[: SAMPLES - min(len(holed), SAMPLES // 10)]
    kept = [*first, *holed[: SAMPLES - len(first)]]
    return Samples(tuple(rows[position] for position in kept), answers.take(kept).expected())


def _in_turn(positions: Sequence[int], answers: Answers) -> list[int]:
    """The positions, labels taking turns; numbers, which hardly repeat, are spread evenly instead."""
    if answers.probabilities is None and len({answers.labels[one] for one in positions}) > SAMPLES:
        return [positions[one] for one in spread(len(positions), SAMPLES)]
    groups: dict[Value, list[int]] = defaultdict(list)
    for position in positions:
        groups[answers.labels[position]].append(position)
    return [one for turn in zip_longest(*groups.values()) for one in turn if one is not None]


def _check_answers(answers: Answers) -> None:
    """Refuse a model that answers a row of its own table with NaN or an infinity."""
    for row, label in enumerate(answers.labels):
        if label is None or (isinstance(label, float) and not math.isfinite(label)):
            raise InvalidInput(
                f"The model's answer to row {row} of the table is no finite value.",
                hint="Check what the model does with this row.",
                row=row,
            )
    if answers.probabilities is not None and not np.isfinite(answers.probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(answers.probabilities).all(axis=1))[0])
        raise InvalidInput(f"The model gives row {row} of the table a probability of NaN.", row=row)


def _tried(original: Original, schema: Schema, form: FrameForm) -> tuple[Schema, frozenset[str]]:
    """What only the model can tell, by asking: the schema with nullable columns, and the columns closed to unseen values.

    A column may be missing where it was in the table, or where the original answers without it.
    """
    row = rows_of(original.table.frame.head(1), schema.columns)[0]

    def answered(changes: dict[int, Value]) -> set[int]:
        """The positions whose change the original answers: asked together, and one by one where that fails."""
        rows = [(*row[:position], entry, *row[position + 1 :]) for position, entry in changes.items()]
        if not rows or _answers(original.model, rows, schema, form):
            return set(changes)
        pairs = zip(changes, rows, strict=True)
        return {position for position, changed in pairs if _answers(original.model, [changed], schema, form)}

    columns = dict(enumerate(schema.columns))
    nullable = answered({position: None for position, one in columns.items() if not one.nullable})
    unseen: dict[int, Value] = {
        position: unseen_value(one.categories)
        for position, one in columns.items()
        if one.categories and one.type != "boolean"
    }
    closed = set(unseen) - answered(unseen)
    return (
        allow_missing(schema, {columns[position].name for position in nullable}),
        frozenset(columns[position].name for position in closed),
    )


def _answers(model: Any, rows: Sequence[Row], schema: Schema, form: FrameForm) -> bool:
    """Whether the original gives finite answers to rows."""
    try:
        _check_answers(answer_rows(model, rows, schema, form))
    except FairleadError:
        return False
    return True


def _metrics(table: Table, schema: Schema, asked: Sequence[int], answers: Answers) -> dict[str, float]:
    """How well the answers meet the target; nothing where none was given."""
    if table.target is None:
        return {}
    truth = table.target.iloc[list(asked)].tolist()
    if schema.output.task == "regression":
        return regression_metrics(truth, answers.labels)
    return classification_metrics(truth, answers.labels, answers.probabilities, schema.output.classes)


def _try_roads(case: _Case, say: Say) -> tuple[tuple[Attempt, ...], Proof | None]:
    """Try the compiled roads in order until one is proven."""
    attempts: list[Attempt] = []
    for road, make in _ROADS:
        say(f"Trying the road {road!r}.")
        try:
            proof, hard = make(case)
        except ConversionUnsupported as err:
            attempts.append(Attempt(road, proven=False, reason=str(err.detail)))
            continue
        except Exception as err:  # noqa: BLE001 - whatever a converter meets in a foreign model only closes its road
            attempts.append(Attempt(road, proven=False, reason=f"{type(err).__name__}: {_first_line(err)}"))
            continue
        attempt = _compare(case, proof, hard)
        attempts.append(attempt)
        if attempt.proven:
            return tuple(attempts), proof
    return tuple(attempts), None


def _by_ir(case: _Case) -> tuple[Proof, list[Row]]:
    """Take the model apart, compile it to one node; its thresholds give the hard rows."""
    model = sklearn.read(case.model, case.schema, case.form)
    compiled = onnx.compile_model(model)
    hard = hardrows.hard_rows(model, case.rows, HARD_ROWS)
    return Proof("ir", compiled.graph, compiled.layout, model), hard


def _by_graph(case: _Case) -> tuple[Proof, list[Row]]:
    """Convert the model to a general graph; only the schema gives hard rows."""
    compiled = skl2onnx_graph.convert(case.model, case.schema)
    hard = hardrows.hard_rows_of_schema(case.schema, case.rows, HARD_ROWS, case.closed)
    return Proof("graph", compiled.graph, compiled.layout), hard


_ROADS: tuple[tuple[Road, Callable[[_Case], tuple[Proof, list[Row]]]], ...] = (("ir", _by_ir), ("graph", _by_graph))
"""The compiled roads in the order of preference."""


def _compare(case: _Case, proof: Proof, hard: list[Row]) -> Attempt:
    """Answer real and hard rows by the predictor that serves, and compare with the original."""
    rows = [*case.rows, *hard]
    try:
        expected = (
            _joined(case.answers, answer_rows(case.model, hard, case.schema, case.form)) if hard else case.answers
        )
        said = _answer_compiled(proof, rows, case.schema)
        found = _difference(case.schema, expected, said)
    except FairleadError as err:
        cause = f" ({_first_line(err.__cause__)})" if err.__cause__ else ""
        return Attempt(proof.road, proven=False, reason=f"{err.detail}{cause}")
    # Differences in the last bits are no news; the rows are named where a person would see the difference.
    worst = found.worst if not found.proven or found.largest_difference > VISIBLE else ()
    return Attempt(
        proof.road,
        proven=found.proven,
        reason="proven" if found.proven else f"{found.differing:,} of {found.rows:,} rows are answered differently.",
        real_rows=len(case.rows),
        hard_rows=len(hard),
        largest_difference=found.largest_difference,
        label_agreement=found.label_agreement,
        worst_rows=tuple(_in_words(case.schema, rows[one], expected, said, one) for one in worst),
    )


def _joined(first: Answers, second: Answers) -> Answers:
    if first.probabilities is None:
        return Answers([*first.labels, *second.labels], None)
    return Answers([*first.labels, *second.labels], np.concatenate([first.probabilities, second.probabilities]))


def _answer_compiled(proof: Proof, rows: Sequence[Row], schema: Schema) -> Answers:
    """Answer rows by the predictor that serves, a chunk at a time.

    Raises:
        BundleError: It cannot open the graph.
        PredictionFailed: It fails on a row.
    """
    predictor = open_compiled(proof.graph, proof.layout, schema)
    chunks = (predictor.answer(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK))
    outcomes = list(chain.from_iterable(chunks))
    given = bool(outcomes) and outcomes[0].probabilities is not None
    return Answers(
        [outcome.prediction for outcome in outcomes],
        np.array([outcome.probabilities for outcome in outcomes], dtype=np.float64) if given else None,
    )


def _difference(schema: Schema, expected: Answers, said: Answers) -> Comparison:
    """How far two lots of answers are apart; labels are compared for a classification, numbers for both."""
    if schema.output.task == "regression":
        return compare(np.array(expected.labels), np.array(said.labels), tolerance=TOLERANCE)
    nothing = np.zeros((len(expected.labels), 1))
    numbers = (nothing, nothing) if expected.probabilities is None else (expected.probabilities, said.probabilities)
    return compare(*numbers, tolerance=TOLERANCE, expected_labels=expected.labels, got_labels=said.labels)


def _in_words(schema: Schema, row: Row, expected: Answers, said: Answers, position: int) -> str:
    """A row that differs, for people."""
    entries = ", ".join(
        f"{name} = {'missing' if entry is None else repr(entry)}" for name, entry in zip(schema.names, row, strict=True)
    )
    return f"{entries}: the original said {_said(expected, position)}, compiled said {_said(said, position)}"


def _said(answers: Answers, position: int) -> str:
    label = repr(answers.labels[position])
    if answers.probabilities is None:
        return label
    return f"{label} ({', '.join(f'{one:.9g}' for one in answers.probabilities[position].tolist())})"


def _first_line(err: BaseException) -> str:
    """The start of an error's text."""
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:200]
