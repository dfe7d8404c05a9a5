"""The table of flights against facts that are published about its sources."""

from __future__ import annotations

import pytest

from fairlead.demo import flights as source
from fairlead.demo import replay

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def table():
    return source.flights()


def test_no_flight_is_lost_or_doubled(table):
    # The data package documents 336,776 departures, of which 9,430 have no arrival delay.
    assert len(table) == 336_776 - 9_430


def test_a_flight_is_late_from_fifteen_minutes_on(table):
    # Counted in the raw file by `arr_delay >= 15`, independently of the table.
    import pandas as pd

    raw = pd.read_csv(source._data_folder() / "flights.csv.zip", usecols=["arr_delay"])
    assert (table["late"] == "late").sum() == (raw["arr_delay"] >= 15).sum()


def test_the_first_flight_of_the_year_is_as_the_airline_filed_it(table):
    first = table.iloc[0]
    assert (first["carrier"], first["origin"], first["dest"], first["distance"]) == ("UA", "EWR", "IAH", 1400)
    assert str(first["departure"]) == "2013-01-01 05:15:00"
    assert first["weekday"] == 2  # New Year's Day of 2013 was a Tuesday


def test_weather_is_missing_where_none_was_recorded_and_nowhere_doubled(table):
    assert table["temp"].isna().sum() == 1544
    assert table["departure"].is_monotonic_increasing


def test_rows_are_plain_values_in_the_order_of_the_columns(table):
    gap = table[table["temp"].isna()].head(1)
    (row,) = source.rows(gap)
    assert list(row) == list(source.COLUMNS)
    assert row["temp"] is None
    assert {type(value) for value in row.values()} <= {str, int, float, type(None)}


def test_the_replay_begins_with_the_first_flight_of_april(table):
    first = next(replay.unseen(table))
    assert first.departure.startswith("1 April 05:")
    assert first.row["month"] == 4
