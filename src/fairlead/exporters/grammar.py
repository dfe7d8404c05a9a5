"""The three grammars of what is exported, and how a value is written in each so that it is read back as it was.

A line break or another control character can stand in none of them without a change of meaning somewhere; it is refused
everywhere. Beyond that, each encoder knows its own reader's quotes, escapes, variables and comments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fairlead.errors import InvalidInput

__all__ = [
    "nginx_text",
    "supervisor_command",
    "supervisor_log",
    "supervisor_plain",
    "systemd_command",
    "systemd_plain",
    "systemd_text",
]

_SHOWN = 80


def nginx_text(value: str) -> str:
    """A parameter of an nginx directive, quoted.

    Raises:
        InvalidInput: nginx would take a part of it as a variable, and has no way to write `$` as itself.
    """
    _check(value, "nginx")
    if "$" in value:
        raise _cannot(value, "nginx", "a '$'")
    return _quoted(value)


def systemd_text(value: str) -> str:
    """A word of a systemd setting that is split into words, quoted.

    Raises:
        InvalidInput: It holds a control character.
    """
    _check(value, "systemd")
    return _quoted(value.replace("%", "%%"))


def systemd_command(words: Sequence[str]) -> str:
    """A command line of a systemd unit.

    Raises:
        InvalidInput: The program's path holds what systemd does not take in one.
    """
    program, *arguments = words
    if not program.startswith("/") or set(program) & set("$'\"\\"):
        raise _cannot(program, "systemd", "a quote, a backslash or a '$' in the path of a program")
    return " ".join([systemd_text(program), *(systemd_text(one.replace("$", "$$")) for one in arguments)])


def systemd_plain(value: str) -> str:
    """The value of a systemd setting that is taken as a whole, blanks and quotes and all.

    Raises:
        InvalidInput: It begins or ends in a way that would be lost.
    """
    _check(value, "systemd")
    if value != value.strip() or value.endswith("\\"):
        raise _cannot(value, "systemd", "a blank at an end, or a backslash at the end")
    return value.replace("%", "%%")


def supervisor_command(words: Sequence[str]) -> str:
    """A command line of a Supervisor program."""
    return " ".join(map(_supervisor_word, words))


def supervisor_plain(value: str) -> str:
    """The value of a Supervisor setting that is taken as a whole.

    Raises:
        InvalidInput: A part of it would be taken as a comment, or a blank be lost.
    """
    _check(value, "Supervisor")
    if value != value.strip() or re.search(r"(^|\s)[;#]", value):
        raise _cannot(value, "Supervisor", "a blank at an end, or ';' or '#' after a blank")
    return value.replace("%", "%%")


def supervisor_log(value: str) -> str:
    """The path of a Supervisor program's log.

    Raises:
        InvalidInput: As for a plain value; or it holds '%', which Supervisor 4.3 expands twice in this one place.
    """
    if "%" in value:
        raise _cannot(value, "Supervisor", "a '%' in the path of a log")
    return supervisor_plain(value)


def _supervisor_word(value: str) -> str:
    """A quoted word. A comment begins with ';' or '#' after a blank, in quotes too; so the quotes end between the two."""
    _check(value, "Supervisor")
    return re.sub(r"(\s)([;#])", r'\1""\2', _quoted(value.replace("%", "%%")))


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check(value: str, reader: str) -> None:
    if not value.isprintable():
        raise _cannot(value, reader, "a line break or another control character")


def _cannot(value: str, reader: str, what: str) -> InvalidInput:
    return InvalidInput(f"{value[:_SHOWN]!r} cannot stand in a file of {reader}: it holds {what}.", hint="Rename it.")
