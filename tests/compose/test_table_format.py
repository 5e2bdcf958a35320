"""New rows in the container, columns and number types of old ones."""

import copy
import decimal
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from skdeep.compose._table_format import TableFormat

ROWS = np.array([[1.4, 2.5, -0.2], [3.6, -7.0, 0.7]])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float64", ROWS),
        ("float32", ROWS.astype(np.float32)),
        ("int64", [[1, 2, 0], [4, -7, 1]]),
        ("uint8", [[1, 2, 0], [4, 0, 1]]),
        ("bool", [[True, True, False], [True, False, True]]),
        ("object", ROWS),
    ],
)
def test_arrays_keep_their_type(dtype, expected):
    restored = TableFormat.of(np.zeros((5, 3), dtype=dtype)).restored(ROWS)
    np.testing.assert_array_equal(restored, expected)
    assert restored.dtype == np.asarray(expected).dtype or restored.dtype == dtype


@pytest.mark.parametrize("dtype", ["U1", "U2", "U4", "U8", "S1", "S8"])
def test_text_of_any_width_is_no_number(dtype):
    text = np.array([["a", "b"], ["b", "b"]], dtype=dtype)
    np.testing.assert_array_equal(TableFormat.of(text).restored(text), text)


FRAME = pd.DataFrame(
    {
        "float": [1.0, 2.0],
        "single": np.array([1, 2], dtype=np.float32),
        "int": [1, 2],
        "byte": np.array([1, 2], dtype=np.uint8),
        "truth": [True, False],
        "nullable": pd.array([1, None], dtype="Int64"),
        "maybe": pd.array([True, None], dtype="boolean"),
        "Float": pd.array([1.5, None], dtype="Float32"),
        "arrow": pd.array([1, 2], dtype="int32[pyarrow]"),
        "real": pd.array([1, 2], dtype="double[pyarrow]"),
    }
)


def test_pandas_columns_keep_names_and_types():
    X = np.full((3, 10), 1.7)
    restored = TableFormat.of(FRAME).restored(X)
    pd.testing.assert_series_equal(restored.dtypes, FRAME.dtypes)
    row = [1.7, np.float32(1.7), 2, 2, True, 2, True, np.float32(1.7), 2, 1.7]
    assert restored.iloc[2].tolist() == row
    assert restored.index.tolist() == [0, 1, 2]


def test_polars_columns_keep_names_and_types():
    frame = pl.DataFrame({"a": [1.0], "b": [1], "c": [True], "d": [2]}).cast(
        {"a": pl.Float32, "d": pl.UInt8}
    )
    restored = TableFormat.of(frame).restored(np.array([[1.2, 3.6, 0.9, 300]]))
    assert restored.schema == frame.schema
    assert restored.row(0) == (pytest.approx(1.2, rel=1e-6), 4, True, 255)


def test_integers_that_are_missing_stay_missing():
    X = np.full((2, 10), 3.0)
    X[0] = np.nan
    restored = TableFormat.of(FRAME).restored(X)
    assert restored.isna().iloc[0].all()
    assert restored["int"].dtype == "float64"
    assert restored["nullable"].dtype == "Int64"
    assert restored["nullable"][1] == 3


@pytest.mark.parametrize(
    "columns",
    [
        pd.Index(["a", "b", "c"], name="size"),
        pd.Index([3, 4, 4], name=7),
        pd.Index([("a", 1), ("a", 2), ("b", 1)], tupleize_cols=False),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["x", None]),
    ],
)
def test_levels_of_columns_and_their_names_are_kept(columns):
    table_format = TableFormat.of(pd.DataFrame(ROWS, columns=columns))
    restored = pickle.loads(pickle.dumps(table_format)).restored(ROWS)
    pd.testing.assert_index_equal(restored.columns, columns)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "int8"])
def test_integers_too_large_become_the_largest(dtype):
    X = TableFormat.of(np.zeros((2, 1), dtype)).restored(np.array([[1e30], [-1e30]]))
    info = np.iinfo(dtype)
    assert info.max - 2**11 < X[0, 0] <= info.max
    assert X[1, 0] == info.min


@pytest.mark.parametrize("container", ["numpy", "pandas", "polars"])
@pytest.mark.parametrize(
    "value", [123456789, 2**62 + 1, -(10**9) - 1, 0.1, np.uint64(2**63 + 1)]
)
def test_constants_are_not_rounded(container, value):
    column = np.full(3, value)
    given = np.column_stack([column, column])
    given[0, 1] = 0
    if container != "numpy":
        package = {"pandas": pd, "polars": pl}[container]
        given = package.DataFrame({"a": given[:, 0], "b": given[:, 1]})
    drawn = np.full((3, 2), value, dtype=np.float32)
    drawn[0, 0] *= 1.01
    table_format = pickle.loads(pickle.dumps(TableFormat.of(given)))
    first, second = np.asarray(table_format.restored(drawn)).T
    assert first[1:].tolist() == column[1:].tolist()
    assert first[0] != value
    assert second[0] != value
    assert first.dtype == column.dtype


def test_names_may_be_numbers_or_occur_twice():
    frame = pd.DataFrame(np.zeros((2, 3)), columns=[7, 7, "a"])
    restored = TableFormat.of(frame).restored(ROWS)
    assert list(restored.columns) == [7, 7, "a"]
    np.testing.assert_array_equal(restored, ROWS)


def test_categories_and_text_are_as_they_come():
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}).astype({"a": "category"})
    given = np.array([["y", 1.2], ["y", 3.0]], dtype=object)
    restored = TableFormat.of(frame).restored(given)
    assert restored["a"].tolist() == ["y", "y"]
    assert restored["b"].tolist() == [1, 3]
    assert restored["b"].dtype == "int64"


CENTS = [decimal.Decimal(i) / 100 for i in range(2)]
DAYS = pd.to_datetime(["2020-01-01", "2021-05-05"])


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(CENTS, dtype=pl.Decimal(10, 2)),
        pl.Series(DAYS, dtype=pl.Datetime("us", "UTC")),
        pl.Series([{"a": 1, "b": 2}, {"a": 2, "b": 3}]),
        pl.Series([[1.0, 2.0], [3.0, 4.0]], dtype=pl.Array(pl.Float64, 2)),
        pd.Series(CENTS, dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
        pd.Series(["a", "b"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), "str"))),
        pd.Series(
            [{"a": 1, "b": 2}] * 2,
            dtype=pd.ArrowDtype(pa.struct({"a": pa.int64(), "b": pa.int64()})),
        ),
    ],
    ids=lambda column: str(column.dtype),
)
def test_columns_of_other_types_are_as_they_come(column):
    package = pd if isinstance(column, pd.Series) else pl
    table_format = TableFormat.of(package.DataFrame({"a": column, "b": [1.5, 2.5]}))
    restored = table_format.restored(ROWS[:, :2])
    np.testing.assert_array_equal(restored.to_numpy(), ROWS[:, :2])
    assert list(restored.columns) == ["a", "b"]


@pytest.mark.parametrize(
    "X",
    [
        np.array([[1], [2]]),
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1, 2]}, dtype="Int64"),
    ],
    ids=["numpy", "pandas", "Int64"],
)
def test_numbers_beside_the_name_of_infrequent_ones_stay_as_they_are(X):
    given = np.array([[2], ["infrequent_sklearn"]], dtype=object)
    restored = TableFormat.of(X).restored(given)
    assert np.asarray(restored)[:, 0].tolist() == [2, "infrequent_sklearn"]


def test_numbers_beside_the_name_of_infrequent_ones_become_text_in_polars():
    table_format = TableFormat.of(pl.DataFrame({"a": [1, 2]}))
    for column in (["infrequent_sklearn", 2, np.nan], [2, "infrequent_sklearn", None]):
        restored = table_format.restored(np.array(column, dtype=object)[:, None])
        assert restored.schema == {"a": pl.String}
        assert set(restored["a"]) == {"infrequent_sklearn", "2", None}


def test_frames_are_left_as_they_are():
    made = pd.DataFrame({"other": [1.5]})
    assert TableFormat.of(FRAME).restored(made) is made


@pytest.mark.parametrize(
    "X", [[[1.0]], sparse.csr_array([[1.0]]), torch.ones(1, 1), pl.LazyFrame({"a": []})]
)
def test_other_containers_have_no_format(X):
    assert TableFormat.of(X) is None


def test_other_number_of_columns_is_refused():
    with pytest.raises(ValueError, match="argument"):
        TableFormat.of(FRAME).restored(ROWS)


@pytest.mark.parametrize("container", [FRAME, pl.DataFrame({"a": [1]}), ROWS])
def test_format_needs_no_package_to_be_copied(container):
    data = pickle.dumps(TableFormat.of(container))
    assert b"pandas.core" not in data
    assert b"polars." not in data
    assert pickle.loads(data) == copy.deepcopy(TableFormat.of(container))
