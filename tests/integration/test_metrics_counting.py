"""Counters, their files and their text. The truth of the text is prometheus_client's own parsers."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from fairlead.errors import DeadlineExceeded, SchemaMismatch
from fairlead.serving.observing.exposition import Family, render
from fairlead.serving.observing.metrics import BOUNDS, Metrics, Snapshot, collect, fold_ended, write_snapshot


def endpoint(name="flights", version="flights:1", variant="stable"):
    class Live:
        pass

    live = Live()
    live.endpoint, live.model, live.name = name, version, variant
    return live


def counting(process="gateway-0"):
    return Metrics(process, counts=lambda: {"events": 7}, gauges=lambda: {"connections": 3})


def samples(text, parse=parse_text):
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in parse(text.decode())
        for one in family.samples
    }


def value(run, name, **labels):
    return samples(render(collect(run), openmetrics=False)).get((name, tuple(sorted(labels.items()))))


def dead_pid():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


def test_what_was_observed_is_what_prometheus_reads(tmp_path):
    metrics, live = counting(), endpoint()
    for seconds in (0.00005, 0.0001, 0.003, 99.0):
        metrics.observe(live, None, 2, seconds)
    metrics.observe(live, SchemaMismatch("x"), 0, 0.0002)
    metrics.observe(live, DeadlineExceeded("x"), 1, 10.0)
    write_snapshot(tmp_path, metrics.snapshot())
    where = {"endpoint": "flights", "version": "flights:1", "variant": "stable"}
    for openmetrics, parse in ((False, parse_text), (True, parse_openmetrics)):
        found = samples(render(collect(tmp_path), openmetrics=openmetrics), parse)

        def got(name, found=found, **more):
            return found[name, tuple(sorted({**where, **more}.items()))]

        assert got("fairlead_requests_total", code="200") == 4
        assert got("fairlead_requests_total", code="422") == 1  # problems.STATUS: a row that does not fit
        assert got("fairlead_requests_total", code="504") == 1
        assert got("fairlead_rows_total") == 8
        assert got("fairlead_request_seconds_count") == 6
        assert got("fairlead_request_seconds_sum") == pytest.approx(109.00335)
        # A bucket holds what is at most its bound, and the last holds all.
        assert [got("fairlead_request_seconds_bucket", le=le) for le in ("0.0001", "0.005", "10.0", "+Inf")] == [
            2,
            4,
            5,
            6,
        ]
        assert found["fairlead_events_total", ()] == 7
        assert found["fairlead_connections", (("process", "gateway-0"),)] == 3


def test_the_buckets_are_in_seconds_and_ascend():
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert BOUNDS[0] == 0.0001
    assert BOUNDS[-1] == 10.0


def test_processes_are_added_up_and_gauges_stay_apart(tmp_path):
    for number in range(2):
        metrics = counting(f"gateway-{number}")
        metrics.observe(endpoint(), None, 1, 0.001)
        write_snapshot(tmp_path, metrics.snapshot())
    where = {"endpoint": "flights", "version": "flights:1", "variant": "stable"}
    assert value(tmp_path, "fairlead_requests_total", **where, code="200") == 2
    assert value(tmp_path, "fairlead_connections", process="gateway-1") == 3


def test_counts_of_an_ended_process_stay_and_its_gauges_go(tmp_path):
    metrics = counting("gateway-0")
    metrics.observe(endpoint(), None, 1, 0.001)
    ended = metrics.snapshot()
    ended.pid, ended.start = dead_pid(), 1
    write_snapshot(tmp_path, ended)
    where = {"endpoint": "flights", "version": "flights:1", "variant": "stable", "code": "200"}
    for _ in range(3):  # folding again counts nothing again
        assert value(tmp_path, "fairlead_requests_total", **where) == 1
        assert value(tmp_path, "fairlead_connections", process="gateway-0") is None
        fold_ended(tmp_path)
    assert [path.name for path in (tmp_path / "metrics").glob("*.json")] == ["past.json"]


def test_a_fold_that_was_killed_half_way_counts_nothing_twice(tmp_path):
    ended = counting("gateway-0").snapshot()
    ended.answers[200], ended.pid, ended.start = 5, dead_pid(), 1
    write_snapshot(tmp_path, ended)
    # As if the process that folded had died after it replaced past.json, before it removed the file.
    name = f"gateway-0.{ended.pid}.json"
    past = Snapshot("", answers={200: 5}, folded=[name])
    (tmp_path / "metrics" / "past.json").write_bytes(msgspec.json.encode(past))
    assert value(tmp_path, "fairlead_answers_total", code="200") == 5
    fold_ended(tmp_path)
    assert not (tmp_path / "metrics" / name).exists()
    assert value(tmp_path, "fairlead_answers_total", code="200") == 5


def test_a_file_that_cannot_be_read_is_left_out(tmp_path):
    write_snapshot(tmp_path, counting().snapshot())
    (tmp_path / "metrics" / "gateway-9.1.json").write_bytes(b"{half")
    assert value(tmp_path, "fairlead_connections", process="gateway-0") == 3


def test_a_thousand_versions_make_no_thousand_series(tmp_path):
    metrics = counting()
    for number in range(1000):
        metrics.observe(endpoint(version=f"flights:{number}"), None, 1, 0.001)
    write_snapshot(tmp_path, metrics.snapshot())
    found = samples(render(collect(tmp_path), openmetrics=False))
    series = {labels for name, labels in found if name == "fairlead_rows_total"}
    assert len(series) == 501
    assert found["fairlead_rows_total", (("endpoint", "other"), ("variant", "other"), ("version", "other"))] == 500


def test_a_version_that_was_swapped_out_is_not_held(tmp_path):
    import gc
    import weakref

    metrics, live = counting(), endpoint()
    metrics.observe(live, None, 1, 0.001)
    gone = weakref.ref(live)
    del live
    metrics.snapshot()
    gc.collect()
    assert gone() is None


def test_counting_an_answer_costs_next_to_nothing():
    import timeit

    metrics, live, request = counting(), endpoint(), SimpleNamespace(status=200)

    def one():
        metrics.observe(live, None, 1, 0.0004)
        metrics.answered(None, request)

    # Half a microsecond is the aim (0.3 measured); a busy machine gets ten times that.
    assert min(timeit.repeat(one, number=2000, repeat=20)) / 2000 < 5e-6


def test_text_in_a_label_is_escaped():
    family = Family("a", "gauge", "What\nit \\ is.")
    family.add(1, {"name": 'q"uo\\te\nline'})
    for openmetrics, parse in ((False, parse_text), (True, parse_openmetrics)):
        (read,) = parse(render([family], openmetrics=openmetrics).decode())
        assert read.samples[0].labels == {"name": 'q"uo\\te\nline'}
        assert read.documentation == "What\nit \\ is."


def test_the_process_itself_is_alive_to_the_kernel():
    assert counting().snapshot().pid == os.getpid()
    assert counting().snapshot().start > 0
