"""`fairlead export whylogs`: the answers of a window as a whylogs profile, for those who have a collection of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from fairlead.exporters.answers import INPUT, PROBABILITY, WindowOptions, answered_frames, plain_names
from fairlead.exporters.exporter import write_files
from fairlead.exporters.sketches import Sketches
from fairlead.exporters.spans import Span, span_of

__all__ = ["EXPORTER", "WhylogsExporter"]

_TAG: Final = "whylogs.tag."


class WhylogsExporter:
    """The exporter `whylogs` (an `exporter.Exporter`).

    Its sketch of quantiles rolls dice: beyond a thousand values a column, the same answers give bytes that differ, within the sketch's error.
    """

    summary = "A window's answers as a whylogs profile."
    options: type[msgspec.Struct] = WindowOptions

    def export(self, options: WindowOptions, to: Path) -> list[Path]:
        """Write the files (see `exporter.Exporter.export`).

        Raises:
            NotFound: There are no answers, or whylogs is not installed.
        """
        window = span_of(options.window, options.now)
        rows, names, models = 0, dict[str, None](), set[str]()
        sketches: Sketches | None = None
        for frame in answered_frames(options, window):
            sketches = sketches or Sketches()
            counted = frame.select([one for one in frame.columns if _is_counted(one)])
            sketches.add(counted)
            names |= dict.fromkeys(counted.columns)
            models |= set(frame["model"].unique().to_list())
            rows += len(frame)
        assert sketches is not None  # `answered_frames` gives at least one
        tags = {f"{_TAG}endpoint": options.endpoint, f"{_TAG}models": ", ".join(sorted(models))}
        made = {
            "README.md": _readme(options.endpoint, window, rows).encode(),
            "profile.bin": sketches.profile(plain_names(names), window, tags),
        }
        return write_files(to, made)


EXPORTER = WhylogsExporter()


def _is_counted(column: str) -> bool:
    return column.startswith((INPUT, PROBABILITY)) or column in {"prediction", "label"}


def _readme(endpoint: str, window: Span, rows: int) -> str:
    return f"""# Answers of {endpoint} as a whylogs profile

Made by `fairlead export whylogs`: {rows:,} answers, {window}. Rows that were refused are left out.

    from whylogs.core import DatasetProfileView
    DatasetProfileView.read("profile.bin").to_pandas()

`pip install whylogs` reads it. 1.6.4 is its last release: with NumPy 2 it reads profiles, and fails where it makes one of text.
It tells its makers of each import, unless `WHYLOGS_NO_ANALYTICS` is set.
"""
