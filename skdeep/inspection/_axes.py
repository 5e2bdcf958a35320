"""Where a display draws: the axes it was given, new ones, or panels inside them."""

from typing import Any

import numpy as np


def axes_for(ax: Any, display: Any, size: tuple[float, float] = (6.4, 4.8)) -> Any:
    """Axes given, or the only ones of a new figure of that size in inches.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__} draws with matplotlib, which is not installed: "
            "pip install matplotlib."
        ) from error
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def panels_in(ax: Any, n_rows: int, n_columns: int) -> np.ndarray:
    """Replace axes by a grid of panels of shape (n_rows, n_columns)."""
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "The 'ax' parameter must be axes of a grid, which this display parts into "
            "panels. Got axes that were placed by hand; plt.subplots() and "
            "figure.subplots() make such that can be parted."
        )
    ax.set_axis_off()
    grid = place.subgridspec(n_rows, n_columns)
    panels = np.empty((n_rows, n_columns), dtype=object)
    for row, column in np.ndindex(n_rows, n_columns):
        panels[row, column] = ax.figure.add_subplot(grid[row, column])
    return panels


def require(estimator: Any, method: str, display: str, instead: str) -> None:
    """Raise if an estimator lacks the method that a display calls."""
    if not hasattr(estimator, method):
        raise TypeError(
            f"{display} needs an estimator with the method {method}, and "
            f"{type(estimator).__name__} has none. {instead}"
        )


def require_option(name: str, value: Any, options: tuple[str, ...]) -> None:
    """Raise if a parameter is none of its options."""
    if value not in options:
        accepted = ", ".join(repr(option) for option in options)
        raise ValueError(
            f"The {name!r} parameter must be one of {accepted}. Got {value!r} instead."
        )


def literal(value: Any) -> str:
    """Text of a value, in which what is between two dollars is no formula."""
    return str(value).replace("$", r"\$")


def short_names(names: Any, most: int) -> list[str]:
    """Names as literal text; those of more characters lose their middle."""
    kept = (most - 1) // 2
    texts = [str(name) for name in names]
    return [
        literal(text if len(text) <= most else f"{text[:kept]}…{text[-kept:]}")
        for text in texts
    ]
