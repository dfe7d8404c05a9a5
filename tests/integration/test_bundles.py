"""Bundles on a real disk: sealed, opened, put into blobs, fetched; and everything that may be wrong with them."""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bundle_samples import PARITY, SAMPLES, SCHEMA, lay_out, sealed

from fairlead.bundle.reader import open_bundle
from fairlead.bundle.seal import seal
from fairlead.bundle.store import check_bundle, fetch_bundle, put_bundle
from fairlead.errors import BadReference, BundleError, DigestMismatch, StorageError
from fairlead.storage.blobs import open_blobs

FACTS = {"name": "flights", "format": "pickle", "model_class": "a.B", "road": "worker", "git_commit": ""}


@pytest.fixture
def bundle(tmp_path):
    return sealed(tmp_path / "bundle")


@pytest.fixture
def blobs(tmp_path):
    return open_blobs(str(tmp_path / "blobs"))


def test_a_sealed_bundle_opens_with_all_that_was_put_in(bundle):
    opened = open_bundle(bundle.folder, bundle.digest)
    assert (opened.schema, opened.samples, opened.parity) == (SCHEMA, SAMPLES, PARITY)
    assert (opened.layout, opened.graph) == (None, None)
    assert opened.original.read_bytes() == b"original"
    assert opened.environment == {"python": "3.11"}
    assert opened.metadata.metrics == {"auc": 0.79}
    assert opened.metadata.params == {}


def test_the_digest_is_the_sha256_of_the_manifest_as_it_lies_there(bundle):
    content = (bundle.folder / "manifest.json").read_bytes()
    assert bundle.digest == hashlib.sha256(content).hexdigest()
    files = {entry["path"]: entry["sha256"] for entry in json.loads(content)["files"]}
    assert list(files) == sorted(files)
    for path, digest in files.items():
        assert hashlib.sha256((bundle.folder / path).read_bytes()).hexdigest() == digest


def test_the_same_folder_sealed_twice_has_one_digest(tmp_path):
    first, second = (sealed(tmp_path / name, created=5.0) for name in ("a", "b"))
    assert first.digest == second.digest


def test_a_sealed_folder_is_not_sealed_again(bundle):
    with pytest.raises(BundleError, match="sealed already"):
        seal(bundle.folder, **FACTS)


def test_a_folder_that_lacks_a_part_is_not_sealed(tmp_path):
    folder = lay_out(tmp_path / "x")
    (folder / "samples.json").unlink()
    shutil.rmtree(folder / "model")
    with pytest.raises(BundleError, match=r"lacks samples\.json, model/…"):
        seal(folder, **FACTS)
    with pytest.raises(BundleError, match=r"compiled/graph\.onnx"):
        seal(lay_out(tmp_path / "y"), **FACTS | {"road": "ir"})


def spoil_by_symlink(folder):
    (folder / "model" / "loot").symlink_to("/etc/hostname")


def spoil_by_folder_symlink(folder):
    (folder / "loot").symlink_to("/etc")


def spoil_by_hard_link(folder):
    os.link(folder / "schema.json", folder.parent / "second-name")


def spoil_by_pipe(folder):
    os.mkfifo(folder / "pipe")


def spoil_by_odd_name(folder):
    (folder / "a\nb").write_bytes(b"")


def spoil_by_hidden_name(folder):
    (folder / ".x").write_bytes(b"")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_by_symlink,
        spoil_by_folder_symlink,
        spoil_by_hard_link,
        spoil_by_pipe,
        spoil_by_odd_name,
        spoil_by_hidden_name,
    ],
)
def test_links_and_odd_names_are_neither_sealed_nor_opened(spoil, tmp_path, bundle):
    folder = lay_out(tmp_path / "unsealed")
    spoil(folder)
    with pytest.raises(BundleError):
        seal(folder, **FACTS)
    (folder.parent / "second-name").unlink(missing_ok=True)
    spoil(bundle.folder)
    with pytest.raises(BundleError):
        open_bundle(bundle.folder)


def flip_a_bit(folder):
    path = folder / "model" / "model.pkl"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def truncate(folder):
    (folder / "model" / "model.pkl").write_bytes(b"ori")


def remove(folder):
    (folder / "model" / "model.pkl").unlink()


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, remove])
def test_a_damaged_file_is_named(damage, bundle):
    damage(bundle.folder)
    with pytest.raises(DigestMismatch, match=r"model\.pkl"):
        open_bundle(bundle.folder)


def test_a_file_too_many_is_named(bundle):
    (bundle.folder / "model" / "extra.py").write_text("import os")
    with pytest.raises(BundleError, match=r"extra\.py is not in the bundle's manifest"):
        open_bundle(bundle.folder)


def test_a_rewritten_manifest_is_seen_by_its_digest(bundle):
    path = bundle.folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"a.B", b"a.C"))
    open_bundle(bundle.folder)
    with pytest.raises(DigestMismatch, match=r"manifest\.json is not the one that was sealed"):
        open_bundle(bundle.folder, bundle.digest)


def test_a_manifest_that_leads_out_of_the_folder_is_refused(bundle, tmp_path):
    (tmp_path / "x").write_bytes(b"secret")
    manifest = json.loads((bundle.folder / "manifest.json").read_bytes())
    entry = {"path": "../x", "size": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    manifest["files"].insert(0, entry)
    (bundle.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="No file of a bundle may be called"):
        open_bundle(bundle.folder)


def test_what_is_no_bundle_says_so(tmp_path):
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        open_bundle(tmp_path)
    with pytest.raises(BundleError, match="is not a bundle"):
        open_bundle(tmp_path / "nowhere")


def test_a_bundle_comes_back_from_the_blobs(bundle, blobs, tmp_path):
    assert put_bundle(bundle, blobs) == bundle.digest
    folder = fetch_bundle(bundle.digest, blobs, tmp_path / "cache")
    assert folder == tmp_path / "cache" / bundle.digest
    assert open_bundle(folder, bundle.digest).original.read_bytes() == b"original"


def test_a_fetched_bundle_is_used_with_the_blobs_gone(bundle, blobs, tmp_path):
    put_bundle(bundle, blobs)
    fetch_bundle(bundle.digest, blobs, tmp_path / "cache")
    shutil.rmtree(tmp_path / "blobs")
    assert open_bundle(fetch_bundle(bundle.digest, blobs, tmp_path / "cache")).digest == bundle.digest


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, remove, spoil_by_symlink])
def test_a_damaged_cache_is_fetched_anew(damage, bundle, blobs, tmp_path):
    put_bundle(bundle, blobs)
    folder = fetch_bundle(bundle.digest, blobs, tmp_path / "cache")
    damage(folder)
    assert open_bundle(fetch_bundle(bundle.digest, blobs, tmp_path / "cache"), bundle.digest)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [bundle.digest], "nothing else is left behind"


def blob_of(bundle, blobs, path):
    entry = next(entry for entry in bundle.manifest.files if entry.path == path)
    return Path(blobs.place(entry.sha256))


def test_a_corrupt_blob_is_named_and_never_reaches_the_cache(bundle, blobs, tmp_path):
    put_bundle(bundle, blobs)
    blob = blob_of(bundle, blobs, "model/model.pkl")
    blob.write_bytes(b"0riginal")
    (problem,) = check_bundle(bundle.digest, blobs)
    assert isinstance(problem, DigestMismatch)
    assert "model/model.pkl" in problem.detail
    assert str(blob) in problem.detail
    with pytest.raises(DigestMismatch):
        fetch_bundle(bundle.digest, blobs, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_blob_is_named(bundle, blobs, tmp_path):
    put_bundle(bundle, blobs)
    blob_of(bundle, blobs, "schema.json").unlink()
    assert ["schema.json" in problem.detail for problem in check_bundle(bundle.digest, blobs)] == [True]
    with pytest.raises(BundleError, match="is not complete"):
        fetch_bundle(bundle.digest, blobs, tmp_path / "cache")


def test_putting_a_bundle_again_heals_its_blobs(bundle, blobs):
    put_bundle(bundle, blobs)
    blob_of(bundle, blobs, "model/model.pkl").write_bytes(b"0riginal")
    put_bundle(bundle, blobs)
    assert check_bundle(bundle.digest, blobs) == []


def test_a_bundle_that_changed_after_it_was_sealed_is_not_put(bundle, blobs):
    flip_a_bit(bundle.folder)
    with pytest.raises(DigestMismatch):
        put_bundle(bundle, blobs)
    assert not blobs.exists(bundle.digest), "without its manifest nobody finds it"


def test_many_fetch_the_same_bundle_at_once(bundle, blobs, tmp_path):
    put_bundle(bundle, blobs)
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: fetch_bundle(bundle.digest, blobs, tmp_path / "cache"), range(16)))
    assert folders == {tmp_path / "cache" / bundle.digest}
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("digest", ["../../etc", "", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n"])
def test_what_is_no_digest_never_becomes_a_path(digest, blobs, tmp_path):
    with pytest.raises(BadReference):
        fetch_bundle(digest, blobs, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_says_so(bundle, blobs, tmp_path):
    put_bundle(bundle, blobs)
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be"):
        fetch_bundle(bundle.digest, blobs, tmp_path / "cache")
