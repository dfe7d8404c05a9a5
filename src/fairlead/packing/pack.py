"""Packing: from a model and its table to a sealed bundle.

```
table ─▶ examine (here for an object, in the opener for a file) ─▶ files laid out ─▶ sealed
      ─▶ every sample answered again, by the graph or by a worker ─▶ Bundle
```

The folder appears whole under its name or not at all, and nothing here knows a registry: `app.py` publishes.
"""

from __future__ import annotations

import math
import pickle
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec

from fairlead.bundle.manifest import Attempt, ParityReport
from fairlead.bundle.reader import HELD_OUT, MANIFEST, PROFILE, Bundle, list_files, open_bundle
from fairlead.bundle.seal import seal
from fairlead.errors import BundleError, Conflict, InvalidInput, NotFound, ParityFailed, StorageError
from fairlead.formats import pickled
from fairlead.ir.model import to_json
from fairlead.packing import isolation
from fairlead.packing.environment import describe_environment, distributions, git_commit, modules_of
from fairlead.packing.examination import TOLERANCE, Examination, Say
from fairlead.packing.metrics import check_metrics
from fairlead.packing.plots import take_plots
from fairlead.packing.table import Table, plain_value, take_reference, take_table
from fairlead.packing.verify import verify_bundle
from fairlead.profiles.codec import to_bytes
from fairlead.refs import check_name
from fairlead.schema import Sensitivity, Value, check_sensitive
from fairlead.storage.digest import file_digest

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
    descriptions: Mapping[str, str] | None = None,
    reference: Any = None,
    sensitive: Mapping[str, Any] | None = None,
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
        descriptions: What each column means, by name, and under the target's name what is predicted; for the end user's page.
        reference: A held-out table for the profile, which training rows would flatter; see `take_reference`.
        sensitive: Columns that the archive of events keeps as a keyed digest, or not at all: "hash" or "drop", by name.
        limits: Of the process that opens a file.
        say: Told what is being done, a line each.

    Raises:
        BundleError: The file crashed, hung, ate its process or is no model's, or not even the reopened original gives its
            own answers.
        Conflict: `to` exists.
        InvalidInput: The name, the table, a metric or a plot cannot be taken, or the table does not fit the model.
        NotFound: There is no such file.
        PredictionFailed: The model cannot answer its own table.
        StorageError: The bundle cannot be written.
    """
    given = _Given(
        check_name(name, "model"),
        None if metrics is None else check_metrics(metrics),
        None if params is None else {str(key): _plain(value) for key, value in params.items()},
        take_plots(plots),
        description,
        dict(descriptions or {}),
        limits or Limits(),
        say,
        None if reference is None else take_reference(reference, target),
        check_sensitive(sensitive or {}),
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
    descriptions: dict[str, str]
    limits: Limits
    say: Say
    reference: Table | None
    sensitive: dict[str, Sensitivity]


def _lay_out(model: Any, table: Table, given: _Given, folder: Path) -> Bundle:
    """Examine, write every file, seal, and let the sealed bundle prove itself."""
    say = given.say
    (folder / "model").mkdir(parents=True)
    if isinstance(model, str | Path):
        examination = _examine_file(Path(model), table, given, folder)
    else:
        from fairlead.packing.examine import examine  # imports the frameworks, which a file's road leaves to the opener

        examination = examine(
            model,
            table,
            say=say,
            measure=given.metrics is None,
            reference=given.reference,
            sensitive=given.sensitive,
        )
        _save(model, folder / "model" / "original.pkl", examination.modules)
    schema = examination.schema.marked(given.sensitive).described(given.descriptions)
    examination = msgspec.structs.replace(examination, schema=schema)
    for attempt in examination.attempts:
        say(f"Road {attempt.road!r}: {attempt.reason}")
    report = ParityReport("worker", TOLERANCE, examination.attempts)
    if examination.proof is not None:
        report = ParityReport(examination.proof.road, TOLERANCE, examination.attempts)
    commit = git_commit(Path.cwd())
    _write(folder, examination)
    _write_facts(folder, examination, table, given, dirty=commit.dirty)
    bundle = _seal(folder, report, given, examination, commit.commit)
    if examination.proof is not None:
        say("Answering the samples from the sealed bundle.")
        verify_bundle(bundle).require()
        return bundle
    say("No compiled road is proven: the original will answer, in a worker. Reopening it there.")
    proof = _prove_worker(bundle)
    (folder / MANIFEST).unlink()  # that seal was a draft for the worker; the evidence belongs under the final one
    report = ParityReport("worker", TOLERANCE, (*report.attempts, proof))
    return _seal(folder, report, given, examination, commit.commit)


def _seal(folder: Path, report: ParityReport, given: _Given, examination: Examination, commit: str) -> Bundle:
    """Write the parity report and seal."""
    _json(folder / "parity.json", report)
    return seal(
        folder,
        name=given.name,
        format="pickle",
        model_class=examination.model_class,
        road=report.road,
        git_commit=commit,
    )


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


def _examine_file(path: Path, table: Table, given: _Given, folder: Path) -> Examination:
    """Copy the file and examine the copy in a process of its own.

    Raises:
        BundleError: The file, once opened, changed its copy or put something beside it.
    """
    original = _copy(path, folder / "model")
    digest = file_digest(original)
    given.say(f"Opening {path.name} in a process of its own.")
    examination = isolation.examine_apart(
        original,
        table,
        measure=given.metrics is None,
        reference=given.reference,
        sensitive=given.sensitive,
        memory=given.limits.memory,
        seconds=given.limits.seconds,
    )
    # The opener runs as the same user; what it could reach is looked at again before it is sealed.
    if (
        list(list_files(folder)) != [(original.relative_to(folder).as_posix(), original)]
        or file_digest(original) != digest
    ):
        raise BundleError("Opening the model changed the files that were to be sealed.", hint="Do not trust this file.")
    return examination


def _save(model: Any, path: Path, modules: Iterable[str]) -> None:
    """Save the object so that a process that knows none of the user's own modules can open it.

    A class of an installed package is saved by its name, as pickle does. One of a script or module of the user's own is
    saved with its code, because no other machine has that file.
    """
    own: set[str] = set()
    found = set(modules)
    try:
        # A file of the user's own may use another one: look again until nothing new turns up.
        while new := {name for name in found - own if name not in distributions() and name in sys.modules}:
            for name in new:
                cloudpickle.register_pickle_by_value(sys.modules[name])
            own |= new
            found = set(modules_of(model))
        if not own:
            pickled.save(model, path)
        else:
            path.write_bytes(cloudpickle.dumps(model, protocol=5))
    except (pickle.PicklingError, TypeError, AttributeError):
        # What cannot go by value, such as a compiled extension, may still go by name.
        pickled.save(model, path)
    finally:
        for name in own:
            cloudpickle.unregister_pickle_by_value(sys.modules[name])


def _prove_worker(draft: Bundle) -> Attempt:
    """Let the saved original answer the samples in the worker that would serve it.

    Raises:
        ParityFailed: It cannot be reopened, or answers differently; then there is no road at all.
    """
    found = verify_bundle(draft)
    if not found.holds:
        first = found.problems[0]
        raise ParityFailed(
            f"Reopened in a worker, the model does not give its own answers: {first.where}: {first.what}",
            hint="A model whose answers are drawn by chance, or that needs something outside itself, cannot be packed.",
        )
    return Attempt(
        "worker",
        proven=True,
        reason="proven",
        real_rows=found.samples,
        largest_difference=found.largest_difference,
        label_agreement=1.0 if draft.schema.output.task == "classification" else None,
    )


def _write(folder: Path, examination: Examination) -> None:
    """What serving needs."""
    _json(folder / "schema.json", examination.schema)
    _json(folder / "samples.json", examination.samples)
    (folder / PROFILE).write_bytes(to_bytes(examination.profile))
    _json(folder / "environment.json", describe_environment(examination.modules, examination.form))
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
            **_profiled(given.reference or table, examination, held_out=given.reference is not None),
            "description": given.description,
            "uncommitted_changes": dirty,
        },
    )
    for name, content in given.plots.items():
        (metadata / "plots" / name).write_bytes(content)


def _profiled(table: Table, examination: Examination, *, held_out: bool) -> dict[str, Value]:
    """Of which table the profile is, and of how many of its rows."""
    return {
        "profile": HELD_OUT if held_out else "training table",
        "profile_rows": examination.profile.rows,
        "profile_source": table.source,
        "profile_sha256": table.digest,
    }


def _json(path: Path, value: Any) -> None:
    """One file of data, people may read it."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))


def _plain(value: Any) -> Value:
    """A parameter as the author gave it; what is no JSON value becomes text."""
    plain = plain_value(value)
    if plain is None or (isinstance(plain, float) and not math.isfinite(plain)):
        return None if value is None else str(value)[:200]
    return plain
