"""How alerts are told: beside the caller, again where it may help, and counted whatever becomes of them."""

import threading
import time

import pytest

from fairlead.alerts.alert import Alert
from fairlead.alerts.alerts import Alerts, Counts
from fairlead.errors import NotAllowed, Overloaded

LONG = 60


def alert(title="flights: flights:4 was taken out"):
    return Alert(kind="rollout_aborted", severity="critical", subject="flights", title=title, text="It failed.")


class Channel:
    """Fails as it is told, then works; can be held."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.told = []
        self.going = threading.Event()
        self.going.set()

    def __call__(self, one):
        assert self.going.wait(LONG)
        self.told.append(one)
        if self.failures:
            raise self.failures.pop(0)


def wait_for(what):
    end = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_every_channel_is_told_the_same_alert():
    channels = Channel(), Channel()
    alerts = Alerts([("one", channels[0]), ("two", channels[1])])
    sent = alert()
    alerts.tell(sent)
    wait_for(lambda: alerts.counts.sent == 2)
    assert [channel.told for channel in channels] == [[sent], [sent]]
    alerts.close()


def test_what_may_help_is_tried_again_with_the_same_id_and_in_order():
    channel = Channel(Overloaded("busy"), ConnectionRefusedError())
    alerts = Alerts([("one", channel)], pauses=(0.001, 0.001))
    first, second = alert("first"), alert("second")
    alerts.tell(first)
    alerts.tell(second)
    wait_for(lambda: alerts.counts == Counts(sent=2))
    assert channel.told == [first, first, first, second]
    assert len({one.id for one in channel.told}) == 2
    alerts.close()


@pytest.mark.parametrize(
    ("failures", "attempts"),
    [([Overloaded("busy")] * 9, 3), ([NotAllowed("403")], 1), ([ZeroDivisionError()], 1)],
    ids=["it never works", "it is refused", "the channel has a fault"],
)
def test_what_cannot_be_told_is_given_up_and_counted_and_the_next_is_told(failures, attempts):
    channel = Channel(*failures)
    alerts = Alerts([("one", channel)], pauses=(0.001, 0.001))
    alerts.tell(alert())
    wait_for(lambda: alerts.counts.failed == 1)
    assert len(channel.told) == attempts
    channel.failures.clear()
    alerts.tell(alert())
    wait_for(lambda: alerts.counts == Counts(sent=1, failed=1))
    alerts.close()


def test_a_channel_that_hangs_holds_up_neither_the_caller_nor_the_others_and_its_queue_is_bounded():
    stuck, free = Channel(), Channel()
    stuck.going.clear()
    alerts = Alerts([("stuck", stuck), ("free", free)], waiting=5)
    for number in range(3):
        alerts.tell(alert(str(number)))
    wait_for(lambda: len(free.told) == 3)
    for number in range(50):  # of the free one's queue some may be dropped, too: it may be slower than this loop
        alerts.tell(alert(str(number)))
    wait_for(lambda: alerts.counts.sent + alerts.counts.dropped + alerts.counts.waiting == 106)
    wait_for(lambda: alerts.counts.waiting in {5, 6})  # those of the stuck one: five, and the one it has taken
    assert alerts.counts.dropped >= 47
    assert len(stuck.told) == 0
    stuck.going.set()
    wait_for(lambda: not alerts.counts.waiting)
    alerts.close()


def test_closing_cuts_the_pauses_short_and_tries_what_waits_once_more():
    channel = Channel(*[Overloaded("busy")] * 2)
    alerts = Alerts([("one", channel)], pauses=(3600.0,))
    for number in range(3):
        alerts.tell(alert(str(number)))
    wait_for(lambda: channel.told)
    alerts.close(LONG)
    assert alerts.counts == Counts(sent=1, failed=2)
    alerts.tell(alert("late"))
    assert alerts.counts.dropped == 1


def test_closing_waits_for_no_channel_that_hangs():
    channel = Channel()
    channel.going.clear()
    alerts = Alerts([("one", channel)])
    alerts.tell(alert())
    alerts.close(0.01)  # would hang here
    assert alerts.counts.waiting == 1
    channel.going.set()


def test_without_a_channel_nothing_happens():
    alerts = Alerts([])
    alerts.tell(alert())
    alerts.close()
    assert alerts.counts == Counts()
