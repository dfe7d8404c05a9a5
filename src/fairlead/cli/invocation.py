"""What every verb is given: the global options, and from them the settings and the stores.

```python
@click.command("models")
@pass_invocation
def command(invocation: Invocation) -> None:
    stores = invocation.stores()
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from fairlead.config import Config, load_config

if TYPE_CHECKING:
    from fairlead.app import Stores

__all__ = ["Invocation", "json_option", "pass_invocation"]


class Invocation(msgspec.Struct, frozen=True):
    """One command line's global options.

    Attributes:
        home: The folder given by `--home`.
    """

    home: str | None = None

    def config(self, **flags: Any) -> Config:
        """The settings; `flags` are the verb's own options by setting, `None` where they were not given."""
        return load_config({"home": self.home, **flags})

    def stores(self, **flags: Any) -> Stores:
        """The database and the blobs that the settings name, opened."""
        from fairlead.app import open_stores  # SQLAlchemy and obstore are not for `--help`

        return open_stores(self.config(**flags))


pass_invocation = click.make_pass_decorator(Invocation)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
"""Every read has it; the parameter is `as_json`."""
