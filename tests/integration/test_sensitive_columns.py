"""Sensitive columns in a running service: what was asked is answered as ever, and is nowhere on the disk."""

import json
import re

import pytest

import fairlead
from fairlead.eventlog.reader import read_log
from running import cli, post, serving


@pytest.mark.slow
def test_a_sensitive_value_is_answered_and_stands_nowhere_in_the_events(tmp_path, models, training, april_rows):
    home = tmp_path / "home"
    fairlead.pack(
        models["flights:1"], name="flights", data=training, target="late", home=home,
        sensitive={"dest": "hash", "pressure": "drop"},
    )  # fmt: skip
    cli(home, "deploy", "flights:1")
    rows = [row | {"dest": "XSECRETX"} for row in april_rows[:3]] + [april_rows[3] | {"hour": "no"}]
    with serving(home) as service:
        answered = [post(service.port, "/predict/flights", json.dumps(row).encode()) for row in rows]
        assert [status for status, *_ in answered] == [200, 200, 200, 422]
        unseen = json.loads(answered[0][2])
    found = [one for one in read_log(home / "events") if one.prediction.status == "ok"]
    assert len(found) == 3
    assert len({one.row["dest"] for one in found}) == 1
    assert re.fullmatch(r"[0-9a-f]{16}", found[0].row["dest"])
    assert [one.row["pressure"] for one in found] == [None] * 3
    assert [one.row["temp"] for one in found] == [row["temp"] for row in rows[:3]]
    assert found[0].prediction.id == unseen["id"]
    assert found[0].prediction.flags == ("dest",), "that it was unseen is told by the column's name"
    data = b"".join(path.read_bytes() for path in (home / "events").rglob("*") if path.is_file())
    assert b"XSECRETX" not in data
