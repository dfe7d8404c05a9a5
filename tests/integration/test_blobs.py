"""Blobs in a real folder and in memory: addressed by digest, checked when read, whole or not there."""

import errno
import hashlib
import multiprocessing
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import BadReference, DigestMismatch, InvalidInput, NotFound, StorageError
from fairlead.storage.blobs import open_blobs


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path):
    return open_blobs(str(tmp_path / "blobs") if request.param == "folder" else "memory:///")


@pytest.fixture
def local(tmp_path):
    return open_blobs(str(tmp_path / "blobs"))


@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=5000))
def test_every_blob_comes_back_by_its_sha256(content):
    blobs = open_blobs("memory:///")
    assert blobs.put(content) == hashlib.sha256(content).hexdigest()
    assert blobs.get(hashlib.sha256(content).hexdigest()) == content


def test_a_file_is_kept_and_fetched_in_pieces(blobs, tmp_path):
    content = bytes(range(256)) * 30_000  # 7.7 MB, several pieces
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    digest = blobs.put_file(source)
    assert digest == hashlib.sha256(content).hexdigest()
    assert blobs.exists(digest)
    blobs.fetch(digest, target)
    assert target.read_bytes() == content


def test_an_empty_blob_is_a_blob(blobs):
    digest = blobs.put(b"")
    assert blobs.exists(digest)
    assert blobs.get(digest) == b""


def test_putting_twice_changes_nothing(local):
    digest = local.put(b"once")
    before = Path(local.place(digest)).stat().st_mtime_ns
    assert local.put(b"once") == digest
    assert Path(local.place(digest)).stat().st_mtime_ns == before


def test_what_is_not_there_is_not_found(blobs, tmp_path):
    digest = hashlib.sha256(b"never put").hexdigest()
    assert not blobs.exists(digest)
    for ask in (lambda: blobs.get(digest), lambda: blobs.check(digest), lambda: blobs.fetch(digest, tmp_path / "x")):
        with pytest.raises(NotFound, match=digest):
            ask()
    assert not (tmp_path / "x").exists()


def test_a_corrupt_blob_is_named_with_its_place_and_never_handed_out(local, tmp_path):
    digest = local.put(b"good bytes")
    place = Path(local.place(digest))
    place.write_bytes(b"evil bytes")
    for ask in (lambda: local.get(digest), lambda: local.check(digest), lambda: local.fetch(digest, tmp_path / "x")):
        with pytest.raises(DigestMismatch) as caught:
            ask()
        assert digest in caught.value.detail
        assert str(place) in caught.value.detail
    assert list(tmp_path.glob("*x*")) == [], "neither the file nor a part of it is left"


def test_a_corrupt_blob_is_healed_by_putting_it_again(local):
    digest = local.put(b"good bytes")
    Path(local.place(digest)).write_bytes(b"")
    local.put(b"good bytes")
    assert local.get(digest) == b"good bytes"


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "sha256/aa", "%2e%2e"])
def test_what_is_no_digest_never_becomes_a_key(digest, blobs):
    with pytest.raises(BadReference):
        blobs.get(digest)


def test_a_file_that_cannot_be_read_says_so(blobs, tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        blobs.put_file(tmp_path / "nothing")


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        open_blobs(str(tmp_path / "file" / "blobs"))


def test_an_unknown_kind_of_url_is_refused():
    with pytest.raises(InvalidInput, match="cannot rest at"):
        open_blobs("gopher://x/y")


def _limited(folder, result):
    """In a process of its own: a file-size limit fails a write half-way, as a full disk does."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    blobs = open_blobs(folder)
    try:
        blobs.put(b"x" * 5000)
    except StorageError as error:
        result.put((type(error).__name__, blobs.exists(hashlib.sha256(b"x" * 5000).hexdigest())))
    else:
        result.put(("nothing", None))


def test_a_write_that_fails_half_way_leaves_no_blob(tmp_path):
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=_limited, args=(str(tmp_path / "blobs"), result))
    process.start()
    assert result.get(timeout=30) == ("StorageError", False)
    process.join(30)


def test_a_full_disk_while_fetching_says_so_and_leaves_nothing(local, tmp_path, monkeypatch):
    digest = local.put(b"content")

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fairlead.storage.blobs.os.fsync", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        local.fetch(digest, tmp_path / "x")
    assert caught.value.hint == "Free some space."
    assert list(tmp_path.glob("*x*")) == []


def test_opening_blobs_imports_no_database():
    probe = "import sys, fairlead.storage.blobs; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"
