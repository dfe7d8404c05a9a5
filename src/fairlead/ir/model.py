"""A tabular model in the user's own units: the waist between everything that is read and everything that is written.

A reader (`formats/sklearn.py`, later others) takes a fitted model apart into a `Model`; a writer (`formats/onnx.py`, later
SQL, PMML, rules) makes something that runs out of it. Neither knows the other. What a `Model` means is defined by
`ir/evaluate.py` and by nothing else:

```
score = (base + Σ trees + Σ number terms + Σ category terms) / divisor        one entry an output
answer = link(score)                                                          read as `result` says
```

Everything is in raw units and in double: no scaler, imputer, encoder or cast is left. Every number is finite, so the JSON
form (shortest round-trip decimals) gives back the very same bits.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fairlead.errors import BundleError
from fairlead.schema import ColumnType

__all__ = [
    "ALWAYS",
    "Category",
    "CategoryTerm",
    "Column",
    "Link",
    "Model",
    "NumberTerm",
    "Result",
    "Subset",
    "Tree",
    "from_json",
    "to_json",
]

Category = str | int | float | bool

Link = Literal["identity", "logistic", "softmax", "exp"]
"""What turns scores into the answer.

- `identity`: they are the answer: a regression's value, or probabilities already (a forest).
- `logistic`: `1 / (1 + exp(-score))`, one output.
- `softmax`: over all outputs.
- `exp`: a regression on a log scale.
"""

Result = Literal["value", "positive", "classes"]
"""As in `formats/layout.py`: a number; the probability of the second of two classes; one probability a class."""

ALWAYS = 1.7976931348623155e308
"""The threshold of a test that every entry passes and only a missing one may fail: the double below the greatest."""


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input.

    Attributes:
        name: As in the schema.
        type: As in the schema: which entries can occur.
        categories: The values that category tests and terms know; a value's position here is its code. A column may be
            both compared with names and used as a number (a month).
        nullable: Whether an entry may be missing.
        closed: The original refuses a value outside `categories`; there is no answer to compare with.
        used: Whether the model looks at the column at all.
    """

    name: str
    type: ColumnType = "number"
    categories: tuple[Category, ...] = ()
    nullable: bool = False
    closed: bool = False
    used: bool = True


class Subset(msgspec.Struct, frozen=True):
    """A test of a column against a set of its categories.

    Attributes:
        column: Position in `Model.columns`.
        members: Codes that pass, ascending.
        unseen: Whether a value outside the categories passes.
        missing: Whether a missing entry passes.
    """

    column: int
    members: tuple[int, ...]
    unseen: bool
    missing: bool


class Tree(msgspec.Struct, frozen=True):
    """One decision tree as parallel arrays; node 0 is the root, children stand after their parent.

    A number test sends an entry left where `x <= threshold`; a category test where its subset holds. A leaf adds its
    `values` to the scores named by `outputs`.

    Attributes:
        outputs: Which scores the leaves add to.
        column: The column a number test looks at; -1 elsewhere.
        threshold: In raw units; 0 where there is no number test.
        missing_left: Whether a missing entry goes left at a number test.
        subset: Position in `Model.subsets` for a category test; -1 elsewhere.
        left: The node for those who pass; -1 at a leaf.
        right: The node for the others; -1 at a leaf.
        values: One number an output at a leaf; empty elsewhere.
    """

    outputs: tuple[int, ...]
    column: tuple[int, ...]
    threshold: tuple[float, ...]
    missing_left: tuple[bool, ...]
    subset: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]


class NumberTerm(msgspec.Struct, frozen=True):
    """`coefficients * (x - offset)`; the offset keeps the digits that multiplying out would lose.

    Attributes:
        column: Position in `Model.columns`.
        coefficients: One an output.
        offset: In raw units.
        missing: The raw value that a missing entry takes.
    """

    column: int
    coefficients: tuple[float, ...]
    offset: float
    missing: float


class CategoryTerm(msgspec.Struct, frozen=True):
    """What each category of a column adds.

    Attributes:
        column: Position in `Model.columns`.
        values: For each category, one number an output.
        unseen: For a value outside the categories.
        missing: For a missing entry.
    """

    column: int
    values: tuple[tuple[float, ...], ...]
    unseen: tuple[float, ...]
    missing: tuple[float, ...]


class Model(msgspec.Struct, frozen=True):
    """A tabular model in raw units.

    Attributes:
        columns: The inputs, in the order of the schema.
        base: Where each score begins.
        link: What turns scores into the answer.
        result: How the answer is read.
        classes: The labels in the order of the probabilities; empty for regression.
        trees: Each adds one leaf.
        subsets: The category tests that the trees share.
        numbers: Linear terms of numbers.
        categories: Linear terms of categories.
        divisor: 1, or the number of trees where they are averaged. Kept apart because dividing each leaf first would
            move the exact ties of a vote.
    """

    columns: tuple[Column, ...]
    base: tuple[float, ...]
    link: Link
    result: Result
    classes: tuple[Category, ...] = ()
    trees: tuple[Tree, ...] = ()
    subsets: tuple[Subset, ...] = ()
    numbers: tuple[NumberTerm, ...] = ()
    categories: tuple[CategoryTerm, ...] = ()
    divisor: float = 1.0


def to_json(model: Model) -> bytes:
    """The model as JSON; `from_json` gives back an equal one, bit for bit."""
    return msgspec.json.encode(model)


def from_json(data: bytes) -> Model:
    """Read what `to_json` wrote.

    Raises:
        BundleError: The bytes are not a model.
    """
    try:
        return msgspec.json.decode(data, type=Model)
    except msgspec.MsgspecError as err:
        raise BundleError(f"The intermediate representation cannot be read: {err}") from err
