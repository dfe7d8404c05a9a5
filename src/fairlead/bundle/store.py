"""Moves bundles between this machine's disk and the blobs.

A bundle's blobs are its files and its manifest; the manifest's blob is put last and is the bundle's digest, so a bundle that
can be found is complete.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from fairlead.bundle.manifest import Manifest
from fairlead.bundle.reader import MANIFEST, SCHEMA, Bundle, open_bundle, read_manifest
from fairlead.bundle.unfinished import locked
from fairlead.errors import BundleError, DigestMismatch, NotFound, StorageError
from fairlead.schema import Schema
from fairlead.storage.blobs import Blobs
from fairlead.storage.digest import check_digest

__all__ = ["check_bundle", "fetch_bundle", "put_bundle", "stored_manifest", "stored_schema"]


def put_bundle(bundle: Bundle, blobs: Blobs) -> str:
    """Put a sealed bundle into the blobs and return its digest; doing so twice changes nothing.

    Raises:
        DigestMismatch: A file is not the one that was sealed.
        StorageError: A file cannot be read, or the blobs cannot be written.
    """
    for entry in bundle.manifest.files:
        path = bundle.folder / entry.path
        digest = blobs.put_file(path)
        if digest != entry.sha256:
            raise DigestMismatch(
                f"{path} is not the file that was sealed.",
                hint="Pack the model again.",
                digest=entry.sha256,
                got=digest,
            )
    digest = blobs.put_file(bundle.folder / MANIFEST)
    if digest != bundle.digest:
        raise DigestMismatch(
            f"{bundle.folder / MANIFEST} is not the one that was sealed.",
            hint="Pack the model again.",
            digest=bundle.digest,
            got=digest,
        )
    return digest


def stored_manifest(digest: str, blobs: Blobs) -> Manifest:
    """The manifest of a bundle in the blobs; its other files are not looked at.

    Raises:
        BundleError: It is missing or cannot be understood.
        DigestMismatch: It is corrupt.
        StorageError: The blobs cannot be read.
    """
    with _complete(digest):
        return read_manifest(blobs.get(digest), digest)


def stored_schema(digest: str, blobs: Blobs) -> Schema:
    """What a bundle in the blobs takes and gives.

    Raises:
        BundleError: It is missing or cannot be understood.
        DigestMismatch: It is corrupt.
        StorageError: The blobs cannot be read.
    """
    entry = next((one for one in stored_manifest(digest, blobs).files if one.path == SCHEMA), None)
    if entry is None:
        raise BundleError(f"The bundle {digest[:12]} has no schema.", hint="Pack the model again.")
    with _complete(digest):
        content = blobs.get(entry.sha256)
    try:
        return msgspec.json.decode(content, type=Schema)
    except msgspec.DecodeError as err:
        raise BundleError(f"The schema of the bundle {digest[:12]} cannot be read: {err}.") from err


def check_bundle(digest: str, blobs: Blobs) -> list[BundleError]:
    """Read every blob of a bundle; return what is wrong, one error a blob, each naming the file and where its blob lies.

    Raises:
        StorageError: The blobs cannot be read.
    """
    try:
        manifest = stored_manifest(digest, blobs)
    except BundleError as error:
        return [error]
    return [problem for entry in manifest.files if (problem := _problem(entry.path, entry.sha256, blobs)) is not None]


def fetch_bundle(digest: str, blobs: Blobs, cache: Path) -> Path:
    """The folder `cache/<digest>` with the bundle in it, opened and found in order.

    A bundle that lies there already is only checked, and the blobs are not asked; a damaged one is fetched anew. Any number
    of processes may fetch the same one at once.

    Raises:
        BundleError: A blob is missing, or the bundle is not in order.
        DigestMismatch: A blob is corrupt; what was in the cache stays.
        StorageError: The blobs cannot be read, or the cache cannot be written.
    """
    folder = cache / check_digest(digest)
    with suppress(BundleError, StorageError):
        open_bundle(folder, digest)
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{digest[:12]}.", dir=cache))
        lock = locked(fresh)
    except OSError as error:
        raise StorageError(
            f"The cache {cache} cannot be written: {error.strerror}.", hint="Free some space."
        ) from error
    try:
        _materialise(digest, blobs, fresh)
        open_bundle(fresh, digest)
        _swap_in(fresh, folder, digest)
    except OSError as error:
        raise StorageError(
            f"The cache {cache} cannot be written: {error.strerror}.", hint="Free some space."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        os.close(lock)
    return folder


def _materialise(digest: str, blobs: Blobs, folder: Path) -> None:
    manifest = stored_manifest(digest, blobs)
    for entry in manifest.files:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _complete(digest):
            blobs.fetch(entry.sha256, path)
    with _complete(digest):
        blobs.fetch(digest, folder / MANIFEST)


def _swap_in(fresh: Path, folder: Path, digest: str) -> None:
    """Rename the fresh folder to its name; where another process was faster and its bundle is good, leave that."""
    try:
        fresh.rename(folder)
    except OSError:
        with suppress(BundleError, StorageError):
            open_bundle(folder, digest)
            return
        # A damaged folder is moved aside before it is deleted: whoever has it open keeps reading the old files.
        damaged = Path(tempfile.mkdtemp(prefix=".damaged.", dir=folder.parent))
        with suppress(FileNotFoundError):
            folder.rename(damaged / "bundle")
        shutil.rmtree(damaged, ignore_errors=True)
        fresh.rename(folder)
    handle = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _problem(path: str, digest: str, blobs: Blobs) -> BundleError | None:
    try:
        blobs.check(digest)
    except NotFound as error:
        return BundleError(f"{path}: {error.detail}", hint=error.hint, file=path, digest=digest)
    except DigestMismatch as error:
        return DigestMismatch(f"{path}: {error.detail}", hint=error.hint, file=path, **error.values)
    return None


@contextmanager
def _complete(digest: str) -> Iterator[None]:
    """Turn a blob that is not there into a bundle that cannot be used."""
    try:
        yield
    except NotFound as error:
        raise BundleError(
            f"The bundle {digest} is not complete: {error.detail}", hint=error.hint, digest=digest
        ) from error
