"""Tables of mixed columns as arrays of numbers, in which equal cells stay equal."""

import re
from collections.abc import Sequence
from datetime import datetime
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_array

from skdeep._compat import is_null
from skdeep.metrics._rows import require_same_width
from skdeep.tables import aligned_tables, as_times, column_names, numpy_of, selected

LARGEST_EXACT = 2**53
"""Integer up to which float64 holds all of them."""


def comparable_tables(tables: dict[str, Any]) -> tuple[list[np.ndarray], np.ndarray]:
    """Float64 arrays of the tables, and which of their columns are codes.

    Text is coded and missing cells are NaN. Columns that are float32 in one table are
    rounded in all: rows shall not differ by their number format.
    """
    tables = {
        name: _as_array(X, name) if column_names(X) is None else X
        for name, X in aligned_tables(tables).items()
    }
    require_same_width(tables)
    columns = zip(*(_columns(X) for X in tables.values()), strict=True)
    numbers, is_code = zip(*map(_as_numbers, columns), strict=True)
    found = [np.column_stack(n) for n in zip(*numbers, strict=True)]
    for name, X in zip(tables, found, strict=True):
        check_array(X, ensure_all_finite="allow-nan", input_name=name)
    return found, np.array(is_code)


def _as_array(X: Any, name: str = "") -> np.ndarray:
    kept = {"allow_nd": True, "ensure_all_finite": False, "input_name": name}
    found = check_array(numpy_of(X), dtype=None, **kept)
    if found.dtype.kind in "US" and not hasattr(X, "dtype"):
        # Of lists NumPy makes text of the numbers beside text.
        found = check_array(X, dtype=object, **kept)
    return found.reshape(len(found), -1)


def _columns(X: Any) -> list[np.ndarray]:
    """Columns of a table, each an array of its own type."""
    names = column_names(X)
    if names is None:
        return list(X.T)
    return [_column(X, name) for name in names]


def _column(X: Any, name: str) -> np.ndarray:
    column = X[name]
    dtype = getattr(column, "dtype", getattr(column, "type", None))
    if getattr(dtype, "kind", None) == "M":
        # Dates of a time zone, which scikit-learn would make objects, in UTC.
        unit, *_ = re.findall(r"\[(\w+)", str(dtype))
        if unit == "day":  # of pyarrow
            return column.astype("datetime64[s]").to_numpy()
        return np.asarray(column, dtype=f"datetime64[{unit}]")
    alone = selected(X, [name])
    if str(dtype).startswith("Sparse"):
        alone = column.sparse.to_dense().to_frame()
    found = _as_array(alone)[:, 0]
    if found.dtype.kind == "f" and "int" in str(dtype).lower() and is_beyond(found):
        # Missing cells made floats of integers that these cannot hold.
        cells = column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
        found = np.array([None if is_null(c) else int(c) for c in cells], dtype=object)
    return found


def _as_numbers(columns: Sequence[np.ndarray]) -> tuple[list[np.ndarray], bool]:
    """Return one column of all tables as float64, and whether these are codes."""
    columns = as_times(columns, _in_utc)
    if all(column.dtype.kind in "mM" for column in columns):
        return _ticks(columns), False
    if all(column.dtype.kind == "f" for column in columns):
        coarse = min((c.dtype for c in columns), key=lambda dtype: dtype.itemsize)
        columns = [column.astype(coarse) for column in columns]
    if any(has_text(column) or is_large(column) for column in columns):
        return _codes(columns), True
    try:
        return [column.astype(np.float64) for column in columns], False
    except (TypeError, ValueError):
        return _codes(columns), True


def _in_utc(moment: datetime) -> np.datetime64:
    # Python's moments end with the year 9999, which another zone may pass.
    offset = np.timedelta64(moment.utcoffset() or 0, "us")
    return np.datetime64(moment.replace(tzinfo=None), "us") - offset


def _ticks(columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Microseconds from the earliest of dates or durations, which keeps them apart."""
    whole = [column.astype(f"{column.dtype.kind}8[us]") for column in columns]
    present = np.concatenate([micros[~np.isnat(micros)] for micros in whole])
    origin = present.min() if present.size else 0
    found = []
    for column, micros in zip(columns, whole, strict=True):
        rest = (column - micros).astype("m8[ns]").astype(np.int64)  # nanoseconds
        ticks = (micros - origin).astype(np.int64) + rest / 1000
        found.append(np.where(np.isnat(column), np.nan, ticks))
    return found


def has_text(column: np.ndarray) -> bool:
    """Whether a column has cells of text, even such as look like numbers."""
    if column.dtype != object:
        return column.dtype.kind in "UST"
    return any(isinstance(cell, str | bytes) for cell in column)


def is_large(column: np.ndarray) -> bool:
    """Whether a column holds integers that float64 does not."""
    if column.dtype == object:
        return any(
            isinstance(n, Integral) and abs(int(n)) > LARGEST_EXACT for n in column
        )
    return column.dtype.kind in "iu" and is_beyond(column)


def is_beyond(column: np.ndarray) -> bool:
    """Whether a column of numbers has some beyond those of which float64 holds all."""
    low, high = np.nanmin(column, initial=0), np.nanmax(column, initial=0)
    return int(high) > LARGEST_EXACT or int(low) < -LARGEST_EXACT


def _codes(columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Places of the values in sorted order; NaN where they are missing."""
    everything = np.concatenate([column.astype(object) for column in columns])
    missing = np.array([is_null(cell) for cell in everything])
    # One number may be a float in one table and an integer in another.
    is_whole = [isinstance(c, float) and c.is_integer() for c in everything]
    everything[is_whole] = [int(cell) for cell in everything[is_whole]]
    # The text "1" is not the number.
    texts = [f"'{c}" if isinstance(c, str) else str(c) for c in everything]
    _, codes = np.unique(texts, return_inverse=True)
    codes = np.where(missing, np.nan, codes)
    return np.split(codes, np.cumsum([len(column) for column in columns])[:-1])
