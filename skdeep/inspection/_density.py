"""Density of rows in the plane."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import check_array, check_scalar

from skdeep.base import BaseDeepEstimator, flat_rows
from skdeep.inspection._axes import axes_for, require
from skdeep.inspection._tables import columns_of, require_numbers
from skdeep.sampling import classes_for
from skdeep.tables import column_names, named_like, numpy_of
from skdeep.wrapping import fitted_model, unwrapped

DEPTH = 12.0
"""Nats below the largest log-density at which its colours end."""

OF_NUMBERS = (
    "A density is drawn over two columns of numbers; SampleDisplay shows columns of "
    "all kinds."
)
"""What to do about columns of other things."""


class DensityDisplay:
    """Density of a model of two columns, over the plane.

    Parameters
    ----------
    x : ndarray of shape (n_x,)
        First coordinates of the grid.
    y : ndarray of shape (n_y,)
        Second coordinates of the grid.
    log_density : ndarray of shape (n_y, n_x)
        Log-density at the points of the grid, in nats.
    rows : array-like of shape (n_samples, 2) or None, default=None
        Rows drawn as points above the density.
    feature_names : tuple of str, default=("x0", "x1")
        Names of the two columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that hold the picture.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    mesh_ : matplotlib QuadMesh
        Density.

    See Also
    --------
    SampleDisplay : Rows drawn from a model.
    sklearn.inspection.DecisionBoundaryDisplay : Predictions over the plane.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skdeep.generative import FlowSampler
    >>> from skdeep.inspection import DensityDisplay
    >>> X, _ = make_moons(200, noise=0.1, random_state=0)
    >>> flow = FlowSampler(n_couplings=2, max_iter=2).fit(X)
    >>> display = DensityDisplay.from_estimator(flow, X, grid_resolution=50)
    >>> display.log_density.shape
    (50, 50)
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        log_density: np.ndarray,
        *,
        rows: Any = None,
        feature_names: tuple[str, str] = ("x0", "x1"),
    ) -> None:
        self.x = x
        self.y = y
        self.log_density = log_density
        self.rows = rows
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        grid_resolution: int = 150,
        margin: float = 0.15,
        show_rows: bool = False,
        log: bool = False,
        ax: Any = None,
    ) -> Self:
        """Draw the density of a fitted model around rows.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of two columns whose `score_samples` is a log-density.
        X : array-like of shape (n_samples, 2)
            Rows around which the density is drawn.
        y : class or None, default=None
            Class whose density is drawn, of a conditional sampler. None: that of the
            mixture of all classes.
        grid_resolution : int, default=150
            Points of the grid along each column.
        margin : float, default=0.15
            Width around the rows, as a share of their range.
        show_rows : bool, default=False
            Whether the rows are drawn too.
        log : bool, default=False
            Whether colours are log-densities, which show the tails.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : DensityDisplay

        Raises
        ------
        TypeError
            If the estimator has no `score_samples`, or takes no class but is given
            one; or if `grid_resolution` is no integer.
        ValueError
            If the rows have not two columns of numbers, if y is no single class, or if
            the grid has no points.
        """
        model = unwrapped(estimator)
        require(
            model,
            "score_samples",
            "DensityDisplay.from_estimator",
            "FlowSampler, VAESampler, DiffusionSampler, GaussianMixture and "
            "KernelDensity have one.",
        )
        grid_resolution = check_scalar(
            grid_resolution, "grid_resolution", Integral, min_val=1
        )
        if np.ndim(y) > 0:
            raise ValueError(
                "The 'y' parameter must be one class, whose density is drawn. Got "
                f"{len(y)} of them."
            )
        found = column_names(X)
        names = ("x0", "x1") if found is None else tuple(map(str, found))
        try:
            rows = check_array(flat_rows(X), dtype=np.float64, input_name="X")
        except (TypeError, ValueError):
            if np.ndim(X) == 2:
                require_numbers(columns_of(X), "X", OF_NUMBERS)
            raise
        if rows.shape[1] != 2:
            raise ValueError(
                f"A density can be drawn over two columns. Got X with {rows.shape[1]}; "
                "SampleDisplay shows more."
            )
        low, high = rows.min(axis=0), rows.max(axis=0)
        around = margin * (high - low)
        across, up = np.linspace(low - around, high + around, grid_resolution).T
        grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
        if hasattr(model, "feature_names_in_"):
            grid = named_like(X, grid)
        if y is not None:
            require_classes(model)
        given = classes_for(model, "score_samples", numpy_of(y))
        log_density = np.asarray(model.score_samples(grid, **given))
        display = cls(
            across,
            up,
            log_density.reshape(len(up), len(across)),
            rows=rows if show_rows else None,
            feature_names=(names[0], names[1]),
        )
        return display.plot(ax, log=log)

    def plot(self, ax: Any = None, *, log: bool = False, cmap: str = "viridis") -> Self:
        """Draw the density.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        log : bool, default=False
            Whether colours are log-densities, down to 12 nats below the largest.
        cmap : str, default="viridis"
            Colour map of the density.

        Returns
        -------
        display : DensityDisplay
        """
        self.ax_ = axes_for(ax, self)
        self.figure_ = self.ax_.figure
        log_density = np.asarray(self.log_density, dtype=float)
        if log:
            largest = log_density.max()
            values = np.maximum(log_density, largest - DEPTH)
        else:
            values = np.exp(log_density)
        self.mesh_ = self.ax_.pcolormesh(self.x, self.y, values, cmap=cmap)
        label = "log-density (nats)" if log else "density"
        self.figure_.colorbar(
            self.mesh_, ax=self.ax_, label=label, extend="min" if log else "neither"
        )
        if self.rows is not None:
            self.ax_.scatter(*np.asarray(self.rows).T, s=3, c="white", alpha=0.5)
        self.ax_.set(xlabel=self.feature_names[0], ylabel=self.feature_names[1])
        return self


def require_classes(model: Any) -> None:
    """Raise unless a sampler, be it behind other steps, scores rows in a class.

    Those of skdeep ignore y, as scikit-learn wants it, unless they know classes.
    """
    model = fitted_model(model)
    classes_for(model, "score_samples", "any")
    if isinstance(model, BaseDeepEstimator) and not hasattr(model, "classes_"):
        raise TypeError(
            f"y was given, but this {type(model).__name__} knows no classes. Fit it "
            "with conditional=True and the class of each row as y."
        )
