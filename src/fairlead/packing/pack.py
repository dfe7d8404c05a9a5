"""Packing: from a model and its table to a sealed bundle.

```
table ─▶ examine (here for an object, in the opener for a file) ─▶ worker proven, where no compiled road is
      ─▶ files laid out ─▶ sealed ─▶ every sample answered again ─▶ Bundle
```

The folder appears whole under its name or not at all, and nothing here knows a registry: `app.py` publishes.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fairlead.bundle.manifest import Attempt, ParityReport, Road
from fairlead.bundle.reader import Bundle, open_bundle
from fairlead.bundle.seal import seal
from fairlead.errors import Conflict, InvalidInput, NotFound, ParityFailed, StorageError
from fairlead.formats import pickled
from fairlead.ir.model import to_json
from fairlead.packing import isolation
from fairlead.packing.environment import describe_environment, git_commit
from fairlead.packing.examination import TOLERANCE, Examination, Say
from fairlead.packing.metrics import check_metrics
from fairlead.packing.plots import take_plots
from fairlead.packing.table import Table, plain_value, take_table
from fairlead.packing.verify import answer_distance, answers_differ, verify_bundle
from fairlead.refs import check_name
from fairlead.schema import Value

__all__ = ["Limits", "pack"]

LARGEST_ORIGINAL = 4 * 2**30
"""The most bytes of a model's file."""


class Limits(msgspec.Struct, frozen=True):
    """What the process that opens a model's file may use.

    Attributes:
        memory: Address space, in bytes.
        seconds: Time, by the clock on the wall.
    """

    memory: int = isolation.MEMORY
    seconds: float = isolation.SECONDS


def pack(  # noqa: PLR0913 - a version's facts, each optional but three; `fairlead.pack` has the same names
    model: Any,
    *,
    name: str,
    data: Any,
    target: Any,
    to: Path,
    metrics: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    plots: Mapping[str, Any] | Iterable[Any] | None = None,
    description: str = "",
    limits: Limits | None = None,
    say: Say = lambda _: None,
) -> Bundle:
    """Seal a model as a bundle.

    Args:
        model: A fitted estimator or pipeline, an object with `predict`, or the path of a file that holds one. A file is
            only ever opened in a process of its own.
        name: The model's name.
        data: The table it was trained on; see `take_table`.
        target: The target's column by name, or its entries; `None` where there is none.
        to: The bundle's folder; it must not exist yet.
        metrics: How good it is; measured on `data`, and labelled so, where it is `None`.
        params: What it was trained with; its own `get_params()` where it is `None`.
        plots: matplotlib figures or PNG and SVG files, in a row or by name.
        description: For people.
        limits: Of the process that opens a file.
        say: Told what is being done, a line each.

    Raises:
        BadReference: `name` is none.
        BundleError: The file crashed, hung or ate its process, or the bundle does not answer as it was sealed.
        Conflict: `to` exists.
        FormatUnknown: The file is no model's.
        InvalidInput: The table, a metric or a plot cannot be taken.
        NotFound: There is no such file.
        ParityFailed: Not even the reopened original gives its own answers.
        PredictionFailed: The model cannot answer its own table.
        SchemaMismatch: The table does not fit the model.
        StorageError: The bundle cannot be written.
    """
    check_name(name, "model")
    given = _Given(
        name,
        None if metrics is None else check_metrics(metrics),
        None if params is None else {str(key): _plain(value) for key, value in params.items()},
        take_plots(plots),
        description,
        limits or Limits(),
        say,
    )
    if to.exists():
        raise Conflict(f"{str(to)!r} exists already.", hint="A bundle never changes; name another folder.")
    table = take_table(data, target)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as work:
            bundle = _lay_out(model, table, given, Path(work) / "bundle")
            Path(bundle.folder).rename(to)
    except OSError as err:
        raise StorageError(f"{to} cannot be written: {err.strerror}.", hint="Free some space.") from err
    return open_bundle(to, bundle.digest)


class _Given(msgspec.Struct, frozen=True):
    """What the author says of a version, checked, and what packing may use."""

    name: str
    metrics: dict[str, float] | None
    params: dict[str, Value] | None
    plots: dict[str, bytes]
    description: str
    limits: Limits
    say: Say


def _lay_out(model: Any, table: Table, given: _Given, folder: Path) -> Bundle:
    """Examine, write every file, seal, and let the sealed bundle prove itself."""
    say, limits = given.say, given.limits
    (folder / "model").mkdir(parents=True)
    if isinstance(model, str | Path):
        original = _copy(Path(model), folder / "model")
        say(f"Opening {Path(model).name} in a process of its own.")
        examination = isolation.examine_apart(original, table, memory=limits.memory, seconds=limits.seconds)
    else:
        from fairlead.packing.examine import examine  # imports the frameworks, which a file's road leaves to the opener

        examination = examine(model, table, say=say)
        original = _save(model, folder / "model" / "original.pkl", examination.modules)
    attempts = examination.attempts
    if examination.proof is None:
        say("No compiled road is proven: the original will answer, in a worker.")
        attempts = (*attempts, _prove_worker(original, examination, limits))
    road: Road = "worker" if examination.proof is None else examination.proof.road
    _write(folder, examination, ParityReport(road, TOLERANCE, attempts))
    commit = git_commit(Path.cwd())
    _write_facts(folder, examination, table, given, dirty=commit.dirty)
    bundle = seal(
        folder,
        name=given.name,
        format="pickle",
        model_class=examination.model_class,
        road=road,
        git_commit=commit.commit,
    )
    say("Answering the samples from the sealed bundle.")
    verify_bundle(bundle).require()
    return bundle


def _copy(path: Path, folder: Path) -> Path:
    """The model's file, copied as bytes: what is examined is what is sealed, whatever becomes of the file meanwhile."""
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.", hint="Give the path of a saved model.", path=str(path))
    if path.stat().st_size > LARGEST_ORIGINAL:
        raise InvalidInput(
            f"{path.name!r} has more than {LARGEST_ORIGINAL // 2**30} GiB.", hint="Save a smaller model."
        )
    copied = folder / f"original{path.suffix.lower() if path.suffix.lower() in ('.pkl', '.joblib') else '.pkl'}"
    shutil.copyfile(path, copied)
    return copied


def _save(model: Any, path: Path, modules: Iterable[str]) -> Path:
    """The object, saved so that a process that knows none of the user's own modules can open it."""
    del modules
    pickled.save(model, path)
    return path


def _prove_worker(original: Path, examination: Examination, limits: Limits) -> Attempt:
    """Reopen the saved original in a process of its own and let it answer the samples.

    Raises:
        BundleError: It cannot be opened there.
        ParityFailed: It answers differently; then there is no road at all.
    """
    samples = examination.samples
    said = isolation.answer_apart(
        original, examination.schema, examination.dtypes, samples.rows, memory=limits.memory, seconds=limits.seconds
    )
    differences = [answers_differ(examination.schema, *pair) for pair in zip(samples.expected, said, strict=True)]
    rows = [row for row, difference in enumerate(differences) if difference]
    if rows:
        raise ParityFailed(
            f"Reopened in a process of its own, the model answers {len(rows)} of {len(said)} rows differently; "
            f"row {rows[0]}: {differences[rows[0]]}.",
            hint="A model whose answers are drawn by chance, or that depends on something outside itself, cannot be packed.",
            row=rows[0],
        )
    distances = [answer_distance(*pair) for pair in zip(samples.expected, said, strict=True)]
    return Attempt(
        "worker",
        proven=True,
        reason="proven",
        real_rows=len(said),
        largest_difference=max(distances),
        label_agreement=1.0 if examination.schema.output.task == "classification" else None,
    )


def _write(folder: Path, examination: Examination, parity: ParityReport) -> None:
    """What serving needs."""
    _json(folder / "schema.json", examination.schema)
    _json(folder / "samples.json", examination.samples)
    _json(folder / "parity.json", parity)
    _json(folder / "environment.json", describe_environment(examination.modules, examination.dtypes))
    proof = examination.proof
    if proof is None:
        return
    (folder / "compiled").mkdir()
    (folder / "compiled" / "graph.onnx").write_bytes(proof.graph)
    _json(folder / "compiled" / "layout.json", proof.layout)
    if proof.ir is not None:
        (folder / "compiled" / "ir.json").write_bytes(to_json(proof.ir))


def _write_facts(folder: Path, examination: Examination, table: Table, given: _Given, *, dirty: bool) -> None:
    """What people want to know."""
    metadata = folder / "metadata"
    (metadata / "plots").mkdir(parents=True)
    measured = {f"{name} (training table)": value for name, value in examination.metrics.items()}
    _json(metadata / "metrics.json", measured if given.metrics is None else given.metrics)
    _json(metadata / "params.json", examination.params if given.params is None else given.params)
    _json(
        metadata / "data.json",
        {
            "source": table.source,
            "rows": examination.rows,
            "columns": len(examination.schema.columns),
            "target": table.target_name,
            "sha256": table.digest,
            "metrics": "measured on the training table" if given.metrics is None else "given by the author",
            "description": given.description,
            "uncommitted_changes": dirty,
        },
    )
    for name, content in given.plots.items():
        (metadata / "plots" / name).write_bytes(content)


def _json(path: Path, value: Any) -> None:
    """One file of data, people may read it."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))


def _plain(value: Any) -> Value:
    """A parameter as the author gave it; what is no JSON value becomes text."""
    plain = plain_value(value)
    if plain is None or (isinstance(plain, float) and not math.isfinite(plain)):
        return None if value is None else str(value)[:200]
    return plain
