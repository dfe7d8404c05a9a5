"""A virtual environment for each peer, so that none has to put up with another's versions, kept from run to run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

_MINUTES = 15
"""An installation that takes longer is given up."""


class Unavailable(Exception):
    """A peer cannot be installed, started or asked, or answers wrongly. The text says why, in one line."""


def environment(folder: Path, requirements: list[str], constraints: Path | None) -> Path:
    """The interpreter of an environment that holds `requirements`; made unless it stands.

    Args:
        folder: Where it is kept.
        requirements: What pip is asked for.
        constraints: pip's file of pins, for our own environments.

    Raises:
        Unavailable: pip refused.
    """
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join([*requirements, constraints.read_text() if constraints else ""])
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(f"Installing {', '.join(requirements)} …", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        _install(python, [*requirements, *(["--constraint", str(constraints)] if constraints else [])])
        stamp.write_text(wanted)
    return python


def _install(python: Path, what: list[str]) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *what]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MINUTES * 60, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip took more than {_MINUTES} minutes") from None
    if done.returncode:
        raise Unavailable(f"pip: {last_line(done.stderr, 'ERROR')}")


def version_of(python: Path, package: str) -> str | None:
    """The version of an installed package; `None` where it is not installed."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def megabytes(folder: Path) -> float:
    """What the files of a folder take."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 2**20


def last_line(text: str, word: str = "") -> str:
    """The last line that holds `word`, or the last one; at most 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = [line for line in lines if word in line] or lines or ["nothing was said"]
    return chosen[-1][:300]
