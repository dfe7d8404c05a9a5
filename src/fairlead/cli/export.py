"""`fairlead export`: files that others run. Each exporter is a verb below it, and its options are the exporter's own."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_json, print_line, say
from fairlead.config import FILE, Config
from fairlead.errors import BundleError, Conflict, InvalidInput, NotFound, StorageError
from fairlead.exporters.exporter import Exporter, asked_fields, make_options
from fairlead.plugins import plugin, plugin_names
from fairlead.schema import Schema

__all__ = ["command"]


class _Exporters(click.Group):
    """A group whose verbs are the installed exporters."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return plugin_names("exporters")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002 - click's signature
        found = plugin("exporters", cmd_name, Exporter)
        assert isinstance(found, Exporter)
        return _command_of(cmd_name, found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        return name, self.get_command(ctx, name), args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exporters"):
            rows = [(name, self.get_command(ctx, name).get_short_help_str(120)) for name in self.list_commands(ctx)]
            formatter.write_dl(rows)


@click.group("export", cls=_Exporters)
def command() -> None:
    """Make files that others run."""


def _command_of(name: str, exporter: Exporter) -> click.Command:
    required = {field.name for field in msgspec.structs.fields(exporter.options) if field.required}
    asked = [
        click.Option([f"--{field.replace('_', '-')}", field], help=text, required=field in required)
        for field, text in asked_fields(exporter).items()
    ]
    output = click.Option(
        ["-o", "--output"], required=True, type=click.Path(path_type=Path), help="The folder to make."
    )
    force = click.Option(["--force"], is_flag=True, help="Write over the files of a former export.")
    made = click.Command(name, params=[output, *asked, force], help=exporter.summary, callback=_runner(exporter))
    return json_option(made)


def _runner(exporter: Exporter) -> Any:
    @pass_invocation
    def run(invocation: Invocation, /, output: Path, *, force: bool, as_json: bool, **asked: str | None) -> None:
        config = invocation.config()
        given = {name: value for name, value in asked.items() if value is not None}
        options = make_options(exporter, given, _facts(config))
        if not force and output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise Conflict(f"{output} is not empty.", hint="Choose another folder, or say --force.")
        written = exporter.export(options, output)
        if as_json:
            print_json([str(path) for path in written])
            return
        for path in written:
            print_line(str(path))
        say(f"  {output / 'README.md'} says what to do with them." if output / "README.md" in written else "")

    return run


def _facts(config: Config) -> Mapping[str, object]:
    """What is known of this installation, by the names that exporters use."""
    from fairlead.serving.pages import look

    settings = {field.name: getattr(config, field.name) for field in msgspec.structs.fields(Config)}
    home = config.home.absolute()
    where = ["--host", config.host, "--port", str(config.port)]
    where += ["--grpc-port", str(config.grpc_port)] if config.grpc_port is not None else []
    return {
        **settings,
        "home": home,
        "folder": _folder(home),
        "command": (*_program(), "--home", str(home), "serve", *where),
        "assets": {asset.link: asset.content for asset in look.assets().values()},
        "headers": dict(look.HEADERS),
        "events": config.paths.events,
        "now": time.time(),
        "schema_of": partial(_schema_of, config),
    }


def _schema_of(config: Config, ref: str) -> Schema | None:
    """What a version takes and gives; `None` where it cannot be looked at any more."""
    from fairlead.app import open_version

    try:
        return open_version(config, ref)[1].schema
    except (InvalidInput, NotFound, BundleError, StorageError):
        return None


def _program() -> list[str]:
    """How this very installation is started, wherever the caller's PATH leads."""
    script = Path(sys.executable).with_name("fairlead")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "fairlead.cli.main"]


def _folder(home: Path) -> Path:
    """Where the service runs: beside its `fairlead.toml`, so that it finds the same settings."""
    here = Path.cwd()
    return next((parent for parent in (here, *here.parents) if (parent / FILE).is_file()), home)
