"""Runs schemathesis, which makes requests from an OpenAPI document and holds the answers against it, as a process.

As a process, because its plugin for pytest fails with pytest 9.2, and because a fuzzer is to be bounded in time from outside.
Its requests are the same in every run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import schemathesis_checks

__all__ = ["failures", "held_against"]

CONFIG = """
suppress-health-check = ["all"]
hooks = '{hooks}'
request-timeout = 60

[cache]
enabled = false

[generation]
deterministic = true
database = "none"
max-examples = {examples}

# 413 is the right answer to too many rows, which its own list of refusals does not know.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]
"""


def held_against(document: str, folder: Path, *options: str, examples: int) -> subprocess.CompletedProcess[str]:
    """Run all checks but those that are named in `options`.

    Args:
        document: The OpenAPI document's address or file.
        folder: Where to run.
        options: Further options of `schemathesis run`.
        examples: How many requests are made at random for each operation, beside those at each bound of its schema.
    """
    hooks = Path(schemathesis_checks.__file__)
    (folder / "schemathesis.toml").write_text(CONFIG.format(hooks=hooks, examples=examples))
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", document, "--no-color", "--no-shrink"]
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=250, check=False)


def failures(said: str) -> str:
    """What it found, without its talk; the bodies of its requests can be very long."""
    return "\n".join(line[:300] for line in said.partition("= FAILURES =")[2].splitlines())[:8000]
