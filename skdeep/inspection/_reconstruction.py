"""Rows beside what a model rebuilds of them."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.utils import check_scalar

from skdeep.inspection._axes import axes_for, require
from skdeep.inspection._images import (
    ImageShape,
    draw_images,
    images_of,
    known_image_shape,
    limits_of,
)
from skdeep.inspection._tables import columns_of, require_numbers
from skdeep.sampling import classes_for
from skdeep.tables import aligned_tables, numpy_of
from skdeep.wrapping import fitted_model, unwrapped

MOST_COLUMNS = 20
"""Columns of a table that are shown: those rebuilt worst."""

OF_NUMBERS = (
    "Only numbers have a variance. Draw the columns that hold them: "
    "ReconstructionDisplay.from_reconstruction(X[names], reconstruction[names])."
)
"""What to do about columns of other things."""


class ReconstructionDisplay:
    """Rows beside what a model rebuilds of them.

    Images are drawn above their reconstructions. Of a table, bars show how much of the
    variance of each column is rebuilt: 1 is all of it, 0 as much as its mean would, and
    bars end at -1. Missing cells do not count.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows.
    reconstruction : array-like of shape (n_samples, n_features)
        What the model made of them.
    image_shape : (int, int, int) or None, default=None
        Channels, height and width, if rows are images.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that hold the picture.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    SampleDisplay : Rows drawn from a model.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.inspection import ReconstructionDisplay
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X = load_iris(as_frame=True).data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=5).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(autoencoder, X)
    >>> display.ax_.get_xlabel()
    'share of the variance rebuilt'
    """

    def __init__(
        self, X: Any, reconstruction: Any, *, image_shape: ImageShape | None = None
    ) -> None:
        self.X = X
        self.reconstruction = reconstruction
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        image_shape: ImageShape | None = None,
        n_images: int = 10,
        ax: Any = None,
    ) -> Self:
        """Draw rows and what an estimator rebuilds of them.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with `transform` and `inverse_transform`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, or images of shape (n_samples, C, H, W).
        y : class, array-like of shape (n_samples,) or None, default=None
            Class of all rows or of each, of a conditional sampler.
        image_shape : (int, int, int) or None, default=None
            Channels, height and width. None: that of X or of the estimator, if they
            are of images.
        n_images : int, default=10
            Images that are drawn, the first ones.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : ReconstructionDisplay

        Raises
        ------
        TypeError
            If the estimator cannot code rows, or has no decoder, or takes no classes
            but is given some.
        ValueError
            If `n_images` is less than 1.
        """
        model, y = unwrapped(estimator), numpy_of(y)
        require(
            model,
            "inverse_transform",
            "ReconstructionDisplay.from_estimator",
            "DECClusterer and contrastive encoders have no decoder; IDECClusterer, "
            "AEKMeans and AutoencoderTransformer have one.",
        )
        require(
            model,
            "transform",
            "ReconstructionDisplay.from_estimator",
            "GANs do not code rows; SampleDisplay shows those that they draw.",
        )
        image_shape = known_image_shape(image_shape, X, fitted_model(estimator))
        check_scalar(n_images, "n_images", Integral, min_val=1)
        rows = X
        if image_shape is not None:
            rows = (X.tocsr() if sparse.issparse(X) else X)[:n_images]
            y = y if np.ndim(y) == 0 else np.asarray(y)[:n_images]
        Z = model.transform(rows, **classes_for(model, "transform", y))
        rebuilt = model.inverse_transform(
            Z, **classes_for(model, "inverse_transform", y)
        )
        return cls.from_reconstruction(
            rows, rebuilt, image_shape=image_shape, n_images=n_images, ax=ax
        )

    @classmethod
    def from_reconstruction(
        cls,
        X: Any,
        reconstruction: Any,
        *,
        image_shape: ImageShape | None = None,
        n_images: int = 10,
        ax: Any = None,
    ) -> Self:
        """Draw rows and reconstructions that are there already.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, or images of shape (n_samples, C, H, W).
        reconstruction : array-like of shape (n_samples, n_features)
            What a model made of them.
        image_shape : (int, int, int) or None, default=None
            Channels, height and width, if rows are images.
        n_images : int, default=10
            Images that are drawn, the first ones.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : ReconstructionDisplay
        """
        image_shape = known_image_shape(image_shape, X)
        display = cls(X, reconstruction, image_shape=image_shape)
        return display.plot(ax, n_images=n_images)

    def plot(self, ax: Any = None, *, n_images: int = 10, cmap: str = "gray_r") -> Self:
        """Draw images above their reconstructions, or a bar for each column.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        n_images : int, default=10
            Images that are drawn, the first ones.
        cmap : str, default="gray_r"
            Colour map of images of one channel.

        Returns
        -------
        display : ReconstructionDisplay

        Raises
        ------
        ValueError
            If there is not one reconstruction of each row, if it misses values that X
            has, or if a column holds other things than numbers.
        """
        check_scalar(n_images, "n_images", Integral, min_val=1)
        if self.image_shape is None:
            return self._plot_columns(ax)
        images = images_of(self.X, self.image_shape)[:n_images]
        rebuilt = images_of(self.reconstruction, self.image_shape)[:n_images]
        require_same_shape(images, rebuilt)
        both = np.concatenate([images, rebuilt])
        self.ax_ = axes_for(ax, self, (0.9 * len(images) + 0.8, 2.2))
        self.figure_ = self.ax_.figure
        draw_images(self.ax_, both, len(images), cmap, limits_of(images))
        height = images.shape[1]
        self.ax_.set_yticks([height / 2, 1.5 * height + 1], ["input", "rebuilt"])
        self.ax_.tick_params(length=0)
        return self

    def _plot_columns(self, ax: Any) -> Self:
        tables = {"X": self.X, "reconstruction": self.reconstruction}
        columns, rebuilt = map(columns_of, aligned_tables(tables).values())
        for name, table in zip(tables, (columns, rebuilt), strict=True):
            require_numbers(table, name, OF_NUMBERS)
        both = [np.column_stack(list(table.values())) for table in (columns, rebuilt)]
        require_same_shape(*both)
        shares = rebuilt_shares(*both)
        worst = shares.argsort(kind="stable")[:MOST_COLUMNS][::-1]
        names = [list(columns)[i] for i in worst]
        self.ax_ = axes_for(ax, self, (6.4, 1.2 + 0.24 * len(worst)))
        self.figure_ = self.ax_.figure
        self.ax_.barh(range(len(worst)), shares[worst])
        self.ax_.set_yticks(range(len(worst)), names)
        color = self.ax_.xaxis.label.get_color()  # which the style sets off
        self.ax_.axvline(0, color=color, linewidth=0.8)
        self.ax_.set(
            xlim=(min(0.0, float(shares[worst].min())), 1),
            xlabel="share of the variance rebuilt",
        )
        if len(worst) < len(shares):
            self.ax_.set_title(f"{len(worst)} of {len(shares)} columns, rebuilt worst")
        return self


def require_same_shape(X: np.ndarray, reconstruction: np.ndarray) -> None:
    """Raise if there is not one reconstruction of each row."""
    if X.shape != reconstruction.shape:
        raise ValueError(
            "X and reconstruction must have the same shape. Got "
            f"{X.shape} and {reconstruction.shape}."
        )


def rebuilt_shares(X: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Share of the variance of each column that is rebuilt; 1 of a constant one.

    Shares of columns that are rebuilt far worse than by their mean end at -1. Cells
    that are missing in X do not count.

    Raises
    ------
    ValueError
        If a cell of X is there and its reconstruction is not.
    """
    X, reconstruction = X.astype(float), reconstruction.astype(float)
    missing = np.isnan(X)
    if np.isnan(reconstruction[~missing]).any():
        raise ValueError("reconstruction has missing values where X has none.")
    known = np.ma.masked_array(X, missing)
    error = ((known - reconstruction) ** 2).mean(axis=0).filled(0)
    variance = known.var(axis=0).filled(0)
    # A constant may have a rounding error for variance, but never for range.
    varies = (known.max(axis=0) > known.min(axis=0)).filled(False) & (variance > 0)
    shares = 1 - error / np.where(varies, variance, 1)
    return np.where(varies, np.maximum(shares, -1), 1.0)
