"""The profile that packing makes, held against pandas and scikit-learn on the same table, wherever the model was opened."""

import gzip
import json
import pickle

import msgspec
import numpy as np
import pandas as pd
import pytest
from bundle_samples import lay_out
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from fairlead.app import pack as publish
from fairlead.bundle.reader import PROFILE
from fairlead.bundle.seal import seal
from fairlead.errors import BundleError, InvalidInput, SchemaMismatch
from fairlead.packing import examine, isolation, profiling
from fairlead.packing.pack import pack
from fairlead.packing.table import take_table
from running import cli

INPUTS = ["temp", "hour", "carrier", "holiday"]


def flights(rows, seed):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "temp": random.normal(10, 8, rows).round(1),
            "hour": random.integers(5, 23, rows),
            "carrier": random.choice(["UA", "AA", "B6"], rows, p=[0.5, 0.3, 0.2]),
            "holiday": random.random(rows) < 0.1,
        }
    )
    frame.loc[::9, "temp"] = np.nan
    odds = frame["hour"] / 4 - 5 + 2 * (frame["carrier"] == "AA") + random.normal(0, 1, rows)
    frame["late"] = np.where(odds > 0, "late", "on time")
    return frame


@pytest.fixture(scope="module")
def table():
    return flights(900, 1)


@pytest.fixture(scope="module")
def held_out():
    return flights(700, 2)


@pytest.fixture(scope="module")
def model(table):
    columns = ColumnTransformer(
        [("n", SimpleImputer(), ["temp", "hour", "holiday"]), ("c", OneHotEncoder(sparse_output=False), ["carrier"])]
    )
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20, random_state=0)).fit(
        table[INPUTS], table["late"]
    )


def packed(model, table, folder, **more):
    return pack(model, name="flights", data=table, target="late", to=folder / "bundle", **more)


def agrees(profile, table, model):
    """Whether the profile says what pandas counts and scikit-learn answers."""
    temp, hour = profile.find("temp"), profile.find("hour")
    assert (temp.finite, temp.missing) == (table["temp"].notna().sum(), table["temp"].isna().sum())
    assert temp.moments.mean == pytest.approx(table["temp"].mean())
    assert temp.moments.deviation == pytest.approx(table["temp"].std())
    assert sorted(filter(None, hour.counts)) == sorted(table["hour"].value_counts())
    assert profile.find("carrier").counts == table["carrier"].value_counts().to_dict()
    holidays = int(table["holiday"].sum())
    assert profile.find("holiday").counts == {"false": len(table) - holidays, "true": holidays}
    said, score = model.predict(table[INPUTS]), model.predict_proba(table[INPUTS])[:, 1]
    assert profile.find("late", "prediction").counts == {one: (said == one).sum() for one in ("late", "on time")}
    assert profile.find("on time", "score").moments.mean == pytest.approx(score.mean())
    punctual = table["late"] == "on time"
    assert profile.find("late", "target").counts == {"late": (~punctual).sum(), "on time": punctual.sum()}
    by_hour = next(one for one in profile.relations if one.name == "hour")
    assert by_hour.against == "on time"
    assert by_hour.correlation == pytest.approx(table["hour"].corr(punctual))
    assert sum(profile.calibrations[0].outcomes) == punctual.sum()
    assert sum(profile.calibrations[0].scores) == pytest.approx(score.sum())
    assert (profile.rows, profile.labels) == (len(table), len(table))


def test_a_version_carries_the_profile_of_its_training_table(model, table, tmp_path):
    bundle = packed(model, table, tmp_path)
    agrees(bundle.profile, table, model)
    facts = bundle.metadata.data
    assert (facts["profile"], facts["profile_rows"], facts["profile_sha256"]) == (
        "training table",
        900,
        facts["sha256"],
    )


@pytest.mark.slow
def test_a_models_file_gives_the_same_profile_from_the_openers_process(model, table, held_out, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    more = {"reference": held_out, "sensitive": {"carrier": "drop"}}
    apart, here = packed(path, table, tmp_path / "file", **more), packed(model, table, tmp_path / "object", **more)
    assert apart.profile == here.profile
    assert (apart.folder / PROFILE).read_bytes() == (here.folder / PROFILE).read_bytes()


def test_a_held_out_table_is_profiled_instead_where_one_is_given(model, table, held_out, tmp_path):
    bundle = packed(model, table, tmp_path, reference=held_out[[*INPUTS[::-1], "late"]])
    agrees(bundle.profile, held_out, model)
    assert (bundle.metadata.data["profile"], bundle.metadata.data["profile_rows"]) == ("held-out table", 700)


def test_a_target_of_entries_has_its_held_out_entries_beside_the_table(model, table, held_out, tmp_path):
    bundle = pack(
        model,
        name="flights",
        data=table[INPUTS],
        target=table["late"].tolist(),
        to=tmp_path / "bundle",
        reference=(held_out[INPUTS], held_out["late"]),
    )
    assert bundle.profile.labels == 700
    assert bundle.profile.find("target", "target").counts == held_out["late"].value_counts().sort_index().to_dict()


def test_the_compiled_form_answers_the_rows_that_the_original_was_not_asked(model, table, tmp_path, monkeypatch):
    monkeypatch.setattr(examine, "REAL_ROWS", 100)
    bundle = packed(model, table, tmp_path, metrics={"auc": 0.8})
    assert bundle.manifest.road == "ir"
    assert bundle.parity.attempts[-1].real_rows == 100
    agrees(bundle.profile, table, model)


def test_of_a_very_long_table_an_even_spread_is_counted(model, table, tmp_path, monkeypatch):
    monkeypatch.setattr(profiling, "MOST_ROWS", 300)
    monkeypatch.setattr(examine, "MEASURED_ROWS", 150)
    bundle = packed(model, table, tmp_path)
    agrees(bundle.profile, table.iloc[::3], model)
    assert (bundle.metadata.data["rows"], bundle.metadata.data["profile_rows"]) == (900, 300)


@pytest.mark.slow
def test_where_only_the_original_answers_the_rows_it_was_asked_are_counted(table, tmp_path, monkeypatch):
    monkeypatch.setattr(examine, "_ROADS", ())
    monkeypatch.setattr(examine, "MEASURED_ROWS", 300)
    columns = ["hour", "holiday"]
    model = KNeighborsClassifier().fit(table[columns], table["late"])
    bundle = packed(model, table[[*columns, "late"]], tmp_path)
    assert bundle.manifest.road == "worker"
    said = model.predict(table[columns].iloc[::3])
    assert bundle.profile.rows == 300
    assert bundle.profile.find("late", "prediction").counts == {one: (said == one).sum() for one in ("late", "on time")}


def test_a_regression_has_the_numbers_it_says_and_the_errors_it_makes(table, tmp_path):
    model = LinearRegression().fit(table[["hour"]], table["hour"] * 2.5 + table["holiday"])
    truth = table["hour"] * 2.5 + table["holiday"]
    profile = pack(
        model, name="flights", data=table[["hour"]], target=truth.rename("delay"), to=tmp_path / "bundle"
    ).profile
    said = model.predict(table[["hour"]])
    assert profile.find("delay", "prediction").moments.mean == pytest.approx(said.mean())
    assert profile.find("delay", "target").moments.deviation == pytest.approx(truth.std())
    assert sum(profile.calibrations[0].outcomes) == pytest.approx(np.abs(said - truth).sum())
    assert profile.relations[0].correlation == pytest.approx(table["hour"].corr(truth))


def test_nothing_of_a_sensitive_column_stands_in_the_profile(model, table, tmp_path):
    bundle = packed(model, table, tmp_path, sensitive={"carrier": "hash", "temp": "drop"})
    written = gzip.decompress((bundle.folder / PROFILE).read_bytes()).decode()
    assert "B6" not in written
    temp = bundle.profile.find("temp")
    assert (temp.withheld, temp.missing, temp.grid.cuts, temp.grid.points) == (True, 100, (), ())
    assert {one.name: one.sensitive for one in bundle.schema.columns} == {
        "temp": "drop",
        "hour": "",
        "carrier": "hash",
        "holiday": "",
    }
    assert {one.name for one in bundle.profile.relations} == {"hour", "holiday"}


@pytest.mark.parametrize("kind", ["object", "file"])
@pytest.mark.parametrize(
    ("sensitive", "words"),
    [({"carier": "hash"}, "no column 'carier'"), ({"carrier": "encrypt"}, "cannot be 'encrypt'")],
    ids=["unknown column", "unknown mark"],
)
def test_a_sensitive_column_that_makes_no_sense_is_named(model, table, tmp_path, kind, sensitive, words):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    with pytest.raises(InvalidInput, match=words):
        packed(path if kind == "file" else model, table, tmp_path / "out", sensitive=sensitive)
    assert not (tmp_path / "out" / "bundle").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop(columns="late"), "no column 'late'"),
        (lambda frame: frame.drop(columns="hour"), "lacks the model's column 'hour'"),
        (
            lambda frame: frame.assign(hour="noon"),
            "'hour' of the reference is string; in the training table it is integer",
        ),
        (lambda frame: frame.assign(late=["late", *["never seen"] * (len(frame) - 1)]), ""),
    ],
    ids=["no target", "no column", "another type", "new class"],
)
def test_a_held_out_table_that_does_not_fit_is_named(model, table, held_out, tmp_path, change, words):
    if not words:  # a class that the model does not know is counted as new; the table is what it is
        target = packed(model, table, tmp_path, reference=change(held_out)).profile.find("late", "target")
        assert target.new == {"never seen": 699}
        return
    with pytest.raises(InvalidInput, match=words):
        packed(model, table, tmp_path, reference=change(held_out))


def test_an_entry_that_the_model_does_not_take_is_named_by_its_row(table, held_out, tmp_path):
    model = LinearRegression().fit(table[["hour"]], table["hour"])
    gone = held_out[["hour"]].astype(float)
    gone.loc[7, "hour"] = np.nan
    with pytest.raises(SchemaMismatch, match="missing in row 7"):
        pack(model, name="flights", data=table[["hour"]], target=None, to=tmp_path / "bundle", reference=gone)


def test_a_profile_that_an_opener_made_up_is_refused(model, table):
    honest = examine.examine(model, take_table(table, "late"), say=lambda _: None, sensitive={"carrier": "hash"})
    assert isolation._checked(honest, {"carrier": "hash"}) == honest
    first = honest.profile.features[0]
    lies = [
        msgspec.structs.replace(honest.profile, features=honest.profile.features[1:]),
        msgspec.structs.replace(honest.profile, features=(*honest.profile.features, first)),
        msgspec.structs.replace(
            honest.profile, features=(msgspec.structs.replace(first, counts=(-1,)), *honest.profile.features[1:])
        ),
        msgspec.structs.replace(honest.profile, relations=honest.profile.relations * 1_000),
    ]
    for lie in lies:
        with pytest.raises(BundleError, match="do not fit together"):
            isolation._checked(msgspec.structs.replace(honest, profile=lie), {"carrier": "hash"})
    with pytest.raises(BundleError, match="do not fit together"):  # it counted what it was told to leave alone
        isolation._checked(honest, {"temp": "drop"})


def test_a_bundle_whose_profile_is_none_says_so(tmp_path):
    (lay_out(tmp_path / "b") / PROFILE).write_bytes(b"\x1f\x8b nothing")
    bundle = seal(tmp_path / "b", name="flights", format="pickle", model_class="a.B", road="worker", git_commit="")
    with pytest.raises(BundleError, match="is no profile"):
        _ = bundle.profile


@pytest.mark.slow
def test_pack_and_show_tell_of_what_table_the_profile_is(model, table, held_out, tmp_path):
    table.to_parquet(tmp_path / "train.parquet")
    held_out.to_parquet(tmp_path / "held.parquet")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    home = tmp_path / "home"
    paths = (f"{tmp_path}/model.pkl", "--data", f"{tmp_path}/train.parquet", "--reference", f"{tmp_path}/held.parquet")
    cli(home, "pack", *paths, "--name", "flights", "--target", "late", "--sensitive", "carrier=hash")
    told = cli(home, "show", "flights:1").stdout
    assert " of 700 rows of the held-out table\n" in told
    assert "string (hash)" in told
    shown = json.loads(cli(home, "show", "flights:1", "--json").stdout)
    assert shown["profile"] == {
        "of": "held-out table",
        "rows": 700,
        "labels": 700,
        "columns": [*INPUTS, "late", "on time", "late"],
    }
    wrong = cli(home, "pack", *paths, "--name", "flights", "--target", "late", "--sensitive", "carrier", check=False)
    assert wrong.returncode != 0
    assert "--sensitive email=hash" in wrong.stderr


def test_fairlead_pack_takes_the_same(model, table, held_out, tmp_path):
    made = publish(
        model,
        name="flights",
        data=table,
        target="late",
        reference=held_out,
        sensitive={"carrier": "drop"},
        home=tmp_path / "home",
    )
    assert made.number == 1
