"""The command line's frame: exit codes, messages, and a help that imports nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from fairlead import errors
from fairlead.cli import main
from fairlead.errors import FairleadError

# From the interface's table: 2 usage, 3 not found, 4 conflict, 5 refused by a gate, 6 unavailable, 1 all else.
EXPECTED = {
    "FairleadError": 1,
    "InvalidInput": 2,
    "BadReference": 2,
    "SchemaMismatch": 2,
    "TooLarge": 2,
    "NotFound": 3,
    "Conflict": 4,
    "NotAllowed": 5,
    "Unauthenticated": 5,
    "Forbidden": 5,
    "UntrustedBundle": 5,
    "BundleError": 5,
    "DigestMismatch": 5,
    "BadSignature": 5,
    "FormatUnknown": 5,
    "ParityFailed": 5,
    "ConversionUnsupported": 1,
    "PredictionFailed": 1,
    "Overloaded": 6,
    "QueueFull": 6,
    "RateLimited": 6,
    "DeadlineExceeded": 6,
    "StorageError": 6,
    "PluginError": 1,
}


def tree(kind=FairleadError):
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def test_every_error_of_the_tree_has_its_exit_code():
    ours = {kind for kind in tree() if kind.__module__ == errors.__name__}
    assert {kind.__name__: main.exit_code(kind) for kind in ours} == EXPECTED


def run(capsys, *arguments):
    code = main.run(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def raising(monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(main.command, "main", fail)


def test_an_error_says_what_happened_and_what_to_do_next(monkeypatch, capsys):
    raising(monkeypatch, errors.NotFound("There is no model 'x'.", hint="`fairlead models` lists them."))
    assert run(capsys) == (3, "", "error: There is no model 'x'.\n  hint: `fairlead models` lists them.\n")


def test_an_error_cannot_write_control_characters_to_the_terminal(monkeypatch, capsys):
    raising(monkeypatch, errors.NotFound("There is no model '\x1b[2J\u202ex\r\n'."))
    assert run(capsys)[2] == "error: There is no model '[2Jx  '.\n"


def test_a_fault_of_ours_is_one_sentence_and_no_traceback(monkeypatch, capsys):
    monkeypatch.delenv("FAIRLEAD_DEBUG", raising=False)
    raising(monkeypatch, ZeroDivisionError("division by zero"))
    code, _, said = run(capsys)
    assert code == 1
    assert "Traceback" not in said
    assert "ZeroDivisionError: division by zero" in said


def test_the_traceback_is_shown_on_demand(monkeypatch, capsys):
    monkeypatch.setenv("FAIRLEAD_DEBUG", "1")
    raising(monkeypatch, ZeroDivisionError("division by zero"))
    assert "Traceback" in run(capsys)[2]


def test_a_broken_pipe_that_is_not_the_readers_is_a_fault(monkeypatch, capsys):
    """click would end in silence, as if the reader of stdout had left."""

    def fail(*_args, **_kwargs):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("fairlead.cli.models.command.callback", fail)
    code, _, said = run(capsys, "models")
    assert code == 1
    assert "pipe is broken" in said


def test_an_interrupted_command_ends_with_130(monkeypatch, capsys):
    raising(monkeypatch, KeyboardInterrupt())
    assert run(capsys)[0] == 130


def test_an_unknown_verb_is_a_usage_error_that_names_the_nearest(capsys):
    code, _, said = run(capsys, "modles")
    assert code == 2
    assert "Did you mean `fairlead models`?" in said


@pytest.mark.parametrize("arguments", [("models", "--nonsense"), ("show",), ("--home",), ("audit", "--limit", "0")])
def test_wrong_options_are_usage_errors_in_the_same_form(arguments, capsys):
    code, out, said = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said.startswith("error: ")
    assert "--help" in said


def test_help_names_every_verb_in_one_line_and_imports_none():
    probe = (
        "import sys; from fairlead.cli.main import run; run(['--help'])\n"
        "heavy = {'sqlalchemy', 'obstore', 'alembic', 'numpy', 'rich', 'starlette', 'onnxruntime', 'httpx'} & set(sys.modules)\n"
        "verbs = [name for name in sys.modules if name.startswith('fairlead.cli.')]\n"
        "print(heavy, sorted(verbs), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == "set() ['fairlead.cli.invocation', 'fairlead.cli.main', 'fairlead.cli.output']\n"
    lines = done.stdout.partition("Verbs:")[2].split("\n")
    assert [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")] == list(
        main.VERBS
    )


def test_every_verb_has_a_file_with_its_command():
    folder = Path(main.__file__).parent
    found = {path.stem for path in folder.glob("*.py")} - {"__init__", "main", "invocation", "output"}
    assert found <= set(main.VERBS)
