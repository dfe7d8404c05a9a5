"""What does it cost to begin? `import fairlead`, `fairlead --help`, and `fairlead serve` until its first answer.

Prints the median of several runs beside a bare `python -c pass`, which is the floor of each. CPU is user plus system time of the
process as the kernel accounts for it; the start of the service is measured by the clock, with one endpoint deployed in `--home`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

CLI = [sys.executable, "-m", "fairlead.cli.main"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import fairlead": [sys.executable, "-c", "import fairlead"],
    "fairlead --help": [*CLI, "--help"],
}


def cpu_seconds(command: list[str]) -> float:
    """User plus system time of one run, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_answer_seconds(home: Path, endpoint: str, body: bytes) -> float:
    """From the start of `fairlead serve` to the first answered prediction, by the clock."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.monotonic()
    process = subprocess.Popen(
        [*CLI, "--home", str(home), "serve", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while time.monotonic() - start < 60:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/predict/{endpoint}", body, {"content-type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310 - our own address
                    json.load(reply)
                    return time.monotonic() - start
            except OSError:
                time.sleep(0.01)
        raise TimeoutError("the service did not answer within a minute")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def prepared(home: Path) -> bytes:
    """Deploy the demo's model in a fresh home and return one of its rows as JSON."""
    import fairlead
    from fairlead.demo import flights, training

    year = flights.flights()
    winter = training.training_table(year)
    model = training.train(winter)
    metrics = training.metrics(model, winter)
    fairlead.pack(model, name="flights", data=winter, target=flights.TARGET, metrics=metrics, home=home)
    subprocess.run([*CLI, "--home", str(home), "deploy", "flights:1"], check=True, capture_output=True, timeout=120)
    return json.dumps(flights.rows(year[year["month"] == 4].iloc[:1])[0]).encode()


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=9)
    runs = arguments.parse_args().runs
    for name, command in COMMANDS.items():
        times = [cpu_seconds(command) for _ in range(runs)]
        print(f"{name:40} {statistics.median(times):6.3f} CPU s  ({min(times):.3f} to {max(times):.3f})")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        body = prepared(home)
        times = [first_answer_seconds(home, "flights", body) for _ in range(runs)]
    cores = len(os.sched_getaffinity(0))
    print(
        f"{f'fairlead serve, {cores} gateways, first answer':40} {statistics.median(times):6.3f} s      ({min(times):.3f} to {max(times):.3f})"
    )


if __name__ == "__main__":
    main()
