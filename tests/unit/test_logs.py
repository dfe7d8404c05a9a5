"""What a process says on stderr, read as a log shipper reads it: line by line, each line by Python's own json."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fairlead.logs import escaped

HOSTILE = 'a\n{"level":"info"}\r\x1b[31m\u2028\u202e\x7f\udcff{0}<red>'

SCRIPT = """
import logging, sys, warnings
from loguru import logger
from fairlead.logs import set_up_logs
set_up_logs(sys.argv[1], "gateway-0")
hostile = sys.argv[2].encode().decode("unicode_escape")
logger.info("Asked for {what}.", what=hostile)
logging.getLogger("httpx").info("HTTP Request: POST http://hooks.example/password")
logging.getLogger("some.library").error("it said %s", hostile)
warnings.warn("be careful", stacklevel=1)
def answer(secret):
    raise ValueError("no\\n2026-11-22 00:00:00.000 | INFO | forged")
try:
    answer("canary-8823")
except ValueError:
    logger.exception("Answering failed.")
"""


def told(form):
    hostile = HOSTILE.encode("unicode_escape").decode()
    command = [sys.executable, "-c", SCRIPT, form, hostile]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stderr


def test_json_is_one_object_a_line_whatever_the_text():
    lines = told("json").splitlines()
    asked, library, warning, failed = (json.loads(line) for line in lines)
    assert asked["message"] == f"Asked for {HOSTILE}."
    assert (asked["what"], asked["level"], asked["process"]) == (HOSTILE, "info", "gateway-0")
    assert library["message"] == f"it said {HOSTILE}"
    assert (library["level"], library["logger"]) == ("error", "some.library")
    assert "be careful" in warning["message"]
    assert "ValueError: no" in failed["exception"]
    assert "\n".join(lines).isascii()


@pytest.mark.parametrize("form", ["text", "json"])
def test_where_a_request_of_our_own_goes_is_nobodys_business(form):
    assert "hooks.example" not in told(form)


def test_lines_for_people_hold_no_escape_sequence_and_no_line_of_a_callers_making():
    lines = told("text").splitlines()
    assert "\\x1b[31m" in lines[0]
    assert lines[0].endswith("<red>.")
    assert "| INFO     | gateway-0 | Asked for a\\x0a{" in lines[0]
    assert "\n".join(lines).isascii()
    assert [line for line in lines if line.startswith("2026-11-22 00:00:00.000")] == []
    assert [line for line in lines if "forged" in line and line.startswith("    ")]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_tells_no_callers_value(form):
    said = told(form)
    assert "Traceback" in said
    assert "canary-8823" not in said.replace('answer("canary-8823")', "")  # the line of code itself is ours


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("é", "\\xe9"), ("\u2028", "\\u2028"), ("\t", "\\x09"), ("🚢", "\\U0001f6a2")],
)
def test_what_is_not_printable_ascii_is_an_escape(text, shown):
    assert escaped(text) == shown
