"""docs/statistics.md says of monitoring what the functions say."""

import re
from pathlib import Path

import pytest

from fairlead.durations import parse_duration
from fairlead.monitor.measures.service_levels import PAIRS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "statistics.md").read_text()


def test_the_page_tells_the_pairs_of_windows():
    rows = re.findall(r"^\| (\d+) ([hd]) \| (\d+) (min|h) \| (\d+) % \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    told = [
        (parse_duration(f"{long}{unit}"), parse_duration(f"{short}{small[0]}"), int(share) / 100, float(limit))
        for long, unit, short, small, share, limit in rows
    ]
    expected = [(one.long, one.short, one.budget, one.limit(30 * 86_400.0)) for one in PAIRS]
    assert [value for row in told for value in row] == pytest.approx([value for row in expected for value in row])


def test_the_page_names_functions_that_there_are():
    import importlib

    section = PAGE.partition("## Monitoring: quality")[2].partition("### Without labels")[0]
    named = re.findall(r"\| `([a-z_]+)(?:\.([a-z_0-9]+))?` \|", section)
    assert len(named) >= 9
    for module, function in named:
        found = importlib.import_module(f"fairlead.stats.{module}")
        assert not function or hasattr(found, function), function
