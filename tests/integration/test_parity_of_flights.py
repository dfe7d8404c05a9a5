"""The bar for the flights: on all of April and on all hard rows every label is equal and no probability off by 1e-6.

The truth is scikit-learn's own pipeline, asked with its own frame.
"""

import numpy as np
import pytest

from fairlead.app import open_stores
from fairlead.bundle.reader import open_bundle
from fairlead.bundle.store import fetch_bundle
from fairlead.config import load_config
from fairlead.demo.flights import COLUMNS, rows
from fairlead.formats.sklearn import frame
from fairlead.ir.hardrows import hard_rows
from fairlead.ir.model import from_json
from fairlead.predictor.compiled import open_compiled
from fairlead.registry.registry import resolve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(packed_home, tmp_path_factory):
    stores = open_stores(load_config({"home": str(packed_home)}))
    digest = resolve(stores.database, "flights:1").digest
    return open_bundle(fetch_bundle(digest, stores.blobs, tmp_path_factory.mktemp("bundles")), digest)


@pytest.fixture(scope="module")
def predictor(bundle):
    assert bundle.manifest.road == "ir"
    return open_compiled(bundle.graph, bundle.layout, bundle.schema)


def check(model, predictor, asked, table):
    outcomes = predictor.answer(asked)
    expected = model.predict_proba(table)
    assert [one.prediction for one in outcomes] == model.predict(table).tolist()
    assert np.abs(np.array([one.probabilities for one in outcomes]) - expected).max() <= 1e-6


def test_all_flights_of_april(models, predictor, april):
    asked = [tuple(row.values()) for row in rows(april)]
    assert len(asked) > 27_000
    check(models["flights:1"], predictor, asked, april[list(COLUMNS)])


def test_all_hard_rows(models, predictor, bundle):
    model = from_json((bundle.folder / "compiled" / "ir.json").read_bytes())
    hard = hard_rows(model, bundle.samples.rows, 100_000)
    assert len(hard) > 2_500
    check(models["flights:1"], predictor, hard, frame(hard, bundle.schema))


def test_load_answers_a_frame_in_the_application_itself(packed_home, models, april):
    import fairlead

    loaded = fairlead.load("flights:1", home=packed_home)
    table = april[list(COLUMNS)]
    assert loaded.predict(table).tolist() == models["flights:1"].predict(table).tolist()
    assert np.abs(loaded.predict_proba(table) - models["flights:1"].predict_proba(table)).max() <= 1e-6


def test_load_takes_polars_dicts_and_one_dict_alike(packed_home, april):
    import polars as pl

    import fairlead

    loaded = fairlead.load("flights:1", home=packed_home)
    table = april.iloc[:200][list(COLUMNS)]
    expected = loaded.predict_proba(table)
    assert (loaded.predict_proba(pl.from_pandas(table)) == expected).all()
    assert (loaded.predict_proba(rows(table)) == expected).all()
    assert (loaded.predict_proba(rows(table)[0]) == expected[:1]).all()


def test_load_refuses_what_does_not_fit_by_row_and_column(packed_home, april):
    import fairlead
    from fairlead.errors import SchemaMismatch

    loaded = fairlead.load("flights:1", home=packed_home)
    table = april.iloc[:10][list(COLUMNS)]
    with pytest.raises(SchemaMismatch, match="'temp'"):
        loaded.predict(table.drop(columns="temp"))
    wrong = table.astype({"carrier": object})
    wrong.loc[wrong.index[3], "carrier"] = 7
    with pytest.raises(SchemaMismatch) as refused:
        loaded.predict(wrong)
    assert (refused.value.values["row"], refused.value.values["field"]) == (3, "carrier")
