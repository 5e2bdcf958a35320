"""Rows drawn from a model, beside real ones."""

from typing import Any, Self

import numpy as np

from skdeep.inspection._axes import (
    axes_for,
    panels_in,
    require,
    require_option,
)
from skdeep.inspection._images import (
    ImageShape,
    draw_images,
    images_of,
    known_image_shape,
    limits_of,
)
from skdeep.inspection._tables import (
    Columns,
    chosen_columns,
    columns_of,
    draw_marginal,
    draw_pair,
    is_number,
)
from skdeep.sampling import drawn_rows
from skdeep.tables import n_rows, numpy_of
from skdeep.wrapping import fitted_model, unwrapped

KINDS = ("auto", "images", "marginals", "pairs")
MOST_MARGINALS, MOST_PAIRED = 12, 4
"""Columns that are shown where none are named."""

N_IMAGES = 25
"""Images drawn and, beside them, real ones."""


class SampleDisplay:
    """Rows drawn from a model, beside real ones.

    Images are laid out in a square. Of tables, either each column is shown
    (marginals), numbers and times as histograms and categories as bars, or columns
    against each other (pairs).

    Parameters
    ----------
    samples : array-like of shape (n_samples, n_features)
        Drawn rows.
    X : array-like of shape (n_rows, n_features) or None, default=None
        Real rows.
    image_shape : (int, int, int) or None, default=None
        Channels, height and width, if rows are images.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that were given or made, and parted into panels.

    axes_ : ndarray of matplotlib Axes
        Panels: of shape (1, 2) for real and drawn images, (1, 1) for drawn ones alone,
        (n_rows, n_columns) for marginals, (n_features, n_features) for pairs.

    figure_ : matplotlib Figure
        Figure that holds them.

    See Also
    --------
    DensityDisplay : The density of a model of two columns.
    ReconstructionDisplay : Rows beside what a model rebuilds of them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.generative import FlowSampler
    >>> from skdeep.inspection import SampleDisplay
    >>> X = load_iris(as_frame=True).data
    >>> flow = FlowSampler(n_couplings=2, max_iter=2).fit(X)
    >>> display = SampleDisplay.from_estimator(flow, X, kind="pairs")
    >>> display.axes_.shape
    (4, 4)
    """

    def __init__(
        self, samples: Any, X: Any = None, *, image_shape: ImageShape | None = None
    ) -> None:
        self.samples = samples
        self.X = X
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        y: Any = None,
        *,
        n_samples: int | None = None,
        random_state: Any = None,
        image_shape: ImageShape | None = None,
        kind: str = "auto",
        columns: list[str] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw rows from a sampler, and then their picture.

        Parameters
        ----------
        estimator : estimator
            A fitted sampler, a :class:`~skdeep.compose.SamplerPipeline`, or a search
            over such.
        X : array-like of shape (n_rows, n_features) or None, default=None
            Real rows to compare with, a sparse matrix too.
        y : class, array-like of shape (n_samples,) or None, default=None
            Class of all drawn rows or of each, of a conditional sampler. X should hold
            real rows of the same. None: as the sampler draws them.
        n_samples : int or None, default=None
            Rows to draw. None: as many as y has, or else X, if at most 2000, or 1000
            without either; 25 images.
        random_state : int, RandomState instance or None, default=None
            Seed of the drawn rows.
        image_shape : (int, int, int) or None, default=None
            Channels, height and width. None: that of X or of the estimator, if they
            are of images.
        kind : {"auto", "images", "marginals", "pairs"}, default="auto"
            What is drawn: see `plot`.
        columns : list of str or None, default=None
            Names of the columns that are shown; arrays have those of
            the other rows, or else x0, x1, ...
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : SampleDisplay

        Raises
        ------
        TypeError
            If the estimator draws no rows, or takes no seed or no classes but is given
            some.
        """
        sampler = unwrapped(estimator)
        require(
            sampler,
            "sample",
            "SampleDisplay.from_estimator",
            "Samplers have it, and behind other steps a SamplerPipeline.",
        )
        image_shape = known_image_shape(image_shape, X, fitted_model(estimator))
        if n_samples is None and np.ndim(y) > 0:
            n_samples = len(y)
        elif n_samples is None:
            n_samples = 1000 if X is None else min(n_rows(X), 2000)
            if image_shape is not None and kind in ("auto", "images"):
                n_samples = N_IMAGES
        samples = drawn_rows(
            sampler, n_samples, random_state, y=numpy_of(y), needs_seed=True
        )
        return cls.from_samples(
            samples, X, image_shape=image_shape, kind=kind, columns=columns, ax=ax
        )

    @classmethod
    def from_samples(
        cls,
        samples: Any,
        X: Any = None,
        *,
        image_shape: ImageShape | None = None,
        kind: str = "auto",
        columns: list[str] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw rows that are there already.

        Parameters
        ----------
        samples : array-like of shape (n_samples, n_features)
            Drawn rows, or images of shape (n_samples, C, H, W).
        X : array-like of shape (n_rows, n_features) or None, default=None
            Real rows to compare with, a sparse matrix too.
        image_shape : (int, int, int) or None, default=None
            Channels, height and width, if rows are images.
        kind : {"auto", "images", "marginals", "pairs"}, default="auto"
            What is drawn: see `plot`.
        columns : list of str or None, default=None
            Names of the columns that are shown; arrays have those of
            the other rows, or else x0, x1, ...
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : SampleDisplay
        """
        image_shape = known_image_shape(image_shape, samples)
        display = cls(samples, X, image_shape=image_shape)
        return display.plot(ax, kind=kind, columns=columns)

    def plot(
        self,
        ax: Any = None,
        *,
        kind: str = "auto",
        columns: list[str] | None = None,
        cmap: str = "gray_r",
    ) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        kind : {"auto", "images", "marginals", "pairs"}, default="auto"
            What is drawn. ``"auto"``: images where their shape is known, pairs of at
            most four columns of numbers, and else marginals.
        columns : list of str or None, default=None
            Names of the columns that are shown. None: the first 12, or the first four
            that hold numbers in pairs.
        cmap : str, default="gray_r"
            Colour map of images of one channel.

        Returns
        -------
        display : SampleDisplay

        Raises
        ------
        ValueError
            If `kind` is none of these, or asks for images of unknown shape, or if
            drawn and real rows differ in their columns.
        """
        require_option("kind", kind, KINDS)
        if self.image_shape is None and kind == "images":
            raise ValueError(
                'kind="images" needs the shape of an image: pass image_shape=(C, H, W).'
            )
        if self.image_shape is not None and kind in ("auto", "images"):
            return self._plot_images(ax, cmap, self.image_shape)
        drawn, real = alike(self.samples, self.X)
        if columns is not None:
            columns = [str(name) for name in columns]
        if kind == "auto":
            shown = columns or list(drawn)
            of_numbers = all(is_number(drawn[name]) for name in shown if name in drawn)
            few = len(shown) <= MOST_PAIRED
            kind = "pairs" if few and of_numbers else "marginals"
        if kind == "pairs":
            numbers = {name: c for name, c in drawn.items() if is_number(c)}
            which = 'columns of numbers for kind="pairs"'
            chosen = chosen_columns(numbers, columns, MOST_PAIRED, which)
            return self._plot_pairs(ax, chosen, real)
        chosen = chosen_columns(drawn, columns, MOST_MARGINALS, "columns of the rows")
        return self._plot_marginals(ax, chosen, real)

    def _plot_images(self, ax: Any, cmap: str, image_shape: ImageShape) -> Self:
        shown = {"drawn": images_of(self.samples, image_shape)[:N_IMAGES]}
        if self.X is not None:
            real = images_of(self.X, image_shape)[:N_IMAGES]
            shown = {"real": real, **shown}
        limits = limits_of(next(iter(shown.values())))
        self.ax_ = axes_for(ax, self, (3.6 * len(shown), 3.8))
        self.figure_ = self.ax_.figure
        self.axes_ = panels_in(self.ax_, 1, len(shown))
        for panel, (title, images) in zip(self.axes_[0], shown.items(), strict=True):
            draw_images(panel, images, int(np.ceil(len(images) ** 0.5)), cmap, limits)
            panel.set_title(title)
        return self

    def _plot_marginals(self, ax: Any, drawn: Columns, real: Columns | None) -> Self:
        n_columns = min(len(drawn), 4)
        n_rows = -(-len(drawn) // n_columns)
        self.ax_ = axes_for(ax, self, (2.4 * n_columns + 0.6, 1.9 * n_rows + 0.6))
        self.figure_ = self.ax_.figure
        self.axes_ = panels_in(self.ax_, n_rows, n_columns)
        for panel in self.axes_.flat[len(drawn) :]:
            panel.set_axis_off()
        for panel, (name, column) in zip(self.axes_.flat, drawn.items(), strict=False):
            draw_marginal(panel, name, column, None if real is None else real[name])
        if real is not None:
            self.axes_[0, 0].legend(fontsize="small")
        return self

    def _plot_pairs(self, ax: Any, drawn: Columns, real: Columns | None) -> Self:
        names = list(drawn)
        side = 1.9 * len(names) + 0.6
        self.ax_ = axes_for(ax, self, (side, side))
        self.figure_ = self.ax_.figure
        self.axes_ = panels_in(self.ax_, len(names), len(names))
        for (i, j), panel in np.ndenumerate(self.axes_):
            x, y = names[j], names[i]
            if i == j:
                draw_marginal(panel, x, drawn[x], None if real is None else real[x])
            else:
                beside = None if real is None else (real[x], real[y])
                draw_pair(panel, (drawn[x], drawn[y]), beside)
            panel.set(
                xlabel=x if i == len(names) - 1 else "", ylabel=y if j == 0 else ""
            )
            panel.label_outer()
        if real is not None:
            self.axes_[0, 0].legend(fontsize="small")
        return self


def alike(samples: Any, X: Any) -> tuple[Columns, Columns | None]:
    """Columns of drawn and of real rows; an array has the names of the other ones.

    Raises
    ------
    ValueError
        If drawn rows have other columns than real ones.
    """
    drawn = columns_of(samples)
    if X is None:
        return drawn, None
    real = columns_of(X)
    if hasattr(samples, "columns") and hasattr(X, "columns"):
        differ = not drawn.keys() <= real.keys()
    else:
        differ = len(drawn) != len(real)
    if differ:
        raise ValueError(
            "Drawn and real rows must have the same columns. Got "
            f"{list(drawn)} drawn and {list(real)} real."
        )
    if not hasattr(samples, "columns"):
        drawn = dict(zip(real, drawn.values(), strict=True))
    elif not hasattr(X, "columns"):
        real = dict(zip(drawn, real.values(), strict=True))
    return drawn, real
