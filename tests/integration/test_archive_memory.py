"""What compaction and reading take does not grow with the log: measured by the kernel, in a process of their own."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, sys
from pathlib import Path
import msgspec
from archive_events import DAY, FLIGHTS, MORNING, prediction
from fairlead.archive.compaction import compact
from fairlead.archive.frames import frames
from fairlead.eventlog.writer import EventLog

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def work(folder, rounds):
    log = EventLog(folder, "w0")
    some = [prediction(number, MORNING + number) for number in range(1000)]
    for round in range(rounds):
        log.append(FLIGHTS, [msgspec.structs.replace(one, id=f"{round}-{one.id}") for one in some])
    log.close()
    for _ in range(2):
        done = compact(folder, now=MORNING + 3 * DAY, grace=0, least=0, memory=4 * 2**20)
    return sum(map(len, frames(folder, "flights", 0, MORNING + DAY))), done.kept_rows

work(Path(sys.argv[1]) / "small", 120)
before = peak()
rows, kept = work(Path(sys.argv[1]) / "large", 360)
print(json.dumps([rows, kept, peak() - before]))
"""


@pytest.mark.slow
def test_a_log_that_is_three_times_as_long_takes_no_more_memory(tmp_path, request):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=110, check=True,
        env={"PYTHONPATH": str(request.config.rootpath / "tests"), "PATH": ""},
    )  # fmt: skip
    rows, kept, megabytes = json.loads(done.stdout)
    assert rows == kept == 360_000
    # The 240,000 rows more would be 240 MB as Python's objects; what pyarrow keeps for itself, and chance, are allowed for.
    assert megabytes < 200
