"""Profiles as bytes: the size that is promised, and bytes that nobody's profile has."""

import gzip
import json

import msgspec
import numpy as np
import pytest

from fairlead.columns import Names, Numbers
from fairlead.errors import InvalidInput
from fairlead.profiles.codec import from_bytes, to_bytes
from fairlead.profiles.counting import Batch, count, profile_of
from fairlead.profiles.merging import merge
from fairlead.schema import Column, Output, Schema

COLUMNS = tuple(Column(f"x{at}", "number") for at in range(6))
SCHEMA = Schema(
    (*COLUMNS, Column("s", "string", nullable=True)),
    Output("classification", "late", ("no", "yes"), probabilities=True),
)


def made(rows=100_000):
    random = np.random.default_rng(1)
    draws = (
        random.normal(size=rows),
        random.lognormal(0, 2, rows),
        random.standard_cauchy(rows),
        random.normal(1e9, 1, rows).astype(np.float32).astype(np.float64),
        random.uniform(size=rows) ** 9,
        random.choice(random.normal(size=256), rows),
    )
    late = random.integers(0, 2, rows)
    score = random.random(rows)
    return Batch(
        rows,
        {
            **{f"x{at}": Numbers(draw, None) for at, draw in enumerate(draws)},
            "s": Names(random.integers(-1, 100, rows), [f"airport {at}" for at in range(100)]),
        },
        Names(late, ("no", "yes")),
        {"no": 1 - score, "yes": score},
        Names(late, ("no", "yes")),
    )


def test_a_profile_of_a_hundred_thousand_rows_takes_two_kilobytes_a_feature():
    profile = profile_of(made(), SCHEMA)
    assert len(to_bytes(profile)) <= 2_048 * len(profile.features)
    for one in profile.features:
        assert len(gzip.compress(msgspec.json.encode(one), 9)) <= 2_048, one.name


def test_bytes_are_read_back_as_the_same_profile_and_are_the_same_each_time():
    profile = profile_of(made(2_000), SCHEMA)
    written = to_bytes(profile)
    assert from_bytes(written) == profile
    assert to_bytes(from_bytes(written)) == written
    assert json.loads(gzip.decompress(written))["profile"]["rows"] == 2_000


def test_an_empty_window_is_written_and_read_back_too():
    profile = profile_of(made(100), SCHEMA)
    nothing = count(profile, Batch(0, {}))
    assert from_bytes(to_bytes(merge(nothing, nothing))) == nothing


def written(profile):
    return json.loads(gzip.decompress(to_bytes(profile)))


def tampered(change):
    tree = written(profile_of(made(500), SCHEMA))
    change(tree["profile"])
    return gzip.compress(json.dumps(tree).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["features"][0]["grid"]["cuts"].reverse(),
        lambda tree: tree["features"][0]["counts"].pop(),
        lambda tree: tree["features"][0]["counts"].__setitem__(0, -1),
        lambda tree: tree["features"][0]["counts"].__setitem__(0, 2**61),
        lambda tree: tree["features"][0]["moments"].update(scale=0),
        lambda tree: tree["features"][0]["moments"].update(second=-1),
        lambda tree: tree["features"][0]["moments"].update(first=1e200),
        lambda tree: tree["features"][0].update(withheld=True),
        lambda tree: tree["features"][6]["counts"].update({"x" * 201: 1}),
        lambda tree: tree["features"][6].update(new={str(at): 1 for at in range(1_001)}),
        lambda tree: tree["features"].append(tree["features"][0]),
        lambda tree: tree["relations"][0].update(scales=[0, 1]),
        lambda tree: tree["relations"][0].update(sums=[0, 0, 1e301, 0, 0]),
        lambda tree: tree["calibrations"][0]["outcomes"].pop(),
        lambda tree: tree.update(rows=-1),
        lambda tree: tree.update(rows="many"),
        lambda tree: tree.pop("features"),
    ],
    ids=[
        "falling cuts", "too few counts", "negative count", "count too large", "no scale", "negative squares", "wild sum",
        "withheld and counted", "long level", "many new", "twice", "flat relation", "wild relation", "short knots",
        "negative rows", "text for a number", "no features",
    ],
)  # fmt: skip
def test_a_profile_whose_parts_do_not_fit_is_refused(change):
    with pytest.raises(InvalidInput, match="no profile"):
        from_bytes(tampered(change))


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"no json"), gzip.compress(b"[" * 5_000), gzip.compress(b"{}")[:-3]],
    ids=["nothing", "not packed", "not json", "deep", "cut off"],
)
def test_bytes_that_are_no_profile_are_refused(content):
    with pytest.raises(InvalidInput, match="no profile"):
        from_bytes(content)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(monkeypatch):
    monkeypatch.setattr("fairlead.profiles.codec.LARGEST", 2**20)
    with pytest.raises(InvalidInput, match="cut off, or goes on"):
        from_bytes(gzip.compress(b" " * 2**22))


def test_a_newer_fairleads_profile_is_named_as_such():
    with pytest.raises(InvalidInput, match="version 2"):
        from_bytes(gzip.compress(b'{"version": 2, "profile": "another"}'))
