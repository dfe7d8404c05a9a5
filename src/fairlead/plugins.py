"""Finds what extends Fairlead: entry points, by group and name. What we ship enters by the same door.

```toml
[project.entry-points."fairlead.formats"]
mine = "my_package.format:FORMAT"
```
"""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from fairlead.errors import PluginError

__all__ = ["plugin", "plugin_names"]


def plugin_names(group: str) -> list[str]:
    """The names that are installed in a group, sorted; nothing is imported.

    Args:
        group: "formats"; the entry points' group is "fairlead.formats".
    """
    return sorted({point.name for point in entry_points(group=f"fairlead.{group}")})


def plugin(group: str, name: str, kind: type) -> object:
    """What is installed under a name.

    Args:
        group: "formats".
        name: As a manifest or the user names it.
        kind: The protocol, checkable at run time, that it has to keep.

    Raises:
        PluginError: Nothing has this name, two packages claim it, it cannot be imported, or it is not of its kind.
    """
    found = _distinct(group, name)
    if not found:
        close = difflib.get_close_matches(name, plugin_names(group), 1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Installed are: {', '.join(plugin_names(group)) or 'none'}."
        raise PluginError(f"No {name[:64]!r} is installed among the {group}.", hint=hint)
    if len(found) > 1:
        claims = " and ".join(sorted(point.value for point in found))
        raise PluginError(f"{name!r} is claimed twice among the {group}: {claims}.", hint="Uninstall one of them.")
    try:
        loaded = found[0].load()
    except Exception as err:
        raise PluginError(f"{found[0].value} cannot be imported: {type(err).__name__}: {err}.") from err
    if not isinstance(loaded, kind):
        raise PluginError(f"{found[0].value} is not a {kind.__name__}.", hint="See docs/extend.")
    return loaded


def _distinct(group: str, name: str) -> list[EntryPoint]:
    """The entry points of a name; the same one found twice on the path (an editable install) counts once."""
    points = entry_points(group=f"fairlead.{group}", name=name)
    return list({point.value: point for point in points}.values())
