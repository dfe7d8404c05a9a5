"""A report in a terminal: a line that sums it up, and a table with the worst first.

It says what the page says, in the same words (`words`). What is stable is counted, not listed: whoever wants all of it has the page
and the JSON. rich is imported when the first table is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, Final

from fairlead.monitor import words
from fairlead.monitor.report import AREAS, Finding, Report, Verdict

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["summary", "table"]

_COLOURS: Final[dict[Verdict, str]] = {
    "breach": "bold red",
    "drift": "bold yellow",
    "error": "red",
    "insufficient": "dim",
    "stable": "green",
}
_WIDE: Final = 110
"""From so many characters on the numbers have columns of their own; below, the sentences tell them."""

_MOST: Final = 200
"""So many lines a table has; how many more there are is said."""


def summary(report: Report) -> str:
    """A report in one line: "flights, April 2013 (drift): 3 of 14 inputs drifted; temp first"."""
    said = words.overall(report)[1]
    return f"{words.title(report)} ({said[:1].lower()}{said[1:]}): {words.headline(report)}"


def table(report: Report, width: int, *, colour: bool) -> str:
    """A report as text, ending with a line break.

    Args:
        report: The report.
        width: Of the terminal, in characters; 40 at least are used.
        colour: Whether verdicts are coloured, with ANSI sequences; each has a sign and a word in any case.
    """
    from rich.console import Console

    out = StringIO()
    console = Console(
        file=out,
        width=max(40, width),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        legacy_windows=False,
    )
    told = [one for one in words.worst_first(report) if one.verdict != "stable"]
    for line in _head(report):
        console.print(line)
    if told:
        console.print()
        console.print(_table(told[:_MOST], wide=width >= _WIDE))
    for line in _foot(report, len(told) - _MOST):
        console.print(line)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _head(report: Report) -> list[Text]:
    from rich.text import Text

    against = f"compared with {words.clean(report.reference.text, 120)}" if report.reference.text else ""
    models = ", ".join(words.clean(one, 80) for one in report.models[:5])
    rows = words.plural(report.rows, "prediction" if report.endpoint else "row")
    known = f"labels: {words.labels(report)}" if report.endpoint or report.labels.count else ""
    facts = [against, rows, models, known]
    lead = Text(f"{words.title(report)}  ")
    verdict, said = words.overall(report)
    lead.append(f"{words.SIGNS[verdict]} {said[:1].lower()}{said[1:]}", style=_COLOURS[verdict])
    return [
        lead,
        Text(words.headline(report), style="bold"),
        Text(" · ".join(one for one in facts if one), style="dim"),
    ]


def _verdict(verdict: Verdict) -> Text:
    from rich.text import Text

    return Text(f"{words.SIGNS[verdict]} {words.VERDICTS[verdict].lower()}", style=_COLOURS[verdict])


def _table(findings: Sequence[Finding], *, wide: bool) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=False)
    made.add_column("verdict", no_wrap=True)
    made.add_column("of", overflow="fold", min_width=8, max_width=30 if wide else 20)
    made.add_column("finding", overflow="fold", ratio=None)
    for name in ("effect", "adjusted p", "n") if wide else ():
        made.add_column(name, justify="right", no_wrap=True)
    for one in findings:
        made.add_row(*_cells(one, wide=wide))
    return made


def _cells(finding: Finding, *, wide: bool) -> list[Text]:
    from rich.text import Text

    where = f" where {words.clean(finding.segment, 40)}" if finding.segment else ""
    cells = [
        _verdict(finding.verdict),
        Text(words.clean(finding.subject, 40) + where),
        Text(words.clean(finding.because, 300)),
    ]
    if wide:
        p = finding.p if finding.adjusted is None else finding.adjusted
        cells += [Text(words.effect(finding)), Text(words.p_value(p)), Text(f"{finding.n:,}" if finding.n else "—")]
    return cells


def _foot(report: Report, more: int) -> list[Text]:
    from rich.text import Text

    calm = [(name, sum(one.verdict == "stable" for one in report.of(area))) for area, name in AREAS.items()]
    stable = ", ".join(f"{name[:1].lower()}{name[1:]} {count:,}" for name, count in calm if count)
    lines = [Text(f"{words.plural(more, 'finding')} more of this kind.")] if more > 0 else []
    if stable:
        lines += [Text(), Text.assemble(_verdict("stable"), f": {stable}")]
    lines += [Text(f"Note: {words.clean(one, 300)}") for one in report.notes[:5]]
    return [*lines, Text(f"{len(report.notes) - 5:,} more notes.")] if len(report.notes) > 5 else lines
