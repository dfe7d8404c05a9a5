"""Where bytes rest: blobs addressed by their SHA-256, in a folder or in an object store.

A blob is never changed. Writing is atomic (a reader sees all of it or nothing), idempotent, and heals: a blob that no longer
has its digest is written anew by the next `put` of the same bytes. Reading checks, always.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from fairlead.errors import DigestMismatch, InvalidInput, NotFound, StorageError
from fairlead.storage.digest import check_digest, file_digest

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["Blobs", "open_blobs"]

_CHUNK = 2**20


class Blobs(msgspec.Struct, frozen=True):
    """Blobs in one store.

    Attributes:
        store: Where they are; anything that obstore opens.
        where: The same for people: a folder or a URL.
        root: The folder of a store on this machine, else `None`.
    """

    store: ObjectStore
    where: str
    root: Path | None = None

    def put(self, content: bytes) -> str:
        """Keep bytes and return their digest.

        Raises:
            StorageError: They cannot be written; nothing is left behind.
        """
        digest = hashlib.sha256(content).hexdigest()
        self._keep(digest, lambda: iter((content,)))
        return digest

    def put_file(self, path: Path) -> str:
        """Keep a file's bytes and return their digest; the file may be larger than the memory.

        Raises:
            StorageError: It cannot be read or written; nothing is left behind.
            DigestMismatch: The file changed while it was read; nothing is left behind.
        """
        try:
            digest = file_digest(path)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
        self._keep(digest, lambda: _checked(_chunks(path), digest, f"{path} changed while it was read."))
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of a blob.

        Raises:
            NotFound: There is no such blob.
            DigestMismatch: The stored bytes are not those that were put.
            StorageError: The store cannot be read.
        """
        return b"".join(self._stream(digest))

    def fetch(self, digest: str, path: Path) -> None:
        """Write a blob to `path`, which is replaced as a whole or not at all; its folder must exist.

        Raises:
            NotFound, DigestMismatch, StorageError: As `get`, or `path` cannot be written.
        """
        _write_whole(path, self._stream(digest))

    def check(self, digest: str) -> None:
        """Read a blob through and compare it with its digest.

        Raises:
            NotFound, DigestMismatch, StorageError: As `get`.
        """
        for _ in self._stream(digest):
            pass

    def exists(self, digest: str) -> bool:
        """Whether there is a blob of this digest; its bytes are not read.

        Raises:
            StorageError: The store cannot be asked.
        """
        with self._translated():
            try:
                obstore.head(self.store, _key(digest))
            except FileNotFoundError:
                return False
        return True

    def place(self, digest: str) -> str:
        """Where a blob lies, for people."""
        return str(self.root / _key(digest)) if self.root else f"{self.where}/{_key(digest)}"

    def _keep(self, digest: str, chunks: Callable[[], Iterator[bytes]]) -> None:
        with suppress(NotFound, DigestMismatch):
            self.check(digest)
            return
        with self._translated():
            obstore.put(self.store, _key(digest), chunks())
            if self.root:
                _sync(self.root / _key(digest))

    def _stream(self, digest: str) -> Iterator[bytes]:
        key = _key(digest)
        problem = f"The blob {digest} at {self.place(digest)} is corrupt: its bytes have another SHA-256."
        with self._translated():
            try:
                stored = obstore.get(self.store, key)
            except FileNotFoundError as error:
                raise NotFound(
                    f"There is no blob {digest} at {self.place(digest)}.",
                    hint="Restore it from a backup, or pack the model again.",
                    digest=digest,
                ) from error
            yield from _checked((bytes(chunk) for chunk in stored.stream(min_chunk_size=_CHUNK)), digest, problem)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            reason = str(error).partition("\n")[0]
            hint = "Free some space." if _is_full(error) else "Check the place and its permissions."
            raise StorageError(f"The blobs at {self.where} cannot be used: {reason}", hint=hint) from error


def open_blobs(url: str) -> Blobs:
    """Open the blobs in a folder, which is created where it is missing, or at an object store's URL.

    Args:
        url: A folder's path, or what `obstore.store.from_url` takes: `s3://bucket/prefix`, `gs://…`, `az://…`, `memory://`.

    Raises:
        InvalidInput: The URL is not one that can be opened.
        StorageError: The folder cannot be created.
    """
    if "://" not in url or url.startswith("file://"):
        root = Path(url.removeprefix("file://")).absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The folder {root} cannot be made: {error.strerror}.", hint="Choose another home."
            ) from error
        return Blobs(LocalStore(root), str(root), root)
    try:
        return Blobs(from_url(url), url)
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(
            f"Blobs cannot rest at {url!r}: {reason}", hint="Use a folder or a URL such as s3://…"
        ) from error


def _key(digest: str) -> str:
    # Two digits of fan-out keep folders small on file systems that list slowly.
    return f"sha256/{check_digest(digest)[:2]}/{digest}"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _checked(chunks: Iterator[bytes], digest: str, problem: str) -> Iterator[bytes]:
    """Pass chunks on; raise instead of ending where they are not those of `digest`."""
    seen = hashlib.sha256()
    for chunk in chunks:
        seen.update(chunk)
        yield chunk
    if seen.hexdigest() != digest:
        raise DigestMismatch(
            problem,
            hint="Restore it from a backup, or pack the model again.",
            digest=digest,
            got=seen.hexdigest(),
        )


def _write_whole(path: Path, chunks: Iterator[bytes]) -> None:
    """Write to a neighbour, sync, rename: `path` never holds a part."""
    partial: str | None = None
    try:
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
        partial = None
        _sync_folder(path.parent)
    except OSError as error:
        hint = "Free some space." if _is_full(error) else "Check the folder and its permissions."
        raise StorageError(f"{path} cannot be written: {error.strerror}.", hint=hint) from error
    finally:
        if partial is not None:
            with suppress(OSError):
                Path(partial).unlink()


def _sync(path: Path) -> None:
    """Bring a file, and the entries that lead to it, to the disk: a row in the database will refer to it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    for folder in (path.parent, path.parent.parent):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_full(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}) or "os error 28" in str(error)
