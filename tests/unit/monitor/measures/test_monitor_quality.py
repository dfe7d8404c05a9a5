"""Data quality: chances against simulation and published bounds, findings against tables whose fault is known."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from fairlead.columns import Names, Numbers
from fairlead.monitor.measures.quality import new_names_p, outside_p, quality, refused, repeated
from fairlead.monitor.settings import DEFAULTS, Expectation, Settings
from fairlead.monitor.verdicts import verdicts
from fairlead.profiles.counting import Batch, count, profile_of
from fairlead.profiles.profile import Profile
from fairlead.schema import Column, Output, Schema

SCHEMA = Schema((Column("temp", "number"), Column("carrier", "string")), Output("regression", "y"))


def rows(seed, n, shift=0.0, names=("AA", "B6", "UA")):
    rng = np.random.default_rng(seed)
    return Batch(
        n,
        {
            "temp": Numbers(rng.normal(15 + shift, 5, n), None),
            "carrier": Names(rng.integers(0, len(names), n), names),
        },
        None,
        {},
        None,
    )


def with_column(batch, **columns):
    return batch._replace(inputs={**batch.inputs, **columns})


REFERENCE = profile_of(rows(1, 5000), SCHEMA)


def judged(current, settings=DEFAULTS, reference=REFERENCE, columns=None):
    """The findings by column and measure."""
    now = count(reference or REFERENCE, current)
    found = verdicts(quality(reference, now, settings, columns=columns), settings.thresholds.q)
    return {(one.subject, one.measure): one for one in found}


# -- chances -----------------------------------------------------------------------------------------------------------


def test_the_chance_to_lie_outside_is_the_beta_binomial_law_of_wilks():
    """The range of n₀ values covers a share of the law Beta(n₀ − 1, 2): what n more leave out is beta-binomial."""
    for n_reference in (2, 10, 500):
        for n in (1, 30, 1000):
            for outside in [one for one in (1, 2, 5, n // 2, n) if 0 < one <= n]:
                expected = scipy_stats.betabinom.sf(outside - 1, n, 2, n_reference - 1)
                assert outside_p(outside, n, n_reference) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_none_outside_is_no_surprise():
    assert outside_p(0, 100, 100) == 1.0


@pytest.mark.parametrize("levels", [5, 50, 500])
@pytest.mark.parametrize(("n_reference", "n"), [(200, 200), (200, 2000), (5000, 500)])
def test_new_names_that_chance_brings_are_no_surprise(levels, n_reference, n):
    """Names by Zipf's law, 300 pairs of tables: p below 5 % in about 5 % of them, as far as a normal law of counts can say."""
    rng = np.random.default_rng(levels + n)
    shares = 1 / np.arange(1, levels + 1)
    shares /= shares.sum()
    surprises = 0
    for _ in range(300):
        before, now = rng.multinomial(n_reference, shares), rng.multinomial(n, shares)
        surprises += new_names_p(int(now[before == 0].sum()), n, before.tolist()) < 0.05
    assert surprises <= 30


def test_a_name_that_takes_a_tenth_is_a_surprise():
    assert new_names_p(100, 1000, [300, 300, 400]) < 1e-6
    assert new_names_p(0, 1000, [300, 300, 400]) == 1.0


def test_without_a_fault_hardly_any_run_alarms():
    alarms = 0
    for seed in range(300):
        found = judged(rows(1000 + seed, 100 if seed % 2 else 5000))
        alarms += any(one.verdict == "drift" for one in found.values())
    assert alarms <= 15


# -- faults ------------------------------------------------------------------------------------------------------------


def test_values_beyond_the_range_are_found_with_their_share_and_their_extremes():
    found = judged(rows(2, 2000, shift=12.0))["temp", "out of range"]
    assert found.verdict == "drift"
    assert found.value == pytest.approx(found.effect, abs=1e-9)
    assert "lie outside of" in found.because


def test_a_past_that_was_beyond_the_range_itself_is_a_reference_too():
    # A month from 1 to 3 in training has a bin for each value and no cuts; the reference is June, the window is July.
    months = Schema((Column("month", "integer"),), Output("regression", "y"))
    training, june, july = (
        Batch(600, {"month": Numbers(np.resize(np.array(values, float), 600), None)}, None, {}, None)
        for values in ((1, 2, 3), (6,), (7,))
    )
    bins = profile_of(training, months)
    tests = quality(count(bins, june), count(bins, july), DEFAULTS)
    assert [one.finding.because for one in tests if one.finding.verdict == "error"] == []
    (outside,) = [one.finding for one in tests if one.finding.measure == "out of range"]
    # All of both: no more than before.
    assert (outside.value, outside.reference, outside.effect) == (1.0, 1.0, 0.0)


def test_a_new_name_is_named_with_its_share():
    found = judged(rows(2, 2000, names=("AA", "B6", "UA", "ZZ")))["carrier", "new names"]
    assert found.verdict == "drift"
    assert '"ZZ" (2' in found.because


def test_a_column_that_stays_the_same_is_found():
    still = with_column(
        rows(2, 500), temp=Numbers(np.full(500, 15.0), None), carrier=Names(np.zeros(500, int), ("AA",))
    )
    found = judged(still)
    assert found["temp", "constant"].verdict == "drift"
    assert found["carrier", "constant"].verdict == "drift"
    assert 'carrier is always "AA"' in found["carrier", "constant"].because


def test_a_column_that_is_nearly_always_the_same_may_be_so_in_few_rows():
    rng = np.random.default_rng(0)
    mostly = profile_of(with_column(rows(1, 5000), temp=Numbers((rng.random(5000) < 0.02).astype(float), None)), SCHEMA)
    found = judged(with_column(rows(2, 50), temp=Numbers(np.zeros(50), None)), reference=mostly)["temp", "constant"]
    assert found.verdict == "stable"


def test_columns_gone_and_new_are_named():
    current = rows(2, 500)
    without = current._replace(inputs={"temp": current.inputs["temp"]})
    found = judged(without, columns=["temp", "humidity"])
    assert (found["carrier", "column"].verdict, found["humidity", "column"].verdict) == ("drift", "drift")
    assert "carrier is gone: none of 500 rows has it." in found["carrier", "column"].because


def test_a_column_that_changed_its_type_is_named():
    text = Schema((Column("temp", "string"), Column("carrier", "string")), SCHEMA.output)
    other = with_column(rows(2, 500), temp=Names(np.zeros(500, int), ("warm",)))
    now = profile_of(other, text)
    found = {one.measure: one for one in verdicts(quality(REFERENCE, now, DEFAULTS), 0.05) if one.subject == "temp"}
    assert found["type"].because == "temp changed its type: it was numbers and is text."


# -- expectations ------------------------------------------------------------------------------------------------------


def expecting(column, batch, **limits):
    settings = Settings(expectations={column: Expectation(**limits)})
    return {measure: one for (name, measure), one in judged(batch, settings).items() if name == column}


def test_limits_of_numbers_are_crossed_by_one_row():
    one = rows(2, 500)
    values = one.inputs["temp"].values.copy()
    values[0], values[1] = -300.0, np.inf
    found = expecting("temp", with_column(one, temp=Numbers(values, None)), minimum=-273.15, maximum=60)
    assert found["minimum"].verdict == found["maximum"].verdict == "breach"
    assert "the lowest is −300, −273 is allowed; at least 1 row beyond" in found["minimum"].because
    kept = expecting("temp", one, minimum=-273.15, maximum=60)
    assert kept["minimum"].verdict == kept["maximum"].verdict == "stable"


def test_limits_of_missing_entries_and_new_names_are_crossed_by_share():
    one = rows(2, 500, names=("AA", "B6", "UA", "ZZ"))
    codes = one.inputs["carrier"].codes.copy()
    codes[:50] = -1
    current = with_column(one, carrier=Names(codes, one.inputs["carrier"].values))
    found = expecting("carrier", current, missing=0.05, unseen=0.1)
    assert (found["missing limit"].verdict, found["unseen limit"].verdict) == ("breach", "breach")
    assert "10 % missing, 5 % allowed" in found["missing limit"].because.replace(".0 %", " %")
    kept = expecting("carrier", current, missing=0.2, unseen=0.5)
    assert (kept["missing limit"].verdict, kept["unseen limit"].verdict) == ("stable", "stable")


def test_values_that_are_not_allowed_are_named():
    found = expecting("carrier", rows(2, 300), allowed=("AA", "B6"))["allowed values"]
    assert found.verdict == "breach"
    assert '"UA"' in found.because
    assert expecting("carrier", rows(2, 300), allowed=("AA", "B6", "UA"))["allowed values"].verdict == "stable"


def test_numbers_that_are_not_allowed_are_counted():
    rng = np.random.default_rng(1)
    before = profile_of(with_column(rows(1, 1000), temp=Numbers(rng.integers(1, 4, 1000).astype(float), None)), SCHEMA)
    settings = Settings(expectations={"temp": Expectation(allowed=(1, 2, 3))})
    for values, verdict in (((1.0, 2.0, 3.0), "stable"), ((1.0, 2.0, 7.0), "breach"), ((1.5, 2.0, 3.0), "breach")):
        now = with_column(rows(2, 3), temp=Numbers(np.array(values), None))
        assert judged(now, settings, before)["temp", "allowed values"].verdict == verdict, values


def test_texts_that_are_too_long_are_found():
    current = rows(2, 300, names=("AA", "B6", "much too long"))
    found = expecting("carrier", current, length=4)["length"]
    assert found.verdict == "breach"
    assert "the longest text has 13 characters, 4 are allowed" in found.because
    assert expecting("carrier", current, length=13)["length"].verdict == "stable"


def test_an_expectation_of_no_column_is_an_error_in_words():
    found = judged(rows(2, 300), Settings(expectations={"tmep": Expectation(minimum=0)}))
    assert found["tmep", "column"].verdict == "error"


def test_a_sensitive_column_is_told_as_such():
    schema = Schema((Column("temp", "number"), Column("carrier", "string", sensitive="hash")), SCHEMA.output)
    reference = profile_of(rows(1, 500), schema)
    settings = Settings(expectations={"carrier": Expectation(allowed=("AA",), missing=0.1)})
    found = judged(rows(2, 300), settings, reference)
    assert found["carrier", "expectation"].verdict == "insufficient"
    assert found["carrier", "missing limit"].verdict == "stable"


# -- odd windows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_rows_are_no_alarm(n):
    assert {one.verdict for one in judged(rows(2, n)).values()} <= {"stable", "insufficient"}


def test_a_column_that_is_all_missing_stops_nothing():
    missing = with_column(rows(2, 300), temp=Numbers(np.full(300, np.nan), None), carrier=Names(np.full(300, -1), ()))
    settings = Settings(expectations={"temp": Expectation(minimum=0, allowed=(1,)), "carrier": Expectation(length=3)})
    assert {one.verdict for one in judged(missing, settings).values()} <= {"stable", "insufficient"}


def test_without_a_reference_expectations_are_looked_at():
    settings = Settings(expectations={"temp": Expectation(maximum=0)})
    now = count(REFERENCE, rows(2, 300))
    found = verdicts(quality(None, now, settings), 0.05)
    assert [(one.subject, one.measure, one.verdict) for one in found] == [("temp", "maximum", "breach")]
    assert quality(REFERENCE, Profile(0, ()), DEFAULTS) == []


# -- rows as wholes ----------------------------------------------------------------------------------------------------


def told(tests):
    (found,) = verdicts(tests, 0.05)
    return found


def test_rows_that_the_schema_refused_are_told_by_code():
    found = told(
        refused({"ok": 900, "schema_mismatch": 90, "overloaded": 10}, {"ok": 990, "schema_mismatch": 10}, DEFAULTS)
    )
    assert (found.verdict, found.value) == ("drift", 0.09)
    assert "90 rows of 1,000 refused: schema_mismatch 90 (were 1 %)" in found.because.replace("1.0 %", "1 %")
    assert told(refused({"ok": 10}, None, DEFAULTS)).verdict == "stable"
    assert refused({}, None, DEFAULTS) == []


def test_rows_that_repeat_are_told_and_judged_by_a_reference_that_is_not_smaller():
    assert told(repeated(1000, 500, (2000, 1990), DEFAULTS)).verdict == "drift"
    assert told(repeated(1000, 995, (2000, 1990), DEFAULTS)).verdict == "stable"
    assert told(repeated(5000, 2500, (2000, 1990), DEFAULTS)).p is None
    assert repeated(0, 0, None, DEFAULTS) == []
