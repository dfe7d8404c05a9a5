"""What the demo says, and what it keeps between two starts."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from fairlead.demo import flights, versions, walk
from fairlead.demo.replay import Flight

FLIGHT = Flight({"carrier": "UA", "dest": "O'Hare", "pressure": None}, late=False, departure="1 April 05:00")


def test_every_column_and_the_target_has_a_meaning():
    assert list(flights.MEANINGS) == [*flights.COLUMNS, flights.TARGET]


def test_the_curl_line_can_be_pasted_into_a_shell_and_carries_the_row():
    text = walk.addresses("http://127.0.0.1:8080", Path("/somewhere/with blanks"), "flights:2", FLIGHT)
    (line,) = (line for line in text.splitlines() if "curl" in line)
    words = shlex.split(line)
    assert words[:3] == ["curl", "http://127.0.0.1:8080/predict/flights", "--json"]
    assert json.loads(words[3]) == FLIGHT.row


def test_the_commands_to_try_name_the_home_and_the_other_version():
    text = walk.addresses("http://127.0.0.1:8080", Path("/somewhere/with blanks"), "flights:2", FLIGHT)
    (line,) = (line for line in text.splitlines() if "deploy" in line)
    assert shlex.split(line, comments=True)[1:] == ["--home", "/somewhere/with blanks", "deploy", "flights:2"]


def test_whatever_changes_the_model_changes_the_recipe_and_the_same_is_the_same():
    pytest.importorskip("sklearn")
    recipes = [versions.FIRST, versions.SMALL, versions.HALF_YEAR, versions.MISREAD]
    assert len({one.digest for one in recipes}) == 4
    assert versions.Recipe(trees=40).digest == versions.SMALL.digest
