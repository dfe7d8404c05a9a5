"""`fairlead token` is three commands; the reference names every option of each."""

import re
from pathlib import Path

from fairlead.cli.token import command

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"


def test_every_option_of_the_three_commands_is_in_the_reference_and_no_other():
    section = PAGE.read_text().partition("\n## fairlead token\n")[2].partition("\n## ")[0]
    options = {
        (name, option)
        for name, one in command.commands.items()
        for parameter in one.params
        for option in parameter.opts
        if option.startswith("--")
    }
    assert set(re.findall(r"^\| `([a-z]+) (--[a-z-]+)", section, re.MULTILINE)) == options
