"""Clusters held against classes."""

from typing import Any, Self

import numpy as np
from scipy.optimize import linear_sum_assignment

from skdeep.inspection._axes import axes_for, require, short_names
from skdeep.metrics import clustering_accuracy_score
from skdeep.metrics._contingency import class_cluster_counts, coded_labels

MOST_VALUES = 20
"""Classes and clusters up to which the counts are written."""

MOST_CHARACTERS = 31
"""Of a name."""

CHARACTER, LINE = 0.09, 0.165
"""Width and height of the letters of a name, in inches."""

LEAST_SIDE = 2.4
"""Inches of a matrix of few rows or columns, where the colour bar has its name."""


class ClusterConfusionDisplay:
    """Rows of each class in each cluster, after the best matching of the two.

    Clusters have no names: each is put beside the class that it is matched with, so
    that the diagonal holds the rows that
    :func:`~skdeep.metrics.clustering_accuracy_score` counts as right. Classes and
    clusters without a partner come last. Colours are shares of the class.

    Parameters
    ----------
    counts : ndarray of int of shape (n_classes, n_clusters)
        Rows of each class in each cluster, in the order in which they are drawn.
    class_names : array-like of shape (n_classes,)
        Names of the classes. Names of more than 31 characters lose their middle.
    cluster_names : array-like of shape (n_clusters,)
        Labels of the clusters.
    accuracy : float or None, default=None
        Clustering accuracy, written above the picture.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that hold the picture.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    im_ : matplotlib AxesImage
        Shares of the classes.

    See Also
    --------
    EmbeddingDisplay : Where the clusters lie.
    sklearn.metrics.ConfusionMatrixDisplay : For classes that need no matching.

    Examples
    --------
    >>> from skdeep.inspection import ClusterConfusionDisplay
    >>> classes, clusters = ["a", "a", "a", "b", "b"], [1, 1, 0, 0, 0]
    >>> display = ClusterConfusionDisplay.from_predictions(classes, clusters)
    >>> display.counts
    array([[2, 1],
           [0, 2]])
    >>> display.cluster_names
    array([1, 0])
    """

    def __init__(
        self,
        counts: np.ndarray,
        class_names: Any,
        cluster_names: Any,
        *,
        accuracy: float | None = None,
    ) -> None:
        self.counts = counts
        self.class_names = class_names
        self.cluster_names = cluster_names
        self.accuracy = accuracy

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, ax: Any = None) -> Self:
        """Draw the clusters that an estimator predicts against classes.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with `predict`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Class of each row.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : ClusterConfusionDisplay

        Raises
        ------
        TypeError
            If the estimator does not predict.
        ValueError
            If there are no classes.
        """
        require(
            estimator,
            "predict",
            "ClusterConfusionDisplay.from_estimator",
            "ClusterConfusionDisplay.from_predictions takes labels, such as labels_.",
        )
        if y is None:
            raise ValueError(
                "ClusterConfusionDisplay holds clusters against classes, and y is "
                "None: pass the class of each row. EmbeddingDisplay needs none."
            )
        return cls.from_predictions(y, estimator.predict(X), ax=ax)

    @classmethod
    def from_predictions(
        cls, labels_true: Any, labels_pred: Any, *, ax: Any = None
    ) -> Self:
        """Draw clusters against classes.

        Parameters
        ----------
        labels_true : array-like of shape (n_samples,)
            Class of each row.
        labels_pred : array-like of shape (n_samples,)
            Cluster of each row.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : ClusterConfusionDisplay

        Raises
        ------
        ValueError
            If the labels are empty, not one-dimensional, missing, or differ in length.
        """
        classes, labels_true = coded_labels(labels_true, "labels_true")
        clusters, labels_pred = coded_labels(labels_pred, "labels_pred")
        counts = class_cluster_counts(labels_true, labels_pred)
        rows, columns = matched_order(counts)
        display = cls(
            counts[np.ix_(rows, columns)],
            classes[rows],
            clusters[columns],
            accuracy=clustering_accuracy_score(labels_true, labels_pred),
        )
        return display.plot(ax)

    def plot(
        self,
        ax: Any = None,
        *,
        include_values: bool | None = None,
        cmap: str = "Blues",
    ) -> Self:
        """Draw the counts.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        include_values : bool or None, default=None
            Whether the counts are written; None: if there are at most 20 classes and
            clusters.
        cmap : str, default="Blues"
            Colour map of the shares.

        Returns
        -------
        display : ClusterConfusionDisplay
        """
        counts = np.asarray(self.counts)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        classes, clusters = (
            short_names(names, MOST_CHARACTERS)
            for names in (self.class_names, self.cluster_names)
        )
        width, height, aspect = matrix_size(counts.shape)
        beside = 1.5 + 0.08 * width + CHARACTER * longest(classes)
        under = CHARACTER * longest(clusters)
        under = 0.8 + (under if under > width / len(clusters) else LINE)
        self.ax_ = axes_for(ax, self, (width + beside, height + under))
        self.figure_ = self.ax_.figure
        if ax is not None:
            width, height = ax.get_window_extent().size / self.figure_.dpi
        self.im_ = self.ax_.imshow(shares, cmap=cmap, vmin=0, vmax=1, aspect=aspect)
        if include_values is None:
            include_values = max(counts.shape) <= MOST_VALUES
        if include_values:
            for (row, column), count in np.ndenumerate(counts):
                color = self.im_.cmap(0.0 if shares[row, column] > 0.5 else 1.0)
                if count:
                    self.ax_.text(
                        column, row, str(count), ha="center", va="center", color=color
                    )
        name_ticks(self.ax_.xaxis, clusters, width / len(clusters))
        name_ticks(self.ax_.yaxis, classes, height / len(classes))
        self.ax_.set(xlabel="cluster", ylabel="class")
        # Within the axes, to be as high as the matrix wherever these are wider.
        place = self.ax_.inset_axes((1.03, 0, 0.04, 1))
        self.figure_.colorbar(self.im_, cax=place, label="share of the class")
        if self.accuracy is not None:
            self.ax_.set_title(f"clustering accuracy {self.accuracy:.3f}")
        return self


def matrix_size(shape: tuple[int, ...]) -> tuple[float, float, str]:
    """Width and height of a matrix in inches, and whether its cells are squares."""
    cell = np.clip(0.45 * max(shape), 3.6, 10) / max(shape)
    height, width = (max(cell * n, LEAST_SIDE) for n in shape)
    return width, height, "equal" if cell * min(shape) >= LEAST_SIDE else "auto"


def longest(names: list[str]) -> int:
    """Characters of the longest name."""
    return max(map(len, names))


def name_ticks(axis: Any, names: list[str], room: float) -> None:
    """Name rows or columns that have so many inches each: of very many, every few."""
    step = int(np.ceil(LINE / room))
    axis.set_ticks(range(0, len(names), step), names[::step])
    if axis.axis_name == "x" and CHARACTER * longest(names) > step * room:
        axis.set_tick_params(rotation=90)


def matched_order(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of classes and clusters that brings the best matching to the diagonal."""
    rows, columns = linear_sum_assignment(counts, maximize=True)
    n_classes, n_clusters = counts.shape
    return (
        np.concatenate([rows, np.setdiff1d(np.arange(n_classes), rows)]),
        np.concatenate([columns, np.setdiff1d(np.arange(n_clusters), columns)]),
    )
