"""A caller's wish to change what is served, handed from a gateway to the control process.

A gateway knows no registry. What a caller with the scope `deploy` wants, it leaves as a file in the run folder; the control
process, which owns what is served, does it and leaves the outcome beside it. No token travels: the gate has looked at it.

```
gateway:  NAME.wish ──▶ control: deploy or retire ──▶ NAME.outcome ──▶ gateway: wait for that revision, answer
```
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from fairlead.errors import DeadlineExceeded, FairleadError, StorageError

__all__ = ["Outcome", "Verb", "Wish", "Wishes", "outcome_of", "pending", "settle"]

_FOLDER: Final = "wishes"
_LOOK_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 20.0
_OLD_SECONDS: Final = 60.0

Verb = Literal["load", "unload"]


class Wish(msgspec.Struct, frozen=True):
    """What a caller wants.

    Attributes:
        verb: To let an endpoint answer with the newest version of its model, or to take it away.
        endpoint: Its name.
        actor: Who wants it, for the audit.
    """

    verb: Verb
    endpoint: str
    actor: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of a wish: the revision that fulfils it, or the error's code and words."""

    revision: int = 0
    code: str = ""
    detail: str = ""
    hint: str = ""


class Wishes:
    """The gateway's side.

    Args:
        run: The run folder.
        revision: Tells which revision this gateway serves.
    """

    def __init__(self, run: Path, revision: Callable[[], int]) -> None:
        self._folder = run / _FOLDER
        self._revision = revision

    async def __call__(self, verb: Verb, endpoint: str, actor: str) -> None:
        """Have a wish fulfilled, and wait until this gateway serves it (a `repository_door.Steer`).

        Raises:
            FairleadError: What the control process says.
            DeadlineExceeded: It does not answer, or what it changed did not arrive here in time.
            StorageError: The wish cannot be written.
        """
        end = time.monotonic() + _PATIENCE_SECONDS
        path = self._folder / f"{time.time_ns():x}{os.urandom(6).hex()}.wish"
        _write(path, msgspec.json.encode(Wish(verb, endpoint, actor)))
        answer = path.with_suffix(".outcome")
        await self._until(answer.exists, end)
        outcome = msgspec.json.decode(answer.read_bytes(), type=Outcome)
        answer.unlink(missing_ok=True)
        if outcome.code:
            raise FairleadError.of_code(outcome.code)(outcome.detail, hint=outcome.hint)
        await self._until(lambda: self._revision() >= outcome.revision, end)

    @staticmethod
    async def _until(done: Callable[[], bool], end: float) -> None:
        while not done():
            if time.monotonic() > end:
                raise DeadlineExceeded("What is served did not change in time.", hint="Ask again.", retry_after=1)
            await asyncio.sleep(_LOOK_SECONDS)


def pending(run: Path) -> Iterator[tuple[Path, Wish]]:
    """The wishes that wait, oldest first; each is taken by being yielded. What nobody waits for any more is removed."""
    folder = run / _FOLDER
    for path in sorted(folder.glob("*.outcome")):
        if _is_older(path, _OLD_SECONDS):
            path.unlink(missing_ok=True)
    for path in sorted(folder.glob("*.wish")):
        # Whoever wanted this was told by now that it did not happen; so it must not.
        old = _is_older(path, _PATIENCE_SECONDS)
        try:
            wish = msgspec.json.decode(path.read_bytes(), type=Wish)
        except (OSError, msgspec.DecodeError):
            wish = None
        path.unlink(missing_ok=True)
        if wish is not None and not old:
            yield path, wish


def settle(path: Path, outcome: Outcome) -> None:
    """Tell the outcome of a wish.

    Raises:
        StorageError: It cannot be written.
    """
    _write(path.with_suffix(".outcome"), msgspec.json.encode(outcome))


def outcome_of(error: FairleadError) -> Outcome:
    """An error as an outcome."""
    return Outcome(code=error.code, detail=error.detail, hint=error.hint)


def _is_older(path: Path, seconds: float) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > seconds
    return False


def _write(path: Path, content: bytes) -> None:
    """Write in one step: who looks sees all of it or nothing."""
    fresh = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as err:
        raise StorageError(f"A wish cannot be left for the control process: {err.strerror}.") from err
