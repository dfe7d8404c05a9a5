"""Opens a sealed bundle: nothing in it is believed before its digest has been seen to hold.

A gateway opens bundles at its start, so this module imports neither the object store nor the database.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from fairlead.bundle.manifest import FORMAT_VERSION, FileEntry, Manifest, ParityReport, Samples
from fairlead.errors import BadReference, BundleError, DigestMismatch, InvalidInput, StorageError
from fairlead.formats.layout import Layout
from fairlead.refs import check_name
from fairlead.schema import Schema
from fairlead.storage.digest import check_digest

if TYPE_CHECKING:
    from fairlead.profiles.profile import Profile

__all__ = [
    "HELD_OUT",
    "MANIFEST",
    "PROFILE",
    "Bundle",
    "Metadata",
    "check_path",
    "list_files",
    "open_bundle",
    "read_manifest",
]

MANIFEST = "manifest.json"
HELD_OUT = "held-out table"
"""How the metadata name the profile's table where it is not the training table."""

SCHEMA = "schema.json"
PROFILE = "profile.json.gz"

# A manifest is read whole before it is understood; nobody's bundle has a hundred thousand files.
_MANIFEST_BYTES = 16 * 2**20

_T = TypeVar("_T")


class Metadata(msgspec.Struct, frozen=True):
    """What people want to know of a bundle and nothing depends on.

    Attributes:
        metrics: What was measured.
        params: What the model was trained with.
        data: Of the table it was packed with.
        plots: The pictures' paths in the bundle.
    """

    metrics: dict[str, Any] = {}
    params: dict[str, Any] = {}
    data: dict[str, Any] = {}
    plots: tuple[str, ...] = ()


class Bundle(msgspec.Struct, frozen=True):
    """A sealed model on this machine's disk, whose files were seen to be those that were sealed.

    Attributes:
        folder: Where it lies.
        digest: SHA-256 of the manifest's bytes.
        manifest: What it holds.
    """

    folder: Path
    digest: str
    manifest: Manifest

    @property
    def schema(self) -> Schema:
        """What the model takes and gives."""
        return self._decode(SCHEMA, Schema)

    @property
    def samples(self) -> Samples:
        """Rows with the original's answers."""
        return self._decode("samples.json", Samples)

    @property
    def parity(self) -> ParityReport:
        """Which road is served, and the evidence."""
        return self._decode("parity.json", ParityReport)

    @property
    def layout(self) -> Layout | None:
        """How rows become the graph's tensors; `None` where the original answers in a worker."""
        return (
            None
            if self.manifest.road == "worker"
            else self._decode("compiled/layout.json", cast("type[Layout]", Layout))
        )

    @property
    def graph(self) -> bytes | None:
        """The ONNX graph; `None` where the original answers in a worker."""
        return None if self.manifest.road == "worker" else self._read("compiled/graph.onnx")

    @property
    def original(self) -> Path:
        """The original as it was saved: the one file in `model/`, else that folder. Opening it may run its code."""
        files = [entry.path for entry in self.manifest.files if entry.path.startswith("model/")]
        return self.folder / (files[0] if len(files) == 1 else "model")

    @property
    def profile(self) -> Profile | None:
        """What the table of its training, or a held-out one, looked like, in counts; `None` in bundles of before there were profiles.

        Raises:
            BundleError: What was sealed is no profile that this Fairlead reads.
        """
        if not self._has(PROFILE):
            return None
        from fairlead.profiles.codec import from_bytes  # numpy, which reading a manifest does not need

        try:
            return from_bytes(self._read(PROFILE))
        except InvalidInput as error:
            raise BundleError(f"{PROFILE} of the bundle {self.digest}: {error.detail}", file=PROFILE) from error

    @property
    def held_out(self) -> bool:
        """Whether the profile is of rows that the model was not trained on."""
        return self.metadata.data.get("profile") == HELD_OUT

    @property
    def environment(self) -> dict[str, Any]:
        """Where it was packed: python, packages, platform."""
        return self._decode("environment.json", dict[str, Any])

    @property
    def metadata(self) -> Metadata:
        """What people want to know of it; empty where nothing was given."""
        parts = {
            part: self._decode(f"metadata/{part}.json", dict[str, Any])
            for part in ("metrics", "params", "data")
            if self._has(f"metadata/{part}.json")
        }
        plots = tuple(entry.path for entry in self.manifest.files if entry.path.startswith("metadata/plots/"))
        return Metadata(plots=plots, **parts)

    def _has(self, path: str) -> bool:
        return any(entry.path == path for entry in self.manifest.files)

    def _read(self, path: str) -> bytes:
        if not self._has(path):
            raise BundleError(f"The bundle {self.digest} has no {path}.", hint="Pack the model again.", file=path)
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise StorageError(f"{self.folder / path} cannot be read: {error.strerror}.") from error

    def _decode(self, path: str, kind: type[_T]) -> _T:
        return _decoded(self._read(path), kind, f"{path} of the bundle {self.digest}")


def open_bundle(folder: Path, digest: str | None = None) -> Bundle:
    """Open a sealed folder and compare everything in it with its manifest.

    Args:
        folder: Where it lies.
        digest: What the manifest must have; anything where it is `None`.

    Raises:
        BundleError: It has no manifest, one that cannot be understood or is too new, a file too many, a link, a name that no
            file may have.
        DigestMismatch: The manifest or a file is not the one that was sealed; the message names it.
        StorageError: It cannot be read.
    """
    content = _manifest_bytes(folder)
    found = hashlib.sha256(content).hexdigest()
    if digest is not None and found != check_digest(digest):
        raise DigestMismatch(
            f"{folder / MANIFEST} is not the one that was sealed: its digest is {found}, not {digest}.",
            hint="Fetch the bundle again, or pack the model again.",
            digest=digest,
            got=found,
        )
    manifest = read_manifest(content, str(folder))
    _compare(folder, manifest)
    return Bundle(folder, found, manifest)


class _Header(msgspec.Struct):
    format_version: int


def read_manifest(content: bytes, where: str) -> Manifest:
    """Understand a manifest's bytes; nothing on the disk is looked at.

    Args:
        content: The bytes.
        where: Whose they are, for messages.

    Raises:
        BundleError: They are none, too new, or name a path that no bundle may hold.
    """
    version = _decoded(content, _Header, f"The manifest of {where}").format_version
    if version > FORMAT_VERSION:
        raise BundleError(
            f"The bundle {where} has format {version}; this Fairlead reads formats up to {FORMAT_VERSION}.",
            hint="Install the Fairlead that sealed it, or a newer one.",
            format_version=version,
        )
    manifest: Manifest = _decoded(content, Manifest, f"The manifest of {where}")
    if version < 1:
        raise BundleError(f"The bundle {where} has format {version}; formats count from 1.")
    try:
        check_name(manifest.name, "model")
        for entry in manifest.files:
            check_digest(entry.sha256)
    except BadReference as error:
        raise BundleError(f"The manifest of {where} is not in order: {error.detail}") from error
    _check_paths([entry.path for entry in manifest.files])
    return manifest


def check_path(path: str) -> str:
    """Return `path` if a file in a bundle may have it: relative, with forward slashes, the same on every file system.

    Raises:
        BundleError: It may not.
    """
    parts = path.split("/")
    odd = (
        not path.isprintable()
        or len(path.encode()) > 512
        or any(character in '\\:*?"<>|' for character in path)
        or any(not part or part[0] in " .-" or part[-1] in " ." or len(part.encode()) > 200 for part in parts)
    )
    if odd:
        raise BundleError(
            f"No file of a bundle may be called {path[:200]!r}.",
            hint="Use relative names with forward slashes, of letters, digits, '.', '_' and '-'.",
            file=path[:200],
        )
    return path


def list_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder by its path in a bundle, in no order.

    Raises:
        BundleError: One is a link, has a second name (a hard link), or is no ordinary file; or is called what none may be.
        StorageError: The folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise StorageError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for parent, folders, files in os.walk(folder, onerror=refuse):
        for name in (*folders, *files):
            path = Path(parent, name)
            relative = check_path(path.relative_to(folder).as_posix())
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise BundleError(
                    f"{path} is a link or no ordinary file; a bundle holds neither.",
                    hint="Put a copy of the file itself in its place.",
                    file=relative,
                )
            yield relative, path


def _check_paths(paths: list[str]) -> None:
    if len({check_path(path).casefold() for path in paths}) != len(paths) or paths != sorted(paths):
        raise BundleError("The manifest's files are not sorted, or two differ only in case.")
    if MANIFEST in paths:
        raise BundleError("The manifest lists itself.")


def _manifest_bytes(folder: Path) -> bytes:
    path = folder / MANIFEST
    try:
        with _opened(path) as file:
            content = file.read(_MANIFEST_BYTES + 1)
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder} is not a bundle: it has no {MANIFEST}.", hint="`fairlead pack` makes one."
        ) from error
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > _MANIFEST_BYTES:
        raise BundleError(f"{path} is larger than a manifest can be.")
    return content


def _opened(path: Path) -> BufferedReader:
    # What was an ordinary file a moment ago may be a link by now.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _compare(folder: Path, manifest: Manifest) -> None:
    found = dict(list_files(folder))
    found.pop(MANIFEST, None)
    expected = {entry.path: entry for entry in manifest.files}
    for path in found.keys() - expected.keys():
        raise BundleError(f"{found[path]} is not in the bundle's manifest.", hint="Take it out.", file=path)
    for path in sorted(expected.keys() - found.keys()):
        raise DigestMismatch(f"{folder / path} is missing.", hint="Fetch the bundle again.", file=path)
    for path in sorted(found):
        _compare_file(found[path], expected[path])


def _compare_file(path: Path, entry: FileEntry) -> None:
    try:
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.file_digest(file, "sha256").hexdigest() if size == entry.size else ""
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    if digest != entry.sha256:
        got = digest or f"{size} bytes instead of {entry.size}"
        raise DigestMismatch(
            f"{path} is not the file that was sealed.",
            hint="Fetch the bundle again, or pack the model again.",
            file=entry.path,
            digest=entry.sha256,
            got=got,
        )


def _decoded(content: bytes, kind: type[_T], what: str) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BundleError(f"{what} cannot be understood: {error}.", hint="Pack the model again.") from error
