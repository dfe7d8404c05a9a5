"""Pickle and joblib files. OPENING ONE RUNS WHATEVER CODE ITS MAKER PUT INTO IT.

`load` is called in two places only: in the opener's process at packing, and in a worker's process at serving. Both have
their own limits and can be killed. No server, command or registry process calls it, and no other module unpickles.
"""

from __future__ import annotations

import io
import pickle
import zlib
from pathlib import Path
from typing import Any

from fairlead.errors import ConversionUnsupported, FormatUnknown

__all__ = ["FORMAT", "PickleFormat", "load", "save"]

_PICKLE = b"\x80"
_COMPRESSED = (b"\x1f\x8b", b"x", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18")
"""gzip, zlib, bzip2, xz, lzma, lz4: what joblib writes."""
_SUFFIXES = {".pkl", ".pickle", ".joblib", ".p"}


class PickleFormat:
    """Any Python object, as a pickle or a joblib file."""

    name = "pickle"
    runs_code = True

    def recognise(self, model: Any) -> bool:
        """Whether a path holds a pickle, by its name and its first bytes. Opens nothing."""
        if not isinstance(model, str | Path):
            return False
        path = Path(model)
        try:
            with path.open("rb") as file:
                start = file.read(6)
        except OSError:
            return False
        return start.startswith(_PICKLE) or (path.suffix in _SUFFIXES and start.startswith(_COMPRESSED))

    def save(self, model: Any, path: Path) -> None:
        """As the function `save`."""
        save(model, path)

    def load(self, path: Path) -> Any:
        """As the function `load`: only in a process of its own."""
        return load(path)


FORMAT = PickleFormat()


def save(model: Any, path: Path) -> None:
    """Write an object as a pickle, protocol 5.

    What plain pickle cannot find by its name (a lambda, a class of a notebook) is written by value by cloudpickle.

    Raises:
        ConversionUnsupported: Neither can write it.
    """
    try:
        data = pickle.dumps(model, protocol=5)
        lives_in_main = _names_main(data)
    except Exception:  # noqa: BLE001 -- an object's own __reduce__ may raise anything
        lives_in_main = True
    if lives_in_main:
        data = _by_value(model)
    path.write_bytes(data)


def load(path: Path) -> Any:
    """Open a pickle or joblib file. RUNS CODE: only in a worker's or an opener's process.

    Raises:
        FormatUnknown: The file is cut off, damaged or no pickle, or needs a module that is not installed.
    """
    try:
        data = path.read_bytes()
    except OSError as err:
        raise FormatUnknown(f"{path.name} cannot be read: {err.strerror}.") from err
    try:
        return _joblib(path) if not data.startswith(_PICKLE) or b"joblib.numpy_pickle" in data else pickle.loads(data)  # noqa: S301 -- the module's docstring says who may call this
    except ModuleNotFoundError as err:
        raise FormatUnknown(
            f"{path.name} needs the module {err.name!r}, which is not installed here.",
            hint=f"Try `pip install {(err.name or '').partition('.')[0]}`.",
            module=err.name,
        ) from err
    except (AttributeError, ImportError) as err:
        raise FormatUnknown(f"{path.name} refers to something this installation does not have: {err}.") from err
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, zlib.error, OSError) as err:
        raise FormatUnknown(
            f"{path.name} is cut off, damaged or no pickle: {err}.", hint="Save the model again."
        ) from err


def _joblib(path: Path) -> Any:
    import joblib

    return joblib.load(path)


def _names_main(data: bytes) -> bool:
    """Whether a pickle refers to something of the script that made it, which no other process has."""
    import pickletools

    strings = ("GLOBAL", "SHORT_BINUNICODE", "BINUNICODE")
    return any(
        operation.name in strings and str(argument).split(" ")[0] == "__main__"
        for operation, argument, _ in pickletools.genops(io.BytesIO(data))
    )


def _by_value(model: Any) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(model, protocol=5))
    except Exception as err:
        name = type(model).__name__
        raise ConversionUnsupported(
            f"The {name} cannot be pickled: {err}.", hint="Leave out what holds files, locks or connections.", step=name
        ) from err
