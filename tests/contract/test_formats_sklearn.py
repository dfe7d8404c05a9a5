"""Whatever is read from scikit-learn answers as scikit-learn does, on real rows and on hard ones.

The truth in every test is the fitted estimator itself, asked with a frame of the training types.
"""

import numpy as np
import pandas as pd
import pytest
from exactness import assert_exact, rows_of, schema_of, table, target
from sklearn import linear_model
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from fairlead.errors import ConversionUnsupported, SchemaMismatch
from fairlead.formats import sklearn as reader
from fairlead.ir.hardrows import hard_rows

NUMBERS = ["tenths", "count", "huge", "skewed", "constant"]
TEXTS = ["city", "plan"]


def one_hot(**settings):
    return OneHotEncoder(**({"handle_unknown": "ignore", "sparse_output": False} | settings))


def usual(scaler=None, imputer=None, encoder=None):
    """The pipeline most tables are given: impute and scale numbers, impute and encode text."""
    return ColumnTransformer(
        [
            (
                "numbers",
                Pipeline([("impute", imputer or SimpleImputer()), ("scale", scaler or StandardScaler())]),
                NUMBERS,
            ),
            (
                "texts",
                Pipeline([("impute", SimpleImputer(strategy="most_frequent")), ("encode", encoder or one_hot())]),
                TEXTS,
            ),
        ]
    )


CLASSIFIERS = [
    linear_model.LogisticRegression(max_iter=2000),
    linear_model.LogisticRegression(C=0.1, solver="newton-cg"),
    linear_model.SGDClassifier(loss="log_loss", random_state=0),
    DecisionTreeClassifier(random_state=0),
    DecisionTreeClassifier(max_depth=3, min_samples_leaf=5, random_state=0),
    ExtraTreeClassifier(random_state=0),
    RandomForestClassifier(10, random_state=0),
    RandomForestClassifier(12, min_samples_leaf=3, random_state=0),
    ExtraTreesClassifier(10, random_state=0),
    GradientBoostingClassifier(n_estimators=12, random_state=0),
    GradientBoostingClassifier(n_estimators=12, init="zero", subsample=0.7, random_state=0),
    HistGradientBoostingClassifier(max_iter=12, random_state=0),
]
REGRESSORS = [
    linear_model.LinearRegression(),
    linear_model.Ridge(),
    linear_model.Lasso(0.01),
    linear_model.ElasticNet(0.01),
    linear_model.SGDRegressor(random_state=0),
    linear_model.PoissonRegressor(max_iter=500),
    linear_model.GammaRegressor(max_iter=500),
    linear_model.HuberRegressor(max_iter=1000),
    DecisionTreeRegressor(random_state=0),
    RandomForestRegressor(10, random_state=0),
    ExtraTreesRegressor(10, random_state=0),
    GradientBoostingRegressor(n_estimators=12, random_state=0),
    GradientBoostingRegressor(n_estimators=12, loss="huber", random_state=0),
    GradientBoostingRegressor(n_estimators=12, loss="quantile", init="zero", random_state=0),
    HistGradientBoostingRegressor(max_iter=12, random_state=0),
    HistGradientBoostingRegressor(max_iter=12, loss="poisson", random_state=0),
    HistGradientBoostingRegressor(max_iter=12, loss="gamma", random_state=0),
    HistGradientBoostingRegressor(max_iter=12, loss="absolute_error", random_state=0),
]


def named(cases):
    return [pytest.param(case, id=str(case).replace("\n", "")[:70]) for case in cases]


TWO_OR_THREE = [
    (estimator, classes)
    for estimator in CLASSIFIERS
    for classes in (2, 3)
    if classes == 2 or not isinstance(estimator, linear_model.SGDClassifier)  # with three it is refused by name
]


@pytest.mark.parametrize(("estimator", "classes"), TWO_OR_THREE, ids=str)
def test_a_classifier_behind_the_usual_preprocessing_is_exact(estimator, classes):
    frame = table()
    assert_exact(
        Pipeline([("columns", usual()), ("model", clone(estimator))]).fit(frame, target(frame, classes)), frame
    )


@pytest.mark.parametrize("estimator", named(REGRESSORS))
def test_a_regressor_behind_the_usual_preprocessing_is_exact(estimator):
    frame = table()
    assert_exact(Pipeline([("columns", usual()), ("model", clone(estimator))]).fit(frame, target(frame, 0)), frame)


@pytest.mark.parametrize("classes", [2, 3])
def test_text_labels_come_back_as_they_were(classes):
    frame = table()
    names = np.array(["late", "early", "on time"])[target(frame, classes)]
    assert_exact(Pipeline([("c", usual()), ("m", RandomForestClassifier(7, random_state=0))]).fit(frame, names), frame)


def test_boolean_labels_come_back_as_they_were():
    frame = table()
    fitted = Pipeline([("c", usual()), ("m", GradientBoostingClassifier(n_estimators=5))]).fit(
        frame, target(frame, 2) == 1
    )
    assert assert_exact(fitted, frame).classes == (False, True)


SCALERS = [
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler(),
    MinMaxScaler(feature_range=(-3, 11)),
    MinMaxScaler(clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False, quantile_range=(5, 80)),
    make_pipeline(StandardScaler(), MinMaxScaler()),
    "passthrough",
]


@pytest.mark.parametrize("scaler", named(SCALERS))
@pytest.mark.parametrize(
    "estimator",
    named([RandomForestClassifier(8, random_state=0), HistGradientBoostingClassifier(max_iter=8)]),
)
def test_thresholds_are_pulled_back_exactly_through_any_scaler(scaler, estimator):
    frame = table()
    assert_exact(Pipeline([("c", usual(scaler=scaler)), ("m", clone(estimator))]).fit(frame, target(frame, 2)), frame)


@pytest.mark.parametrize("scaler", named([one for one in SCALERS if not getattr(one, "clip", False)]))
def test_linear_terms_are_in_raw_units_behind_any_scaler(scaler):
    frame = table().drop(columns="huge")
    columns = [name for name in NUMBERS if name != "huge"]
    prepare = ColumnTransformer([("n", make_pipeline(SimpleImputer(), scaler), columns), ("t", one_hot(), TEXTS)])
    assert_exact(Pipeline([("c", prepare), ("m", linear_model.Ridge())]).fit(frame, target(frame, 0)), frame)


def test_a_timestamp_keeps_its_digits_in_a_linear_model():
    """(x - 1.6e9) / 5e4 multiplied out would cost five digits."""
    frame = table()[["huge", "count"]]
    assert_exact(
        make_pipeline(StandardScaler(), linear_model.LogisticRegression()).fit(frame, target(table(), 2)), frame
    )


@pytest.mark.parametrize(
    "imputer",
    named(
        [
            SimpleImputer(strategy="median"),
            SimpleImputer(strategy="most_frequent", add_indicator=True),
            SimpleImputer(strategy="constant", fill_value=-999.25, add_indicator=True),
            SimpleImputer(strategy="constant", fill_value=0.0),
        ]
    ),
)
@pytest.mark.parametrize(
    "estimator", named([linear_model.LogisticRegression(max_iter=3000), ExtraTreesClassifier(8, random_state=0)])
)
def test_missing_numbers_take_the_imputed_way_and_indicators_see_them(imputer, estimator):
    frame = table()
    assert_exact(
        Pipeline([("c", usual(imputer=imputer, scaler=StandardScaler())), ("m", clone(estimator))]).fit(
            frame, target(frame, 2)
        ),
        frame,
    )


ENCODERS = [
    one_hot(drop="first"),
    one_hot(drop="if_binary"),
    one_hot(min_frequency=0.1, handle_unknown="infrequent_if_exist"),
    one_hot(max_categories=3, handle_unknown="infrequent_if_exist"),
    one_hot(handle_unknown="error"),
    one_hot(drop="first", handle_unknown="error"),
    one_hot(sparse_output=True),
    OrdinalEncoder(),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=99, min_frequency=0.2),
    TargetEncoder(),
]


@pytest.mark.parametrize("encoder", named(ENCODERS))
@pytest.mark.parametrize(
    "estimator",
    named(
        [
            linear_model.LogisticRegression(max_iter=3000),
            RandomForestClassifier(8, random_state=0),
            GradientBoostingClassifier(n_estimators=8),
        ]
    ),
)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_encoder_is_followed_for_known_unseen_and_missing_values(encoder, estimator, classes):
    frame = table()
    fitted = Pipeline([("c", usual(encoder=clone(encoder))), ("m", clone(estimator))]).fit(
        frame, target(frame, classes)
    )
    assert_exact(fitted, frame)


def test_missing_text_is_a_category_where_the_encoder_says_so():
    frame = table()
    prepare = ColumnTransformer([("e", one_hot(), TEXTS), ("n", SimpleImputer(), NUMBERS)])
    model = assert_exact(
        Pipeline([("c", prepare), ("m", DecisionTreeClassifier())]).fit(frame, target(frame, 2)), frame
    )
    assert model.columns[4].nullable


def test_missing_text_can_be_none():
    frame = table()
    frame["city"] = frame["city"].astype(object).where(frame["city"].notna(), None)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    prepare = ColumnTransformer([("e", encoder, TEXTS)], remainder="drop")
    assert_exact(Pipeline([("c", prepare), ("m", DecisionTreeClassifier())]).fit(frame, target(frame, 2)), frame)


def test_whole_numbers_can_be_names_and_numbers_at_once():
    frame = table()
    prepare = ColumnTransformer(
        [
            ("names", one_hot(), ["count", "plan"]),
            ("numbers", StandardScaler(), ["count", "huge"]),
            ("again", MinMaxScaler(), ["count"]),
        ]
    )
    for estimator in (linear_model.LogisticRegression(), GradientBoostingClassifier(n_estimators=10)):
        fitted = Pipeline([("c", prepare), ("m", estimator)]).fit(frame, target(frame, 2))
        model = assert_exact(fitted, frame)
        assert model.columns[1].categories == tuple(range(-3, 9))
        assert reader.categories(fitted)["count"] == tuple(range(-3, 9))


def test_columns_are_chosen_by_name_position_slice_mask_and_remainder():
    frame = table(missing=False)
    prepare = ColumnTransformer(
        [
            ("position", StandardScaler(), [3]),
            ("slice", MinMaxScaler(), slice(0, 2)),
            ("mask", one_hot(), np.array([False] * 4 + [True, True, False])),
            ("nothing", StandardScaler(), []),
            ("dropped", "drop", ["constant"]),
        ],
        remainder="passthrough",
    )
    assert_exact(Pipeline([("c", prepare), ("m", RandomForestClassifier(8))]).fit(frame, target(frame, 3)), frame)


def test_unions_selectors_and_indicators_are_followed():
    frame = table()[NUMBERS]
    labels = target(table(), 2)
    union = FeatureUnion(
        [("filled", make_pipeline(SimpleImputer(), StandardScaler())), ("missing", MissingIndicator())]
    )
    fitted = make_pipeline(union, VarianceThreshold(), SelectKBest(k=4), GradientBoostingClassifier(n_estimators=10))
    assert_exact(fitted.fit(frame, labels), frame)


def test_columns_in_another_order_than_the_schema_are_found_by_name():
    frame = table(missing=False)[NUMBERS]
    fitted = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(
        frame[NUMBERS[::-1]], target(table(missing=False), 2)
    )
    schema = schema_of(frame, (0, 1))
    model = reader.read(fitted, schema)
    assert [column.name for column in model.columns] == NUMBERS


def test_a_model_of_a_bare_array_has_columns_by_position():
    frame = table(missing=False)[NUMBERS]
    array = frame.to_numpy(dtype=np.float64)
    fitted = make_pipeline(StandardScaler(), RandomForestClassifier(8)).fit(array, target(table(missing=False), 2))
    assert reader.describe(fitted).feature_names is None
    assert_exact(fitted, array)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float32_columns_are_scaled_in_float32_as_the_original_does(dtype):
    frame = table(missing=False)[["tenths", "skewed", "huge"]].astype(dtype)
    for estimator in (DecisionTreeClassifier(), HistGradientBoostingClassifier(max_iter=10)):
        assert_exact(make_pipeline(StandardScaler(), estimator).fit(frame, target(table(missing=False), 2)), frame)


def test_values_that_differ_only_beyond_float32_fall_on_the_side_where_the_original_puts_them():
    """In float32 the whole numbers above 2**24 come in pairs: 16777217 is 16777216."""
    frame = pd.DataFrame({"n": np.arange(16_777_200, 16_777_240)})
    fitted = DecisionTreeClassifier().fit(frame, np.arange(40) >= 17)
    rows = [(int(n),) for n in range(16_777_190, 16_777_260)]
    assert_exact(fitted, frame, more_rows=rows)


def test_ties_of_a_vote_give_the_originals_label():
    """Half of an even number of full-grown trees: the first class wins at exactly 0.5."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.permutation(60), "b": rng.permutation(60)})
    for leaf in (1, 3):
        forest = RandomForestClassifier(6, min_samples_leaf=leaf, random_state=1).fit(frame, rng.integers(0, 2, 60))
        every = [(a, b) for a in range(-1, 61, 2) for b in range(-1, 61, 2)]
        probabilities = forest.predict_proba(pd.DataFrame(every, columns=["a", "b"]))
        if leaf == 1:
            assert (probabilities[:, 0] == 0.5).any(), "the data holds no tie"
        assert_exact(forest, frame, more_rows=every)


def test_a_boosting_tie_at_exactly_zero_goes_to_the_second_class():
    frame = pd.DataFrame({"a": [0.0, 0.0, 1.0, 1.0]})
    fitted = GradientBoostingClassifier(n_estimators=3, init="zero").fit(frame, [0, 1, 0, 1])
    assert fitted.predict(frame).tolist() == [1, 1, 1, 1]
    assert_exact(fitted, frame)


@pytest.mark.parametrize("classes", [2, 3])
def test_exponential_loss_and_a_constant_begin_are_read(classes):
    frame = table()
    loss = "exponential" if classes == 2 else "log_loss"
    boosted = GradientBoostingClassifier(n_estimators=9, loss=loss, init=DummyClassifier(strategy="prior"))
    assert_exact(Pipeline([("c", usual()), ("m", boosted)]).fit(frame, target(frame, classes)), frame)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_native_missing_directions_of_histogram_boosting_are_kept(classes):
    frame = table()[NUMBERS]
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    model = assert_exact(kind(max_iter=25).fit(frame, target(table(), classes)), frame)
    directions = {
        flag for tree in model.trees for flag, column in zip(tree.missing_left, tree.column, strict=True) if column == 0
    }
    assert directions == {True, False}, "the data does not send missing entries both ways"


@pytest.mark.parametrize("kind", [DecisionTreeClassifier, RandomForestClassifier, ExtraTreesClassifier])
def test_native_missing_directions_of_trees_and_forests_are_kept(kind):
    frame = table()[["tenths", "skewed", "count"]]
    assert_exact(kind(max_depth=7, random_state=0).fit(frame, target(table(), 2)), frame)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_native_categories_of_histogram_boosting_are_read_from_the_frames_types(classes):
    frame = table().astype({"city": "category", "plan": "category"})
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    fitted = kind(max_iter=15, categorical_features="from_dtype").fit(frame, target(frame, classes))
    model = assert_exact(fitted, frame)
    assert model.subsets
    assert reader.categories(fitted)["city"] == ("Bonn", "Köln", "Trier", "Ulm")


def test_native_categories_of_histogram_boosting_are_read_from_codes():
    frame = table()
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    prepare = ColumnTransformer([("e", encoder, TEXTS)], remainder="passthrough")
    boosted = HistGradientBoostingClassifier(max_iter=15, categorical_features=[0, 1])
    assert_exact(Pipeline([("c", prepare), ("m", boosted)]).fit(frame, target(frame, 2)), frame)


def test_native_categories_can_be_numbers():
    frame = table(missing=False)[["count", "tenths"]]
    frame["count"] += 3
    boosted = HistGradientBoostingClassifier(max_iter=15, categorical_features=["count"])
    assert_exact(boosted.fit(frame, target(table(missing=False), 2)), frame)


def test_negative_zero_is_zero():
    frame = pd.DataFrame({"a": [-1.0, -0.0, 0.0, 1.0] * 5})
    fitted = DecisionTreeClassifier().fit(frame, [0, 0, 0, 1] * 5)
    fitted.tree_.threshold[0] = 0.0
    assert_exact(fitted, frame, more_rows=[(-0.0,), (0.0,), (5e-324,), (-5e-324,)])


def test_a_split_between_missing_and_present_alone_is_kept():
    """Histogram boosting writes it as an infinite threshold."""
    frame = pd.DataFrame({"a": [1.0, np.nan] * 40, "b": np.arange(80.0)})
    model = assert_exact(HistGradientBoostingClassifier(max_iter=5).fit(frame, [0, 1] * 40), frame)
    assert all(np.isfinite(threshold) for tree in model.trees for threshold in tree.threshold)


@pytest.mark.parametrize(
    "estimator",
    named(
        [
            DecisionTreeClassifier(max_depth=1, min_samples_leaf=300),
            HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=300),
            RandomForestClassifier(4, min_samples_leaf=300),
            DummyClassifier(strategy="prior"),
            DummyClassifier(strategy="most_frequent"),
        ]
    ),
)
@pytest.mark.parametrize("classes", [2, 3])
def test_trees_of_a_single_leaf_and_constants_answer(estimator, classes):
    frame = table()[NUMBERS]
    model = assert_exact(clone(estimator).fit(frame, target(table(), classes)), frame)
    assert not any(column.used for column in model.columns)


@pytest.mark.parametrize("estimator", named([DummyRegressor(), DummyRegressor(strategy="median")]))
def test_constant_regressors_answer(estimator):
    frame = table()
    assert_exact(estimator.fit(frame, target(frame, 0)), frame)


def test_boolean_columns_are_numbers():
    frame = pd.DataFrame({"flag": [True, False] * 30, "n": np.arange(60)})
    assert_exact(RandomForestClassifier(5).fit(frame, np.arange(60) % 3), frame)


def test_a_column_that_refuses_unseen_values_is_marked_closed():
    frame = table()
    prepare = ColumnTransformer([("city", one_hot(handle_unknown="error"), ["city"]), ("plan", one_hot(), ["plan"])])
    fitted = Pipeline([("c", prepare), ("m", DecisionTreeClassifier())]).fit(frame, target(frame, 2))
    model = assert_exact(fitted, frame)
    assert model.columns[4].closed
    assert not model.columns[5].closed
    assert reader.closed(fitted) == {"city"}


def test_an_unseen_value_that_becomes_missing_closes_the_column_of_a_linear_model():
    """A linear model refuses NaN; there is no answer to compare with, and the representation stays finite."""
    frame = table(missing=False)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    prepare = ColumnTransformer([("e", encoder, TEXTS)])
    fitted = make_pipeline(prepare, linear_model.LogisticRegression()).fit(frame, target(frame, 2))
    assert [column.name for column in assert_exact(fitted, frame).columns if column.closed] == TEXTS


def test_an_imputer_that_refuses_nan_does_not_stop_the_reading():
    """With `missing_values=None` NaN itself is refused, and the column that had nothing missing cannot be missing."""
    frame = table()
    frame["city"] = frame["city"].astype(object).where(frame["city"].notna(), None)
    texts = make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=None), one_hot())
    fitted = make_pipeline(ColumnTransformer([("t", texts, TEXTS)]), DecisionTreeClassifier())
    assert_exact(fitted.fit(frame, target(frame, 2)), frame)


class Shifted(StandardScaler):
    """A user's own scaler: scikit-learn's name in its ancestry says nothing about what it does."""

    def transform(self, X, copy=None):
        return super().transform(X, copy) + 1


@pytest.mark.parametrize(
    ("model", "step"),
    [
        (make_pipeline(PCA(2), linear_model.LogisticRegression()), "PCA"),
        (make_pipeline(StandardScaler(), SVC()), "SVC"),
        (
            make_pipeline(FunctionTransformer(np.abs), linear_model.LogisticRegression(max_iter=2000)),
            "FunctionTransformer",
        ),
        (make_pipeline(Shifted(), DecisionTreeClassifier()), "Shifted"),
        (linear_model.SGDClassifier(loss="log_loss"), "SGDClassifier"),
        (linear_model.SGDClassifier(), "SGDClassifier"),
        (CalibratedClassifierCV(linear_model.LogisticRegression(max_iter=2000)), "CalibratedClassifierCV"),
        (VotingClassifier([("tree", DecisionTreeClassifier())]), "VotingClassifier"),
        (StackingClassifier([("tree", DecisionTreeClassifier())]), "StackingClassifier"),
        (make_pipeline(MinMaxScaler(clip=True), linear_model.LogisticRegression()), "LogisticRegression"),
        (DummyClassifier(strategy="uniform"), "DummyClassifier"),
        (GradientBoostingClassifier(n_estimators=2, init=DecisionTreeClassifier()), "DecisionTreeClassifier"),
    ],
)
def test_what_is_not_known_is_refused_by_its_name(model, step):
    frame = table(missing=False)[["tenths", "count", "skewed"]]
    fitted = model.fit(frame, target(table(missing=False), 3))
    with pytest.raises(ConversionUnsupported) as refused:
        reader.read(fitted, schema_of(frame, (0, 1, 2)))
    assert (refused.value.code, refused.value.values.get("step")) == ("conversion_unsupported", step)
    assert refused.value.values["target"] == "ir"


def test_a_schema_without_a_column_of_the_model_is_refused():
    frame = table(missing=False)[["tenths", "count"]]
    fitted = DecisionTreeClassifier().fit(frame, target(table(missing=False), 2))
    with pytest.raises(SchemaMismatch, match="'count'"):
        reader.read(fitted, schema_of(frame[["tenths"]], (0, 1)))


def test_hard_rows_are_the_same_every_time():
    frame = table()
    fitted = Pipeline([("c", usual()), ("m", RandomForestClassifier(5, random_state=0))]).fit(frame, target(frame, 2))
    model = reader.read(fitted, schema_of(frame, (0, 1)))
    first, second = (hard_rows(model, rows_of(frame), 500) for _ in range(2))
    assert first == second
    assert len(first) == 500
