"""The tokens on this machine's disk: hashed, for the owner's eyes only, beside the routing table.

Gateways read them here, as they read the table, so a request never waits for a database to learn who asks.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from fairlead.errors import StorageError
from fairlead.tokens import TokenSet

__all__ = ["read_tokens", "write_tokens"]


def read_tokens(path: Path) -> TokenSet | None:
    """The tokens that were last delivered, `None` before the first delivery.

    Raises:
        StorageError: The file cannot be read or understood.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=TokenSet)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as err:
        hint = "Delete the file; the service delivers it again."
        raise StorageError(f"The tokens in {path} cannot be read: {err}.", hint=hint) from err


def write_tokens(path: Path, tokens: TokenSet) -> None:
    """Replace the tokens as a whole: a reader sees the old ones or the new ones, and nobody but the owner sees any.

    Raises:
        StorageError: The disk refuses.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(tokens))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as err:
        raise StorageError(f"The tokens cannot be written to {path}: {err.strerror}.") from err
