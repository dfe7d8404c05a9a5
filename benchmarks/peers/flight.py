"""The request body of the FastAPI peers, as a pydantic model."""

from __future__ import annotations

from pydantic import BaseModel


class Flight(BaseModel):
    """What is known of a flight at the gate."""

    carrier: str
    origin: str
    dest: str
    distance: float
    hour: float
    month: float
    weekday: float
    temp: float | None
    dewp: float | None
    humid: float | None
    wind_speed: float | None
    precip: float | None
    pressure: float | None
    visib: float | None
