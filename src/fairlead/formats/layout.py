"""How rows become the tensors of a compiled graph, and its tensors become answers.

A compiled bundle holds two files: the ONNX graph and this layout. The predictor needs nothing else to answer, so a serving
machine knows neither scikit-learn nor the intermediate representation.

Two shapes of graph exist:

- `MatrixLayout`: one float64 matrix `[rows, width]` goes in. Numbers stand as they are; each category column is a block of
  float64 cells looked up by its value. This is what the intermediate representation is compiled to.
- `ColumnsLayout`: one tensor `[rows, 1]` a column, as skl2onnx makes it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["CategoryInput", "ColumnsLayout", "Layout", "MatrixLayout", "NumberInput", "Result", "TensorInput"]

Result = Literal["value", "positive", "classes"]
"""What the graph's score tensor holds for a row.

- `value`: one number, the answer of a regression.
- `positive`: the probability of the second of two classes; the second is the label where it is greater than 0.5.
- `classes`: one probability a class; the label is the first of the greatest.
"""


class NumberInput(msgspec.Struct, frozen=True, tag="number"):
    """One cell that holds a number as it is.

    Attributes:
        column: Position in `Schema.columns`.
        missing: What stands for a missing entry; `None` means NaN.
    """

    column: int
    missing: float | None = None


class CategoryInput(msgspec.Struct, frozen=True, tag="category"):
    """A block of cells that a value is looked up in.

    Attributes:
        column: Position in `Schema.columns`.
        values: The values that the model knows.
        cells: For each of `values`, the block's cells; all blocks of one input are equally wide.
        unseen: The cells of a value that is not among `values`.
        missing: The cells of a missing entry.
    """

    column: int
    values: tuple[str | int | float | bool, ...]
    cells: tuple[tuple[float, ...], ...]
    unseen: tuple[float, ...]
    missing: tuple[float, ...]


class MatrixLayout(msgspec.Struct, frozen=True, tag="matrix"):
    """One float64 matrix in, one score tensor out.

    Attributes:
        inputs: What fills the matrix, from left to right.
        tensor: The graph input's name.
        score: The graph output's name; a tensor `[rows, 1]` or `[rows, classes]`.
        result: What the score means.
    """

    inputs: tuple[NumberInput | CategoryInput, ...]
    tensor: str
    score: str
    result: Result


class TensorInput(msgspec.Struct, frozen=True):
    """One column as one tensor `[rows, 1]`.

    Attributes:
        column: Position in `Schema.columns`.
        tensor: The graph input's name.
        dtype: The tensor's element type.
        missing: What stands for a missing entry; `None` means NaN in a double, and is not allowed elsewhere.
    """

    column: int
    tensor: str
    dtype: Literal["double", "float", "int64", "string", "bool"]
    missing: str | int | float | bool | None = None


class ColumnsLayout(msgspec.Struct, frozen=True, tag="columns"):
    """One tensor a column in, a score tensor and, for classification, a label tensor out.

    Attributes:
        inputs: One for each column.
        score: The graph output that holds the score.
        label: The graph output that holds the labels; `None` where they follow from the score.
        result: What the score means.
    """

    inputs: tuple[TensorInput, ...]
    score: str
    result: Result
    label: str | None = None


Layout = MatrixLayout | ColumnsLayout
