"""Tables of any container: what their columns are called, and their rows as arrays.

Containers are NumPy arrays, tensors, sparse matrices, lists, and frames of pandas,
polars and pyarrow. Tables come by name, ``{"X_real": X_real, "X_sampled": X_sampled}``,
so that errors can name them.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import torch
from scipy import sparse

from skdeep._compat import is_null

IN_NUMPY = torch.float16, torch.float32, torch.float64
"""Floating-point types of tensors that NumPy has."""

TIMES = {"M": (date, np.datetime64), "m": (timedelta, np.timedelta64)}
"""Kind of NumPy's type -> objects that are such: moments, and durations."""


def numpy_of(X: Any) -> Any:
    """Return tensors as arrays, sparse ones as CSR arrays, and all else as it is.

    Raises
    ------
    TypeError
        If it is a lazy frame, holds annotations beside a matrix, as AnnData does, or is
        an estimator: searches hand these to scores that are taken for scorers.
    """
    if is_lazy(X):
        raise TypeError("A lazy frame has no rows: pass what its collect() returns.")
    if hasattr(type(X), "obs_names") and hasattr(type(X), "X"):
        raise TypeError(f"{type(X).__name__} holds more than rows: pass its .X alone.")
    if hasattr(type(X), "get_params"):
        raise TypeError(
            f"{type(X).__name__} is an estimator, and no rows or labels. To scoring= "
            "give a scorer, such as neighbor_modularity_scorer, in place of a score."
        )
    return array_of(X.detach().cpu()) if isinstance(X, torch.Tensor) else X


def is_lazy(X: Any) -> bool:
    """Whether X is a frame that is not read yet, which warns if asked for columns."""
    return hasattr(type(X), "collect") and hasattr(type(X), "columns")


def array_of(tensor: torch.Tensor) -> np.ndarray | sparse.csr_array:
    """Numbers of a tensor that is on the CPU, in a type that NumPy has."""
    if tensor.layout != torch.strided:
        entries = tensor.to_sparse().coalesce()
        places = tuple(entries.indices().numpy())
        values = array_of(entries.values())
        return sparse.csr_array((values, places), shape=tuple(tensor.shape))
    if tensor.is_floating_point() and tensor.dtype not in IN_NUMPY:
        tensor = tensor.float()
    return tensor.resolve_conj().resolve_neg().numpy()


def added_up(X: np.ndarray | sparse.csr_matrix) -> np.ndarray | sparse.csr_matrix:
    """Rows whose entries are stored once each: sparse ones may be stored in parts.

    What reads stored entries one by one, as statistics of columns do, needs sums.
    """
    if isinstance(X, np.ndarray) or X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def as_times(
    columns: Sequence[np.ndarray], clock: Callable[[datetime], Any]
) -> Sequence[np.ndarray]:
    """Columns of objects in NumPy's types, if all hold moments, or all durations.

    `clock` makes of a moment of a zone one without.
    """
    if all(c.dtype == object and all(map(is_null, c)) for c in columns):
        return columns  # nothing is known of them

    def in_numpy(cell: Any) -> Any:
        if is_null(cell):
            return None
        return clock(cell) if getattr(cell, "tzinfo", None) is not None else cell

    for code, kinds in TIMES.items():
        if all(c.dtype.kind == code or holds_only(c, kinds) for c in columns):
            return [
                np.array([*map(in_numpy, c)], f"{code}8[us]")
                if c.dtype == object
                else c
                for c in columns
            ]
    return columns


def holds_only(column: np.ndarray, kinds: tuple[type, ...]) -> bool:
    """Whether a column has objects of some kinds, and missing cells."""
    return column.dtype == object and all(
        isinstance(cell, kinds) or is_null(cell) for cell in column
    )


def n_rows(X: Any) -> int:
    """Count the rows of an array, a matrix, a data frame or a list."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def column_names(X: Any) -> Any:
    """Names of the columns of a frame or of a table of pyarrow, else None."""
    if is_lazy(X):
        return None
    # A pyarrow table has its columns themselves where frames have the names.
    named = "column_names" if hasattr(type(X), "column_names") else "columns"
    return getattr(X, named, None)


def named_like(reference: Any, X: Any) -> Any:
    """Array X as a frame or table of the columns of another; anything else as is."""
    names = column_names(reference)
    if names is None or not isinstance(X, np.ndarray) or X.ndim != 2:
        return X
    if len(set(names)) != X.shape[1]:
        return X
    # That of pyarrow is made by a method.
    table = getattr(type(reference), "from_pydict", type(reference))
    return table(dict(zip(names, X.T, strict=True)))


def selected(X: Any, names: Any) -> Any:
    """Frame or table of these columns only, in this order."""
    return X.select(names) if hasattr(type(X), "select") else X[names]


def aligned_tables(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the tables, the columns of data frames in the order of the first one."""
    for name, X in tables.items():
        if isinstance(X, tuple) and len(X) == 2 and np.ndim(X[0]) == 2:
            raise ValueError(
                f"{name} is a pair of arrays, as GaussianMixture.sample returns it. "
                f"Pass the rows alone: {name}[0]."
            )
    first = next(iter(tables))
    return {
        name: with_columns_of(tables[first], X, first, name)
        for name, X in tables.items()
    }


def with_columns_of(reference: Any, X: Any, reference_name: str, name: str) -> Any:
    """Table with its columns in the order of a reference's, if both have names."""
    expected, found = column_names(reference), column_names(X)
    if expected is None or found is None:
        return X
    expected, found = list(expected), list(found)
    if set(expected) != set(found):
        missing = sorted(set(expected) - set(found), key=str)
        unknown = sorted(set(found) - set(expected), key=str)
        raise ValueError(
            f"{reference_name} and {name} must have the same columns. Only in "
            f"{reference_name}: {missing}; only in {name}: {unknown}."
        )
    return X if expected == found else selected(X, expected)
