"""A keeper and its forks, as real processes. The truth is the kernel's: process ids, who is whose child, how a process ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fairlead.predictor.notes import Note, Notes, tell
from running import alive

ANSWERING = """
import json, os, signal, sys, time
from fairlead.predictor.keeping import keep
from fairlead.predictor.outcome import Outcome

def answer(rows):
    if rows[0] == "end":
        os._exit(rows[1])
    if rows[0] == "hang":
        time.sleep(600)
    if rows[0] == "over":
        signal.raise_signal(signal.SIGALRM)
    if rows[0] == "raise":
        raise RuntimeError("not in a fork")
    return [Outcome(sum(rows))]

loaded = os.getpid()
asked = keep(answer, int(sys.argv[1]))
print(json.dumps({"pid": os.getpid(), "loaded": loaded}), flush=True)
for line in sys.stdin:
    try:
        said = asked(json.loads(line))[0].prediction
    except RuntimeError as error:
        said = str(error)
    print(json.dumps({"pid": os.getpid(), "said": said}), flush=True)
"""


class Kept:
    """A keeper, and how to talk with whichever of its forks answers."""

    def __init__(self, notes, process):
        self.notes, self.process, self._heard = notes, process, []

    def ask(self, *row):
        self.process.stdin.write(json.dumps(row) + "\n")
        self.process.stdin.flush()

    def told(self):
        return json.loads(self.process.stdout.readline())

    def note(self, seconds=30.0):
        end = time.monotonic() + seconds
        while not self._heard:
            assert time.monotonic() < end, "nothing was noted"
            self._heard += self.notes.read()
            time.sleep(0.01)
        return self._heard.pop(0)


@pytest.fixture
def kept():
    notes = Notes()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ANSWERING), str(notes.writing)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, pass_fds=(notes.writing,), start_new_session=True,
    )  # fmt: skip
    os.close(notes.writing)
    yield Kept(notes, process)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    for stream in (process.stdin, process.stdout):
        stream.close()
    notes.close()


def test_what_has_answered_is_begun_again_without_loading_and_how_it_ended_is_noted(kept):
    before = set()
    for code in (9, 3):
        begun = kept.told()
        assert begun["loaded"] == kept.process.pid
        assert begun["pid"] != kept.process.pid
        assert kept.note() == Note(begun["pid"])
        kept.ask(1, 2)
        assert kept.told() == {"pid": begun["pid"], "said": 3}
        kept.ask("end", code)
        assert kept.note() == Note(begun["pid"], code)
        before.add(begun["pid"])
    assert kept.told()["pid"] not in before
    assert len(before) == 2


def test_a_signal_that_ended_it_is_noted(kept):
    begun = kept.told()
    kept.note()
    kept.ask(1)
    kept.told()
    os.kill(begun["pid"], signal.SIGSEGV)
    assert kept.note() == Note(begun["pid"], -signal.SIGSEGV)


@pytest.mark.parametrize(("first", "code"), [("raise", os.EX_SOFTWARE), ("over", -signal.SIGALRM)])
def test_where_a_library_does_not_survive_the_fork_the_keeper_answers(kept, first, code):
    begun = kept.told()
    kept.note()
    kept.ask(first)
    assert kept.note() == Note(begun["pid"], code)
    assert kept.note() == Note(kept.process.pid)
    assert kept.told() == {"pid": kept.process.pid, "loaded": kept.process.pid}
    kept.ask(2, 2)
    assert kept.told() == {"pid": kept.process.pid, "said": 4}
    kept.ask("raise")  # now it is the model's own
    assert kept.told() == {"pid": kept.process.pid, "said": "not in a fork"}
    kept.ask("end", 7)
    assert kept.process.wait(30) == 7


@pytest.mark.slow
def test_of_what_only_crashes_three_forks_are_tried_before_the_keeper_itself(kept):
    for _ in range(3):
        begun = kept.told()
        assert begun["pid"] != begun["loaded"] == kept.process.pid
        assert kept.note() == Note(begun["pid"])
        kept.ask("end", 9)
        assert kept.note() == Note(begun["pid"], 9)
    assert kept.note() == Note(kept.process.pid)
    kept.told()
    kept.ask(1)
    assert kept.told() == {"pid": kept.process.pid, "said": 1}


def test_what_raises_after_it_has_answered_goes_on(kept):
    begun = kept.told()
    for row, said in (((1, 2), 3), (("raise",), "not in a fork"), ((2, 2), 4)):
        kept.ask(*row)
        assert kept.told() == {"pid": begun["pid"], "said": said}


@pytest.mark.parametrize("stopped", [False, True])
def test_who_answers_ends_with_its_keeper_even_if_it_was_stopped(kept, stopped):
    begun = kept.told()
    kept.ask("hang")
    if stopped:
        os.kill(begun["pid"], signal.SIGSTOP)
    kept.process.terminate()
    assert kept.process.wait(30) == -signal.SIGTERM
    end = time.monotonic() + 30
    while alive(begun["pid"]):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_keeper_whose_supervisor_is_gone_begins_nothing_anew(kept):
    begun = kept.told()
    kept.notes.close()
    kept.ask(1, 2)
    assert kept.told() == {"pid": begun["pid"], "said": 3}  # who answers goes on until then
    kept.ask("end", 9)
    assert kept.process.wait(30) == 0


def test_who_answers_cannot_speak_for_the_keeper(kept):
    begun = kept.told()
    assert len(pipes_of(kept.process.pid)) == 3  # asked, told, notes
    assert len(pipes_of(begun["pid"])) == 2


def pipes_of(pid):
    return [one for one in Path(f"/proc/{pid}/fd").iterdir() if str(one.readlink()).startswith("pipe:")]


def test_many_notes_come_in_order_and_a_listener_that_has_gone_is_no_matter():
    notes = Notes()
    told = [Note(number, None if number % 2 else -number) for number in range(1, 200)]
    for one in told:
        tell(notes.writing, one)
    heard = []
    while more := notes.read():
        heard += more
    assert heard == told
    notes.close()
    tell(notes.writing, Note(1))
    os.close(notes.writing)


def test_what_is_no_note_is_passed_over():
    notes = Notes()
    os.write(notes.writing, b"no note")
    assert notes.read() == []
    os.write(notes.writing, bytes(1000))
    assert set(notes.read()) == {Note(0)}
    os.close(notes.writing)
    notes.close()
