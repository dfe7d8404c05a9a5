"""Decision 16 holds for a compacted log: what a controller that starts anew knows of a rollout is what it knew from segments.

The truth is the evidence that `Watches` folds from the segments themselves, before anything is compacted. Sums are of numbers that are
exact in binary, so their order does not matter.
"""

import random
import shutil

import msgspec
import pytest

from archive_events import MORNING, Clock
from fairlead.archive.compaction import compact
from fairlead.archive.manifest import load
from fairlead.errors import NotFound, StorageError
from fairlead.eventlog.reader import segments
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Feedback, Mirrored, Prediction
from fairlead.rollout.reading import plan_of
from fairlead.rollout.rollout import Rollout, Stretch
from fairlead.rollout.watch import Watches

COLUMNS = {
    f"flights:{number}": Columns(f"flights:{number}", f"{number}" * 64, ("origin", "distance"), ("no", "yes"))
    for number in (1, 2)
}
HOUR = 3600.0
END = MORNING + 20 * HOUR


def rollout():
    plan = plan_of(
        {
            "endpoint": "flights",
            "candidate": "flights:2",
            "steps": [{"mirror": 100}, {"weight": 50}],
            "analysis": {"warm_up": 0},
            "metrics": [
                {"name": "error_rate"},
                {"name": "unseen_rate"},
                {"name": "disagreement", "max": 3},
                {"name": "accuracy", "label_delay": "1h"},
                {"name": "revenue", "from": "feedback", "role": "goal", "label_delay": "1h", "covariate": "distance"},
            ],
        }
    )
    stretches = (Stretch(7, 0, 0.0, 100.0), Stretch(8, 1, 50.0))
    return Rollout(
        1, plan, "flights:2", "2" * 64, "flights:1", "1" * 64, "", "ann", "progressing", MORNING, MORNING, MORNING,
        step=1, stretches=stretches,
    )  # fmt: skip


def life(folder, clock, chosen):
    """Two gateways write; callers keep to their gateway."""
    logs = [EventLog(folder, f"gateway-{number}", segment_bytes=4000) for number in range(2)]
    for number in range(600):
        clock.now += 20 + chosen.random()
        writer = number % 2
        variant = chosen.choice(["stable", "candidate"]) if number > 200 else "stable"
        model = "flights:2" if variant == "candidate" else "flights:1"
        key = chosen.choice([None, f"{writer}{chosen.randrange(60):03x}", f"request-{number}"])
        status = "ok" if chosen.random() < 0.9 else chosen.choice(["prediction_failed", "schema_mismatch", "forbidden"])
        asked = [
            Prediction(
                f"{number}-{row}", clock.now, chosen.choice(["flights"] * 9 + ["trains"]), model, variant, key, status, 1 / 64,
                None if status == "schema_mismatch" else ("JFK", float(chosen.randrange(9))),
                chosen.choice(["no", "yes"]) if status == "ok" else None, (0.25, 0.75) if status == "ok" else None,
                ("origin",) if chosen.random() < 0.1 else (), 7 if number <= 200 else 8, chosen.choice([""] * 9 + ["pinned"]),
            )
            for row in range(3 if key and "-" in key else 1)
        ]  # fmt: skip
        logs[writer].append(COLUMNS[model], asked)
        if number <= 200 and status == "ok":
            logs[writer].note([mirrored(one, clock.now, chosen) for one in asked])
        if chosen.random() < 0.4:
            about = f"{chosen.randrange(number + 3)}-0"
            logs[1 - writer].note([said(about, clock.now, chosen) for _ in range(chosen.randrange(1, 3))])
    return logs


def mirrored(one, now, chosen):
    return Mirrored(
        one.id, now, one.endpoint, "flights:2", "candidate", "ok", 1 / 64, chosen.choice(["no", "yes"]), (0.5, 0.5),
        one.model, one.latency, one.prediction, one.probabilities, one.revision,
    )  # fmt: skip


def said(identity, now, chosen):
    values = {"revenue": chosen.randrange(40) / 4} if chosen.random() < 0.5 else None
    return Feedback(identity, now, "flights", label=chosen.choice(["no", "yes", None]), values=values)


def evidence(folder):
    watches, one = Watches(folder), rollout()
    watches.keep_up({1: one}, lambda _: None)
    return msgspec.json.decode(msgspec.json.encode(watches.of(one).evidence(END)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_new_controller_knows_the_same_from_a_compacted_log(tmp_path, monkeypatch, seed):
    clock = Clock(monkeypatch, MORNING)
    logs = life(tmp_path, clock, random.Random(seed))
    expected = evidence(tmp_path)
    assert expected["joined"]["matched"] > 50
    assert min(expected["opening"]["failed"]["stable"], expected["opening"]["failed"]["candidate"]) > 0
    compact(tmp_path, now=clock.now, grace=0)  # the writers hold their last segments
    assert evidence(tmp_path) == expected
    compact(tmp_path, now=clock.now, grace=0, least=0)
    assert load(tmp_path).parts
    assert segments(tmp_path)
    assert evidence(tmp_path) == expected
    for log in logs:
        log.close()
    for _ in range(2):
        compact(tmp_path, now=END + 48 * HOUR, grace=0, least=0)
    assert segments(tmp_path) == []
    assert evidence(tmp_path) == expected


@pytest.mark.slow
def test_a_controller_under_way_hears_nothing_twice_when_the_log_is_compacted(tmp_path, monkeypatch):
    clock, one = Clock(monkeypatch, MORNING), rollout()
    whole = tmp_path / "whole"
    for log in life(whole, clock, random.Random(3)):
        log.close()
    expected = evidence(whole)
    grown, watches = tmp_path / "grown", Watches(tmp_path / "grown")
    for path in segments(whole):  # as if each were written when the one before it was full
        (grown / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, grown / path.parent.name)
        watches.keep_up({1: one}, lambda _: None)
        compact(grown, now=clock.now, least=0)
        watches.keep_up({1: one}, lambda _: None)
    assert msgspec.json.decode(msgspec.json.encode(watches.of(one).evidence(END))) == expected


def test_a_log_that_cannot_be_read_whole_is_no_evidence_and_is_read_again(tmp_path, monkeypatch):
    clock, one = Clock(monkeypatch, MORNING), rollout()
    for log in life(tmp_path, clock, random.Random(4)):
        log.close()
    expected = evidence(tmp_path)
    for _ in range(2):
        compact(tmp_path, now=END + 48 * HOUR, grace=0, least=0)
    watches = Watches(tmp_path)
    with monkeypatch.context() as patched:
        patched.setitem(__import__("sys").modules, "fairlead.archive.snapshot", None)  # as without polars
        with pytest.raises(NotFound, match="polars"):
            watches.keep_up({1: one}, lambda _: None)
    (tmp_path / "archive" / "manifest.json").rename(tmp_path / "kept")
    with pytest.raises(StorageError, match="manifest"):
        watches.keep_up({1: one}, lambda _: None)
    (tmp_path / "kept").rename(tmp_path / "archive" / "manifest.json")
    watches.keep_up({1: one}, lambda _: None)
    assert msgspec.json.decode(msgspec.json.encode(watches.of(one).evidence(END))) == expected
