"""Virtual environments of their own, for clients that cannot live beside ours; kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


def python_with(*requirements: str) -> Path:
    """A Python that has these packages, made once for a user and for these versions.

    Skips the test where they cannot be installed, unless this is CI.
    """
    kept = _kept(requirements)
    cache = kept.parent
    if not (kept / "bin" / "python").exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=cache))
        try:
            _install(fresh, requirements)
            if not kept.exists():  # another run may have been quicker
                fresh.rename(kept)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return kept / "bin" / "python"


def python_kept(*requirements: str) -> Path:
    """As `python_with`, for what is too large to be installed unasked: skips the test where nobody has asked for it.

    Asked for is it by `python tests/integration/own_environment.py REQUIREMENT…`.
    """
    kept = _kept(requirements) / "bin" / "python"
    if not kept.exists():
        pytest.skip(
            f"needs {kept.parents[1].parent.name}/{kept.parents[1].name}: own_environment.py {' '.join(requirements)}"
        )
    return kept


def _kept(requirements: tuple[str, ...]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead-tests"
    return cache / "-".join([*requirements, f"py{sys.version_info.major}.{sys.version_info.minor}"])


def _install(folder: Path, requirements: tuple[str, ...]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    install = [*pip, "--quiet", "install", "--no-compile", *requirements]
    done = subprocess.run(install, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"{' '.join(requirements)} cannot be installed here: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    print(python_with(*sys.argv[1:]))
