"""How a table was kept, so that new rows can be given back in the same way."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class TableFormat:
    """Kind of a table, the names of its columns and the types of its numbers.

    Columns of pandas may have names on several levels, and levels have names, too. Of
    columns of numbers that do not vary the value is known, of all others it is None.

    Names of types stand for the types, so that it can be pickled without the package
    that made the table.
    """

    container: str
    columns: list[Hashable] | None
    dtypes: list[str]
    constants: list[float | None]
    levels: list[Hashable] | None = None

    @classmethod
    def of(cls, X: Any) -> Self | None:
        """Format of an array or a DataFrame; None of anything else."""
        container = container_of(X)
        if container is None:
            return None
        if container == "numpy":
            # "<U1", the name of text, would read as that of bytes.
            dtype = "str" if X.dtype.kind in "US" else str(X.dtype)
            constants = [constant_of(column) for column in X.T] if X.ndim == 2 else []
            return cls(container, None, [dtype], constants)
        columns, dtypes = list(X.columns), [str(dtype) for dtype in X.dtypes]
        levels = list(X.columns.names) if container == "pandas" else None
        series = X.items() if container == "pandas" else zip(columns, X, strict=True)
        constants = [constant_of(column) for _, column in series]
        return cls(container, columns, dtypes, constants, levels)

    def restored(self, X: Any) -> Any:
        """Rows X as an array or DataFrame of this format.

        A DataFrame is left as it is: who made it knew the columns.
        """
        if container_of(X) in ("pandas", "polars"):
            return X
        X = np.asarray(X)
        if self.columns is None:
            X = of_type(X, self.dtypes[0])
            for j, constant in enumerate(self.constants):
                if constant is not None:
                    X[:, j] = unrounded(X[:, j], constant)
            return X
        package = self._package()
        columns = [
            unrounded(of_type(values, dtype), constant)
            for values, dtype, constant in zip(
                X.T, self.dtypes, self.constants, strict=True
            )
        ]
        if self.container == "polars":
            return self.framed([*map(of_one_kind, columns)])
        # Types of numbers that only pandas knows can hold missing values.
        series = [
            package.Series(column).astype(dtype)
            if column.dtype.kind in "biuf" and is_only_of_pandas(dtype)
            else package.Series(column).infer_objects()
            for column, dtype in zip(columns, self.dtypes, strict=True)
        ]
        return self.framed(series)

    def framed(self, columns: Sequence[Any]) -> Any:
        """DataFrame of the container, of columns under the names of this format."""
        package, names = self._package(), self.columns or []
        if self.container == "polars":
            named = dict(zip(names, columns, strict=True))
            return package.DataFrame(named, strict=False)
        frame = package.DataFrame(dict(enumerate(columns)))
        return frame.set_axis(column_index(package, names, self.levels), axis=1)

    def _package(self) -> Any:
        if self.container not in ("pandas", "polars"):  # a name read from a file
            raise ValueError(f"Tables of {self.container!r} are unknown.")
        return import_module(self.container)


def container_of(X: Any) -> str | None:
    """Package of an array or DataFrame, which need not be importable here."""
    if isinstance(X, np.ndarray):
        return "numpy"
    for parent in type(X).__mro__:
        package = parent.__module__.partition(".")[0]
        if parent.__name__ == "DataFrame" and package in ("pandas", "polars"):
            return package
    return None


def column_index(
    pandas: Any, columns: list[Hashable], levels: list[Hashable] | None
) -> Any:
    """Names of columns as pandas keeps them."""
    if levels is not None and len(levels) > 1:
        return pandas.MultiIndex.from_tuples(columns, names=levels)
    return pandas.Index(columns, name=levels and levels[0], tupleize_cols=False)


def of_type(values: np.ndarray, name: str) -> np.ndarray:
    """Values as numbers of a named type: the nearest that it can hold.

    Values stay as they are if they are no numbers, as the name of all infrequent ones
    is not, or if the name is not that of a type of numbers. They stay floats if one of
    them is missing, for which there is no integer.
    """
    dtype = number_type(name)
    if dtype is None:
        return values
    try:
        values = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return values
    if dtype.kind == "f":
        return values.astype(dtype)
    low, high = (0, 1) if dtype.kind == "b" else limits(dtype)
    values = np.clip(np.rint(values), low, high)
    return values if np.isnan(values).any() else values.astype(dtype)


def of_one_kind(values: np.ndarray) -> np.ndarray | list[Any]:
    """Objects as a list without NaN, from which polars finds a type for all of them."""
    if values.dtype.kind != "O":
        return values
    return [None if value != value else value for value in values]


def constant_of(column: Any) -> float | None:
    """Value of a column of numbers, if it has only one."""
    values = np.asarray(column)
    if values.dtype.kind not in "iuf" or not len(values):
        return None
    return values[0].item() if (values == values[0]).all() else None


def unrounded(values: np.ndarray, constant: float | None) -> np.ndarray:
    """Values, or the constant where they differ from it as float32 may."""
    if constant is None or values.dtype.kind not in "iuf":
        return values
    return np.where(np.isclose(values, constant, atol=0), constant, values)


def limits(dtype: np.dtype) -> tuple[float, float]:
    """Smallest and largest float64 numbers that an integer type can hold."""
    info = np.iinfo(dtype)
    high = float(info.max)
    return float(info.min), high if high <= info.max else float(np.nextafter(high, 0))


def number_type(name: str) -> np.dtype | None:
    """NumPy's type of numbers of that name, be it spelt as in pandas or polars."""
    name = name.partition("[")[0].lower().replace("boolean", "bool")
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError):  # the latter of a name with commas
        return None
    return dtype if dtype.kind in "biuf" else None


def is_only_of_pandas(name: str) -> bool:
    """Whether a type of numbers is spelt as NumPy spells none."""
    dtype = number_type(name)
    return dtype is not None and dtype.name != name
