"""What skl2onnx converts answers as scikit-learn does, or is refused by its name.

The truth in every test is the fitted estimator itself.
"""

import msgspec
import numpy as np
import onnxruntime
import pytest
from exactness import rows_of, schema_of, table, target
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC

from fairlead.errors import ConversionUnsupported
from fairlead.formats import sklearn as reader
from fairlead.formats.layout import ColumnsLayout
from fairlead.formats.skl2onnx_graph import convert
from fairlead.ir.hardrows import hard_rows_of_schema

TOLERANCE = 1e-6
NUMBERS = ["tenths", "count", "skewed"]


def usual():
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("texts", texts, ["city", "plan"])])


def run(compiled, rows):
    """Score and label tensors, fed as the layout's documentation says."""
    layout = msgspec.json.decode(msgspec.json.encode(compiled.layout), type=ColumnsLayout)
    kinds = {"double": np.float64, "float": np.float32, "int64": np.int64, "string": object, "bool": np.bool_}
    feed = {}
    for one in layout.inputs:
        instead = np.nan if one.missing is None else one.missing
        entries = [instead if row[one.column] is None else row[one.column] for row in rows]
        feed[one.tensor] = np.array(entries, dtype=kinds[one.dtype]).reshape(-1, 1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(compiled.graph, options, providers=["CPUExecutionProvider"])
    score = session.run([layout.score], feed)[0]
    return layout, score, session.run([layout.label], feed)[0].tolist() if layout.label else None


def assert_same(estimator, frame):
    described = reader.describe(estimator)
    schema = schema_of(frame, described.classes)
    compiled = convert(estimator, schema)
    rows = rows_of(frame)
    rows += hard_rows_of_schema(schema, rows, 500)
    said, probabilities = reader.answers(estimator, reader.frame(rows, schema, reader.form(frame, schema)))
    layout, score, given = run(compiled, rows)
    if layout.result == "value":
        np.testing.assert_allclose(score.ravel(), said, rtol=TOLERANCE)
        return
    full = np.hstack([1 - score, score]) if layout.result == "positive" else score
    np.testing.assert_allclose(full, probabilities, rtol=0, atol=TOLERANCE)
    assert (given or [described.classes[k] for k in full.argmax(axis=1)]) == said


CLASSIFIERS = [
    MLPClassifier((8,), max_iter=60, tol=1e-1, random_state=0),
    GaussianNB(),
    CalibratedClassifierCV(LogisticRegression()),
    VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    make_pipeline(PCA(3), LogisticRegression()),
    make_pipeline(PCA(3, random_state=0), RandomForestClassifier(10, random_state=0)),
    make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression(max_iter=3000)),
    make_pipeline(PolynomialFeatures(3, include_bias=False), RandomForestClassifier(10, random_state=0)),
    CalibratedClassifierCV(SVC(kernel="rbf", random_state=0), ensemble=False),
]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda one: str(one).replace("\n", "")[:60])
def test_a_classifier_behind_the_usual_preprocessing_is_the_same(estimator, classes):
    frame = table()
    labels = np.array(["red", "green", "blue"])[target(frame, classes)]
    assert_same(make_pipeline(usual(), estimator).fit(frame, labels), frame)


@pytest.mark.parametrize(
    "estimator",
    [
        MLPRegressor(hidden_layer_sizes=(8,), max_iter=60, tol=1e-1, random_state=0),
        make_pipeline(PCA(2), Ridge()),
        make_pipeline(PCA(3), RandomForestRegressor(10, random_state=0)),
    ],
    ids=lambda one: str(one).replace("\n", "")[:60],
)
def test_a_regressor_behind_the_usual_preprocessing_is_the_same(estimator):
    frame = table()
    assert_same(make_pipeline(usual(), estimator).fit(frame, target(frame, 0)), frame)


@pytest.mark.parametrize(("estimator", "classes"), [(KNeighborsClassifier(), 3), (KNeighborsRegressor(), 0)], ids=str)
def test_neighbours_are_the_same_where_no_two_are_equally_near(estimator, classes):
    """Among equally near neighbours scikit-learn's choice follows from its memory layout; packing refuses such a table."""
    frame = table(missing=False)[["skewed", "huge", "constant"]]
    frame["constant"] = np.random.default_rng(5).normal(size=len(frame))
    assert_same(make_pipeline(StandardScaler(), estimator).fit(frame, target(table(), classes)), frame)


def test_a_matrix_of_numbers_is_joined_in_the_order_the_model_was_fitted_in():
    frame = table(missing=False)[NUMBERS]
    fitted = make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=60, tol=1e-1)).fit(frame, target(table(), 2))
    schema = schema_of(frame[NUMBERS[::-1]], (0, 1))
    rows = rows_of(frame[NUMBERS[::-1]])
    _, score, labels = run(convert(fitted, schema), rows)
    np.testing.assert_allclose(score, fitted.predict_proba(frame), atol=TOLERANCE)
    assert labels == fitted.predict(frame).tolist()


def test_a_model_that_gives_labels_alone_is_refused():
    frame = table(rows=60)
    fitted = make_pipeline(usual(), LinearSVC()).fit(frame, target(frame, 2))
    with pytest.raises(ConversionUnsupported, match="without probabilities"):
        convert(fitted, schema_of(frame, (0, 1)))


def test_a_step_that_skl2onnx_does_not_know_is_named():
    class Own(StandardScaler):
        pass

    frame = table(missing=False)[NUMBERS]
    fitted = make_pipeline(Own(), KNeighborsClassifier()).fit(frame, target(table(), 2))
    with pytest.raises(ConversionUnsupported) as refused:
        convert(fitted, schema_of(frame, (0, 1)))
    assert refused.value.values["target"] == "graph"
    assert "Own" in refused.value.detail
