"""`fairlead export evidently`: the answers of a window as Evidently's `Report` takes them, with a script that makes one.

Evidently is not imported here: it has a gigabyte of libraries and wants an older pandas, so it gets an environment of its own, and the
script runs there. The script finds everything it needs in the two tables and in the names written at its top.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from fairlead.exporters.answers import Layout, WindowOptions, answered_frames, layout_of, plain_names, together
from fairlead.exporters.evidentlyscript import BODY
from fairlead.exporters.exporter import write_files
from fairlead.exporters.spans import Span, past_of, span_of
from fairlead.schema import Schema

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EXPORTER", "EvidentlyExporter", "EvidentlyOptions"]

REQUIREMENTS: Final = '"evidently>=0.7.20,<0.8" "pandas<3" pyarrow'
"""What the script was tested with. Evidently 0.7.23 allows every pandas, and cannot be imported with 3.1."""


class EvidentlyOptions(WindowOptions, frozen=True, kw_only=True):
    """Which answers, and what they are held against."""

    reference: Annotated[
        str,
        Meta(
            description="What they are held against: START..END, past (the window before) or past 7d (so long before)."
        ),
    ] = ""


class EvidentlyExporter:
    """The exporter `evidently` (an `exporter.Exporter`)."""

    summary = "A window's answers for Evidently: Parquet, and a script that makes its report."
    options: type[msgspec.Struct] = EvidentlyOptions

    def export(self, options: EvidentlyOptions, to: Path) -> list[Path]:
        """Write the files (see `exporter.Exporter.export`)."""
        window = span_of(options.window, options.now)
        past = past_of(options.reference, window, options.now) if options.reference else None
        frame = together(answered_frames(options, window))
        layout = layout_of(frame, _schema(options, frame))
        reference = None if past is None else together(answered_frames(options, past))
        made = {
            "README.md": _readme(options.endpoint, layout, (window, frame), (past, reference)).encode(),
            "report.py": _script(options.endpoint, layout).encode(),
            "current.parquet": _parquet(frame),
        }
        if reference is not None:
            made["reference.parquet"] = _parquet(reference)
        return write_files(to, made)


EXPORTER = EvidentlyExporter()


def _schema(options: EvidentlyOptions, frame: pl.DataFrame) -> Schema | None:
    """The schema of the version that answered last; `None` where nobody knows."""
    if options.schema_of is None:
        return None
    return options.schema_of(frame["model"][int(frame["time"].arg_max() or 0)])


def _parquet(frame: pl.DataFrame) -> bytes:
    """A table in plain names, the oldest answer first; times as times."""
    import polars as pl

    named = frame.rename(plain_names(frame.columns))
    time = plain_names(frame.columns)["time"]
    told = (pl.col(time) * 1_000_000).cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
    file = BytesIO()
    named.sort(time, maintain_order=True).with_columns(told.alias(time)).write_parquet(file)
    return file.getvalue()


def _script(endpoint: str, layout: Layout) -> str:
    """The script: the columns' names, then what is the same for every endpoint."""
    is_class = layout.task == "classification"
    said = [one for one in (layout.prediction, layout.target) if one]
    task = {"regression": "regression"}.get(layout.task, "binary" if len(layout.classes) == 2 else "multiclass")
    facts = {
        "TITLE": f"Answers of {endpoint}",
        "NUMBERS": [
            *layout.numbers,
            *([] if is_class else said),
            *list(layout.scores.values())[len(layout.scores) == 2 :],
        ],
        "NAMES": [*layout.names, *(said if is_class else [])],
        "TASK": task,
        "PREDICTION": layout.prediction,
        "TARGET": layout.target,
        "SCORES": layout.scores,
        "POSITIVE": layout.classes[1] if task == "binary" else "",
    }
    return BODY.replace("# FACTS\n", "".join(f"{name} = {value!r}\n" for name, value in facts.items()))


_Part = tuple[Span | None, "pl.DataFrame | None"]


def _readme(endpoint: str, layout: Layout, current: _Part, reference: _Part) -> str:
    left_out = [
        *(f"`{one}` has no value" for one in layout.empty),
        *(f"`{one}` is free text" for one in layout.texts),
    ]
    return f"""# Answers of {endpoint} for Evidently

Made by `fairlead export evidently`. Times are UTC, rows that were refused are left out.

- `current.parquet`: {_told(*current)}
- `reference.parquet`: {_told(*reference)}
- `report.py`: makes `report.html` and prints what Evidently says

Evidently gets an environment of its own: it needs about a gigabyte, and a pandas older than 3.

    python3 -m venv evidently
    evidently/bin/pip install {REQUIREMENTS}
    evidently/bin/python report.py

Without `reference.parquet`, say what the answers are held against, such as your training table: `report.py train.parquet` (or .csv).
Not compared: {", ".join(left_out) or "nothing, every input is in"}.
"""


def _told(span: Span | None, frame: pl.DataFrame | None) -> str:
    return "was not asked for (`--reference past`)" if frame is None else f"{len(frame):,} rows, {span}"
