"""Each kind of model, packed for real: which road it takes, and that the road gives the original's answers."""

import asyncio
import sys
import types
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairlead.bundle.reader import open_bundle
from fairlead.errors import (
    Conflict,
    ConversionUnsupported,
    InvalidInput,
    ParityFailed,
    PredictionFailed,
    SchemaMismatch,
)
from fairlead.packing.pack import pack
from fairlead.packing.verify import verify_bundle
from fairlead.predictor.compiled import open_compiled


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(7)
    rows = 600
    frame = pd.DataFrame(
        {
            "temperature": rng.normal(10, 8, rows).round(1),
            "hour": rng.integers(5, 23, rows),
            "carrier": rng.choice(["UA", "AA", "B6"], rows, p=[0.5, 0.3, 0.2]),
        }
    )
    frame.loc[::9, "temperature"] = np.nan
    score = frame["hour"] / 20 + (frame["carrier"] == "AA") + rng.normal(0, 0.3, rows)
    frame["late"] = np.where(score > 1, "late", "on time")
    frame["minutes"] = (score * 30).round(2)
    frame["size"] = pd.cut(score, 3, labels=["small", "middle", "large"]).astype(str)
    return frame


FEATURES = ["temperature", "hour", "carrier"]


def pipeline(model):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    names = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(
        ColumnTransformer([("numbers", numbers, ["temperature", "hour"]), ("names", names, ["carrier"])]), model
    )


def packed(model, table, target, to, **more):
    columns = [*FEATURES, target] if isinstance(target, str) else FEATURES
    return pack(model, name="flights", data=table[columns], target=target, to=to / "bundle", **more)


def test_a_boosted_pipeline_is_taken_apart_and_answers_as_scikit_learn_does(table, tmp_path):
    model = pipeline(HistGradientBoostingClassifier(max_iter=20, random_state=0)).fit(table[FEATURES], table["late"])
    bundle = packed(model, table, "late", tmp_path)
    assert bundle.manifest.road == "ir"
    attempt = bundle.parity.attempts[-1]
    assert attempt.proven
    assert attempt.hard_rows > 100
    # Independent truth: scikit-learn itself on the frame, ours on plain rows.
    rows = [
        tuple(None if pd.isna(value) else value for value in row)
        for row in table[FEATURES].head(50).itertuples(index=False)
    ]
    outcomes = open_compiled(bundle.graph, bundle.layout, bundle.schema).answer(rows)
    head = table[FEATURES].head(50)
    assert [one.prediction for one in outcomes] == model.predict(head).tolist()
    assert np.allclose([one.probabilities for one in outcomes], model.predict_proba(head), atol=1e-9)


def test_the_schema_says_what_the_table_showed_and_what_the_model_takes(table, tmp_path):
    model = pipeline(HistGradientBoostingClassifier(max_iter=5, random_state=0)).fit(table[FEATURES], table["late"])
    schema = packed(model, table, "late", tmp_path).schema
    temperature, hour, carrier = schema.columns
    assert (temperature.type, temperature.nullable) == ("number", True)
    assert temperature.minimum == table["temperature"].min()
    assert (hour.type, hour.minimum, hour.maximum) == ("integer", 5, 22)
    assert hour.nullable, "nothing was missing there, but the imputer answers"
    assert carrier.categories == ("UA", "AA", "B6"), "most frequent first"
    assert schema.output.target == "late"
    assert schema.output.classes == ("late", "on time")


def test_a_neural_network_takes_the_general_graph(table, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # twenty rounds do not converge, and need not
        model = pipeline(MLPClassifier(max_iter=20, random_state=0)).fit(table[FEATURES], table["late"])
    bundle = packed(model, table, "late", tmp_path)
    first, last = bundle.parity.attempts[0], bundle.parity.attempts[-1]
    assert (first.road, first.proven) == ("ir", False)
    assert "MLPClassifier" in first.reason
    assert bundle.manifest.road == last.road == "graph"
    assert last.largest_difference < 1e-5


def test_a_regression_is_compared_by_its_values(table, tmp_path):
    model = pipeline(RandomForestRegressor(5, random_state=0)).fit(table[FEATURES], table["minutes"])
    bundle = packed(model, table, "minutes", tmp_path)
    assert bundle.manifest.road == "ir"
    assert bundle.parity.attempts[-1].label_agreement is None
    assert bundle.schema.output.task == "regression"
    # R² by its definition, on scikit-learn's own predictions.
    said, true = model.predict(table[FEATURES]), table["minutes"]
    expected = 1 - ((said - true) ** 2).sum() / ((true - true.mean()) ** 2).sum()
    assert bundle.metadata.metrics["r2 (training table)"] == pytest.approx(expected)


def test_three_classes_have_three_probabilities(table, tmp_path):
    model = pipeline(RandomForestClassifier(7, random_state=0)).fit(table[FEATURES], table["size"])
    bundle = packed(model, table, "size", tmp_path)
    assert bundle.manifest.road == "ir"
    assert bundle.schema.output.classes == ("large", "middle", "small")
    assert all(len(one.probabilities) == 3 for one in bundle.samples.expected)
    assert {one.prediction for one in bundle.samples.expected[:3]} == {"large", "middle", "small"}, "labels take turns"


def test_a_model_of_a_bare_array_has_columns_x0_x1(table, tmp_path):
    array = table[["temperature", "hour"]].fillna(0).to_numpy()
    model = LinearRegression().fit(array, table["minutes"])
    bundle = pack(model, name="flights", data=array, target=table["minutes"], to=tmp_path / "bundle")
    assert bundle.schema.names == ("x0", "x1")
    assert bundle.schema.output.target == "minutes"
    assert bundle.manifest.road == "ir"
    assert not any(column.nullable for column in bundle.schema.columns)


def test_a_polars_table_is_taken_as_well(table, tmp_path):
    model = pipeline(HistGradientBoostingClassifier(max_iter=5, random_state=0)).fit(table[FEATURES], table["late"])
    data = pl.DataFrame({name: table[name].tolist() for name in [*FEATURES, "late"]}, nan_to_null=True)
    bundle = pack(model, name="flights", data=data, target="late", to=tmp_path / "bundle")
    assert bundle.manifest.road == "ir"


OWN_CLASS = '''
class Threshold:
    """Late in the evening flights are late."""
    classes_ = ["late", "on time"]
    def predict(self, table):
        return ["late" if hour > 15 else "on time" for hour in table["hour"]]
    def predict_proba(self, table):
        return [[0.9, 0.1] if hour > 15 else [0.2, 0.8] for hour in table["hour"]]
'''


@pytest.fixture
def own_module(tmp_path):
    module = types.ModuleType("house_rules_of_ours")
    exec(OWN_CLASS, module.__dict__)
    module.Threshold.__module__ = module.__name__
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_an_object_of_the_users_own_class_answers_in_a_worker_that_lacks_its_module(own_module, table, tmp_path):
    bundle = packed(own_module.Threshold(), table, "late", tmp_path)
    assert bundle.manifest.road == "worker"
    assert [one.road for one in bundle.parity.attempts] == ["ir", "graph", "worker"]
    assert bundle.parity.attempts[-1].proven
    assert bundle.layout is None
    assert verify_bundle(bundle).holds


def test_it_can_be_packed_inside_a_running_event_loop_as_in_a_notebook(own_module, table, tmp_path):
    async def cell():
        return packed(own_module.Threshold(), table, "late", tmp_path)

    assert asyncio.run(cell()).manifest.road == "worker"


class Dice:
    """A model whose answers are drawn by chance."""

    classes_ = ("late", "on time")

    def predict(self, table):
        return np.random.default_rng().choice(self.classes_, len(table))


def test_a_model_that_answers_by_chance_is_refused(table, tmp_path):
    with pytest.raises(ParityFailed, match=r"samples\.json, row"):
        packed(Dice(), table, "late", tmp_path)
    assert list(tmp_path.iterdir()) == []


class Distance:
    """A regression by hand."""

    def predict(self, table):
        return [hour * 2 for hour in table["hour"]]


class Shy:
    """Labels, but which there are it does not say."""

    def predict(self, table):
        return ["late"] * len(table)


def test_an_object_that_answers_numbers_is_a_regression(table, tmp_path):
    bundle = packed(Distance(), table, "minutes", tmp_path)
    assert bundle.manifest.road == "worker"
    assert bundle.schema.output.task == "regression"
    assert bundle.samples.expected[0].prediction == bundle.samples.rows[0][1] * 2


def test_an_object_that_answers_labels_has_to_show_its_classes(table, tmp_path):
    with pytest.raises(InvalidInput, match="does not say which classes") as caught:
        packed(Shy(), table, "late", tmp_path)
    assert "classes_" in caught.value.hint


def test_a_model_that_is_not_fitted_is_refused(table, tmp_path):
    with pytest.raises((ConversionUnsupported, InvalidInput, PredictionFailed)):
        packed(pipeline(LinearRegression()), table, "minutes", tmp_path)


def test_an_object_without_predict_is_refused(table, tmp_path):
    with pytest.raises(InvalidInput, match="has no `predict`"):
        packed({"a": 1}, table, "late", tmp_path)


def test_a_table_with_a_column_the_model_does_not_know_is_refused_by_its_name(table, tmp_path):
    model = pipeline(LinearRegression()).fit(table[FEATURES], table["minutes"])
    with pytest.raises(SchemaMismatch, match="'size'") as caught:
        pack(model, name="flights", data=table.drop(columns="late"), target="minutes", to=tmp_path / "bundle")
    assert caught.value.hint.startswith("Drop it")


def test_a_target_of_another_column_is_refused(table, tmp_path):
    model = pipeline(RandomForestClassifier(3, random_state=0)).fit(table[FEATURES], table["late"])
    with pytest.raises(SchemaMismatch, match="not one of the model's classes"):
        packed(model, table, "size", tmp_path)


def test_a_bundle_never_changes(table, tmp_path):
    model = pipeline(LinearRegression()).fit(table[FEATURES], table["minutes"])
    packed(model, table, "minutes", tmp_path)
    with pytest.raises(Conflict):
        packed(model, table, "minutes", tmp_path)


def test_a_changed_answer_is_named_by_its_row(table, tmp_path):
    model = pipeline(LinearRegression()).fit(table[FEATURES], table["minutes"])
    bundle = packed(model, table, "minutes", tmp_path)
    samples = bundle.folder / "samples.json"
    first = bundle.samples.expected[0].prediction
    samples.write_bytes(samples.read_bytes().replace(str(first).encode(), b"123456.75", 1))
    report = verify_bundle(open_bundle_with_the_samples_of_today(bundle))
    assert not report.holds
    assert report.problems[0].where == "samples.json, row 0"
    assert "off by" in report.problems[0].what


def open_bundle_with_the_samples_of_today(bundle):
    """Seal the changed folder anew, as somebody would who wants to hide the change."""
    from fairlead.bundle.seal import seal

    (bundle.folder / "manifest.json").unlink()
    manifest = bundle.manifest
    sealed = seal(
        bundle.folder,
        name=manifest.name,
        format=manifest.format,
        model_class=manifest.model_class,
        road=manifest.road,
        git_commit="",
    )
    return open_bundle(sealed.folder, sealed.digest)


def test_a_corrupt_file_is_named(table, tmp_path):
    model = pipeline(LinearRegression()).fit(table[FEATURES], table["minutes"])
    bundle = packed(model, table, "minutes", tmp_path)
    graph = bundle.folder / "compiled" / "graph.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(bytes(content))
    report = verify_bundle(bundle)
    assert [problem.where for problem in report.problems] == ["compiled/graph.onnx"]


def test_metrics_params_and_plots_lie_in_the_bundle(table, tmp_path):
    model = pipeline(LinearRegression()).fit(table[FEATURES], table["minutes"])
    picture = tmp_path / "fit.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    bundle = packed(model, table, "minutes", tmp_path, metrics={"mae": 1.5}, params={"seed": 3}, plots=[picture])
    assert bundle.metadata.metrics == {"mae": 1.5}
    assert bundle.metadata.params == {"seed": 3}
    assert bundle.metadata.plots == ("metadata/plots/fit.png",)
    assert bundle.metadata.data["target"] == "minutes"
    assert bundle.metadata.data["rows"] == len(table)
    assert bundle.environment["needed"]["scikit-learn"]
