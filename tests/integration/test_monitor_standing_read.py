"""Service levels of a real event log, before and after it became Parquet."""

import numpy as np

from archive_events import MORNING, Clock, prediction, written
from fairlead.archive.compaction import compact
from fairlead.monitor.report import Window
from fairlead.monitor.settings import Objectives, Settings
from fairlead.monitor.standing import Standing, read_traffic


def test_the_levels_are_those_of_what_was_recorded_in_segments_and_in_parts_alike(tmp_path, monkeypatch):
    Clock(monkeypatch, MORNING)
    events = [
        prediction(
            number,
            MORNING + number,
            latency=0.001 * (1 + number % 10),
            **({"status": "overloaded", "prediction": None, "probabilities": None} if number % 50 == 0 else {}),
        )
        for number in range(600)
    ]
    written(tmp_path / "events", [*events, prediction(1, MORNING, endpoint="another")])
    settings = Settings(objectives=Objectives(availability=0.999))
    window = Window(MORNING, MORNING + 600)

    def found():
        make = Standing(read_traffic(tmp_path / "events"), tmp_path, tmp_path / "run", clock=lambda: MORNING + 600)
        return {(one.subject, one.measure): one for one in make("flights", settings, window) if one.area == "service"}

    before = found()
    compact(tmp_path / "events", now=MORNING + 3 * 86_400)
    after = found()
    assert before == after
    assert before["errors", "error rate"].value == 12 / 600
    assert before["traffic", "requests a second"].value == 1.0
    answered = [0.001 * (1 + number % 10) for number in range(600) if number % 50]
    expected = np.quantile(answered, 0.9, method="inverted_cdf")
    assert before["latency", "p90 latency"].value == expected
    assert before["availability", "burn rate 1h"].verdict == "breach"
    assert abs(before["availability", "burn rate 1h"].value - 20) < 1e-9
