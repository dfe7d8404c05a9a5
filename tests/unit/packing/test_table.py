"""Taking a table."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fairlead.errors import InvalidInput, NotFound, SchemaMismatch
from fairlead.packing.table import column_type, order_columns, rows_of, take_table
from fairlead.schema import Column

FRAME = pd.DataFrame({"hour": [6, 7, 8], "carrier": ["UA", None, "AA"], "late": ["yes", "no", "no"]})


def test_the_target_is_taken_out_of_the_table_by_its_name():
    table = take_table(FRAME, "late")
    assert list(table.frame.columns) == ["hour", "carrier"]
    assert table.target.tolist() == ["yes", "no", "no"]
    assert table.target_name == "late"


@pytest.mark.parametrize(
    "target",
    [
        ["yes", "no", "no"],
        np.array(["yes", "no", "no"]),
        FRAME["late"],
        FRAME[["late"]],
        pl.Series("late", ["yes", "no", "no"]),
    ],
    ids=["list", "array", "series", "one-column frame", "polars"],
)
def test_the_target_may_come_by_itself(target):
    assert take_table(FRAME[["hour"]], target).target.tolist() == ["yes", "no", "no"]


def test_a_series_is_met_by_position_not_by_its_index():
    target = pd.Series(["a", "b", "c"], index=[7, 5, 9])
    assert take_table(FRAME[["hour"]], target).target.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    "data",
    [
        [{"hour": 6, "carrier": "UA"}, {"hour": 7, "carrier": None}],
        {"hour": [6, 7], "carrier": ["UA", None]},
        pl.DataFrame({"hour": [6, 7], "carrier": ["UA", None]}),
        pl.LazyFrame({"hour": [6, 7], "carrier": ["UA", None]}),
        pd.DataFrame({"hour": [6, 7], "carrier": ["UA", None]}),
    ],
    ids=["dicts", "dict", "polars", "lazy polars", "pandas"],
)
def test_many_kinds_of_table_give_the_same_rows(data):
    table = take_table(data)
    assert rows_of(table.frame, [Column("hour", "integer"), Column("carrier", "string")]) == [(6, "UA"), (7, None)]
    assert table.named


def test_an_array_has_columns_x0_x1_unless_names_are_given():
    assert list(take_table(np.eye(2)).frame.columns) == ["x0", "x1"]
    assert not take_table(np.eye(2)).named
    assert list(take_table(np.eye(2), names=["a", "b"]).frame.columns) == ["a", "b"]


def test_columns_named_by_numbers_are_no_names_for_scikit_learn_either():
    table = take_table(pd.DataFrame(np.eye(2)))
    assert (list(table.frame.columns), table.named) == (["x0", "x1"], False)


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
def test_a_file_is_read_by_its_ending(tmp_path, ending):
    path = tmp_path / f"flights.{ending}"
    FRAME.to_parquet(path) if ending == "parquet" else FRAME.to_csv(path, index=False)
    table = take_table(str(path), "late")
    assert rows_of(table.frame, [Column("hour", "integer"), Column("carrier", "string")])[1] == (7, None)
    assert table.source == path.name


def test_json_lines_keep_text_that_looks_like_a_number(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"code": "007", "n": 1}\n{"code": "010", "n": 2}\n')
    assert rows_of(take_table(path).frame, [Column("code", "string"), Column("n", "integer")]) == [
        ("007", 1),
        ("010", 2),
    ]


def test_parquet_keeps_the_dtypes_of_pandas(tmp_path):
    frame = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "c": pd.Categorical(["a", "b"])})
    frame.to_parquet(tmp_path / "t.parquet")
    assert [str(one) for one in take_table(tmp_path / "t.parquet").frame.dtypes] == ["Int64", "category"]


@pytest.mark.parametrize(
    ("series", "kind"),
    [
        (pd.Series([1.0, np.nan]), "number"),
        (pd.Series([1, 2]), "integer"),
        (pd.Series([1, None]), "number"),  # pandas makes it float64
        (pd.Series([1, None], dtype="Int64"), "integer"),
        (pd.Series([True, False]), "boolean"),
        (pd.Series([True, None], dtype="object"), "boolean"),
        (pd.Series(["a", None]), "string"),
        (pd.Series(["a", None], dtype="object"), "string"),
        (pd.Series(pd.Categorical([3, 1])), "integer"),
        (pd.Series(pd.Categorical(["a", "b"])), "string"),
        (pd.Series([np.float32(1.5)]), "number"),
    ],
)
def test_a_columns_type_follows_its_entries(series, kind):
    assert column_type(series) == kind


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        (pd.to_datetime(["2013-01-01", "2013-01-02"]), "datetime"),
        ([1, "a"], "mixed"),
        ([{"a": 1}, {"a": 2}], "nested"),
        ([[1], [2]], "nested"),
        ([1 + 2j, 3], "complex"),
    ],
)
def test_a_column_no_model_takes_is_refused_by_its_name(entries, word):
    with pytest.raises(InvalidInput, match=word) as caught:
        take_table(pd.DataFrame({"when": entries}))
    assert "'when'" in caught.value.detail
    assert caught.value.hint


def test_an_infinity_is_refused_with_its_row():
    with pytest.raises(InvalidInput, match=r"'a' is infinite in row 1"):
        take_table(pd.DataFrame({"a": [1.0, np.inf]}))


def test_a_table_without_the_target_names_the_nearest_column():
    with pytest.raises(InvalidInput, match="no column 'laet'") as caught:
        take_table(FRAME, "laet")
    assert caught.value.hint == "Did you mean 'late'?"


@pytest.mark.parametrize(
    ("data", "target", "words"),
    [
        (FRAME, ["yes"], "has 1 entries and the table has 3 rows"),
        (FRAME, ["yes", None, "no"], "missing in 1 rows, first in row 1"),
        (FRAME.head(0), "late", "no rows"),
        (FRAME[["late"]], "late", "no columns besides the target"),
        (pd.concat([FRAME, FRAME[["hour"]]], axis=1), "late", "Two columns of the table are called 'hour'"),
        (FRAME.rename(columns={"hour": "ho\0ur"}), "late", "holds a zero byte"),
        (np.zeros(3), None, "1 dimensions"),
        (42, None, "cannot be made of builtins.int"),
        ("table.xlsx", None, "no file"),
    ],
)
def test_what_is_no_table_is_refused_in_words(data, target, words):
    with pytest.raises((InvalidInput, NotFound), match=words) as caught:
        take_table(data, target)
    assert caught.value.hint


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InvalidInput, match=r"'t\.parquet' cannot be read"):
        take_table(tmp_path / "t.parquet")


def test_columns_are_put_in_the_models_order():
    assert list(order_columns(take_table(FRAME, "late"), ["carrier", "hour"]).frame.columns) == ["carrier", "hour"]


def test_a_lacking_column_and_one_too_many_are_named():
    with pytest.raises(SchemaMismatch, match="lacks the model's column 'our'") as caught:
        order_columns(take_table(FRAME, "late"), ["our", "carrier"])
    assert caught.value.hint == "The table has 'hour'; rename it."
    with pytest.raises(SchemaMismatch, match="not trained on column 'carrier'"):
        order_columns(take_table(FRAME, "late"), ["hour"])


def test_a_nameless_model_takes_a_table_of_its_width():
    table = take_table(FRAME, "late")
    assert order_columns(table, None, 2) is table
    with pytest.raises(SchemaMismatch, match="takes 3 columns and the table has 2"):
        order_columns(table, None, 3)


def test_equal_tables_have_equal_digests_and_others_have_not():
    assert take_table(FRAME).digest == take_table(FRAME.copy()).digest
    assert take_table(FRAME).digest != take_table(FRAME.assign(hour=[6, 7, 9])).digest
    assert take_table(FRAME).digest != take_table(FRAME.rename(columns={"hour": "Hour"})).digest
