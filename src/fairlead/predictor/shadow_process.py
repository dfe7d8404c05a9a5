"""A shadow's process: a worker that steps back for everybody else.

`python -m fairlead.predictor.shadow_process BUNDLE DIGEST SOCKET MEMORY SECONDS NOTES`

Nobody waits for a shadow, so it gets what the others leave: whatever it costs, it must not take the cores from those who answer.
While it is loaded it steps back a little, else a busy machine would never see it ready; then as far as the machine allows. And it is loaded
once: a keeper stays behind that begins it anew when it ends (`keeping`). NOTES is the pipe by which that one tells.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fairlead.predictor.outcome import Answer

__all__ = ["PATIENCE", "main", "step_aside", "step_back"]

PATIENCE: Final = 6.0
"""How many times as long as it may compute it may take for an answer: it waits for a core where others are busy."""
_NICE: Final = 10
_NICEST: Final = 19
_GROUP: Final = Path("/proc/self/autogroup")
"""Where the kernel groups processes by session, what counts is the group's own niceness; each of our processes leads a session."""


def step_back() -> None:
    """Let others go first while the model is loaded."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    with contextlib.suppress(OSError):
        _GROUP.write_text(str(_NICE))


def step_aside() -> None:
    """Let every other process go first, as far as this machine allows it.

    Idle is the class beneath all niceness: whoever wakes goes before it at once. Both belong to a thread, and numerical libraries
    have started theirs by now; what a thread starts later inherits.
    """
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), _NICEST)
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        _GROUP.write_text(str(_NICEST))


def main() -> None:
    """Run as a process."""
    step_back()
    from fairlead.predictor import keeping, worker_process  # loading the libraries is part of what steps back

    def stand_aside(answer: Answer) -> Answer:
        step_aside()
        return keeping.keep(answer, int(notes))

    *sys.argv, notes = sys.argv
    worker_process.main(PATIENCE, stand_aside)


if __name__ == "__main__":
    main()
