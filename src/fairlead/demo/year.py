"""A year in a minute: a model of the winter meets spring, summer and autumn, and what monitoring says of it, month by month.

```
each month   answers ─▶ event log ─▶ report, without labels        (what can be known at once)
             15th of the next: outcomes ─▶ event log ─▶ report that stands instead of it
                                                                   (what proved true)
```

The reports are those that `fairlead monitor` makes, of the same log by the same functions; only months are no windows of its clock, which has days
and weeks. Carriers in the United States file a month's arrivals by the 15th of the next, so that is when outcomes are told here. The story has a
home of its own, for its events bear the times of 2013; it stays, and is told again without being made again.
"""

from __future__ import annotations

import calendar
import hashlib
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

import fairlead
from fairlead.app import open_stores, records_of
from fairlead.archive.compaction import compact
from fairlead.config import Config
from fairlead.demo import flights as source
from fairlead.demo.chronicle import Month, Said, chronicle, line
from fairlead.demo.recorded import answered, append, outcomes, within, written
from fairlead.demo.screen import Screen
from fairlead.demo.versions import NAME, WATCHED, published
from fairlead.errors import Conflict, InvalidInput
from fairlead.monitor.notices import notices
from fairlead.monitor.page.document import html
from fairlead.monitor.report import Report, Window
from fairlead.monitor.reporting import Order, make_report
from fairlead.monitor.settings import DEFAULTS
from fairlead.monitor.store import insert_report, read_told, recent_reports, write_told

if TYPE_CHECKING:
    import pandas as pd

    from fairlead.monitor.records import Records
    from fairlead.predictor.local import LocalModel

__all__ = ["FOLDER", "MONTHS", "month_window", "tell"]

FOLDER: Final = "year"
"""Where the story lives, in the home folder."""

MONTHS: Final = tuple(range(4, 13))
"""Those after the training data."""

_YEAR: Final = 2013
_MARK: Final = "story.json"
_REPORTED: Final = 1.0
_FILED: Final = 14.5 * 86_400.0
"""Noon of the 15th."""
_HISTORY: Final = 60


class _Story(msgspec.Struct, frozen=True):
    """What lies in the story's folder: of which code and model, and, once it is whole, what is to be told."""

    made_by: str
    months: tuple[Month, ...] = ()
    said: tuple[Said, ...] = ()


def month_window(month: int) -> Window:
    """A month of 2013, in UTC."""
    following = (_YEAR + month // 12, month % 12 + 1)
    return Window(_midnight(_YEAR, month), _midnight(*following))


def _midnight(year: int, month: int) -> float:
    return float(calendar.timegm((year, month, 1, 0, 0, 0)))


def tell(config: Config, screen: Screen, program: str = "fairlead") -> None:
    """Tell the story; the first time it is made, which takes most of a minute.

    Args:
        config: The story lives in `FOLDER` of its home.
        screen: How to speak.
        program: How `fairlead` is called from a terminal.

    Raises:
        InvalidInput: The settings name a database or blobs elsewhere, where the story's reports have no place.
        Conflict: The folder holds something else.
        NotFound: The flights are not installed.
        StorageError, BundleError: As `fairlead.pack`; or events or reports cannot be written.
    """
    if config.database is not None or config.blobs is not None:
        raise InvalidInput(
            "The story of the year keeps to a folder of its own, and a database or blobs elsewhere are set.",
            hint="Unset `database` and `blobs` for it.",
        )
    home = config.paths.home / FOLDER
    story = _known(home) or _made(msgspec.structs.replace(config, home=home), screen)
    screen.show(chronicle(story.months, story.said))
    screen.show(_where(home, program, story.months[0].amended))


def _known(home: Path) -> _Story | None:
    """The story as it was made before, if that was by this code; what is left of another, or of half a one, is removed.

    Raises:
        Conflict: The folder holds something else.
    """
    if not home.exists():
        return None
    mark = home / _MARK
    if not mark.is_file():
        raise Conflict(f"{home} holds something that is not the story's.", hint="Choose another --home.")
    try:
        found = msgspec.json.decode(mark.read_bytes(), type=_Story)
    except msgspec.DecodeError:
        found = _Story("")
    if found.made_by == _maker() and found.months:
        return found
    shutil.rmtree(home)
    return None


def _maker() -> str:
    """What decides what the story tells: the model's recipe, and this version of Fairlead."""
    return hashlib.sha256(f"{WATCHED.digest} {fairlead.__version__}".encode()).hexdigest()[:16]


def _made(config: Config, screen: Screen) -> _Story:
    home = config.paths.home
    home.mkdir(parents=True)
    begun = _Story(_maker())
    (home / _MARK).write_bytes(msgspec.json.encode(begun))
    year = source.flights()
    late = (year[source.TARGET] == "late").mean()
    screen.talk(f"{len(year):,} flights of {_YEAR}, {late:.0%} of them late")
    stores = open_stores(config)
    ref = published(config, stores, year, WATCHED, screen.talk)
    watch = _Watch(records_of(config, stores), fairlead.load(ref, home=home))
    later = year[~year["month"].isin(source.TRAINING_MONTHS)]
    months = []
    for month in MONTHS:
        months.append(watch.month(later, month_window(month)))
        screen.talk(line(months[-1]))
    _write_pages(home, [one.amended for one in months])
    whole = _Story(begun.made_by, tuple(months), tuple(watch.said))
    (home / _MARK).write_bytes(msgspec.json.encode(whole))
    return whole


class _Watch:
    """A year of watching.

    Args:
        records: What reports are made of, and where they rest.
        model: Who answers.
    """

    def __init__(self, records: Records, model: LocalModel) -> None:
        self._records = records
        self._model = model
        self.said: list[Said] = []
        """What a person would have been alerted of."""

    def month(self, later: pd.DataFrame, window: Window) -> Month:
        """Answer a month, report on it, and report again when its outcomes are there."""
        flown, times = within(later, window)
        predictions = answered(self._model, flown, times)
        with written(self._records.events, f"asked-{window.start:.0f}") as log:
            append(log, self._model, predictions)
        compact(self._records.events)
        first = self._report(window, window.end + _REPORTED)
        filed = window.end + _FILED
        with written(self._records.events, f"told-{window.start:.0f}") as log:
            log.note(outcomes(predictions, flown, filed))
        compact(self._records.events)
        return Month(first, self._report(window, filed + _REPORTED, amends=first.number))

    def _report(self, window: Window, now: float, amends: int = 0) -> Report:
        """Make a report and keep it, as the watcher does when one is due."""
        order = Order(endpoint=NAME, window=window, panes=(window,), settings=DEFAULTS, now=now, amends=amends)
        made = make_report(self._records, order).report
        with self._records.database.write() as connection:
            report = insert_report(connection, made, "schedule") or made
            recent, known = recent_reports(connection, NAME, _HISTORY), read_told(connection, NAME)
            for remembered, notice in notices(recent, known, DEFAULTS.alerting, now):
                write_told(connection, NAME, remembered)
                if notice is not None:
                    self.said.append(Said(now, notice.kind, notice.new))
        return report


def _write_pages(home: Path, reports: Sequence[Report]) -> None:
    """Each month's report as a page, with the months before it as its trend."""
    folder = home / "pages"
    folder.mkdir()
    for number, report in enumerate(reports):
        assert report.window is not None  # it is a month's
        page = folder / f"{_YEAR}-{MONTHS[number]:02}.html"
        page.write_text(html(report, trend=reports[: number + 1]), "utf-8")


def _where(home: Path, program: str, first: Report) -> str:
    fairlead_here = shlex.join([program, "--home", str(home)])
    return "\n".join(_addresses(home, fairlead_here, first))


def _addresses(home: Path, command: str, first: Report) -> Iterator[str]:
    yield ""
    yield f"  the pages   {home / 'pages'}"
    yield ""
    yield "Try:"
    yield ""
    yield f"  {command} monitor list {NAME}"
    yield f"  {command} monitor show {first.number}      # April, when its outcomes were known"
    yield f"  {command} monitor show {first.amends}      # April, before"
    yield f"  {command} monitor check {NAME} --window 2013-04-01..2013-05-01      # as a step of a pipeline: ends with 5"
    yield f"  {command} monitor {NAME} --window 2013-07-01..2013-07-08 --reference past      # a week against the week before"
    yield ""
