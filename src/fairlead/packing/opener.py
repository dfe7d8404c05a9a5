"""The process that opens a model's file: `python -m fairlead.packing.opener FOLDER`.

Opening a pickle runs whatever its author wrote. Besides the worker this is the only program that does so, and it does nothing
else: it reads its errand from the folder, sets its own limits, opens, examines, leaves one file, and ends. `isolation.py`
starts it, watches the clock, and treats what it leaves as untrusted data.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from fairlead.errors import FairleadError, FormatUnknown
from fairlead.formats import pickled
from fairlead.packing.errand import ERRAND, LEFT, Errand, Examined, Left, Refused
from fairlead.packing.examine import examine

__all__ = ["main"]

_PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""What to install for a module whose package has another name."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_LARGEST_FILE = 4 * 2**30


def main(folder: Path) -> None:
    """Do the errand that lies in `folder` and leave the result there."""
    errand = msgspec.msgpack.decode((folder / ERRAND).read_bytes(), type=Errand)
    _confine(errand.memory, errand.seconds)
    try:
        left: Left = _examined(errand)
    except FairleadError as err:
        left = Refused(err.code, err.detail, err.hint)
    except MemoryError:
        left = Refused(
            "bundle_error", f"It needs more memory than the {errand.memory / 2**30:.3g} GiB it may have.", ""
        )
    except BaseException as err:  # noqa: BLE001 - SystemExit and whatever else a pickle raises is a reason, too
        left = Refused("bundle_error", f"Opening it raised {type(err).__name__}: {str(err)[:300]}", "")
    part = folder / f"{LEFT}.part"
    part.write_bytes(msgspec.msgpack.encode(left))
    part.replace(folder / LEFT)


def _examined(errand: Errand) -> Examined:
    # The tables come from the parent and are opened first, before anybody else's code has run here.
    table = pickled.load(Path(errand.table))
    reference = pickled.load(Path(errand.reference)) if errand.reference else None
    model = _open(errand.original)
    return Examined(
        examine(
            model,
            table,
            say=lambda line: print(line, flush=True),  # noqa: T201 - the parent reads it
            measure=errand.measure,
            reference=reference,
            sensitive=errand.sensitive,
        )
    )


def _open(path: str) -> Any:
    """The model.

    Raises:
        FormatUnknown: A class of it cannot be imported, or the file is no model's.
    """
    try:
        return pickled.load(Path(path))
    except FairleadError as err:
        # The loader's own words for a missing module do not know what its package is called.
        if isinstance(err.__cause__, ModuleNotFoundError):
            raise _lacking(err.__cause__) from err
        raise
    except (MemoryError, RecursionError, OSError):
        raise
    except Exception as err:
        raise FormatUnknown(
            f"The file is no model that can be opened: {type(err).__name__}: {str(err)[:300]}",
            hint="Save the fitted model anew with pickle, cloudpickle or joblib.",
        ) from err


def _lacking(err: ModuleNotFoundError) -> FormatUnknown:
    """The error for a module that is not installed here."""
    module = err.name or "?"
    package = _PACKAGES.get(module.partition(".")[0], module.partition(".")[0])
    return FormatUnknown(
        f"The model needs the module {module!r}, which cannot be imported here.",
        hint=f"`pip install {package}`; or, where it is a file of yours, name its folder in PYTHONPATH, "
        "or pack the object from Python with `fairlead.pack`.",
        module=module,
    )


def _confine(memory: int, seconds: int) -> None:
    """Set this process's limits; they hold for its children too and cannot be raised again."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if os.getppid() == 1:  # the parent went before the first line above could tie us to it
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
