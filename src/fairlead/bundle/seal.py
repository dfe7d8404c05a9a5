"""Seals a folder: its manifest is written last, and the manifest's digest is the bundle's."""

from __future__ import annotations

import hashlib
import os
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from fairlead.bundle.manifest import FORMAT_VERSION, FileEntry, Manifest, Road
from fairlead.bundle.reader import MANIFEST, Bundle, list_files
from fairlead.errors import BundleError, StorageError
from fairlead.refs import check_name
from fairlead.storage.digest import file_digest

__all__ = ["seal"]

_NEEDED = ("environment.json", "parity.json", "samples.json", "schema.json")
_NEEDED_COMPILED = ("compiled/graph.onnx", "compiled/layout.json")


def seal(  # noqa: PLR0913 - the manifest's facts, each by its name
    folder: Path,
    *,
    name: str,
    format: str,  # noqa: A002 - the manifest's own word
    model_class: str,
    road: Road,
    git_commit: str,
    created: float | None = None,
) -> Bundle:
    """Write the manifest of a finished folder.

    Args:
        folder: What packing has laid out; nothing in it may change any more.
        name: The model's name.
        format: How the original is stored: "pickle".
        model_class: The original's class, for people.
        road: How it answers.
        git_commit: Of the working folder; empty outside a repository.
        created: Seconds since 1970 (UTC); now where it is `None`.

    Raises:
        BadReference: `name` is none.
        BundleError: The folder is sealed already, lacks a file that every bundle has, or holds a link or an odd name.
        StorageError: The folder cannot be read or written.
    """
    check_name(name, "model")
    files = sorted(list_files(folder))
    _check_complete({path for path, _ in files}, folder, road)
    try:
        entries = tuple(FileEntry(path, file.stat().st_size, file_digest(file)) for path, file in files)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            name=name,
            created=time.time() if created is None else created,
            created_with=_version(),
            format=format,
            model_class=model_class,
            road=road,
            git_commit=git_commit,
            files=entries,
        )
        content = msgspec.json.encode(manifest, order="deterministic")
        _write_new(folder / MANIFEST, content)
    except OSError as error:
        raise StorageError(f"{error.filename or folder} cannot be read or written: {error.strerror}.") from error
    return Bundle(folder, hashlib.sha256(content).hexdigest(), manifest)


def _check_complete(paths: set[str], folder: Path, road: Road) -> None:
    if MANIFEST in paths:
        raise BundleError(f"{folder} is sealed already.", hint="A bundle never changes; pack into another folder.")
    needed = _NEEDED if road == "worker" else _NEEDED + _NEEDED_COMPILED
    missing = sorted(set(needed) - paths)
    if not any(path.startswith("model/") for path in paths):
        missing.append("model/…")
    if missing:
        raise BundleError(f"{folder} cannot be sealed: it lacks {', '.join(missing)}.", hint="Pack the model again.")
    folded = {path.casefold() for path in paths}
    if len(folded) != len(paths):
        raise BundleError(f"{folder} cannot be sealed: two of its files differ only in case.", hint="Rename one.")


def _version() -> str:
    # Not from `fairlead`, the package's face, which knows the rooms above this one.
    try:
        return version("fairlead")
    except PackageNotFoundError:
        return "uninstalled"


def _write_new(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
