"""What every exporter keeps to, ours and others': same options, same bytes; below its folder only; all or nothing."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from fairlead.cli.export import command
from fairlead.config import Config
from fairlead.errors import InvalidInput, StorageError
from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Prediction
from fairlead.exporters.exporter import Exporter, asked_fields, make_options
from fairlead.plugins import plugin, plugin_names

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = [
    "a\nUser=root",
    "a\r\nb",
    "a\x00b",
    "a\x1b[31mb",
    "a\u2028b",
    "$(touch loot)",
    "`touch loot`",
    "'; touch loot; '",
    '" quoted "',
    "../../loot",
    "%i %(ENV_HOME)s ${HOME}",
]
NOW = time.time()
FACTS = {
    "home": Path("/var/lib/fairlead"),
    "folder": Path("/var/lib/fairlead"),
    "command": ("/opt/fairlead/bin/fairlead", "serve"),
    "assets": {"fairlead.0123.css": b"body {}"},
    "headers": {"X-Content-Type-Options": "nosniff"},
    "now": NOW,
    "schema_of": lambda _: None,
}
# The values that an exporter must be told, so that it can be run at all.
NEEDED = {"server_name": "models.example.org", "endpoint": "flights", "window": "1h"}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """An event log with some answers of an hour."""
    folder = tmp_path_factory.mktemp("events")
    log = EventLog(folder, "test")
    columns = Columns("flights:1", "0" * 64, ("carrier", "temp"), ("on time", "late"))
    log.append(
        columns,
        [
            Prediction(
                f"{place}", NOW - 60 + place, "flights", "flights:1", "stable", None, "ok", 0.001,
                ("UA" if place % 2 else None, place / 2), "late", (0.25, 0.75), ()
            )
            for place in range(10)
        ],
    )  # fmt: skip
    log.close()
    return folder


@pytest.fixture(params=plugin_names("exporters"))
def exporter(request, events, monkeypatch) -> Exporter:
    monkeypatch.setitem(FACTS, "events", events)
    if request.param == "whylogs":
        pytest.importorskip("whylogs_sketching", reason="whylogs has no wheels for this Python")
    found = plugin("exporters", request.param, Exporter)
    assert isinstance(found, Exporter)
    return found


def options(exporter, **asked):
    settings = {
        field.name: field.default for field in msgspec.structs.fields(Config) if field.default is not msgspec.NODEFAULT
    }
    needed = {name: value for name, value in NEEDED.items() if name in asked_fields(exporter)}
    return make_options(exporter, {**needed, **asked}, {**settings, **FACTS})


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_says_what_it_makes_and_what_each_option_is_for(exporter):
    assert exporter.summary.endswith(".")
    assert all(text.endswith(".") for text in asked_fields(exporter).values())


def test_the_same_options_give_the_same_bytes_and_all_paths_are_told(exporter, tmp_path):
    # The folder is one and the same: a path of it may stand in a file.
    to = tmp_path / "out"
    told = exporter.export(options(exporter), to)
    first = tree(to)
    assert {str(path.relative_to(to)) for path in told} == set(first)
    exporter.export(options(exporter), to)
    assert tree(to) == first


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_a_hostile_value_is_refused_whole_or_stays_within_the_folder(exporter, value, tmp_path, monkeypatch):
    folder = tmp_path / "deep" / "deeper"  # what goes astray by two floors is still found below
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in asked_fields(exporter):
        to = folder / name
        try:
            exporter.export(options(exporter, **{name: value}), to)
        except InvalidInput:
            assert not to.exists()
    assert not any("loot" in path.name for path in tmp_path.rglob("*"))


def test_a_disk_that_refuses_is_told_as_such(exporter, tmp_path):
    (tmp_path / "out").write_text("a file, where a folder must be")
    with pytest.raises(StorageError):
        exporter.export(options(exporter), tmp_path / "out")


@pytest.mark.parametrize("name", plugin_names("exporters"))
def test_every_option_is_in_the_reference_and_no_other(name):
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    section = page.partition(f"\n## fairlead export {name}\n")[2].partition("\n## ")[0]
    documented = {line.split("`")[1].split()[0] for line in section.splitlines() if line.startswith("| `--")}
    found = command.get_command(None, name)
    assert documented == {one for parameter in found.params for one in parameter.opts if one.startswith("--")}
