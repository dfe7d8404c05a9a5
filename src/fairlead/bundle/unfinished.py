"""What a killed process leaves of a bundle that it was fetching.

A bundle is gathered in a hidden folder beside its place, which is locked while somebody works in it. The kernel unlocks it when
that process ends, however it ends; so an unlocked one is nobody's, and is swept when the service starts.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["locked", "sweep_unfinished"]

_FRESH_SECONDS: Final = 60.0
"""A hidden folder younger than this may be one that is about to be locked."""


def locked(folder: Path) -> int:
    """A handle of a folder that nobody else has locked; closing it, or the end of the process, unlocks it.

    Raises:
        OSError: Somebody else has, or the folder cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def sweep_unfinished(cache: Path) -> list[Path]:
    """Remove the hidden folders that nobody works in any more.

    Args:
        cache: The folder of unpacked bundles; it need not exist.

    Returns:
        What was removed.
    """
    return [path for path in sorted(cache.glob(".*")) if path.is_dir() and not path.is_symlink() and _removed(path)]


def _removed(folder: Path) -> bool:
    with suppress(OSError):  # it is locked, it went away meanwhile, or it is not ours to remove
        if time.time() - folder.stat().st_mtime < _FRESH_SECONDS:
            return False
        handle = locked(folder)
        try:
            shutil.rmtree(folder)
        finally:
            os.close(handle)
        return True
    return False
