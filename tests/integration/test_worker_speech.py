"""What a worker's model prints becomes lines of the service's log, and is no reason to fail."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from running import alive, cli, post, serving

pytestmark = pytest.mark.slow
HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def found_by():
    """The search path with this folder in it, for the worker."""
    return os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="module")
def noisy_home(tmp_path_factory, found_by):
    import sys

    import fairlead

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", found_by)
        patch.setattr(sys, "path", [*sys.path, HERE])
        from noisy_model import Noisy

        home = tmp_path_factory.mktemp("noisy")
        table = pd.DataFrame({"x": [float(n) for n in range(1, 13)], "y": [2.0 * n for n in range(1, 13)]})
        fairlead.pack(Noisy(), name="noisy", data=table, target="y", home=home)
        cli(home, "deploy", "noisy:1")
    return home


def ask(service, value):
    status, _, body = post(service.port, "/predict/noisy", json.dumps({"x": value}).encode())
    return json.loads(body)["prediction"] if status == 200 else None


def told(service):
    """The lines that are JSON, and those that are not, without what `serve` says on stdout."""
    found, raw = [], []
    for line in service.log.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            raw.append(line)
    return found, [line for line in raw if not line.startswith(("Serving on", "  "))]


def test_every_line_of_a_talking_model_is_json_under_its_workers_name(noisy_home, found_by):
    environment = {**os.environ, "PYTHONPATH": found_by, "FAIRLEAD_LOG_FORMAT": "json"}
    with serving(noisy_home, "--console-port", "0", env=environment) as service:
        assert ask(service, 4) == 8.0
        service.wait_for(lambda: any("yyy" in line["message"] for line in told(service)[0]))
        lines, raw = told(service)
        assert raw == []
        said = [line for line in lines if line["process"].startswith("worker-")]
        messages = [line["message"] for line in said]
        assert "to stdout: 50% \x1b[31mred\x1b[0m {braces}" in messages
        assert "\x1b" not in service.log, "an escape sequence reaches nobody's terminal"
        assert '{"level": "critical", "message": "forged"}' in messages
        assert {line["level"] for line in said} == {"info"}
        assert any("no UTF-8" in message for message in messages)
        assert max(map(len, messages)) <= 8192


def test_a_model_that_talks_answers_though_its_supervisor_was_killed(noisy_home, found_by):
    environment = {**os.environ, "PYTHONPATH": found_by}
    with serving(noisy_home, "--console-port", "0", env=environment) as service:
        assert ask(service, 4) == 8.0
        pids = service.pids()
        service.process.kill()
        service.process.wait(30)
        try:
            assert [ask(service, value) for value in range(1, 9)] == [2.0 * value for value in range(1, 9)]
            assert alive(next(pid for role, pid in pids.items() if role.startswith("worker")))
        finally:
            for pid in pids.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
