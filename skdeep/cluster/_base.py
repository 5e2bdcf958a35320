"""What a fitted deep clusterer does with rows: the half that has no algorithm in it."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeep._compat import Interval
from skdeep.base import RUN_CONSTRAINTS, BaseDeepEstimator
from skdeep.nn import Network
from skdeep.objectives.clustering import soft_assignment
from skdeep.parameters import ImageShape
from skdeep.representation import AutoencoderTransformer
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._pretraining import MEMORY, PRETRAINED
from skdeep.training import Rows, in_chunks

AUTOENCODER_CONSTRAINTS: dict[str, list[Any]] = {
    "autoencoder": PRETRAINED,
    "alpha": [Interval(Real, 0, None, closed="neither")],
}
"""What two parameters of those that cluster the code of an autoencoder may be."""


class NumberOfClusters(Interval):
    """What a number of clusters may be, which tells "auto" who chooses one."""

    def __str__(self) -> str:
        return f"{super().__str__()} (NClustersSearch chooses one)"


class BaseDeepClusterer(
    ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseDeepEstimator
):
    """Prediction from `autoencoder_` and `cluster_centers_`.

    A second class above the estimators, beside `BaseDeepEstimator`: every clusterer
    answers these four questions alike, and none of them says how it was fitted. One
    with another encoder, or assignments of its own, says so in two private methods.
    """

    _defaults = {"autoencoder": AutoencoderTransformer}

    _parameter_constraints: dict[str, list[Any]] = {
        "n_clusters": [NumberOfClusters(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "n_runs": [Interval(Integral, 1, None, closed="left")],
        **RUN_CONSTRAINTS,
        "memory": MEMORY,
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        # scikit-learn's check of sparse input reads them of all that predict_proba.
        tags.classifier_tags = ClassifierTags()
        return tags

    def predict(self, X: Any) -> np.ndarray:
        """Cluster of each row: the one with the largest soft assignment.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,), int64
        """
        return self._labels(self._rows(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Soft assignment q of each row to each cluster.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        q : ndarray of shape (n_samples, n_clusters), float32
            Rows sum to one.
        """
        rows, assignment = self._rows(X), self._assignment()
        return in_chunks(lambda x: assignment(x).float(), rows)

    def transform(self, X: Any) -> np.ndarray:
        """Embedding of each row, the space of `cluster_centers_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), float32
        """
        rows = self._rows(X)
        return self._embedder()._encode(rows)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean over the rows of the objective that `fit` minimised.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        score : float
            Larger is better. Embeddings of different models have different scales:
            compare labels, not scores, between models. That of `VaDEClusterer` is the
            mean of its `score_samples`, in the units of the input.
        """
        rows = self._rows(X)
        return -float(in_chunks(self._objective(), rows).mean())

    _objective: Callable[[], Callable[[Tensor], Tensor]]
    """Make the map of scaled rows to the terms of the mean that `fit` minimised."""

    @property
    def _n_features_out(self) -> int:
        return self.cluster_centers_.shape[1]

    def _rows(self, X: Any) -> Rows:
        check_is_fitted(self)
        return self._placed()._scaled_rows(self._validated(X, reset=False))

    def _image_shape(self) -> ImageShape | None:
        return self._embedder().image_shape_

    def _placed(self) -> BaseRepresentation:
        """Embedder, on the device that the parameter names by now."""
        self._device()  # an error names the parameter of this estimator
        embedder = self._embedder()
        embedder.device = self.device
        return embedder

    def _embedder(self) -> BaseRepresentation:
        """Estimator of which `transform` returns the codes."""
        return self.autoencoder_

    def _labels(self, rows: Rows) -> np.ndarray:
        """Cluster of each scaled row."""
        assignment = self._assignment()
        # Far away, q of all clusters is nearly the same: float32 would make ties of it.
        return in_chunks(lambda x: assignment(x).argmax(1), rows)

    def _assignment(self) -> Callable[[Tensor], Tensor]:
        """Map of scaled rows to soft assignments: by Student's t, if no other."""
        return student_assignment(self.autoencoder_, self.cluster_centers_, self.alpha)


def encoder_and_centroids(
    autoencoder: BaseRepresentation, centers: np.ndarray
) -> tuple[Network, Tensor]:
    """Bring the encoder and the centroids to the device of the autoencoder."""
    device = autoencoder._home()
    return autoencoder.encoder_, torch.tensor(centers, device=device)


def student_assignment(
    autoencoder: BaseRepresentation, centers: np.ndarray, alpha: float
) -> Callable[[Tensor], Tensor]:
    """Map of scaled rows to their `exact_assignment`, ``(n, n_clusters)``."""
    encoder, centroids = encoder_and_centroids(autoencoder, centers)
    return lambda x: exact_assignment(encoder(x), centroids, alpha)


def exact_assignment(z: Tensor, centroids: Tensor, alpha: float) -> Tensor:
    """Student-t assignment of codes, in float64.

    In float32 the last bits depend on where in a batch a row is, and far from all
    centroids nothing is left of their order.
    """
    return soft_assignment(z.double(), centroids.detach().double(), alpha)


def decodes(clusterer: BaseDeepClusterer) -> bool:
    """Whether the autoencoder of a clusterer, fitted or not, has a decoder."""
    return has_decoder(getattr(clusterer, "autoencoder_", clusterer.autoencoder))


def has_decoder(autoencoder: Any) -> bool:
    """Whether what is given as the autoencoder has a decoder; None stands for one."""
    return autoencoder is None or hasattr(autoencoder, "inverse_transform")


@available_if(decodes)
def inverse_transform(self: Any, X: Any) -> np.ndarray:
    """Rows that the decoder makes of embeddings, in the units of the input.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_components)
        Embeddings, for example `cluster_centers_`.

    Returns
    -------
    X_original : ndarray of shape (n_samples, n_features), float32
        In float64 if that is too coarse for a column, or its unit too small.

    Raises
    ------
    ValueError
        If X has more or fewer columns than an embedding.
    """
    # A method of those that train the decoder along: each names it.
    check_is_fitted(self)
    return self._placed().inverse_transform(X)


def require_decoder(clusterer: BaseDeepClusterer) -> None:
    """Raise if the parameter `autoencoder` holds an encoder without a decoder."""
    if not has_decoder(clusterer.autoencoder):
        raise TypeError(
            f"{type(clusterer).__name__} rebuilds the rows, but the encoder given as "
            f"'autoencoder' has no decoder: {clusterer.autoencoder!r}. DECClusterer "
            "and AEKMeans take any encoder."
        )
