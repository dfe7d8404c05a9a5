"""Pictures that go with a version: matplotlib figures, or PNG and SVG files.

They are kept as files of the bundle. An SVG may hold scripts: it is only ever shown as an image, never written into a page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fairlead.errors import InvalidInput, NotFound, TooLarge

__all__ = ["LARGEST", "take_plots"]

LARGEST = 5 * 2**20
"""The most bytes of one picture."""

MOST = 50
"""The most pictures of one version."""

_STARTS = {
    ".png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    ".svg": re.compile(
        rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?(<!--.*?-->\s*)*<svg[\s>]", re.DOTALL
    ),
}


def take_plots(plots: Mapping[str, Any] | Iterable[Any] | None) -> dict[str, bytes]:
    """Pictures by the file name they have in a bundle.

    Args:
        plots: Figures or paths, by name or in a row.

    Raises:
        InvalidInput: One is neither a figure nor a PNG or SVG file, or two have one name.
        NotFound: There is no such file.
        TooLarge: One has more than 5 MiB, or there are more than 50.
    """
    given = (
        [] if plots is None else list(plots.items()) if isinstance(plots, Mapping) else [("", plot) for plot in plots]
    )
    if len(given) > MOST:
        raise TooLarge(f"There are {len(given)} plots; a version has at most {MOST}.", hint="Keep the telling ones.")
    taken: dict[str, bytes] = {}
    for position, (name, plot) in enumerate(given):
        file, content = _take(str(name), plot, position)
        if file in taken:
            raise InvalidInput(f"Two plots are called {file!r}.", hint="Name them by a dict: {'roc': figure, …}.")
        taken[file] = content
    return taken


def _take(name: str, plot: Any, position: int) -> tuple[str, bytes]:
    """One picture's file name and bytes."""
    if isinstance(plot, str | Path):
        path = Path(plot)
        return _file_name(name or path.stem, path.suffix.lower()), _read(path)
    if not callable(getattr(plot, "savefig", None)):
        raise InvalidInput(
            f"Plot {position} is a {type(plot).__qualname__}.",
            hint="Give matplotlib figures, or paths of PNG or SVG files.",
        )
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", bbox_inches="tight")
    return _file_name(name or f"plot-{position + 1}", ".png"), _bounded(buffer.getvalue(), f"Plot {position}")


def _read(path: Path) -> bytes:
    """A picture file's bytes, which have to be what its ending says."""
    start = _STARTS.get(path.suffix.lower())
    if start is None:
        raise InvalidInput(f"{path.name!r} is no PNG or SVG file.", hint="Save the plot as PNG.")
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.", hint="Give the path of a PNG or SVG file.", path=str(path))
    with path.open("rb") as file:
        content = _bounded(file.read(LARGEST + 1), repr(path.name))
    if not start.match(content[:4096]):
        raise InvalidInput(
            f"{path.name!r} does not begin as a {path.suffix[1:].upper()} file does.", hint="Save it anew."
        )
    return content


def _bounded(content: bytes, called: str) -> bytes:
    if len(content) > LARGEST:
        raise TooLarge(
            f"{called} has more than {LARGEST // 2**20} MiB.", hint="Save the plot with fewer dots per inch."
        )
    return content


def _file_name(name: str, ending: str) -> str:
    """A name made of letters, digits and hyphens, so that it is one on every system."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64]
    return f"{plain or 'plot'}{ending}"
