"""`kill -9` under load: no answered prediction is missing from the event log, and the service comes back.

The truth is what the clients hold in their hands: every id they were given must be read back from the log.
"""

import contextlib
import os
import shutil
import signal

import pytest

from fairlead.eventlog.reader import read_log
from running import Background, alive, cli, serving, start

pytestmark = pytest.mark.slow


@pytest.fixture
def deployed(packed_home, tmp_path):
    home = shutil.copytree(packed_home, tmp_path / "home")
    cli(home, "deploy", "flights:1")
    return home


def check_log(home, found):
    answered = {answer["id"] for _, answer in found.answers}
    assert len(answered) == len(found.answers), "an id was given twice"
    logged = {one.prediction.id for one in read_log(home / "events")}
    assert answered - logged == set()


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def test_a_killed_gateway_loses_no_answer_and_comes_back(deployed, april_bodies):
    with serving(deployed, workers=2) as service:
        with Background(service.port, april_bodies) as found:
            for _ in range(3):
                before = len(found.answers)
                service.wait_for(lambda before=before: len(found.answers) > before + 500)
                victim = service.pids("gateway-0")["gateway-0"]
                kill(victim)
                service.wait_for(lambda victim=victim: service.pids("gateway-0").get("gateway-0", victim) != victim)
            before = len(found.answers)
            service.wait_for(lambda: len(found.answers) > before + 500)
        # Only what was in flight on the killed process's connections is lost: at most all 16 of them, each time.
        assert len(found.failures) <= 3 * 16 * 3
        check_log(deployed, found)


def test_a_killed_control_process_disturbs_nobody_and_comes_back(deployed, april_bodies):
    with serving(deployed, workers=2) as service:
        with Background(service.port, april_bodies) as found:
            service.wait_for(lambda: len(found.answers) > 500)
            victim = service.pids("control")["control"]
            kill(victim)
            service.wait_for(lambda: service.pids("control").get("control", victim) != victim)
            said = cli(deployed, "deploy", "flights:2")
            assert "2 gateways" in said.stderr
            deployed_at = len(found.answers)
            service.wait_for(lambda: len(found.answers) > deployed_at + 500)
        assert found.failures == []
        late = [answer["model"] for _, answer in found.answers[deployed_at:]]
        assert late.count("flights:2") >= len(late) - 16, "only what was in flight may still be the former version's"
        check_log(deployed, found)


def test_the_whole_tree_killed_is_back_by_the_same_command(deployed, april_bodies):
    service = start(deployed, workers=2)
    service.wait_ready()
    with Background(service.port, april_bodies) as found:
        service.wait_for(lambda: len(found.answers) > 1000)
        service.kill_all()
    assert len(found.answers) > 1000
    with serving(deployed, workers=2, port=service.port) as again, Background(again.port, april_bodies) as more:
        again.wait_for(lambda: len(more.answers) > 500)
    assert more.failures == []
    found.answers.extend(more.answers)
    check_log(deployed, found)


def test_a_killed_supervisor_leaves_the_gateways_serving_until_the_next_takes_over(deployed, april_bodies):
    service = start(deployed, workers=2)
    service.wait_ready()
    orphans = service.pids("gateway")
    with contextlib.ExitStack() as stack, Background(service.port, april_bodies) as found:
        service.wait_for(lambda: len(found.answers) > 200)
        kill(service.process.pid)
        service.process.wait(10)
        before = len(found.answers)
        service.wait_for(lambda: len(found.answers) > before + 500)
        again = stack.enter_context(serving(deployed, workers=2, port=service.port))
        again.wait_for(lambda: not any(alive(pid) for pid in orphans.values()))
        before = len(found.answers)
        again.wait_for(lambda: len(found.answers) > before + 500)
        assert not set(again.pids("gateway").values()) & set(orphans.values())
    assert found.failures == []
    check_log(deployed, found)


def test_ctrl_c_finishes_what_was_begun_and_ends_with_0(deployed, april_bodies):
    with serving(deployed, workers=2) as service, Background(service.port, april_bodies) as found:
        service.wait_for(lambda: len(found.answers) > 200)
        pids = service.pids()
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(30) == 0
        assert not any(alive(pid) for pid in pids.values())
    check_log(deployed, found)
