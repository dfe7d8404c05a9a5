"""Where the processes of a service say what they do: lines for people, or one JSON object a line for programs.

Text that came from outside is bound to a message, never formatted into its template; and no line break or escape sequence in
it gets out: JSON escapes everything beyond ASCII, lines for people show it as an escape. What libraries tell the standard
library's `logging` and `warnings` arrives here, too.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record

__all__ = ["LogFormat", "escaped", "open_lines", "set_up_logs"]

LogFormat = Literal["text", "json"]

_LINES = "lines_for"


def set_up_logs(form: LogFormat, process: str) -> None:
    """Send everything that this process logs to stderr, in one form.

    Args:
        form: "text" for people, "json" for programs.
        process: Who speaks: "gateway-0".
    """
    logger.remove()
    logger.configure(extra={"process": process})
    # Without `diagnose`: it would print the variables of a traceback, which hold callers' rows.
    options: dict[str, Any] = {"filter": _is_told, "diagnose": False, "backtrace": False}
    if form == "json":
        logger.add(_write_json, format=_traceback, **options)
    else:
        logger.add(_write_text, format=_for_people, colorize=False, **options)
    logging.basicConfig(handlers=[_Caught()], level=logging.INFO, force=True)
    # It tells each request with its address, and a webhook's may hold a password.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def open_lines(where: Path | None) -> Callable[[str], None]:
    """A file of lines that several processes append to; it is opened anew when somebody has moved it away.

    Args:
        where: The file; stdout where it is `None`.

    Returns:
        Writes whole lines at once; raises OSError where it cannot.

    Raises:
        OSError: The file cannot be opened.
    """
    name = str(where)
    options: dict[str, Any] = {"format": lambda _: "{extra[lines]}", "catch": False, "colorize": False}
    options["filter"] = lambda record: record["extra"].get(_LINES) == name
    if where is None:
        logger.add(sys.stdout, **options)
    else:
        logger.add(where, encoding="ascii", watch=True, **options)
    bound = logger.bind(**{_LINES: name})

    def write(lines: str) -> None:
        bound.bind(lines=lines).info("")

    return write


def escaped(text: str) -> str:
    """The text in printable ASCII, all else as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one
        if " " <= one <= "~"
        else one.encode("ascii", "backslashreplace").decode()
        if one > "\x7f"
        else f"\\x{ord(one):02x}"
        for one in text
    )


def _is_told(record: Record) -> bool:
    return _LINES not in record["extra"]


def _traceback(_: Record) -> str:
    return "{exception}"


def _for_people(record: Record) -> str:
    record["extra"]["shown"] = escaped(record["message"])
    return "{time:YYYY-MM-DD HH:mm:ss.SSS} | {level: <8} | {extra[process]} | {extra[shown]}\n{exception}"


def _write_text(message: Message) -> None:
    """A line, and below it a traceback, indented: what an exception's text holds cannot pass for a line of ours."""
    line, *below = str(message).rstrip("\n").split("\n")
    sys.stderr.write("\n".join([line, *(f"    {escaped(one)}" for one in below)]) + "\n")


def _write_json(message: Message) -> None:
    record = message.record
    line: dict[str, object] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name.lower(),
        "where": f"{record['name']}:{record['line']}",
        "message": record["message"],
        **record["extra"],
    }
    if record["exception"] is not None:
        line["exception"] = str(message).strip()
    sys.stderr.write(json.dumps(line, default=str) + "\n")


class _Caught(logging.Handler):
    """Hands what the standard library's loggers are told to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on one record; its text is a value, not a template."""
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        logger.opt(exception=record.exc_info).log(level, "{text}", text=record.getMessage(), logger=record.name)
