"""When a person hears of it: a table of windows and what is said after each, told by hand."""

from __future__ import annotations

import pytest

from fairlead.monitor.notices import failure_notice, notice_alert, notices
from fairlead.monitor.report import Finding, Labels, Reference, Report, Window
from fairlead.monitor.settings import Alerting
from fairlead.monitor.store import Told

TWO_OF_THREE = Alerting()


def report(number, **verdicts):
    """A report of an hour; `temp="drift"` is a finding of an input, `area__subject` of another area."""
    findings = tuple(
        Finding(
            area=name.partition("__")[0] if "__" in name else "predictor",
            subject=name.rpartition("__")[2],
            measure="ks",
            verdict=verdict,
            because=f"{name} is {verdict} in window {number}.",
        )
        for name, verdict in verdicts.items()
    )
    return Report(
        endpoint="flights",
        window=Window(3600.0 * number, 3600.0 * (number + 1)),
        models=("flights:1",),
        rows=1000,
        reference=Reference("training", "the training data", 1000),
        labels=Labels(),
        findings=findings,
        verdict="stable",
        drifted=None,
        made=0.0,
        number=number,
    )


def said_after_each(reports, alerting=TWO_OF_THREE):
    """What is said after each window, when all before were looked at in turn."""
    told, said = {}, []
    for place in range(len(reports)):
        changes = notices(reports[: place + 1], told, alerting, float(place))
        told |= {remembered.kind: remembered for remembered, _ in changes}
        said.append([(one.kind, one.new) for _, one in changes if one is not None])
    return said


TEMP = ("predictor: temp",)


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        # One window is no alert; the second is; then it is quiet while it goes on.
        ("DDDDD", [None, TEMP, None, None, None]),
        # Two of three, with a quiet one between.
        ("DSDSS", [None, None, TEMP, None, None]),
        # Well again is told once, when none of the last three shows it.
        ("DDSSSSS", [None, TEMP, None, None, (), None, None]),
        # A column at its limit does not knock again.
        ("DDSDSDSD", [None, TEMP, None, None, None, None, None, None]),
        # A window that could not be judged neither begins nor ends it.
        ("DIDIIII", [None, None, TEMP, None, None, None, None]),
        ("SSSS", [None, None, None, None]),
        ("DSSDSSD", [None] * 7),
    ],
)
def test_two_of_three_windows_are_told_once_and_so_is_their_end(windows, expected):
    verdicts = {"D": "drift", "S": "stable", "I": "insufficient"}
    said = said_after_each([report(place, temp=verdicts[one]) for place, one in enumerate(windows)])
    assert said == [[] if one is None else [("drift", one)] for one in expected]


def test_another_column_is_news_and_one_that_ends_while_others_go_on_is_none():
    windows = [
        {"temp": "drift"},
        {"temp": "drift"},
        {"temp": "drift", "wind": "drift"},
        {"temp": "drift", "wind": "drift"},
    ]
    windows += [{"temp": "stable", "wind": "drift"}] * 4
    said = said_after_each([report(place, **{"wind": "stable", **one}) for place, one in enumerate(windows)])
    assert said[1] == [("drift", TEMP)]
    assert said[3] == [("drift", ("predictor: wind",))]
    assert said[4:] == [[], [], [], []]


def test_each_kind_is_told_by_itself():
    windows = [
        report(place, quality__temp="breach", model__roc_auc="drift", process__disk="breach") for place in range(2)
    ]
    assert {kind for kind, _ in said_after_each(windows)[1]} == {"quality", "model_quality", "process"}


def test_model_quality_is_followed_over_the_windows_that_have_labels():
    # Labels come two windows late: what is newest is never judged.
    def windows(upto):
        return [report(n, model__roc_auc="drift" if n <= upto - 2 else "insufficient") for n in range(upto + 1)]

    told, said = {}, []
    for upto in range(6):
        changes = notices(windows(upto), told, TWO_OF_THREE, 0.0)
        told |= {remembered.kind: remembered for remembered, _ in changes}
        said.append(sum(one is not None for _, one in changes))
    assert said == [0, 0, 0, 1, 0, 0]


def test_who_wants_to_know_at_once_is_told_at_once():
    assert said_after_each([report(0, temp="drift")], Alerting(need=1, of=1)) == [[("drift", TEMP)]]


def test_an_alert_says_what_why_and_where_to_look():
    _, notice = notices([report(0, temp="drift"), report(1, temp="drift")], {}, TWO_OF_THREE, 5.0)[0]
    alert = notice_alert(notice)
    assert (alert.kind, alert.severity, alert.subject) == ("drift", "warning", "flights")
    assert alert.title == "flights: data drift (temp)"
    assert alert.text == "temp is drift in window 1. `fairlead monitor show 1` shows the report."
    assert alert.facts["new"] == "predictor: temp"


def test_a_report_that_fails_is_told_once_and_so_is_that_it_works_again():
    told, notice = failure_notice("flights", "The disk is full.", None, 1.0)
    assert notice_alert(notice).text == "The disk is full."
    assert failure_notice("flights", "The disk is full.", told, 2.0) is None
    well, good = failure_notice("flights", "", told, 3.0)
    assert notice_alert(good).title == "flights: reports are made again"
    assert failure_notice("flights", "", well, 4.0) is None
    assert failure_notice("flights", "", Told("monitor_failed", (), 0.0), 4.0) is None
