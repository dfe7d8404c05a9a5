"""A shadow's process: a worker that steps back for everybody else.

`python -m fairlead.predictor.shadow_process BUNDLE DIGEST SOCKET MEMORY SECONDS`

Nobody waits for a shadow, so it gets what the others leave: whatever it costs, it must not take the cores from those who answer.
It steps back before anything else is imported, because niceness belongs to a thread, and numerical libraries start theirs when
they are loaded.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

__all__ = ["PATIENCE", "main", "step_back"]

PATIENCE: Final = 3.0
"""How many times as long as it may compute it may take for an answer: it waits for a core where others are busy."""
_NICEST: Final = 19


def step_back() -> None:
    """Let every other process go first, as far as this machine allows it.

    Idle is the class beneath all niceness: whoever wakes goes before it at once. Where the kernel groups processes by session
    (autogroup), what counts is the group's own niceness, and each of our processes leads a session.
    """
    os.nice(_NICEST)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICEST))
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> None:
    """Run as a process."""
    step_back()
    from fairlead.predictor import worker_process  # only now, as said above

    worker_process.main(PATIENCE)


if __name__ == "__main__":
    main()
