"""A model's file may be anything: whatever it does, it does it in a process of its own, and nothing is sealed."""

import gzip
import os
import pickle
import struct
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from fairlead.errors import BundleError, FairleadError, FormatUnknown, InvalidInput, NotFound
from fairlead.packing import isolation
from fairlead.packing.errand import LEFT, Examined
from fairlead.packing.pack import Limits, pack


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(size=80), "b": rng.normal(size=80)})
    frame["y"] = frame["a"] * 2 - frame["b"]
    return frame


@pytest.fixture
def attempt(table, tmp_path):
    """Pack a file of these bytes; returns the error, and makes sure that nothing is left behind."""

    def run(content, limits=None, name="model.pkl"):
        path = tmp_path / name
        path.write_bytes(content)
        to = tmp_path / "out" / "bundle"
        with pytest.raises(FairleadError) as caught:
            pack(path, name="flights", data=table, target="y", to=to, limits=limits or Limits(seconds=60))
        assert list((tmp_path / "out").iterdir()) == []
        return caught.value

    return run


class Runs:
    """Pickles to a call of a function with arguments, the way hostile files do."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def hostile(function, *arguments):
    return pickle.dumps(Runs(function, *arguments))


def test_what_a_pickle_runs_runs_in_another_process(attempt, tmp_path):
    canary = tmp_path / "canary"
    error = attempt(hostile(os.system, f"echo $PPID > {canary}"))
    assert isinstance(error, InvalidInput), "os.system gave 0, which has no predict"
    # The shell's parent is the process that opened the file.
    assert int(canary.read_text()) != os.getpid()


def test_the_opener_sees_no_secret_of_the_environment(attempt, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "correct horse")
    seen = tmp_path / "seen"
    attempt(hostile(os.system, f"env > {seen}; pwd >> {seen}"))
    assert "correct horse" not in seen.read_text()
    assert str(Path.cwd()) not in seen.read_text().splitlines()


def test_a_file_that_ends_its_process_quietly_is_refused(attempt):
    error = attempt(hostile(os._exit, 0))
    assert type(error) is BundleError
    assert "exit code 0 and without a result" in error.detail


def test_a_file_that_asks_to_exit_is_refused(attempt):
    assert "SystemExit" in attempt(hostile(sys.exit, 0)).detail


def test_a_file_that_crashes_its_process_is_refused_with_the_signal(attempt):
    assert "SIGABRT" in attempt(hostile(os.abort)).detail


def test_a_file_that_hangs_is_killed_at_the_time_limit_with_all_it_started(attempt, tmp_path):
    child = tmp_path / "child"
    start = time.monotonic()
    error = attempt(hostile(os.system, f"sleep 300 & echo $! > {child}; wait"), Limits(seconds=6))
    assert "within 6 s" in error.detail
    assert time.monotonic() - start < 15
    pid = int(child.read_text())
    for _ in range(50):
        if not alive(pid):
            break
        time.sleep(0.1)
    assert not alive(pid)


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_what_a_file_leaves_running_ends_also_after_a_refusal(attempt, tmp_path):
    child = tmp_path / "child"
    attempt(hostile(os.system, f"sleep 300 & echo $! > {child}"))
    time.sleep(0.3)
    assert not alive(int(child.read_text()))


def test_a_file_that_eats_memory_meets_its_limit(attempt):
    error = attempt(hostile(bytearray, 64 * 2**30), Limits(memory=4 * 2**30, seconds=60))
    assert "more memory than the 4 GiB" in error.detail


def test_an_exception_with_hostile_text_is_shown_without_control_characters(attempt):
    error = attempt(hostile(eval, "(_ for _ in ()).throw(ValueError('\\x1b[2J\\u202egotcha\\n' + 'x' * 100000))"))
    assert "gotcha" in error.detail
    assert "\x1b" not in error.detail
    assert "\u202e" not in error.detail
    assert "\n" not in error.detail
    assert len(error.detail) < 1000


def test_a_missing_module_is_named_with_what_to_install(attempt):
    error = attempt(b"\x80\x04\x8c\x0bskimage.xyz\x94\x8c\x05Model\x94\x93\x94.")
    assert isinstance(error, FormatUnknown)
    assert "'skimage'" in error.detail
    assert "pip install scikit-image" in error.hint


def test_a_missing_class_is_named(attempt):
    error = attempt(b"\x80\x04\x8c\x07decimal\x94\x8c\x07Nothing\x94\x93\x94.")
    assert isinstance(error, FormatUnknown)
    assert "Nothing" in error.detail


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"not a model at all",
        b"PK\x03\x04",
        pickle.dumps(LinearRegression())[:-20],
        gzip.compress(b"x" * 99),
    ],
    ids=["empty", "one byte", "text", "zip", "cut off", "gzip of nothing"],
)
def test_a_broken_file_is_refused(attempt, content):
    error = attempt(content)
    assert isinstance(error, (FormatUnknown, BundleError))
    assert error.hint


def test_a_joblib_file_is_opened_like_a_pickle(table, tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(LinearRegression().fit(table[["a", "b"]], table["y"]), path, compress=3)
    bundle = pack(path, name="flights", data=table, target="y", to=tmp_path / "bundle")
    assert bundle.manifest.road == "ir"
    assert bundle.original.read_bytes() == path.read_bytes()


def test_a_file_that_is_not_there_is_named(table, tmp_path):
    with pytest.raises(NotFound, match=r"nothing\.pkl"):
        pack(tmp_path / "nothing.pkl", name="flights", data=table, target="y", to=tmp_path / "bundle")


# What a hostile file writes in place of the opener's result, found by the open folder above its working folder.
FORGE = """
import os, pathlib
folder = pathlib.Path(os.getcwd()).parent
{act}
os._exit(0)
"""


@pytest.mark.parametrize(
    "act",
    [
        f"(folder / {LEFT!r}).write_bytes(b'\\x93\\x01\\x02\\x03')",
        f"(folder / {LEFT!r}).write_bytes(b'\\xdf\\xff\\xff\\xff\\xff' * 1000)",
        f"(folder / {LEFT!r}).symlink_to('/etc/hostname')",
        f"os.mkfifo(folder / {LEFT!r})",
        f"os.link(folder / 'errand.msgpack', folder / {LEFT!r})",
        f"os.truncate(os.open(folder / {LEFT!r}, os.O_CREAT | os.O_RDWR), 3 * 2**30)",
    ],
    ids=["rubbish", "huge lengths", "link", "pipe", "hard link", "3 GiB"],
)
def test_a_forged_result_is_refused(attempt, act):
    error = attempt(hostile(exec, FORGE.format(act=act)))
    assert type(error) is BundleError


def test_a_forged_examination_whose_graph_answers_otherwise_is_refused(table, tmp_path):
    """A file that lies about its proof: the sealed graph has to give the sealed answers here, too."""
    import msgspec

    from fairlead.packing.examine import examine
    from fairlead.packing.table import take_table

    honest = examine(LinearRegression().fit(table[["a", "b"]], table["y"]), take_table(table, "y"), say=lambda _: None)
    first = honest.samples.expected[0]
    lie = msgspec.structs.replace(
        honest,
        samples=msgspec.structs.replace(
            honest.samples,
            expected=(msgspec.structs.replace(first, prediction=first.prediction + 1), *honest.samples.expected[1:]),
        ),
    )
    forged = tmp_path / "forged"
    forged.write_bytes(msgspec.msgpack.encode(Examined(lie)))
    path = tmp_path / "model.pkl"
    path.write_bytes(
        hostile(exec, FORGE.format(act=f"(folder / {LEFT!r}).write_bytes(open({str(forged)!r}, 'rb').read())"))
    )
    with pytest.raises(BundleError, match="row 0"):
        pack(path, name="flights", data=table, target="y", to=tmp_path / "out" / "bundle")


def test_an_examination_whose_parts_disagree_is_refused(table):
    import msgspec

    from fairlead.packing.examine import examine
    from fairlead.packing.table import take_table

    honest = examine(LinearRegression().fit(table[["a", "b"]], table["y"]), take_table(table, "y"), say=lambda _: None)
    short = msgspec.structs.replace(honest.samples, rows=tuple(row[:1] for row in honest.samples.rows))
    assert isolation._checked(honest) == honest
    with pytest.raises(BundleError, match="do not fit together"):
        isolation._checked(msgspec.structs.replace(honest, samples=short))


def test_packing_a_file_never_opens_it_in_this_process(table, tmp_path, monkeypatch):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(LinearRegression().fit(table[["a", "b"]], table["y"])))

    def refuse(*_, **__):
        raise AssertionError("a pickle was opened here")

    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(joblib, "load", refuse)
    assert pack(path, name="flights", data=table, target="y", to=tmp_path / "bundle").manifest.road == "ir"


def test_the_table_of_a_file_keeps_its_dtypes_on_the_way_to_the_opener(tmp_path):
    frame = pd.DataFrame({"a": pd.array([1, None, 3] * 30, dtype="Int64"), "b": np.arange(90, dtype="float32")})
    frame["y"] = struct.calcsize("d") * frame["b"]
    path = tmp_path / "model.pkl"
    path.write_bytes(
        pickle.dumps(LinearRegression().fit(frame[["b"]], frame["y"])),
    )
    bundle = pack(path, name="flights", data=frame[["b", "y"]], target="y", to=tmp_path / "bundle")
    assert bundle.environment["form"]["dtypes"] == ["float32"]


@pytest.mark.parametrize(
    "act",
    [
        "(original.parent / 'extra').write_bytes(b'x')",
        "original.write_bytes(b'x')",
        "(original.parent / 'l').symlink_to('/etc')",
    ],
    ids=["a file beside it", "itself", "a link"],
)
def test_a_file_that_changes_what_is_to_be_sealed_is_refused(table, tmp_path, act):
    """It knows the path of its own copy, and leaves a result that is in order."""
    import msgspec

    from fairlead.packing.examine import examine
    from fairlead.packing.table import take_table

    honest = examine(LinearRegression().fit(table[["a", "b"]], table["y"]), take_table(table, "y"), say=lambda _: None)
    forged = tmp_path / "forged"
    forged.write_bytes(msgspec.msgpack.encode(Examined(honest)))
    script = f"""
import msgspec, os, pathlib
folder = pathlib.Path(os.getcwd()).parent
original = pathlib.Path(msgspec.msgpack.decode((folder / "errand.msgpack").read_bytes())["original"])
{act}
(folder / {LEFT!r}).write_bytes(open({str(forged)!r}, "rb").read())
os._exit(0)
"""
    path = tmp_path / "model.pkl"
    path.write_bytes(hostile(exec, script))
    with pytest.raises(BundleError):
        pack(path, name="flights", data=table, target="y", to=tmp_path / "out" / "bundle")
    assert list((tmp_path / "out").iterdir()) == []
