"""Where a model was packed: packages, git."""

import os
import subprocess
from importlib.metadata import version

import pytest
from sklearn.linear_model import LinearRegression

from fairlead.formats.frames import FrameForm
from fairlead.packing.environment import Commit, describe_environment, git_commit, modules_of, needed_packages


def test_the_modules_of_a_model_are_those_of_everything_inside_it():
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    assert modules_of([model, {"deep": model}]) == ("numpy", "sklearn")


def test_what_cannot_be_pickled_is_still_counted():
    class Stuck:
        def __reduce__(self):
            raise RuntimeError

    assert modules_of(Stuck()) == (__name__.partition(".")[0],)


def test_modules_become_packages_with_versions():
    packages = needed_packages(["sklearn", "nothing_of_this_name"])
    assert packages["scikit-learn"] == version("scikit-learn")
    assert "nothing_of_this_name" not in packages


def test_the_environment_keeps_no_variable(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "correct horse")
    found = describe_environment(["sklearn"], FrameForm("frame", (), ()))
    assert "correct horse" not in repr(found)
    assert found.python.startswith("3.")
    assert found.installed["scikit-learn"] == version("scikit-learn")


@pytest.fixture
def repository(tmp_path):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}

    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, env=env, check=True, capture_output=True, timeout=20
        )
        return done.stdout.decode().strip()

    git("init", "-q")
    (tmp_path / "train.py").write_text("print(1)\n")
    git("add", "train.py")
    git("commit", "-q", "-m", "Train")
    return tmp_path, git("rev-parse", "HEAD")


def test_a_clean_folder_gives_its_commit(repository):
    folder, commit = repository
    assert git_commit(folder) == Commit(commit, dirty=False)


def test_a_changed_file_makes_it_dirty(repository):
    folder, commit = repository
    (folder / "train.py").write_text("print(2)\n")
    assert git_commit(folder) == Commit(commit, dirty=True)


def test_outside_a_repository_or_without_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) == Commit()
    monkeypatch.setenv("PATH", "")
    assert git_commit(tmp_path) == Commit()
