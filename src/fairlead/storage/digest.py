"""SHA-256 as our address of bytes: 64 lower-case hex digits.

It stands apart from `blobs` because a gateway checks bundles without ever opening an object store.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from fairlead.errors import BadReference

__all__ = ["check_digest", "file_digest"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_digest(digest: str) -> str:
    """Return `digest` if it is one; only then may it become a part of a path or a key.

    Raises:
        BadReference: It is not 64 lower-case hex digits.
    """
    if not _DIGEST.fullmatch(digest):
        raise BadReference(f"{digest[:80]!r} is not a SHA-256 digest.", hint="A digest is 64 of 0-9 and a-f.")
    return digest


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
