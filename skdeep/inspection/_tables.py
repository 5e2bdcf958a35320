"""Columns of tables, drawn alone and in pairs, real rows beside drawn ones."""

from datetime import datetime
from typing import Any

import numpy as np
from scipy import sparse

from skdeep.base import flat_rows
from skdeep.inspection._axes import short_names
from skdeep.tables import as_times, column_names

Columns = dict[str, np.ndarray]

REAL, DRAWN = "0.45", "C1"
"""Colours."""

MOST_BINS, MOST_CATEGORIES, MOST_POINTS = 40, 12, 2000
"""Bins of a histogram, bars of a bar chart and points of a scatter plot, at most."""

LONGEST_NAME = 11
"""Characters of a category, below which a bar is to keep its height."""


def columns_of(X: Any) -> Columns:
    """Columns of a frame or array by name; those of an array are x0, x1, ..."""
    found = column_names(X)
    if found is None:
        columns = list(dense_rows(X).T)
        names = [f"x{i}" for i in range(len(columns))]
    else:
        columns = [column_at(X, i, name) for i, name in enumerate(found)]
        names = [str(name) for name in found]
    if len(set(names)) < len(names):  # as two columns of pandas may have one name
        names = [
            name if names.count(name) == 1 else f"{name} (column {i})"
            for i, name in enumerate(names)
        ]
    return dict(zip(names, map(of_numbers, columns), strict=True))


def column_at(X: Any, place: int, name: Any) -> np.ndarray:
    """Column of a frame or table, whose name others of pandas may have too."""
    return np.asarray(X.iloc[:, place] if hasattr(X, "iloc") else X[name])


def of_numbers(column: np.ndarray) -> np.ndarray:
    """Column of objects that are numbers, as decimals are, as floats; others as is."""
    if column.dtype.kind != "O" or any(isinstance(value, str) for value in column):
        return column
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError):
        return column


def dense_rows(X: Any) -> np.ndarray:
    """Array of rows, of images flattened ones; also of a sparse matrix or a tensor."""
    return X.toarray() if sparse.issparse(X) else np.asarray(flat_rows(X))


def chosen_columns(
    columns: Columns, names: list[str] | None, most: int, which: str
) -> Columns:
    """Columns of these names, or the first ones; `which` is what an error calls them.

    Raises
    ------
    ValueError
        If there is no column of a name.
    """
    if names is None:
        names = list(columns)[:most]
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise ValueError(
            f"The 'columns' parameter must name {which}: {list(columns)}. Got "
            f"{unknown} instead."
        )
    return {name: columns[name] for name in names}


def require_numbers(columns: Columns, table: str, advice: str) -> None:
    """Raise if a column of a named table holds what is no number."""
    for name, column in columns.items():
        try:
            column.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Column {name!r} of {table} holds other things than numbers. {advice}"
            ) from error


def is_number(column: np.ndarray) -> bool:
    """Whether a column holds numbers, of which it makes sense to tell bins."""
    return column.dtype.kind in "fiu"


def without_zone(moment: datetime) -> datetime:
    """Moment as the clocks of its zone showed it."""
    return moment.replace(tzinfo=None)


def in_days(column: np.ndarray) -> np.ndarray:
    """Moments as matplotlib counts them, and durations, in days; missing ones NaN."""
    from matplotlib.dates import date2num

    if column.dtype.kind == "M":
        return np.asarray(date2num(column))
    return column / np.timedelta64(1, "D")


def name_moments(axis: Any) -> None:
    """Let an axis of days tell moments, few enough for a small panel."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=4)
    axis.set_major_locator(locator)
    axis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def draw_marginal(
    ax: Any, name: str, drawn: np.ndarray, real: np.ndarray | None
) -> None:
    """Draw how one column is distributed."""
    if real is None:
        (drawn,) = as_times([drawn], without_zone)
    else:
        drawn, real = as_times([drawn, real], without_zone)
    kind = drawn.dtype.kind
    if kind in "mM" and (real is None or real.dtype.kind == kind):
        drawn, real = in_days(drawn), None if real is None else in_days(real)
        name = f"{name} (days)" if kind == "m" else name
    if is_number(drawn):
        both = drawn if real is None else np.concatenate([real, drawn])
        n_bins = int(np.clip(len(both) ** 0.5, 8, MOST_BINS))
        bins = np.histogram_bin_edges(both[np.isfinite(both)], n_bins)
        if real is not None:
            ax.hist(real, bins, density=True, color=REAL, alpha=0.5, label="real")
        ax.hist(drawn, bins, density=True, histtype="step", color=DRAWN, label="drawn")
        if kind == "M":
            name_moments(ax.xaxis)
    else:
        draw_shares(ax, drawn.astype(str), None if real is None else real.astype(str))
    ax.set(xlabel=name, yticks=[])


def draw_shares(ax: Any, drawn: np.ndarray, real: np.ndarray | None) -> None:
    """Draw the shares of the largest categories as bars."""
    known = drawn if real is None else real
    names, counts = np.unique(known, return_counts=True)
    names = names[counts.argsort(kind="stable")[::-1][:MOST_CATEGORIES]]
    places = np.arange(len(names))
    if real is not None:
        shares = [np.mean(real == name) for name in names]
        ax.bar(places, shares, color=REAL, alpha=0.5, label="real")
    shares = [np.mean(drawn == name) for name in names]
    ax.bar(places, shares, fill=False, edgecolor=DRAWN, label="drawn")
    shown = short_names(names, LONGEST_NAME)
    ax.set_xticks(places, shown, rotation=90 if max(map(len, shown)) > 3 else 0)


def draw_pair(
    ax: Any,
    drawn: tuple[np.ndarray, np.ndarray],
    real: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Draw two columns against each other."""
    for pair, color in ((real, REAL), (drawn, DRAWN)):
        if pair is not None:
            step = -(-len(pair[0]) // MOST_POINTS)
            x, y = (column[::step] for column in pair)
            size = float(np.clip(2e3 / len(x), 2, 10))
            ax.scatter(x, y, s=size, color=color, alpha=0.5, linewidths=0)
