"""The tutorial and the how-tos as a stranger follows them."""

from __future__ import annotations

import pytest
from fenced import ROOT, Block, Reader, blocks, matches, steps

TUTORIAL = ROOT / "docs" / "tutorial.md"
HOWTO = sorted((ROOT / "docs" / "howto").glob("*.md"))
PAGES = [TUTORIAL, *HOWTO]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_command_of_the_tutorial_and_of_the_howtos_after_it_does_what_it_shows(tmp_path):
    # The how-tos go on from where the tutorial ends, as they say.
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    reader = Reader(tmp_path)
    try:
        for page in PAGES:
            reader.follow(page)
    finally:
        reader.leave()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_something_to_run(page):
    assert any(block.language == "console" for block in blocks(page))


def test_a_console_block_is_split_into_commands_and_what_they_print():
    block = Block("console", "", "$ one \\\n    more\nout\n$ two\n", 1)
    assert list(steps(block)) == [("one \\\n    more", "out"), ("two", "")]


def test_an_ellipsis_stands_for_anything_and_all_else_must_be_as_shown():
    assert matches("id …, late  0.3", "id 42,\nlate 0.3\n")
    assert matches("begin …", "begin with this")
    assert not matches("late 0.3", "late 0.4")
