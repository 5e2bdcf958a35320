"""What a fitted deep clusterer does with rows: the half that has no algorithm in it."""

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
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeep._compat import HasMethods, Interval, StrOptions
from skdeep.base import BaseDeepEstimator
from skdeep.nn import Network
from skdeep.objectives.clustering import soft_assignment
from skdeep.representation import AutoencoderTransformer
from skdeep.training import Rows, in_chunks


class BaseDeepClusterer(
    ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseDeepEstimator
):
    """Prediction from `autoencoder_` and `cluster_centers_`.

    A second class above the estimators, beside `BaseDeepEstimator`: every clusterer
    answers these four questions alike, and none of them says how it was fitted.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "autoencoder": [HasMethods(["fit", "transform"]), None],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "memory": [str, HasMethods(["cache"]), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
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
        return self.predict_proba(X).argmax(axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Student-t soft assignment q of each row to each cluster.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        q : ndarray of shape (n_samples, n_clusters), float32
            Rows sum to one.
        """
        rows = self._rows(X)
        return soft_assignments(
            self.autoencoder_, self.cluster_centers_, self.alpha, rows
        )

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
        return self.autoencoder_._encode(rows)

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
            compare labels, not scores, between models.
        """
        rows = self._rows(X)
        return -float(in_chunks(self._objective(), rows).mean())

    @property
    def _n_features_out(self) -> int:
        return self.cluster_centers_.shape[1]

    def _rows(self, X: Any) -> Rows:
        check_is_fitted(self)
        return self.autoencoder_._scaled_rows(self._validated(X, reset=False))


def encoder_and_centroids(
    autoencoder: AutoencoderTransformer, centers: np.ndarray
) -> tuple[Network, Tensor]:
    """Bring the encoder and the centroids to the device of the autoencoder."""
    device = autoencoder._home()
    return autoencoder.encoder_, torch.tensor(centers, device=device)


def soft_assignments(
    autoencoder: AutoencoderTransformer, centers: np.ndarray, alpha: float, rows: Rows
) -> np.ndarray:
    """Student-t assignment of all rows, ``(n_samples, n_clusters)``."""
    encoder, centroids = encoder_and_centroids(autoencoder, centers)
    return in_chunks(lambda x: soft_assignment(encoder(x), centroids, alpha), rows)


def decodes(clusterer: BaseDeepClusterer) -> bool:
    """Whether the autoencoder of a clusterer, fitted or not, has a decoder."""
    return has_decoder(getattr(clusterer, "autoencoder_", clusterer.autoencoder))


def has_decoder(autoencoder: Any) -> bool:
    """Whether what is given as the autoencoder has a decoder; None stands for one."""
    return autoencoder is None or hasattr(autoencoder, "inverse_transform")
