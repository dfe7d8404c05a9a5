"""The page of threats names tests; each must be there, by its full name."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "threats.md").read_text()


@functools.cache
def all_tests():
    """Every test function there is."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def rows():
    """The rows of the page's tables, by their first cell."""
    cells = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return {row[0].strip(): row for row in cells if row[0].strip() not in {"threat", "fault"}}


@pytest.mark.parametrize("threat", rows())
def test_each_threat_names_what_is_done_and_tests_that_there_are(threat):
    row = rows()[threat]
    assert len(row) == 3
    named = re.findall(r"`(test_\w+)`", row[2])
    assert named, "a promise without a test"
    assert not set(named) - all_tests()


def test_the_page_is_not_empty():
    assert len(rows()) > 40
