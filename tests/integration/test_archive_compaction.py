"""Compaction on a real disk. What is expected is what the writers wrote: each event once, as it was."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from loguru import logger

from archive_events import DAY, FLIGHTS, MORNING, Clock, exactly, prediction, told, written
from fairlead.archive import disk
from fairlead.archive.compaction import Compacted, compact
from fairlead.archive.compaction import told as log_it
from fairlead.archive.events import read_events
from fairlead.archive.manifest import load
from fairlead.archive.retention import Pruned
from fairlead.errors import Conflict, StorageError
from fairlead.eventlog.reader import segments
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Mirrored, Prediction

LATER = MORNING + 3 * DAY


def facts(folder):
    return sorted(exactly(one) for one in read_events(folder) if not isinstance(one, Columns))


def expected(events):
    return sorted(map(exactly, events))


def settle(folder, now=LATER, **more):
    """Compact until nothing is left to do: what is needed no longer goes at once."""
    done = [compact(folder, now=now, grace=0, least=0, **more) for _ in range(2)]
    assert compact(folder, now=now, grace=0, least=0, **more).rows == 0
    return done


def some_events(count, days=2, seed=1):
    chosen = random.Random(seed)
    events = []
    for number in range(count):
        when = MORNING + number * days * DAY / count
        events.append(prediction(number, when, endpoint=chosen.choice(["flights", "trains"])))
        if number % 3 == 0:
            events.append(told(chosen.randrange(number + 1), when + 1))
        if number % 5 == 0:
            events.append(
                Mirrored(f"flights-{number}", when, "flights", "flights:2", "next", "ok", 0.1, "late", (0.7, 0.3), "flights:1", 0.1, "late", None)
            )  # fmt: skip
    return events


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch, MORNING)


def test_segments_become_parts_by_endpoint_and_day_and_go(tmp_path, clock):
    events = some_events(300)
    written(tmp_path, events)
    assert len(segments(tmp_path)) > 10
    first, second = settle(tmp_path)
    assert (first.rows, second.rows) == (len(events), 0)
    assert segments(tmp_path) == []
    parts = load(tmp_path).parts
    places = {(part.endpoint, part.day, part.kind) for part in parts}
    assert len(parts) == len(places), "one part for each endpoint, day and kind"
    assert {place[:2] for place in places} >= {("flights", "2027-01-15"), ("trains", "2027-01-16")}
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == [
        "flights",
        "lock",
        "manifest.json",
        "trains",
    ]
    assert facts(tmp_path) == expected(events)


def test_what_a_writer_still_holds_is_left_to_it_and_read_from_both_places(tmp_path, clock):
    log = EventLog(tmp_path, "gateway-0")
    events = some_events(40)
    for event in events[:20]:
        log.append(FLIGHTS, [event]) if isinstance(event, Prediction) else log.note([event])
    assert compact(tmp_path, now=MORNING, grace=0).rows == 0, "too little to be worth a file"
    assert compact(tmp_path, now=MORNING, grace=0, least=0).rows == 20
    for event in events[20:]:
        log.append(FLIGHTS, [event]) if isinstance(event, Prediction) else log.note([event])
    assert facts(tmp_path) == expected(events)
    assert compact(tmp_path, now=MORNING, grace=0, least=0).rows == len(events) - 20
    assert len(segments(tmp_path)) == 1, "a writer holds it"
    log.close()
    settle(tmp_path)
    assert segments(tmp_path) == []
    assert facts(tmp_path) == expected(events)


def test_a_segment_stays_for_those_who_follow_it_until_the_grace_is_over(tmp_path, clock):
    written(tmp_path, some_events(10))
    assert compact(tmp_path, now=LATER, least=0).removed == 0
    assert compact(tmp_path, now=LATER + 3599, least=0).removed == 0
    assert segments(tmp_path)
    assert facts(tmp_path) == expected(some_events(10)), "and nobody reads it twice"
    assert compact(tmp_path, now=LATER + 3600, least=0).removed > 0
    assert segments(tmp_path) == []


def test_the_days_of_events_decide_and_not_those_of_segments(tmp_path, clock):
    # A clock that is set back: the later event is of the day before.
    events = [prediction(1, MORNING + 5), prediction(2, MORNING - 5), prediction(3, MORNING + 6)]
    written(tmp_path, events)
    settle(tmp_path)
    assert {part.day: part.rows for part in load(tmp_path).parts} == {"2027-01-14": 1, "2027-01-15": 2}
    assert facts(tmp_path) == expected(events)


def test_versions_with_other_columns_have_parts_of_their_own(tmp_path, clock):
    other = Columns("flights:2", "1" * 64, ("carrier",), ())
    log = EventLog(tmp_path, "gateway-0")
    ours = prediction(1)
    theirs = prediction(2, of=other, inputs=("UA",), prediction=3.5, probabilities=None)
    log.append(FLIGHTS, [ours])
    log.append(other, [theirs])
    log.close()
    settle(tmp_path)
    assert len(load(tmp_path).parts) == 2
    assert {one.model: one for one in read_events(tmp_path) if isinstance(one, Columns)} == {
        "flights:1": FLIGHTS,
        "flights:2": other,
    }
    assert facts(tmp_path) == expected([ours, theirs])


def test_a_column_that_changes_its_type_divides_the_parts_and_changes_no_value(tmp_path, clock):
    of = Columns("m:1", "d", ("x",), ())
    rows = [(1,), (2,), (2.5,), (None,), ("a",), (True,), (3,)]
    events = [
        prediction(at, MORNING + at, endpoint="m", of=of, inputs=row, prediction=None, probabilities=None)
        for at, row in enumerate(rows)
    ]
    for number, event in enumerate(events):
        written(tmp_path, [event], writer=f"w{number}", of=of)
    settle(tmp_path)
    assert facts(tmp_path) == expected(events)


def test_only_one_compacts_at_a_time(tmp_path, clock):
    written(tmp_path, some_events(3))
    with disk.holding(tmp_path / "archive" / "lock"), pytest.raises(Conflict, match="another process"):
        compact(tmp_path)


def test_who_is_patient_waits_for_the_other(tmp_path):
    written(tmp_path, some_events(3))
    with ThreadPoolExecutor(1) as pool:
        with disk.holding(tmp_path / "archive" / "lock"):
            waiting = pool.submit(compact, tmp_path, now=LATER, patience=60)
            with pytest.raises(Conflict):
                compact(tmp_path, patience=0.2)
            assert not waiting.done()
        assert waiting.result(60).rows == len(some_events(3))


def test_a_log_that_is_not_there_is_no_work(tmp_path):
    assert compact(tmp_path / "events").rows == 0
    assert not (tmp_path / "events").exists()


def test_parts_without_their_manifest_are_told_and_left_alone(tmp_path, clock):
    written(tmp_path, some_events(30))
    settle(tmp_path)
    (tmp_path / "archive" / "manifest.json").rename(tmp_path / "kept.json")
    for what in (lambda: compact(tmp_path), lambda: list(read_events(tmp_path))):
        with pytest.raises(StorageError, match="no manifest"):
            what()
    (tmp_path / "kept.json").rename(tmp_path / "archive" / "manifest.json")
    assert facts(tmp_path) == expected(some_events(30))


def test_a_manifest_that_is_no_manifest_is_told(tmp_path, clock):
    written(tmp_path, some_events(3))
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "manifest.json").write_text('{"version": 1, "parts": [')
    with pytest.raises(StorageError, match="manifest"):
        compact(tmp_path)


# What is torn or broken


def test_a_torn_tail_is_named_and_kept_and_the_rest_is_archived(tmp_path, clock):
    events = some_events(20)
    written(tmp_path, events, segment_bytes=10**6)
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    first, _ = settle(tmp_path)
    assert any("bytes that are no whole event" in note for note in first.notes)
    assert facts(tmp_path) == expected(events[:-1])
    (kept,) = tmp_path.glob("*/*.broken")
    assert kept.name == path.name + ".broken"


def test_a_damaged_frame_in_the_middle_costs_itself_alone(tmp_path, clock):
    events = [prediction(number, MORNING + number) for number in range(20)]
    written(tmp_path, events, segment_bytes=10**6)
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"flights-7") + 2] ^= 1
    path.write_bytes(data)
    first, _ = settle(tmp_path)
    assert any("1 events that cannot be understood" in note for note in first.notes)
    assert facts(tmp_path) == expected(events[:7] + events[8:])
    assert list(tmp_path.glob("*/*.seg.broken"))


def test_an_event_of_a_kind_that_nobody_knows_is_kept_with_its_segment(tmp_path, clock):
    import struct
    import zlib

    import msgspec

    events = [prediction(1), prediction(2)]
    written(tmp_path, events)
    (path,) = segments(tmp_path)
    payload = msgspec.msgpack.encode(["q", "something", 1.0, "new"])
    with path.open("ab") as file:
        file.write(struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
    first, _ = settle(tmp_path)
    assert any("cannot be understood" in note for note in first.notes)
    assert facts(tmp_path) == expected(events)
    (kept,) = tmp_path.glob("*/*.broken")
    assert payload in kept.read_bytes()


def test_a_part_that_is_half_written_is_named_and_kept_and_stops_nothing(tmp_path, clock):
    written(tmp_path, some_events(60))
    settle(tmp_path)
    (part, *_) = load(tmp_path).parts
    path = tmp_path / "archive" / part.path
    path.write_bytes(path.read_bytes()[: part.bytes // 2])
    lost = len(facts(tmp_path))
    assert lost == len(some_events(60)) - part.rows
    done = compact(tmp_path, now=LATER, grace=0)
    assert any(part.path in note and "bytes and not" in note for note in done.notes)
    assert path.with_name(path.name + ".broken").exists()
    assert compact(tmp_path, now=LATER, grace=0).notes == (), "it is said once"


def test_a_part_whose_bytes_have_changed_is_found_when_it_is_merged(tmp_path, clock):
    events = [prediction(number, MORNING + number) for number in range(40)]
    for number in range(2):
        written(tmp_path, events[number * 20 : number * 20 + 20], writer=f"w{number}")
        compact(tmp_path, now=MORNING + 100, grace=0, least=0)
    (sound, broken) = sorted(load(tmp_path).parts, key=lambda part: part.path)
    path = tmp_path / "archive" / broken.path
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF  # in a page; the size and both ends are as they were
    path.write_bytes(data)
    done = compact(tmp_path, now=LATER, grace=0)
    assert any(broken.path in note for note in done.notes)
    assert [part.path for part in load(tmp_path).parts] == [sound.path]
    assert facts(tmp_path) == expected(events[:20])


def test_a_file_that_is_none_of_ours_is_left_alone_and_named(tmp_path, clock):
    written(tmp_path, some_events(10))
    settle(tmp_path)
    path = tmp_path / "archive" / "flights" / "2027-01-15" / "mine.parquet"
    path.write_text("mine")
    done = compact(tmp_path, now=LATER, grace=0)
    assert any("mine.parquet" in note for note in done.notes)
    assert path.read_text() == "mine"


# Retention


def test_days_are_pruned_by_age_whole_and_that_is_said(tmp_path, clock):
    events = [prediction(number, MORNING + number * DAY / 10) for number in range(40)]
    written(tmp_path, events)
    done = compact(tmp_path, now=MORNING + 4 * DAY, days=2, grace=0, least=0)
    assert [(one.day, one.rows, one.because) for one in done.pruned] == [
        ("2027-01-15", 10, "age"),
        ("2027-01-16", 10, "age"),
    ]
    settle(tmp_path, now=MORNING + 4 * DAY)
    assert facts(tmp_path) == expected(events[20:])
    assert not list((tmp_path / "archive").glob("*/2027-01-15"))


def test_who_compacts_unseen_leaves_word_of_what_was_odd_and_what_was_pruned():
    lines = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), format="{message}")
    try:
        done = Compacted(pruned=(Pruned("2027-01-15", 1234, 9, "age"),), notes=("A segment ends {badly}.",))
        assert log_it(done) is done
    finally:
        logger.remove(sink)
    assert lines == ["1,234 events of 2027-01-15 were pruned by age.", "A segment ends {badly}."]


def test_the_oldest_days_go_when_all_is_too_large_and_the_last_stays(tmp_path, clock):
    events = [prediction(number, MORNING + number * DAY / 10) for number in range(40)]
    written(tmp_path, events)
    settle(tmp_path, now=MORNING + 4 * DAY)
    sizes = {part.day: part.bytes for part in load(tmp_path).parts}
    most = sizes["2027-01-17"] + sizes["2027-01-18"]
    done = compact(tmp_path, now=MORNING + 4 * DAY, most_bytes=most, grace=0)
    assert [(one.day, one.because) for one in done.pruned] == [("2027-01-15", "size"), ("2027-01-16", "size")]
    assert done.kept_bytes == most
    done = compact(tmp_path, now=MORNING + 4 * DAY, most_bytes=1, grace=0)
    assert {part.day for part in load(tmp_path).parts} == {"2027-01-18"}


# Crashes


class Stop(BaseException):
    """The process ends here."""


class Steps:
    """Counts the touches of the disk that change it, and stops right after one of them."""

    def __init__(self, monkeypatch, stop_at=None):
        self.count, self._stop_at = 0, stop_at
        # What a sync is for is the kernel's work, and slow: here it is a step like the others.
        monkeypatch.setattr(os, "fsync", lambda _: self._step())
        for name in ("replace", "unlink", "rename", "mkdir", "rmdir"):
            monkeypatch.setattr(Path, name, self._stepping(getattr(Path, name)))

    def _stepping(self, real):
        def step(*args, **kwargs):
            found = real(*args, **kwargs)
            self._step()
            return found

        return step

    def _step(self):
        self.count += 1
        if self.count == self._stop_at:
            raise Stop


def life(folder, seed, compacting):
    """A little life of a log: twice something is written, and compacted, the second time days later. Tells what was written up to now."""
    events = some_events(8, days=1.5, seed=seed)
    for number, (part, now) in enumerate(((events[:7], MORNING + DAY / 2), (events[7:], LATER))):
        written(folder, part, writer=f"w{number}", segment_bytes=1500)
        compacting(lambda now: compact(folder, now=now, grace=0, least=0, memory=1500), now)
        yield events[:7] if number == 0 else events


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_whatever_step_a_crash_follows_nothing_is_lost_and_nothing_is_twice(tmp_path, monkeypatch, clock, seed):
    def running(stop_at):
        def run(compaction, now):
            with monkeypatch.context() as patched:
                steps = Steps(patched, stop_at - sum(counted) if stop_at else None)
                try:
                    compaction(now)
                except Stop:
                    counted.append(10**9)
                counted.append(steps.count)

        counted = []
        return run, counted

    run, counted = running(None)
    list(life(tmp_path / "whole", seed, run))
    total = sum(counted)
    assert total > 50
    for stop_at in range(1, total + 1) if seed == 1 else random.Random(seed).sample(range(1, total + 1), 8):
        folder = tmp_path / f"stopped-{stop_at}"
        run, counted = running(stop_at)
        for events in life(folder, seed, run):
            assert facts(folder) == expected(events), f"after step {stop_at}"
        assert sum(counted) >= 10**9, "it was stopped"
        with monkeypatch.context() as patched:
            Steps(patched)
            settle(folder)
        assert facts(folder) == expected(events), f"settled after step {stop_at}"
        assert segments(folder) == []
        assert not list(folder.rglob("*.broken"))
        named = {one.path for one in load(folder).parts}
        assert named == {path.relative_to(folder / "archive").as_posix() for path in folder.rglob("*.parquet")}
        shutil.rmtree(folder)


def test_whatever_step_of_pruning_a_crash_follows_whole_days_go_and_the_others_stay(tmp_path, monkeypatch, clock):
    events = [prediction(number, MORNING + number * DAY / 2) for number in range(4)]
    kept = expected(events[2:])
    for stop_at in range(1, 100):
        folder = tmp_path / str(stop_at)
        written(folder, events)
        with monkeypatch.context() as patched:
            Steps(patched)
            compact(folder, now=LATER, grace=0, least=0)
        with monkeypatch.context() as patched:
            steps = Steps(patched, stop_at)
            try:
                compact(folder, now=LATER, grace=0, days=2)
            except Stop:
                assert facts(folder) in (expected(events), kept)
            compact(folder, now=LATER, grace=0, days=2)
        assert facts(folder) == kept
        assert len(list(folder.rglob("*.parquet"))) == 1
        if steps.count < stop_at:
            break
    assert 5 < stop_at < 99


def test_a_part_is_on_the_disk_before_the_manifest_names_it_and_the_manifest_before_anything_goes(
    tmp_path, monkeypatch, clock
):
    written(tmp_path, some_events(30))
    told_of = []
    real = {name: getattr(disk, name) for name in ("create", "replace", "remove", "sync_folder")}
    monkeypatch.setattr(
        disk, "create", lambda path, write: (real["create"](path, write), told_of.append(("on disk", path.name)))[0]
    )
    monkeypatch.setattr(
        disk,
        "replace",
        lambda path, content: (
            real["replace"](path, content),
            told_of.append(("named", [part["path"].rpartition("/")[2] for part in json.loads(content)["parts"]])),
        ),
    )
    monkeypatch.setattr(disk, "remove", lambda path: (told_of.append(("gone", path.name)), real["remove"](path)))
    for _ in range(2):
        compact(tmp_path, now=LATER, grace=0, least=0)
    on_disk, named = set(), []
    for what, which in told_of:
        if what == "on disk":
            on_disk.add(which)
        elif what == "named":
            assert set(which) <= on_disk
            named = which
        elif which.endswith(".parquet"):
            assert which not in named
        else:
            assert named, "a segment goes when its events are named"
    assert {"on disk", "named", "gone"} == {what for what, _ in told_of}


WRITER = """
import sys, time
from pathlib import Path
from archive_events import FLIGHTS, prediction
from fairlead.eventlog.writer import EventLog
log = EventLog(Path(sys.argv[1]), sys.argv[2], segment_bytes=3000)
for number in range(int(sys.argv[3])):
    assert log.append(FLIGHTS, [prediction(number, time.time(), endpoint=sys.argv[2])])
    if number % 10 == 0:
        print(number, flush=True)
        log.sync()
print("done", flush=True)
time.sleep(60)
"""

COMPACTOR = """
import sys
from pathlib import Path
from fairlead.archive.compaction import Compacted, compact
from fairlead.archive.compaction import told as log_it
while True:
    compact(Path(sys.argv[1]), grace=0, least=0)
    print("compacted", flush=True)
"""


@pytest.mark.slow
def test_compactors_and_writers_that_are_killed_lose_nothing_that_was_written(tmp_path, request):
    count, kills = 400, 6
    environment = {**os.environ, "PYTHONPATH": str(request.config.rootpath / "tests")}

    def run(script, *arguments):
        return subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "events"), *arguments],
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    writers = [run(WRITER, f"w{number}", str(count)) for number in range(2)]
    chosen = random.Random(5)
    try:
        for writer in writers:
            writer.stdout.readline()
        for _ in range(kills):
            compactor = run(COMPACTOR)
            compactor.stdout.readline()  # it is at work
            time.sleep(chosen.random() * 0.05)  # anywhere in its work; whatever is hit must hold
            compactor.send_signal(signal.SIGKILL)
            compactor.wait(20)
            compactor.stdout.close()
        for writer in writers:
            while writer.stdout.readline() != "done\n":
                pass
    finally:
        for writer in writers:
            writer.kill()
            writer.wait(20)
            writer.stdout.close()
    for _ in range(3):
        compact(tmp_path / "events", grace=0, least=0)
    ids = [one.id for one in read_events(tmp_path / "events") if isinstance(one, Prediction)]
    assert sorted(ids) == sorted(f"w{writer}-{number}" for writer in range(2) for number in range(count))
    assert segments(tmp_path / "events") == []
