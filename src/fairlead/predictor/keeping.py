"""A keeper: holds a model that is loaded, and begins the process that answers by it anew whenever that one ends.

To load a model takes a core for a second or more; a model that ends its process again and again would take that from those who
answer. To fork a process that has loaded it takes milliseconds.

```
supervisor ──starts──▶ keeper ──forks──▶ the process that answers
     ▲                   │ ▲                      │
     └──notes (a pipe)───┘ └────────ended─────────┘
```

Some libraries do not survive a fork: their threads are not there in the child, or they refuse. So where no fork has ever answered, and the
first hangs or raises, or the third has crashed, the keeper answers itself, as a worker does.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import mmap
import os
import signal
import struct
import time
import warnings
from collections.abc import Sequence
from typing import Final

from fairlead.predictor.notes import Note, tell
from fairlead.predictor.outcome import Answer, Outcome
from fairlead.schema import Row

__all__ = ["keep"]

_PAUSES: Final = (1.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds until the next fork, by how many in a row were not well: even a fork takes some milliseconds from those who answer."""
_WELL: Final = 20
"""Who has answered so many questions was well until something happened. The first of each gateway are its sample rows."""
_TRIES: Final = 3
"""A crash is the model's own more often than the fork's, so that much is tried before the keeper risks itself."""
_UNFIT: Final = os.EX_SOFTWARE
"""A fork ends so when the first question that any fork is asked raises."""
_TIMES: Final = (-signal.SIGALRM, -signal.SIGPROF)
_COUNT: Final = struct.Struct("=Q")
_SET_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG, prctl(2)


def keep(answer: Answer, notes: int) -> Answer:
    """Stay behind as the keeper; return in each process that is to answer.

    Args:
        answer: Asks the model, which is loaded and has not been asked yet.
        notes: The keeper's end of its pipe; nobody who answers has it.

    Returns:
        What that process answers by.

    Raises:
        SystemExit: A fork has ended, and there is no supervisor any more.
    """
    answered = mmap.mmap(-1, _COUNT.size)  # shared with every fork
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, all that is loaded
    proven, failures = False, 0
    while True:
        _COUNT.pack_into(answered, 0, 0)
        pid = _fork()
        if pid == 0:
            os.close(notes)
            return _counting(answer, answered, proven=proven)
        code = _UNFIT if pid is None else _followed(pid, notes)
        (questions,) = _COUNT.unpack_from(answered)
        proven |= questions > 0
        failures = 1 if questions >= _WELL else failures + 1
        if not proven and (code == _UNFIT or code in _TIMES or failures == _TRIES):
            tell(notes, Note(os.getpid()))
            os.close(notes)
            return answer
        time.sleep(_PAUSES[min(failures, len(_PAUSES)) - 1])


def _followed(pid: int, notes: int) -> int:
    """Wait until a fork has ended, and tell; how it ended, as `Popen.returncode`.

    Raises:
        SystemExit: Nobody hears. The next supervisor has a keeper of its own, whose socket must stay where it is.
    """
    tell(notes, Note(pid))
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if not tell(notes, Note(pid, code)):
        raise SystemExit
    return code


def _fork() -> int | None:
    """As `os.fork`; the child ends with its keeper. `None` where there is no room for another process."""
    keeper = os.getpid()
    try:
        with warnings.catch_warnings():
            # Python warns of other threads. Whether the model survives that is seen by whether the child answers.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
    except OSError:
        return None
    if pid == 0:
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL))
        if os.getppid() != keeper:
            os._exit(os.EX_OK)  # it ended before the kernel was told to mind it
    return pid


def _counting(answer: Answer, answered: mmap.mmap, *, proven: bool) -> Answer:
    """Answer, and let the keeper know of how many questions were; end where a fork seems to be unable to."""
    numbers = itertools.count(1)
    able = proven

    def counting(rows: Sequence[Row]) -> list[Outcome]:
        nonlocal able
        try:
            outcomes = answer(rows)
        except MemoryError:
            raise
        except Exception:  # foreign code may raise anything
            if not able:
                os._exit(_UNFIT)
            raise
        able = True
        _COUNT.pack_into(answered, 0, next(numbers))
        return outcomes

    return counting
