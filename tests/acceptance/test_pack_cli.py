"""`fairlead pack` and `fairlead verify` as a stranger runs them: by subprocess, in a fresh home."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with a model, its table and a picture."""
    folder = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
    table["late"] = np.where(table["a"] + table["b"] > 0, "late", "on time")
    table.to_csv(folder / "table.csv", index=False)
    model = LogisticRegression().fit(table[["a", "b"]], table["late"])
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    (folder / "roc.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 16)
    return folder


@pytest.fixture
def fairlead(desk, tmp_path):
    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "fairlead.cli.main", "--home", str(tmp_path / "home"), *arguments],
            cwd=desk,
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
            env={**os.environ, "NO_COLOR": "1"},
        )
        assert done.returncode == code, done.stderr
        return done

    return run


PACK = ("pack", "model.pkl", "--name", "flights", "--data", "table.csv", "--target", "late")


def test_pack_says_which_road_how_far_off_and_which_version(fairlead):
    done = fairlead(*PACK, "--metric", "auc=0.79", "--param", "rounds=3", "--plot", "roc.png", "--alias", "champion")
    facts = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    facts = {name: text.strip() for name, text in facts.items()}
    assert facts["version"] == "flights:1"
    assert facts["alias"] == "flights:champion"
    assert facts["road"].startswith("ir:")
    assert float(facts["largest difference"]) < 1e-9
    assert facts["label agreement"] == "100.000000%"
    assert facts["auc"] == "0.79"
    assert "Opening model.pkl in a process of its own." in done.stderr


def test_the_next_pack_is_the_next_version_and_json_is_for_programs(fairlead):
    fairlead(*PACK)
    packed = json.loads(fairlead(*PACK, "--description", "again", "--json").stdout)
    assert (packed["model"], packed["number"], packed["road"]) == ("flights", 2, "ir")
    assert packed["metrics"]["accuracy (training table)"] > 0.9
    assert [attempt["road"] for attempt in packed["parity"]["attempts"]] == ["ir"]


def test_a_dry_run_publishes_nothing(fairlead):
    done = fairlead(*PACK, "--dry-run")
    assert "not published" in done.stdout
    fairlead("verify", "flights:1", code=3)


def test_verify_answers_the_samples_again(fairlead):
    fairlead(*PACK)
    report = json.loads(fairlead("verify", "flights:1", "--json").stdout)
    assert report["ref"] == "flights:1"
    assert report["holds"] is True
    assert report["report"]["samples"] == 100


def test_verify_names_a_corrupt_blob_and_its_file(fairlead, tmp_path):
    fairlead(*PACK)
    shown = json.loads(fairlead("show", "flights:1", "--json").stdout)
    digest = next(one["sha256"] for one in shown["manifest"]["files"] if one["path"] == "compiled/graph.onnx")
    (blob,) = (tmp_path / "home" / "blobs").rglob(digest)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(bytes(content))
    done = fairlead("verify", "flights:1", code=5)
    assert "does not hold" in done.stdout
    assert "compiled/graph.onnx" in done.stdout
    assert digest in done.stdout


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("--target", "laet"), 2, "no column 'laet'"),
        (("--data", "nothing.csv"), 3, "nothing.csv"),
        (("--metric", "auc=nan"), 2, "not a finite number"),
        (("--metric", "auc"), 2, "is not NAME=VALUE"),
        (("--name", "../etc"), 2, "cannot be the name of a model"),
        (("--alias", "a b"), 2, "cannot be the name of an alias"),
        (("--plot", "table.csv"), 2, "no PNG or SVG file"),
    ],
)
def test_what_cannot_be_packed_is_said_and_nothing_is_registered(fairlead, change, code, words):
    done = fairlead(*PACK, *change, code=code)
    assert words in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(fairlead("models", "--json").stdout) == []


def test_a_hostile_file_is_refused_and_nothing_is_registered(fairlead, desk):
    class Quits:
        def __reduce__(self):
            return (os._exit, (0,))

    (desk / "hostile.pkl").write_bytes(pickle.dumps(Quits()))
    done = fairlead("pack", "hostile.pkl", *PACK[2:], code=5)
    assert "without a result" in done.stderr
    assert json.loads(fairlead("models", "--json").stdout) == []


def test_help_imports_no_framework():
    script = (
        "import sys; from fairlead.cli.main import run; run(['pack', '--help']); run(['verify', '--help']);"
        "print(sorted({'sklearn', 'pandas', 'polars', 'onnxruntime', 'skl2onnx', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr.strip() == "[]"
