"""k-means on the embedding of an autoencoder."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeep._compat import HasMethods, Interval, StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.cluster._base import (
    BaseDeepClusterer,
    encoder_and_centroids,
    soft_assignments,
)
from skdeep.cluster._steps import fitted_autoencoder, kmeans
from skdeep.objectives.distances import squared_distances
from skdeep.training import FitTask


class AEKMeans(BaseDeepClusterer):
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

    def __init__(
        self,
        n_clusters=8,
        *,
        autoencoder=None,
        alpha=1.0,
        n_init=20,
        device="auto",
        precision="auto",
        memory=None,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.autoencoder = autoencoder
        self.alpha = alpha
        self.n_init = n_init
        self.device = device
        self.precision = precision
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True, min_samples=self.n_clusters)
        pretrain_seed, kmeans_seed = self._seeds(2)
        with FitTask(self, X, y, max_subtasks=2) as task:
            autoencoder, _ = fitted_autoencoder(
                self, X, image_shape, pretrain_seed, task
            )
            rows = autoencoder._scaled_rows(X, resident=True)
            with task.leaf("init"):
                Z = autoencoder._encode(rows)
                start = kmeans(Z, self.n_clusters, self.n_init, kmeans_seed)

            self.autoencoder_ = autoencoder
            self.cluster_centers_ = start.cluster_centers_
            q = soft_assignments(autoencoder, start.cluster_centers_, self.alpha, rows)
            self.labels_ = self.initial_labels_ = q.argmax(axis=1)
            self.inertia_ = float(start.inertia_)
            self.n_iter_ = start.n_iter_
            self.history_ = autoencoder.history_
        return self

    def _objective(self) -> Callable[[Tensor], Tensor]:
        encoder, centroids = encoder_and_centroids(
            self.autoencoder_, self.cluster_centers_
        )
        return lambda x: squared_distances(encoder(x), centroids).amin(1)

    @available_if(lambda self: True)
    def inverse_transform(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self.autoencoder_.inverse_transform(X)
