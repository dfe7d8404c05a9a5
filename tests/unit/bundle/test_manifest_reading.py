"""A manifest is understood without touching the disk, and refuses every path that could leave its folder."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.bundle.reader import check_path, read_manifest
from fairlead.errors import BundleError

GOOD = {
    "format_version": 1,
    "name": "flights",
    "created": 1.0,
    "created_with": "0.1.0",
    "format": "pickle",
    "model_class": "x.Y",
    "road": "worker",
    "git_commit": "",
    "files": [
        {"path": "model/model.pkl", "size": 1, "sha256": "a" * 64},
        {"path": "schema.json", "size": 1, "sha256": "b" * 64},
    ],
}


def manifest(**changes):
    return json.dumps(GOOD | changes).encode()


def with_path(path):
    return manifest(files=[{"path": path, "size": 1, "sha256": "a" * 64}])


def test_a_manifest_in_order_is_read():
    read = read_manifest(manifest(), "here")
    assert [entry.path for entry in read.files] == ["model/model.pkl", "schema.json"]


ESCAPES = [
    "../x",
    "a/../x",
    "/etc/passwd",
    "a//b",
    "",
    ".",
    "..",
    "a/",
    "./a",
    "a\\b",
    "..\\x",
    "C:/x",
    "a:b",
    "x" * 201,
]
ODD = [
    "a\nb",
    "a\0b",
    "a\u202eb",
    ".hidden",
    "a/.git/config",
    "-rf",
    "a.",
    "a ",
    " a",
    "\ud800",
    "manifest.json",
    "a?",
    "*",
]


@pytest.mark.parametrize("path", [*ESCAPES, *ODD])
def test_a_path_that_no_file_may_have_is_refused(path):
    with pytest.raises(BundleError):
        read_manifest(with_path(path), "here")


@given(st.text(max_size=30))
def test_a_path_that_is_accepted_stays_below_its_folder(path):
    """Checked with `posixpath`, which knows nothing of our rule."""
    import posixpath

    try:
        check_path(path)
    except BundleError:
        return
    joined = posixpath.normpath(posixpath.join("/root/bundle", path))
    assert joined == "/root/bundle/" + path


def test_a_newer_format_says_what_to_install():
    with pytest.raises(BundleError, match="reads formats up to 1") as caught:
        read_manifest(json.dumps({"format_version": 2, "whatever": True}).encode(), "here")
    assert "newer" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"format_version": 1}',
        b'{"format_version": "1"}',
        manifest(format_version=0),
        manifest(road="magic"),
        manifest(name="../x"),
        manifest(name="Flights"),
        manifest(created=None),
        manifest(files=[{"path": "a", "size": 1, "sha256": "A" * 64}]),
        manifest(files=[GOOD["files"][1], GOOD["files"][0]]),
        manifest(files=[{"path": path, "size": 1, "sha256": "a" * 64} for path in ("A", "a")]),
    ],
)
def test_a_manifest_out_of_order_is_refused(content):
    with pytest.raises(BundleError):
        read_manifest(content, "here")
