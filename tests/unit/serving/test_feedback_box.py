"""What a gateway does with feedback: all or nothing, recorded first, remembered within bounds."""

import asyncio
from types import SimpleNamespace

import pytest

from fairlead.answer import Receipt
from fairlead.errors import NotFound, Overloaded, StorageError
from fairlead.serving.feedback import box as box_module
from fairlead.serving.feedback.box import FeedbackBox
from fairlead.serving.feedback.said import Said
from fairlead.serving.ids import Ids


class Log:
    def __init__(self):
        self.events = []
        self.full = False

    def note(self, events):
        if not self.full:
            self.events += events
        return not self.full


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def box(log):
    return FeedbackBox(log, clock=lambda: 1000.0)


@pytest.fixture
def live():
    return SimpleNamespace(name="flights", ids=Ids(b"secret", "flights"))


def test_feedback_is_recorded_with_when_where_and_who(box, live, log):
    identity = live.ids.make()
    assert box.take(live, [Said(identity, label="late", values={"delay": 3.0})], "checkout") == Receipt(1)
    (event,) = log.events
    assert (event.id, event.time, event.endpoint, event.source) == (identity, 1000.0, "flights", "checkout")
    assert (event.label, event.values, event.about) == ("late", {"delay": 3.0}, "answer")


def test_one_id_that_was_never_given_out_and_nothing_is_recorded(box, live, log):
    elsewhere = Ids(b"secret", "trains").make()
    told = [Said(live.ids.make(), label="late"), Said(elsewhere, label="late"), Said("x" * 500, rating=1)]
    with pytest.raises(NotFound) as caught:
        box.take(live, told, "http")
    assert [one["row"] for one in caught.value.values["errors"]] == [1, 2]
    assert len(caught.value.detail) < 300
    assert log.events == []


def test_a_full_disk_takes_nothing_and_remembers_nothing(box, live, log):
    told = [Said(live.ids.make(), label="late")]
    log.full = True
    with pytest.raises(Overloaded) as caught:
        box.take(live, told, "http")
    assert caught.value.values["retry_after"] > 0
    log.full = False
    assert box.take(live, told, "http") == Receipt(1)


def test_without_a_log_nothing_is_taken(live):
    box = FeedbackBox(None)
    assert not box.open
    with pytest.raises(StorageError):
        box.take(live, [Said(live.ids.make(), rating=1)], "http")


def test_what_is_told_twice_is_recorded_twice_and_said_to_be_a_duplicate(box, live, log):
    # Not left out: another gateway may have been told otherwise in between, and the reader must see this come after it.
    told = Said(live.ids.make(), label="late", comment="Why?")
    assert box.take(live, [told, told], "http") == Receipt(2, duplicates=1)
    assert box.take(live, [told], "http") == Receipt(1, duplicates=1)
    assert len(log.events) == 3


def test_more_about_the_same_is_new_something_else_is_a_correction_and_the_page_is_another_matter(box, live):
    identity = live.ids.make()
    told = [
        (Said(identity, label="late"), Receipt(1)),
        (Said(identity, rating=4), Receipt(1)),
        (Said(identity, comment="First."), Receipt(1)),
        (Said(identity, comment="Second."), Receipt(1)),
        (Said(identity, rating=1, about="page"), Receipt(1)),
        (Said(identity, label="late", rating=4), Receipt(1, duplicates=1)),
        (Said(identity, rating=2), Receipt(1, corrections=1)),
        (Said(identity, values={"revenue": 1.0}), Receipt(1)),
        (Said(identity, values={"revenue": 2.0}), Receipt(1, corrections=1)),
        (Said(identity, label="on time"), Receipt(1, corrections=1)),
        (Said(identity, label="late"), Receipt(1, corrections=1)),
    ]
    for said, receipt in told:
        assert box.take(live, [said], "http") == receipt, said


def test_the_same_from_somebody_else_is_no_repetition(box, live):
    told = [Said(live.ids.make(), label="late")]
    assert box.take(live, told, "nurse") == Receipt(1)
    assert box.take(live, told, "doctor") == Receipt(1)
    assert box.take(live, told, "doctor") == Receipt(1, duplicates=1)


def test_the_oldest_is_forgotten_first_and_what_is_told_again_is_young(box, live, log, monkeypatch):
    monkeypatch.setattr(box_module, "REMEMBERED", 3)
    told = [Said(live.ids.make(), label="late") for _ in range(4)]
    for one in (*told[:3], told[0], told[3]):
        box.take(live, [one], "http")
    assert box.take(live, [told[0]], "http").duplicates == 1
    assert box.take(live, [told[1]], "http").duplicates == 0
    assert len(box._known) == 3


def test_a_long_comment_is_not_kept_in_memory(box, live, log):
    box.take(live, [Said(live.ids.make(), comment="x" * 2000)], "http")
    assert len(log.events[0].comment) == 2000
    assert max(len(one.comment) for one in box._known.values()) < 20


def test_each_is_counted_once(box, live):
    one, other = live.ids.make(), live.ids.make()
    box.take(live, [Said(one, label="late"), Said(one, label="late"), Said(one, label="on time")], "http")
    box.take(live, [Said(other, rating=1, about="page")], "http")
    box.refuse(live, 2)
    assert box.counts == {"flights": {"answer": 1, "duplicate": 1, "correction": 1, "page": 1, "refused": 2}}


def test_very_many_are_judged_as_few_are_and_others_have_their_turn(box, live, log):
    told = [Said(live.ids.make(), label="late") for _ in range(1000)]
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both():
        beside = asyncio.create_task(others())
        receipt = await box.take_many(live, [*told, *told[:10]], "http")
        beside.cancel()
        return receipt

    assert asyncio.run(both()) == Receipt(1010, duplicates=10)
    assert turns >= 5
    assert len(log.events) == 1010
