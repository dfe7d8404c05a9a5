"""Where and with what a model was packed, so that the original can be opened and asked again and the work be traced.

Reads only: interpreter, platform, installed distributions, the working folder's git commit. Nothing of the environment's
variables is kept; they hold secrets.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import msgspec

from fairlead.formats.frames import FrameForm

__all__ = [
    "Commit",
    "Environment",
    "describe_environment",
    "distributions",
    "git_commit",
    "modules_of",
    "needed_packages",
]

ALWAYS = ("cloudpickle", "joblib", "numpy", "pandas", "scikit-learn", "scipy")
"""Named with every model, where installed: what a pickle of numbers and frames is read with."""


class Environment(msgspec.Struct, frozen=True):
    """What a bundle was packed with (`environment.json`).

    Attributes:
        python: The version, "3.11.7".
        implementation: "CPython".
        platform: For people.
        machine: The processor, "x86_64".
        needed: The distributions that the original cannot be opened without, by name.
        installed: All distributions that were installed, by name.
        form: How the table looked that the original is asked with.
    """

    python: str
    implementation: str
    platform: str
    machine: str
    needed: dict[str, str]
    installed: dict[str, str]
    form: FrameForm


class Commit(msgspec.Struct, frozen=True):
    """The working folder's state.

    Attributes:
        commit: The full hash; empty outside a repository or without git.
        dirty: Whether a tracked file differs from the commit.
    """

    commit: str = ""
    dirty: bool = False


class _Census(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle ships no types
    """A pickler that notes the module of everything it meets, inside functions of the user's own as well."""

    def __init__(self, sink: Any) -> None:
        self.modules: set[str] = set()
        super().__init__(sink, protocol=5)

    def persistent_id(self, obj: Any) -> None:
        """Note where `obj` or its class is defined; `None` pickles it as usual."""
        named = obj if isinstance(obj, type) or callable(obj) else type(obj)
        module = obj.__name__ if isinstance(obj, ModuleType) else getattr(named, "__module__", None)
        if isinstance(module, str):
            self.modules.add(module.partition(".")[0])


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Forget `data`."""
        return memoryview(data).nbytes


def modules_of(model: Any) -> tuple[str, ...]:
    """The top-level modules of all classes and functions inside the model, sorted; the standard library's left out."""
    census = _Census(_Nowhere())
    try:
        census.dump(model)
    except Exception:  # noqa: BLE001 - what cannot be pickled by itself still has the modules met so far
        census.modules.add(type(model).__module__.partition(".")[0])
    return tuple(sorted(census.modules - set(sys.stdlib_module_names) - {"__main__", "__mp_main__", "fairlead"}))


@functools.cache
def distributions() -> Mapping[str, list[str]]:
    """The names of the installed distributions that hold each top-level module; looked up once, it reads many files."""
    return importlib.metadata.packages_distributions()


def needed_packages(modules: Iterable[str]) -> dict[str, str]:
    """The distributions that hold these top-level modules, with versions; a module of no distribution is left out."""
    homes = distributions()
    names = {name for module in modules for name in homes.get(module, ())}
    return {name: version for name in sorted(names | set(ALWAYS)) if (version := _version(name))}


def describe_environment(modules: Iterable[str], form: FrameForm) -> Environment:
    """This interpreter, this machine, and the packages for a model made of `modules` that is asked with `form`."""
    installed = {
        name: version
        for distribution in importlib.metadata.distributions()
        if (name := distribution.metadata["Name"]) and (version := distribution.version)
    }
    return Environment(
        platform.python_version(),
        platform.python_implementation(),
        platform.platform(),
        platform.machine(),
        needed_packages(modules),
        dict(sorted(installed.items(), key=lambda item: item[0].lower())),
        form,
    )


def git_commit(folder: Path) -> Commit:
    """The commit checked out in `folder`; an empty one outside a repository, without git, or when git takes over 5 s."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return Commit()
    return Commit(commit, dirty=bool(_git(folder, "status", "--porcelain", "--untracked-files=no")))


def _git(folder: Path, *arguments: str) -> str:
    """What git prints, stripped; empty when it fails. Hooks and monitors of the repository's own are kept from running."""
    command = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, fixed arguments
            command, cwd=folder, capture_output=True, check=True, timeout=5, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip()


def _version(name: str) -> str:
    """A distribution's version; empty where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
