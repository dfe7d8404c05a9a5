"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import fairlead
from fairlead import errors
from fairlead.cli.main import VERBS, command

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "fairlead"


def drawn_tree():
    """Pairs of class and parent, as the drawing at the top of errors.py has them."""
    pairs, above = [], []
    for line in re.search(r"```\n(.*?)```", errors.__doc__, re.DOTALL)[1].splitlines():
        name = line.lstrip("│├└─ ")
        depth = (len(line) - len(name)) // 4
        above[depth:] = [name]
        pairs.append((name, above[depth - 1] if depth else "Exception"))
    return pairs


def coded_tree(kind=errors.FairleadError):
    """The same pairs from the classes themselves, in the order in which they are defined."""
    yield kind.__name__, kind.__base__.__name__
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from coded_tree(child)


def test_the_drawing_of_the_errors_equals_the_classes():
    assert drawn_tree() == list(coded_tree())


def test_all_errors_are_public_and_say_what_they_mean():
    named = {name for name, _ in coded_tree()}
    assert set(errors.__all__) == named
    assert all(getattr(errors, name).__doc__.strip() for name in named)


def test_the_public_names_are_frozen():
    # Whoever changes this list changes what users import; say so in CHANGELOG.md.
    assert sorted(fairlead.__all__) == ["AsyncClient", "Client", "asgi", "drift", "load", "pack", "wsgi"]


def test_every_public_name_can_be_had():
    assert all(callable(getattr(fairlead, name)) for name in fairlead.__all__)


def test_importing_fairlead_imports_no_framework():
    code = "import sys, fairlead; print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert (
        loaded
        & {"sklearn", "pandas", "polars", "numpy", "scipy", "onnxruntime", "onnx", "sqlalchemy", "starlette", "httpx"}
        == set()
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_module_and_a_page(verb):
    assert find_spec(f"fairlead.cli.{verb}"), f"src/fairlead/cli/{verb}.py is missing"
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert f"\n## fairlead {verb}\n" in page


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_is_in_the_reference_and_no_other(verb):
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    section = page.partition(f"\n## fairlead {verb}\n")[2].partition("\n## ")[0]
    found = command.get_command(None, verb)
    options = {name for parameter in found.params for name in parameter.opts if name.startswith("--")}
    # The table's first column holds the options; examples below it may use others' options.
    documented = {
        name
        for line in section.splitlines()
        if line.startswith("| `--")
        for name in re.findall(r"--[a-z-]+", line.split("|")[1])
    }
    assert documented == options


def test_no_module_is_named_after_nothing():
    vague = {"utils", "util", "common", "helpers", "helper", "core", "manager", "misc"}
    assert [path for path in SOURCE.rglob("*.py") if vague & {path.stem, path.parent.name}] == []


def test_every_module_opens_with_why_it_exists():
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCE.rglob("*.py")
        if path.stat().st_size and not path.read_text().startswith(('"""', 'r"""'))
    ]
    assert silent == []


def lines_of(function):
    """The length of a function without its docstring, which may be as long as it needs."""
    docstring = ast.get_docstring(function, clean=False)
    said = function.body[0].end_lineno - function.body[0].lineno + 1 if docstring else 0
    return function.end_lineno - function.lineno + 1 - said


def test_no_function_is_longer_than_sixty_lines():
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in SOURCE.rglob("*.py")
        if "migrations" not in path.parts  # a migration is a list of tables
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > 60
    ]
    assert long == []


def test_the_layer_table_of_contributing_is_the_one_that_is_checked():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    floors = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = re.findall(r"^\| (`[^|]*`(?: \\\| `[^|]*`)*) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert [row.replace("`", "").replace("\\|", "|") for row in rows if not row.startswith("`tests/")] == floors


def test_the_constraints_are_plain_pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)


def test_the_links_between_the_pages_lead_somewhere():
    pages = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
