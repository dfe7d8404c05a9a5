"""Opens a model's file in a process of its own and takes back nothing but data.

```
parent                                         opener (own session, own limits, empty folder, no secrets)
errand.msgpack, table.pickle ───────────────▶  reads them, opens the model's file, examines
waits, at most `seconds`                       crashes, hangs, exits, lies: all the same
left.msgpack: regular file, bounded, typed ◀── writes it last, whole or not at all
kills the whole session, removes the folder
```

The process is the boundary, not the loader: no check of a pickle's opcodes has ever held. What the opener leaves may be a lie
made by a hostile file; therefore the compiled graph in it is only ever run as data, and its answers are checked again.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from fairlead.errors import (
    BundleError,
    ConversionUnsupported,
    FairleadError,
    FormatUnknown,
    InvalidInput,
    PredictionFailed,
    SchemaMismatch,
)
from fairlead.formats import pickled
from fairlead.packing.errand import ERRAND, LEFT, Errand, Examined, Left, Refused
from fairlead.packing.examination import Examination
from fairlead.packing.table import Table
from fairlead.profiles.codec import check
from fairlead.profiles.profile import Profile
from fairlead.schema import Schema, Sensitivity

__all__ = ["MEMORY", "SECONDS", "clean_environment", "examine_apart", "last_words"]

MEMORY = 8 * 2**30
"""The address space an opener may have, in bytes, unless another bound is given."""

SECONDS = 600.0
"""How long an opener may take, unless another bound is given."""

_LARGEST_LEFT = 2 * 2**30
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")
_KINDS: dict[str, type[FairleadError]] = {
    kind.code: kind
    for kind in (FormatUnknown, InvalidInput, PredictionFailed, SchemaMismatch, ConversionUnsupported, BundleError)
}
_NO_REASON = "Nothing was registered. Open the file in a Python of your own to see what it does."


def examine_apart(  # noqa: PLR0913 - as `examine`, with the limits of a process
    original: Path,
    table: Table,
    *,
    measure: bool = True,
    reference: Table | None = None,
    sensitive: Mapping[str, Sensitivity] | None = None,
    memory: int = MEMORY,
    seconds: float = SECONDS,
) -> Examination:
    """Examine the model in a file without opening it in this process.

    Args:
        original: A pickle, cloudpickle or joblib file.
        table: The table it was trained on.
        measure: Whether metrics are wanted.
        reference: A held-out table for the profile.
        sensitive: Columns whose values no profile may hold.
        memory: The most address space of the opener, in bytes.
        seconds: The longest it may take.

    Raises:
        BundleError: It crashed, hung, ran out of memory, ended without a result, or left something that is none.
        FormatUnknown: The file is no model's, or needs a module that is not installed.
        InvalidInput: The table does not fit the model.
        PredictionFailed: The model cannot answer the table.
    """
    with tempfile.TemporaryDirectory(prefix="fairlead-opener-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        marked = dict(sensitive or {})
        errand = Errand(
            str(original.resolve()),
            _hand_over(table, folder / "table.pickle"),
            memory,
            _processor_seconds(seconds),
            measure,
            "" if reference is None else _hand_over(reference, folder / "reference.pickle"),
            marked,
        )
        left = _send(errand, folder, seconds)
    return _checked(left.examination, marked)


def _processor_seconds(seconds: float) -> int:
    """The processor time of that many seconds with every core at work."""
    return int(seconds * (os.cpu_count() or 1)) + 1


def _hand_over(table: Table, path: Path) -> str:
    """Write a table for the opener; only a pickle keeps every dtype, and it travels away from us."""
    pickled.save(table, path)
    return str(path)


def _send(errand: Errand, folder: Path, seconds: float) -> Examined:
    """Run one opener to its end and read what it left."""
    (folder / ERRAND).write_bytes(msgspec.msgpack.encode(errand))
    desk = folder / "desk"
    desk.mkdir()
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - this Python, this package
            [sys.executable, "-P", "-m", "fairlead.packing.opener", str(folder)],
            cwd=desk,
            env=clean_environment(desk),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BundleError(
                f"Opening the model did not end within {seconds:g} s.",
                hint="Its process was killed and nothing was registered. Raise the time limit if the model is that large.",
            ) from None
        finally:
            # Whatever the file started in this session goes with it, also after a good end.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return _read(folder, process.returncode)


def clean_environment(desk: Path) -> dict[str, str]:
    """What a process that opens a model sees of this one's environment.

    No secret, and a home and a folder for temporary files that go with it.
    """
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    paths = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]  # noqa: PTH100 - text in, text out
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(paths)
    return {**kept, "HOME": str(desk), "TMPDIR": str(desk), "PYTHONDONTWRITEBYTECODE": "1"}


def _read(folder: Path, code: int) -> Examined:
    """What the opener left, as typed data."""
    data = _bytes(folder / LEFT)
    if data is None:
        raise BundleError(f"Opening the model {_ending(code)}{last_words(folder / 'said.txt')}", hint=_NO_REASON)
    try:
        left: Left = msgspec.msgpack.decode(data, type=Left)
    except (msgspec.MsgspecError, RecursionError) as err:
        raise BundleError("The opener's process left something that is no result.", hint=_NO_REASON) from err
    if isinstance(left, Refused):
        raise _KINDS.get(left.code, BundleError)(_plain(left.detail), hint=_plain(left.hint) or _NO_REASON)
    return left


def _bytes(path: Path) -> bytes | None:
    """The bytes of a regular, unlinked, bounded file; `None` where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_size > _LARGEST_LEFT:
            return None
        return file.read(_LARGEST_LEFT)


def _ending(code: int) -> str:
    """How the process ended, in words."""
    if code >= 0:
        return f"ended its process with exit code {code} and without a result."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"crashed its process ({name})."


def last_words(path: Path) -> str:
    """The last line the process said, for the person who looks for the cause."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = _lines(file.read().decode(errors="replace"))
    return f" It last said: {lines[-1][:300]}" if lines else ""


def _lines(text: str) -> list[str]:
    return [plain for line in text.splitlines() if (plain := _plain(line).strip())]


def _profiled(profile: Profile, schema: Schema, sensitive: Mapping[str, Sensitivity]) -> bool:
    """Whether the profile is one, of this schema, and holds nothing of what is sensitive."""
    try:
        check(profile)
    except InvalidInput:
        return False
    inputs = tuple(one for one in profile.features if one.role == "input")
    outputs = len(profile.features) - len(inputs)
    return (
        tuple(one.name for one in inputs) == schema.names
        and all(one.withheld for one in inputs if one.name in sensitive)
        and not any(one.name in sensitive for one in profile.relations)
        and outputs <= len(schema.output.classes) + 2
        and len(profile.relations) <= len(inputs) * max(len(schema.output.classes), 1)
        and len(profile.calibrations) <= max(len(schema.output.classes), 1)
    )


def _plain(text: str) -> str:
    """Foreign text without control characters, at most 600 characters of it."""
    return "".join(
        " " if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character
        for character in text[:600]
    )


def _checked(examination: Examination, sensitive: Mapping[str, Sensitivity] | None = None) -> Examination:
    """The examination, if its parts agree with each other.

    Types alone do not say so, and what follows relies on it.
    """
    schema, samples = examination.schema, examination.samples
    width = len(schema.columns)
    agree = (
        0 < width <= 100_000
        and len(set(schema.names)) == width
        and 0 < len(samples.rows) == len(samples.expected) <= 1_000
        and all(len(row) == width for row in samples.rows)
        and len(examination.form.dtypes) == len(examination.form.nones) == width
        and len(examination.attempts) <= 8
        and all(len(attempt.worst_rows) <= 10 for attempt in examination.attempts)
        and (examination.proof is None or examination.proof.road != "worker")
        and _profiled(examination.profile, schema, sensitive or {})
    )
    if not agree:
        raise BundleError("The opener's process left an examination whose parts do not fit together.", hint=_NO_REASON)
    attempts = tuple(
        msgspec.structs.replace(
            attempt, reason=_plain(attempt.reason), worst_rows=tuple(map(_plain, attempt.worst_rows))
        )
        for attempt in examination.attempts
    )
    return msgspec.structs.replace(examination, attempts=attempts, model_class=_plain(examination.model_class)[:200])
