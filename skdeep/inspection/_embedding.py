"""An embedding in the plane."""

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import column_or_1d

from skdeep._compat import is_null
from skdeep.base import BaseDeepEstimator
from skdeep.inspection._axes import axes_for, literal, require, require_option
from skdeep.sampling import classes_for
from skdeep.tables import numpy_of
from skdeep.wrapping import fitted_model, unwrapped

MOST_NAMES = 20
"""Labels up to which each has a line in the legend."""

MISSING_COLOR = "0.8"


class EmbeddingDisplay:
    """An embedding in the plane, coloured by cluster or by probability.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 2)
        Places of the rows in the plane.
    labels : array-like of shape (n_samples,) or None, default=None
        Cluster or class of each row. Rows whose label is missing are drawn in grey.
    probability : array-like of shape (n_samples,) or None, default=None
        How sure the cluster of each row is, between 0 and 1.
    centers : ndarray of shape (n_clusters, 2) or None, default=None
        Places of the cluster centers.
    axis_names : tuple of str, default=("component 1", "component 2")
        What the two directions are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that hold the picture.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    scatters_ : list of matplotlib PathCollection
        Points: one collection for each label, with the missing ones last, or one in
        all.

    See Also
    --------
    ClusterConfusionDisplay : Clusters held against classes.
    DensityDisplay : Density of rows in the plane.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.cluster import AEKMeans
    >>> from skdeep.inspection import EmbeddingDisplay
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X = load_iris().data
    >>> model = AEKMeans(3, autoencoder=AutoencoderTransformer(3, max_iter=5)).fit(X)
    >>> display = EmbeddingDisplay.from_estimator(model, X)
    >>> display.points.shape, display.centers.shape
    ((150, 2), (3, 2))
    """

    def __init__(
        self,
        points: Any,
        *,
        labels: Any = None,
        probability: Any = None,
        centers: Any = None,
        axis_names: tuple[str, str] = ("component 1", "component 2"),
    ) -> None:
        self.points = points
        self.labels = labels
        self.probability = probability
        self.centers = centers
        self.axis_names = axis_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        labels: Any = None,
        color_by: str = "label",
        transformer: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the embedding that an estimator makes of rows.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with `transform`, or a pipeline that ends in one. Where
            it predicts clusters, they colour the rows, and its centers are drawn: those
            of k-means, whose embedding is the distances from them, where rows at the
            centers would be.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : class, array-like of shape (n_samples,) or None, default=None
            Class of all rows or of each, which a conditional sampler needs. Those of
            each row colour them; for any other estimator pass these as labels.
        labels : array-like of shape (n_samples,) or None, default=None
            Labels of the rows instead of the predicted ones or y, for example true
            classes.
        color_by : {"label", "probability"}, default="label"
            What colours the rows. The probability is the largest of `predict_proba`.
        transformer : estimator or None, default=None
            Brings the embedding to two columns: ``TSNE()`` for example. None takes the
            principal components of an embedding of more than two columns.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : EmbeddingDisplay

        Raises
        ------
        TypeError
            If the estimator lacks a method that is called, or takes no classes but is
            given some.
        """
        model, y = unwrapped(estimator), numpy_of(y)
        require(
            model,
            "transform",
            "EmbeddingDisplay.from_estimator",
            "EmbeddingDisplay.from_embedding draws any array.",
        )
        Z = np.asarray(model.transform(X, **classes_for(model, "transform", y)))
        if labels is None and np.ndim(y) > 0:
            labels = y
        if labels is None and hasattr(model, "predict"):
            labels = model.predict(X)
        probability = None
        if color_by == "probability":
            require(
                model,
                "predict_proba",
                'EmbeddingDisplay.from_estimator with color_by="probability"',
                'color_by="label" needs no probabilities.',
            )
            probability = model.predict_proba(X).max(axis=1)
        return cls.from_embedding(
            Z,
            labels=labels,
            probability=probability,
            centers=embedded_centers(fitted_model(estimator), Z.shape[1]),
            color_by=color_by,
            transformer=transformer,
            ax=ax,
        )

    @classmethod
    def from_embedding(
        cls,
        Z: Any,
        *,
        labels: Any = None,
        probability: Any = None,
        centers: Any = None,
        color_by: str = "label",
        transformer: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw an embedding that is there already.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Embedding of the rows.
        labels : array-like of shape (n_samples,) or None, default=None
            Cluster or class of each row.
        probability : array-like of shape (n_samples,) or None, default=None
            How sure the cluster of each row is.
        centers : array-like of shape (n_clusters, n_components) or None, default=None
            Centers of the clusters.
        color_by : {"label", "probability"}, default="label"
            What colours the rows.
        transformer : estimator or None, default=None
            Brings the embedding to two columns; None takes the principal components of
            an embedding of more than two columns.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.

        Returns
        -------
        display : EmbeddingDisplay

        Raises
        ------
        ValueError
            If the rows, labels and probabilities are not as many, the centers have
            other columns, the transformer does not make two, or `color_by` asks for
            what is not there.
        """
        labels, probability = numpy_of(labels), numpy_of(probability)
        Z = check_array(numpy_of(Z), dtype=np.float64)
        check_consistent_length(Z, labels, probability)
        if centers is not None:
            centers = check_array(numpy_of(centers), dtype=np.float64)
            if centers.shape[1] != Z.shape[1]:
                raise ValueError(
                    f"centers has {centers.shape[1]} columns, but the embedding has "
                    f"{Z.shape[1]}."
                )
        points, places, axis_names = in_the_plane(Z, centers, transformer)
        display = cls(
            points,
            labels=labels,
            probability=probability,
            centers=places,
            axis_names=axis_names,
        )
        return display.plot(ax, color_by=color_by)

    def plot(self, ax: Any = None, *, color_by: str = "label") -> Self:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        color_by : {"label", "probability"}, default="label"
            What colours the rows.

        Returns
        -------
        display : EmbeddingDisplay

        Raises
        ------
        ValueError
            If `color_by` asks for what is not there.
        """
        require_option("color_by", color_by, ("label", "probability"))
        if color_by == "probability" and self.probability is None:
            raise ValueError(
                "The 'color_by' parameter asks for probabilities, of which there are "
                "none: pass probability=."
            )
        self.ax_ = axes_for(ax, self)
        self.figure_ = self.ax_.figure
        if color_by == "probability":
            self.scatters_ = [self._scatter(slice(None), self.probability)]
            self.scatters_[0].set_clim(0, 1)
            self.figure_.colorbar(
                self.scatters_[0], ax=self.ax_, label="probability of the cluster"
            )
        elif self.labels is None:
            self.scatters_ = [self._scatter(slice(None), None)]
        else:
            self.scatters_ = self._scatter_labels()
        self._draw_centers()
        self.ax_.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1])
        return self

    def _scatter(
        self, rows: Any, values: Any, color: Any = None, name: Any = None
    ) -> Any:
        size = float(np.clip(2e4 / len(self.points), 2, 25))
        return self.ax_.scatter(
            *self.points[rows].T,
            s=size,
            c=values,
            color=color,
            label=name,
            linewidths=0,
        )

    def _scatter_labels(self) -> list[Any]:
        labels = as_labels(self.labels)
        missing = is_missing(labels)
        known = np.flatnonzero(~missing)
        names, codes = np.unique(np.asarray(list(labels[known])), return_inverse=True)
        scatters = [
            self._scatter(known[codes == code], None, color, literal(names[code]))
            for code, color in enumerate(colors_of(len(names)))
        ]
        if missing.any():
            scatters.append(self._scatter(missing, None, MISSING_COLOR, "missing"))
        if len(names) <= MOST_NAMES:
            # Left to itself, a legend has no names that begin with an underscore.
            shown = [scatter.get_label() for scatter in scatters]
            place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
            self.ax_.legend(scatters, shown, markerscale=2, **place)
        return scatters

    def _draw_centers(self) -> None:
        if self.centers is None:
            return
        color = self.ax_.xaxis.label.get_color()  # which the style sets off
        self.ax_.scatter(*self.centers.T, color=color, marker="x", s=40)
        for number, center in enumerate(self.centers):
            self.ax_.annotate(
                str(number), center, xytext=(4, 4), textcoords="offset points"
            )


def embedded_centers(model: Any, n_components: int) -> np.ndarray | None:
    """Centers of the clusters of a model in its embedding; None if there are none."""
    centers = getattr(model, "cluster_centers_", None)
    if centers is None:
        return None
    is_of_input = centers.shape[1] == getattr(model, "n_features_in_", None)
    if is_of_input and not isinstance(model, BaseDeepEstimator):
        with warnings.catch_warnings():  # of the names of columns, which no center has
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            centers = np.asarray(model.transform(centers))
    return centers if centers.shape[1] == n_components else None


def in_the_plane(
    Z: np.ndarray, centers: np.ndarray | None, transformer: Any
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, str]]:
    """Points of rows and centers, and what the two directions are."""
    # Rows without spread, as one alone, have no principal components.
    if transformer is None and (Z.shape[1] <= 2 or not np.ptp(Z, axis=0).any()):
        places = None if centers is None else first_two_columns(centers)
        return first_two_columns(Z), places, ("component 1", "component 2")
    reducer = PCA(2, random_state=0) if transformer is None else clone(transformer)
    if hasattr(reducer, "transform"):
        points = np.asarray(reducer.fit_transform(Z))
        places = None if centers is None else np.asarray(reducer.transform(centers))
    else:  # t-SNE and its kin place only what they are fitted on
        whole = Z if centers is None else np.concatenate([Z, centers])
        placed = np.asarray(reducer.fit_transform(whole))
        points, places = placed[: len(Z)], None if centers is None else placed[len(Z) :]
    name = type(reducer).__name__
    if points.shape[1] != 2:
        raise ValueError(
            "The 'transformer' parameter must bring the embedding to two columns. Got "
            f"{name}, which makes {points.shape[1]}."
        )
    names = (f"{name} 1", f"{name} 2")
    if isinstance(reducer, PCA):
        first, second = reducer.explained_variance_ratio_
        names = (f"{names[0]} ({first:.0%} of variance)", f"{names[1]} ({second:.0%})")
    return points, places, names


def first_two_columns(Z: np.ndarray) -> np.ndarray:
    """First two columns, a missing one of zeros."""
    return np.pad(Z[:, :2], ((0, 0), (0, max(2 - Z.shape[1], 0))))


def as_labels(labels: Any) -> np.ndarray:
    """Array of labels, in which NaN beside text stays what it is."""
    labels = np.asarray(labels, dtype=None if hasattr(labels, "dtype") else object)
    return column_or_1d(labels, input_name="labels", warn=True)


def is_missing(labels: np.ndarray) -> np.ndarray:
    """Which labels are None, NaN, NaT or NA."""
    if labels.dtype.kind != "O":
        return labels != labels
    return np.array([is_null(label) for label in labels], dtype=bool)


def colors_of(n_colors: int) -> list[Any]:
    """Colours that are easy to tell apart, as far as there are so many."""
    from matplotlib import colormaps

    if n_colors <= 20:
        palette = colormaps["tab10" if n_colors <= 10 else "tab20"]
        return [palette(i) for i in range(n_colors)]
    return list(colormaps["turbo"](np.linspace(0, 1, n_colors)))
