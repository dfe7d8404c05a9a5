"""Reports that a person wants now, on the command line or through the API: any window, any reference, any part of the traffic.

They are judged as the scheduled ones are, and kept only where that is asked for. They neither amend nor alert.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fairlead.durations import parse_between
from fairlead.errors import InvalidInput, NotFound
from fairlead.monitor.burning import Burning
from fairlead.monitor.overlay import Tables
from fairlead.monitor.panes import Segment
from fairlead.monitor.records import Records
from fairlead.monitor.report import Report, Window
from fairlead.monitor.reporting import Order, make_report
from fairlead.monitor.settings import Settings
from fairlead.monitor.store import insert_report, read_settings
from fairlead.monitor.windows import Rhythm, count_panes, reference_windows, window_of
from fairlead.routing.store import read_table

__all__ = ["Wish", "make_asked", "settings_now"]


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What report is wanted.

    Attributes:
        window: Up to now, "1d" or "10000 rows"; or from one moment to another, "2026-04-01..2026-05-01", in UTC unless they say otherwise. As
            the endpoint's settings say where it is `None`.
        reference: As in the settings; theirs where it is `None`.
        segments: These parts only, "carrier=UA"; those of the settings where there is none.
        save: Whether it is kept, under a number.
    """

    window: str | None = None
    reference: str | None = None
    segments: tuple[str, ...] = ()
    save: bool = False


def settings_now(records: Records, tables: Tables, endpoint: str) -> Settings:
    """How an endpoint is watched, by the file and by what the operator has set.

    Raises:
        InvalidInput: What was set does not fit the file any more.
        StorageError: The database cannot be read.
    """
    with records.database.read() as connection:
        return tables.of(endpoint, read_settings(connection, endpoint))


def make_asked(records: Records, tables: Tables, endpoint: str, wish: Wish, now: float) -> Report:
    """Make a report that was asked for.

    Args:
        records: What it is made of.
        tables: How endpoints are watched.
        endpoint: Whose.
        wish: Which.
        now: Seconds since 1970 (UTC).

    Raises:
        InvalidInput: The window, the reference or a segment is none.
        NotFound: Nothing was ever deployed under this name, and it has no events.
        StorageError: The events or the database cannot be read.
    """
    settings = settings_now(records, tables, endpoint)
    if wish.reference is not None:
        settings = msgspec.structs.replace(settings, reference=wish.reference)
    window, panes, before = _window(records, endpoint, wish.window or settings.window, now)
    if before is None:
        reference_windows(settings.reference, window)  # that there is one is said before anything is read
    order = Order(
        endpoint=endpoint,
        window=window,
        panes=panes,
        settings=settings,
        now=now,
        before=before,
        segments=tuple(map(_segment, wish.segments)) or None,
        service=Burning(records).look(endpoint, settings.objectives, now),
    )
    report = make_report(records, order).report
    if not report.rows:
        _check_there(records, endpoint)
    if wish.save:
        with records.database.write() as connection:
            report = insert_report(connection, report, "asked") or report
    return report


_Span = tuple[Window, tuple[Window, ...], Window | None]
"""A window, its panes, and the window before where it was found by count."""


def _window(records: Records, endpoint: str, text: str, now: float) -> _Span:
    if ".." in text:
        window = Window(*parse_between(text))
        return window, (window,), None
    rhythm = window_of(text)
    if rhythm.by == "clock":
        window = Window(now - rhythm.length, now)
        return window, (window,), None
    return _newest(records.times(endpoint, 0.0), rhythm)


def _newest(times: Sequence[float], rhythm: Rhythm) -> _Span:
    """The newest rows, and as many before them."""
    size = round(rhythm.length)
    panes = count_panes(times[-2 * size :], rhythm)
    if not panes:
        raise InvalidInput(
            f"There are {len(times):,} predictions, and the window is {size:,} rows.", hint="Ask for a smaller window."
        )
    return panes[-1], (panes[-1],), panes[-2] if len(panes) > 1 else None


def _segment(text: str) -> Segment:
    column, equals, level = text.partition("=")
    if not equals or not column:
        raise InvalidInput(f"{text[:80]!r} is no part of the traffic.", hint="Write COLUMN=LEVEL, such as carrier=UA.")
    return Segment(column.strip(), level.strip())


def _check_there(records: Records, endpoint: str) -> None:
    with records.database.read() as connection:
        known = read_table(connection).endpoint(endpoint) is not None
    if not known and not (records.events / "archive" / endpoint).is_dir():
        raise NotFound(f"There is no endpoint {endpoint!r}.", hint="`fairlead status` lists them.")
