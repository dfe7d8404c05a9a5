"""What is swept from the cache of bundles: what a killed process has left, and nothing that anybody works in."""

import os
import signal
import subprocess
import sys

import pytest

from fairlead.bundle.unfinished import locked, sweep_unfinished

HOLDER = """
import sys, time
from pathlib import Path
from fairlead.bundle.unfinished import locked
locked(Path(sys.argv[1])); print("held", flush=True); time.sleep(600)
"""


@pytest.fixture
def cache(tmp_path):
    """A bundle, and a hidden folder of an hour ago."""
    (tmp_path / ("a" * 64)).mkdir()
    left = tmp_path / ".0123456789ab.xyz"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "model").write_bytes(b"half")
    age(left)
    return tmp_path


def age(folder, seconds=3600):
    then = folder.stat().st_mtime - seconds
    os.utime(folder, (then, then))


def hidden(cache):
    return sorted(path.name for path in cache.iterdir() if path.name.startswith("."))


def test_a_folder_that_nobody_works_in_is_removed_and_bundles_stay(cache):
    assert [path.name for path in sweep_unfinished(cache)] == [".0123456789ab.xyz"]
    assert [path.name for path in cache.iterdir()] == ["a" * 64]


def test_a_folder_is_kept_while_its_process_lives_and_swept_when_it_was_killed(cache):
    left = cache / ".0123456789ab.xyz"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(left)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            assert sweep_unfinished(cache) == []
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            assert sweep_unfinished(cache) == [left]
        finally:
            process.kill()


def test_one_that_was_just_made_is_left_to_who_made_it(cache):
    fresh = cache / ".damaged.now"
    fresh.mkdir()
    sweep_unfinished(cache)
    assert hidden(cache) == [".damaged.now"]


def test_links_and_files_are_left_alone(cache, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious").touch()
    age(elsewhere)
    (cache / ".link").symlink_to(elsewhere)
    (cache / ".file").touch()
    sweep_unfinished(cache)
    assert hidden(cache) == [".file", ".link"]
    assert (elsewhere / "precious").exists()


def test_a_cache_that_is_not_there_is_clean(tmp_path):
    assert sweep_unfinished(tmp_path / "missing") == []


def test_the_same_folder_is_locked_once(cache):
    handle = locked(cache)
    with pytest.raises(BlockingIOError):
        locked(cache)
    os.close(handle)
    os.close(locked(cache))
