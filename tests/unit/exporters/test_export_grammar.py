"""A value is read back by each program's own reader as it was written, or it is refused.

The readers: Supervisor's (its INI parser and shlex, as `supervisor.options` uses them), and for systemd the rules of
systemd.syntax(7) and systemd.service(5), spelled out below. nginx itself is asked in tests/integration/test_export_service.py.
"""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import UnhosedConfigParser, expand

from fairlead.errors import InvalidInput
from fairlead.exporters.grammar import (
    nginx_text,
    supervisor_command,
    supervisor_plain,
    systemd_command,
    systemd_plain,
    systemd_text,
)

CORPUS = [
    "plain",
    "with blanks  two",
    " leading and trailing ",
    "semi;colon",
    "a ;comment",
    "a #comment",
    ";#",
    'quo"te',
    "quo'te",
    "back\\slash",
    "back\\",
    "\\n\\t\\x41",
    "$(touch loot)",
    "`touch loot`",
    "$HOME ${HOME} $$",
    "100 % %i %% %(ENV_HOME)s %(here)s",
    "{ brace; }",
    "grüße-日本",
    "=equals,comma=",
]
CONTROL = ["a\nb", "a\r\nUser=root", "a\x00", "a\tb", "\x1b[31m", "a\u2028b", "a\x85b", "a\u202eb"]
TEXT = st.one_of(st.sampled_from(CORPUS), st.text(st.sampled_from("ab \\\"'`$%;#(){}=,nx0é"), max_size=12))


def read_supervisor(line):
    parser = UnhosedConfigParser()
    parser.read_string(f"[program:x]\nkey={line}\n")
    return expand(parser.get("program:x", "key"), {"ENV_HOME": "leaked", "here": "leaked"}, "key")


def read_systemd(line):
    """Words of a line: quotes, C escapes (systemd.syntax), then `%%` for a percent sign."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    return [re.sub(r"\\(.)", lambda found: found[1], word).replace("%%", "%") for word in words]


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_supervisor_reads_a_command_back(words):
    # Supervisor's own: `expand` as in process_config_from_section, then shlex.split as in Subprocess.get_execv_args
    assert shlex.split(read_supervisor(supervisor_command(words))) == words


@given(TEXT)
def test_supervisor_reads_a_plain_value_back_or_it_is_refused(value):
    try:
        line = supervisor_plain(value)
    except InvalidInput:
        assert value != value.strip() or re.search(r"(^|\s)[;#]", value)
    else:
        assert read_supervisor(line) == value


@pytest.mark.parametrize("value", ["$", "$(touch loot)", "${HOME}"])
def test_nginx_has_no_way_to_write_a_dollar_sign(value):
    # ngx_http_script: `$` begins a variable, and no escape of it is documented.
    with pytest.raises(InvalidInput, match=r"'\$'"):
        nginx_text(value)


@given(TEXT)
def test_systemd_reads_a_word_back(value):
    assert read_systemd(systemd_text(value)) == [value]


@given(st.lists(TEXT, max_size=3))
def test_systemd_reads_arguments_back_and_expands_no_variable(words):
    line = systemd_command(["/bin/true", *words])
    assert [word.replace("$$", "$") for word in read_systemd(line)] == ["/bin/true", *words]
    # What is left after the pairs is no dollar sign: nothing is expanded.
    assert "$" not in line.replace("$$", "")


@pytest.mark.parametrize("program", ["relative", "/a$b", "/a'b", '/a"b', "/a\\b"])
def test_systemd_takes_no_such_path_of_a_program(program):
    with pytest.raises(InvalidInput):
        systemd_command([program])


@pytest.mark.parametrize("value", [" a", "a ", "a\\"])
def test_systemd_would_lose_a_part_of_such_a_plain_value(value):
    with pytest.raises(InvalidInput):
        systemd_plain(value)


@pytest.mark.parametrize("value", CONTROL, ids=repr)
@pytest.mark.parametrize(
    "encoder",
    [
        nginx_text,
        systemd_text,
        systemd_plain,
        supervisor_plain,
        lambda value: supervisor_command([value]),
        lambda value: systemd_command(["/bin/true", value]),
    ],
)
def test_a_control_character_is_refused_everywhere(encoder, value):
    with pytest.raises(InvalidInput, match="control character"):
        encoder(value)
