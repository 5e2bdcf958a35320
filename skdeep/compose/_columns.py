"""Columns of arrays and DataFrames, as values of NumPy and back.

Cells of a column come as values and a mask of those that are missing. Values are int64,
uint64 if need be, or floats of numbers, int64 of times, in the ticks of their type, and
objects of categories.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from skdeep._compat import is_null
from skdeep.compose._table_format import TableFormat, number_type, of_type

Cells = tuple[np.ndarray, np.ndarray]
"""Values, and which of them are missing."""


@dataclass(frozen=True)
class Column:
    """What a column held in `fit`: ``"number"``, ``"time"`` or ``"category"``.

    `dtype` is its type, or a name for that. `ticks` is NumPy's name for the type of
    times, `null` the missing cell of a column of objects, or NaN of one of polars, and
    `levels` are those of pandas' own type of categories, which may be `ordered`.
    Numbers may be objects of Python's decimal type, and times of a zone those that its
    clocks show: days lie on a grid of these.
    """

    container: str
    kind: str
    dtype: Any
    ticks: str | None = None
    null: Any = None
    levels: list[Any] | None = None
    ordered: bool = False
    is_decimal: bool = False
    by_clock: bool = False

    @classmethod
    def of(cls, series: Any, container: str, is_category: bool) -> Self:
        """Describe a column, which may be a category whatever its type."""
        missing = missing_in(series, container)
        kind = "category" if is_category else kind_of(series, missing, container)
        ticks, null, levels, ordered = None, None, None, False
        if kind == "time" and container != "polars":
            ticks = naive(series[~missing]).dtype.str
        if str(series.dtype) == "object" and missing.any():
            null = np.asarray(series, dtype=object)[missing][0]
        elif container == "polars" and missing.any() and not series.null_count():
            null = np.nan
        if str(series.dtype) == "category":
            levels, ordered = list(series.dtype.categories), series.dtype.ordered
        dtype = spelt(series.dtype, container)
        is_decimal = False
        if kind == "number" and container != "polars":  # which has a type of them
            is_decimal = isinstance(next(iter(series[~missing]), None), Decimal)
        column = cls(container, kind, dtype, ticks, null, levels, ordered, is_decimal)
        if kind != "time" or column.zone is None:
            return column
        # Clocks that are set back show some times twice.
        shown = replace(column, by_clock=True)
        again = shown.series(*shown.cells(series, container))
        before, after = (column.cells(each, container)[0] for each in (series, again))
        return shown if np.array_equal(before, after) else column

    def cells(self, series: Any, container: str) -> Cells:
        """Values of a column that should hold the same as the one in `fit`."""
        missing = missing_in(series, container)
        if container == "polars":
            present = series.filter(~missing)
            objects = present.to_list
        else:
            present = series[~missing]
            is_array_of_times = container == "numpy" and present.dtype.kind in "mM"
            objects = present.__iter__ if is_array_of_times else present.tolist
        if self.kind == "category":
            found = np.empty(len(present), dtype=object)
            found[:] = list(objects())
        elif self.kind == "time":
            found = self._ticks_of(present, container)
        else:
            found = numbers_in(present, objects)
        values = np.zeros(len(missing), dtype=found.dtype)
        values[~missing] = found
        return values, missing

    def _ticks_of(self, present: Any, container: str) -> np.ndarray:
        """Return times in ticks, those of time zones in UTC or by their clocks."""
        if not len(present):  # of any type
            return np.empty(0, dtype=np.int64)
        if (container == "polars") != (self.container == "polars"):
            raise TypeError(f"its times were those of {self.container} in fit.")
        if not holds_times(present.dtype):
            raise TypeError(f"it held times in fit, and holds {present.dtype} now.")
        if (zone_of(present.dtype) is None) != (self.zone is None):
            kind = "without" if self.zone is None else "with"
            raise TypeError(
                f"it held times {kind} a time zone in fit, and holds {present.dtype} "
                "now."
            )
        if container == "polars":
            times = present.cast(polars_type(self))
            if self.by_clock:
                times = times.dt.replace_time_zone(None)
            return times.to_physical().to_numpy().astype(np.int64)
        times = naive(present)
        if self.by_clock:
            utc = import_module("pandas").Series(times).dt.tz_localize("UTC")
            times = utc.dt.tz_convert(self.zone).dt.tz_localize(None).to_numpy()
        if times.dtype.kind != np.dtype(self.ticks).kind:  # moments, or durations
            raise TypeError(
                f"it held {self.dtype} in fit, and holds {present.dtype} now."
            )
        return times.astype(self.ticks).astype(np.int64)

    @property
    def zone(self) -> Any:
        """Time zone of the times of the column in `fit`, if they had one."""
        if self.container == "polars":
            return zone_of(polars_type(self))
        if self.container == "pandas":
            pandas = import_module("pandas")
            return zone_of(pandas.api.types.pandas_dtype(self.dtype))
        return None

    def series(self, values: np.ndarray, missing: np.ndarray) -> Any:
        """Cells as a column of the type of the one in `fit`."""
        if self.is_decimal:
            values = decimals(values)
        return WRITERS[self.container](values, missing, self)


# tables


def columns_of(X: Any, container: str) -> list[Any]:
    """Columns of an array or DataFrame."""
    if container == "polars":
        return list(X.get_columns())
    if container == "pandas":
        return [X.iloc[:, j] for j in range(X.shape[1])]
    return list(X.T)


def table_of(columns: Sequence[Any], layout: TableFormat) -> Any:
    """Array or DataFrame of columns, under the names of a layout."""
    if layout.columns is None:
        return np.column_stack(columns)
    return layout.framed(columns)


# from a table


def missing_in(series: Any, container: str) -> np.ndarray:
    """Which cells of a column are missing."""
    if container == "pandas":
        return series.isna().to_numpy(dtype=bool)
    if container == "polars":
        missing = series.is_null()
        if series.dtype.is_float():  # which can be NaN, beside
            missing |= series.is_nan().fill_null(False)
        return missing.to_numpy()
    if series.dtype.kind in "mM":
        return np.isnat(series)
    if series.dtype.kind == "O":
        return np.fromiter(map(is_null, series), dtype=bool, count=len(series))
    if series.dtype.kind == "f":
        return np.isnan(series)
    return np.zeros(len(series), dtype=bool)


def kind_of(series: Any, missing: np.ndarray, container: str) -> str:
    """Whether a column holds numbers, times or categories."""
    dtype = series.dtype
    if container == "polars":
        if dtype.is_numeric():
            return "number"
        return "time" if holds_times(dtype) else "category"
    if dtype.kind == "c":
        raise ValueError("Complex data not supported.")
    if dtype.kind in "iuf":
        return "number"
    if holds_times(dtype):
        return "time"
    holds_objects = str(dtype) == "object" or "decimal" in str(dtype)  # of pyarrow
    if holds_objects and not missing.all():
        cells = np.asarray(series, dtype=object)[~missing]
        if all(isinstance(c, Real) and not isinstance(c, bool) for c in cells):
            return "number"
        if all(isinstance(cell, Decimal) for cell in cells):
            return "number"
    return "category"


def holds_times(dtype: Any) -> bool:
    """Whether a type is one of dates, moments or durations."""
    if hasattr(dtype, "is_temporal"):  # of polars
        return bool(dtype.is_temporal())
    return dtype.kind in "mM"


def spelt(dtype: Any, container: str) -> Any:
    """Name of a type from which it can be found again, or the type itself."""
    name = str(dtype)
    if container == "numpy":
        return "str" if dtype.kind == "U" else name
    package = import_module(container)
    if container == "polars":
        return name if getattr(package, name, None) == dtype else dtype
    if name == "category":  # which has levels
        return name
    try:
        return name if package.api.types.pandas_dtype(name) == dtype else dtype
    except (TypeError, ValueError, NotImplementedError):
        return dtype


def numbers_in(present: Any, objects: Callable[[], list[Any]]) -> np.ndarray:
    """Numbers as integers, or as floats of the precision they have."""
    dtype = number_type(str(present.dtype))
    if dtype is None:
        cells = np.array(objects(), dtype=object)
        integral = all(isinstance(cell, Integral) for cell in cells)
        return finite(cells.astype(integer_type(cells) if integral else np.float64))
    values = present if isinstance(present, np.ndarray) else present.to_numpy()
    if dtype.kind == "f":
        return finite(values.astype(dtype))
    return values.astype(integer_type(values))


def integer_type(integers: np.ndarray) -> type:
    """Int64 if it can hold them, else uint64, and floats if neither can."""
    if not len(integers):
        return np.int64
    low, high = int(integers.min()), int(integers.max())
    if -(2**63) <= low and high < 2**63:
        return np.int64
    return np.uint64 if low >= 0 and high < 2**64 else np.float64


def finite(numbers: np.ndarray) -> np.ndarray:
    """Return numbers of which none is infinite."""
    if np.isinf(numbers).any():
        raise ValueError("Input X contains infinity.")
    return numbers


def naive(series: Any) -> np.ndarray:
    """Return times of an array; those of pandas in UTC and without their zone."""
    if isinstance(series, np.ndarray):
        return series
    has_zone = zone_of(series.dtype) is not None
    times = (series.dt.tz_convert(None) if has_zone else series).to_numpy()
    # Dates of pyarrow come as objects.
    return times.astype("datetime64[us]") if times.dtype == object else times


# to a table


def array_of(values: np.ndarray, missing: np.ndarray, column: Column) -> np.ndarray:
    """Cells as a column of an array."""
    if column.kind == "time":
        times = values.view(np.dtype(column.ticks))
        times[missing] = "NaT"
        return times
    if column.kind == "category" or column.dtype == "object":
        values = with_null(values, missing, column.null)
        if np.dtype(column.dtype).kind in "mMSU":
            return values.astype(column.dtype)
    elif missing.any():
        values = np.where(missing, np.nan, values)
    return as_numbers(values, column.dtype)


def pandas_of(values: np.ndarray, missing: np.ndarray, column: Column) -> Any:
    """Cells as a Series of pandas."""
    pandas = import_module("pandas")
    dtype = column.dtype
    if column.levels is not None:
        dtype = pandas.CategoricalDtype(column.levels, column.ordered)
    if column.kind == "time":
        times = pandas.Series(array_of(values, missing, column))
        if column.zone is not None:
            times = times.dt.tz_localize(
                column.zone if column.by_clock else "UTC",
                ambiguous=np.ones(len(times), dtype=bool),
                nonexistent="shift_forward",
            )
        return times.astype(dtype)
    if values.dtype == object or column.dtype == "object":
        return pandas.Series(with_null(values, missing, column.null), dtype=dtype)
    numbers = pandas.Series(as_numbers(values, dtype))
    if missing.any():
        numbers = numbers.convert_dtypes().mask(missing)
    return numbers.astype(dtype)


def polars_of(values: np.ndarray, missing: np.ndarray, column: Column) -> Any:
    """Cells as a Series of polars."""
    polars = import_module("polars")
    if column.kind == "number":
        values = as_numbers(values, column.dtype)
    cells = with_null(values, missing, column.null).tolist()
    series, dtype = polars.Series(cells, strict=False), polars_type(column)
    if column.by_clock:
        shown = series.cast(polars.Datetime(dtype.time_unit))
        # Times that clocks skip are as far from a day before.
        day = timedelta(days=1)
        later = moments(shown - day, column.zone) + day
        series = moments(shown, column.zone).fill_null(later)
    return series.cast(dtype)


def moments(shown: Any, zone: Any) -> Any:
    """Moments at which clocks first show times of polars, null of those they skip."""
    return shown.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")


def with_null(values: np.ndarray, missing: np.ndarray, null: Any) -> np.ndarray:
    """Values as objects, with one of them for those that are missing."""
    objects = values.astype(object)
    objects[missing] = null
    return objects


def decimals(values: np.ndarray) -> np.ndarray:
    """Numbers as objects of Python's decimal type."""
    objects = np.empty(len(values), dtype=object)
    objects[:] = [Decimal(str(value)) for value in values.tolist()]
    return objects


def as_numbers(values: np.ndarray, name: Any) -> np.ndarray:
    """Values in the type of numbers that is named so, if it is one."""
    dtype = number_type(str(name))
    if dtype is None or values.dtype.kind == "f":
        return of_type(values, str(name))
    return values.astype(dtype)


def zone_of(dtype: Any) -> Any:
    """Time zone of a type of pandas, of pyarrow in it, or of polars, if it has one."""
    dtype = getattr(dtype, "pyarrow_dtype", dtype)
    return getattr(dtype, "tz", None) or getattr(dtype, "time_zone", None)


def polars_type(column: Column) -> Any:
    """Type of a column of polars."""
    dtype = column.dtype
    return getattr(import_module("polars"), dtype) if isinstance(dtype, str) else dtype


WRITERS = {"numpy": array_of, "pandas": pandas_of, "polars": polars_of}
