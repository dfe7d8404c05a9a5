"""The tokens on this machine's disk: hashed, for the owner's eyes only, beside the routing table.

Gateways read them here, as they read the table, so a request never waits for a database to learn who asks.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from fairlead.errors import StorageError
from fairlead.storage.replaced import read_whole, replace
from fairlead.tokens import TokenSet

__all__ = ["read_tokens", "write_tokens"]


def read_tokens(path: Path) -> TokenSet | None:
    """The tokens that were last delivered, `None` before the first delivery.

    Raises:
        StorageError: The file cannot be read or understood.
    """
    return read_whole(path, TokenSet, f"The tokens in {path}")


def write_tokens(path: Path, tokens: TokenSet) -> None:
    """Replace the tokens as a whole: a reader sees the old ones or the new ones, and nobody but the owner sees any.

    Raises:
        StorageError: The disk refuses.
    """
    try:
        replace(path, msgspec.json.encode(tokens), mode=0o600)
    except OSError as err:
        raise StorageError(f"The tokens cannot be written to {path}: {err.strerror}.") from err
