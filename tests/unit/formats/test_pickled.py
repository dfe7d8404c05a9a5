"""Pickle and joblib files are written so that another process reads them, and refused in plain words when they are damaged."""

import pickle
import subprocess
import sys
import zlib

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from fairlead.errors import ConversionUnsupported, FormatUnknown
from fairlead.formats.format import Format
from fairlead.formats.pickled import FORMAT, load, save
from fairlead.formats.sklearn import FORMAT as SKLEARN


def fitted():
    return LinearRegression().fit(np.arange(4.0).reshape(-1, 1), np.arange(4.0))


def test_a_model_comes_back(tmp_path):
    path = tmp_path / "model.pkl"
    save(fitted(), path)
    assert load(path).predict([[10.0]])[0] == pytest.approx(10.0)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)])
def test_joblib_files_are_read_compressed_or_not(tmp_path, compress):
    path = tmp_path / "model.joblib"
    joblib.dump(fitted(), path, compress=compress)
    assert FORMAT.recognise(path)
    assert load(path).coef_[0] == pytest.approx(1.0)


def test_a_class_of_the_script_itself_is_written_by_value(tmp_path):
    """What stands in `__main__` exists in no other process."""
    path = tmp_path / "own.pkl"
    script = (
        "from pathlib import Path; from fairlead.formats.pickled import save\n"
        "class Own:\n    def predict(self, rows): return [42 for _ in rows]\n"
        f"save(Own(), Path({str(path)!r}))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert load(path).predict([1, 2]) == [42, 42]


def test_a_lambda_is_written_by_value(tmp_path):
    path = tmp_path / "f.pkl"
    save(lambda x: x + 1, path)
    assert load(path)(1) == 2


def test_what_holds_an_open_file_is_refused(tmp_path):
    with (tmp_path / "open").open("w") as file, pytest.raises(ConversionUnsupported, match="cannot be pickled"):
        save({"file": file}, tmp_path / "model.pkl")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle at all",
        b"\x80\x05garbage",
        pickle.dumps(list(range(1000)), protocol=5)[:-20],
        zlib.compress(b"no pickle"),
        b"\x80\x05]\x94(K\x01",
    ],
    ids=["empty", "text", "garbage", "cut off", "compressed text", "unfinished"],
)
def test_a_damaged_file_is_refused_with_its_name(tmp_path, data):
    path = tmp_path / "bad.pkl"
    path.write_bytes(data)
    with pytest.raises(FormatUnknown, match=r"bad\.pkl"):
        load(path)


def test_a_missing_module_is_named_with_what_to_install(tmp_path):
    path = tmp_path / "foreign.pkl"
    path.write_bytes(b"\x80\x02cno_such_package.models\nModel\n.")
    with pytest.raises(FormatUnknown, match="no_such_package") as refused:
        load(path)
    assert "pip install no_such_package" in refused.value.hint


def test_a_missing_class_is_named(tmp_path):
    path = tmp_path / "renamed.pkl"
    path.write_bytes(b"\x80\x02ccollections\nNoSuchClass\n.")
    with pytest.raises(FormatUnknown, match="NoSuchClass"):
        load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatUnknown, match="cannot be read"):
        load(tmp_path / "absent.pkl")


def test_a_file_is_recognised_by_its_first_bytes_without_being_opened(tmp_path):
    """Opening it would exit the test run."""
    path = tmp_path / "hostile.pkl"
    path.write_bytes(b"\x80\x02cos\n_exit\nK\x07\x85R.")
    assert FORMAT.recognise(path)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    assert not FORMAT.recognise(tmp_path / "table.csv")
    assert not FORMAT.recognise(tmp_path / "absent.pkl")
    assert not FORMAT.recognise(fitted())


def test_an_object_is_recognised_by_its_ancestry():
    class Child(LinearRegression):
        pass

    assert SKLEARN.recognise(fitted())
    assert SKLEARN.recognise(Child())
    assert not SKLEARN.recognise(object())


@pytest.mark.parametrize("one", [FORMAT, SKLEARN])
def test_what_we_ship_keeps_the_protocol(one, tmp_path):
    assert isinstance(one, Format)
    assert one.runs_code
    path = tmp_path / "model"
    one.save(fitted(), path)
    assert one.load(path).coef_[0] == pytest.approx(1.0)
