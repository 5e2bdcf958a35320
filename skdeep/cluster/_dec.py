"""Deep embedded clustering (DEC)."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import torch
from torch import Generator, Tensor

from skdeep._compat import HasMethods, Interval, StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.cluster._base import BaseDeepClusterer, encoder_and_centroids
from skdeep.cluster._steps import self_training, start
from skdeep.objectives.clustering import (
    clustering_divergence,
    clustering_divergence_per_sample,
    log_soft_assignment,
    target_distribution,
)
from skdeep.training import FitTask, gradient_step


class DECClusterer(BaseDeepClusterer):
    _parameter_constraints: dict[str, list[Any]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "autoencoder": [HasMethods(["fit", "transform"]), None],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "centroid_update": [StrOptions({"gradient", "mean"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "update_interval": [Interval(Integral, 1, None, closed="left")],
        "guard": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
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
        centroid_update="gradient",
        n_init=20,
        max_iter="auto",
        tol=1e-3,
        n_iter_no_change=1,
        update_interval=1,
        guard=True,
        batch_size=256,
        learning_rate=1e-3,
        weight_decay=0.0,
        device="auto",
        precision="auto",
        memory=None,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.autoencoder = autoencoder
        self.alpha = alpha
        self.centroid_update = centroid_update
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.update_interval = update_interval
        self.guard = guard
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device
        self.precision = precision
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True, min_samples=self.n_clusters)
        *start_seeds, shuffle_seed = self._seeds(4)
        with FitTask(self, X, y, max_subtasks=3) as task:
            # Phase 1: pretrain the autoencoder, and place the centroids by k-means.
            begin = start(self, X, image_shape, task, start_seeds)
            rows, encoder = begin.rows, begin.autoencoder.encoder_
            centroids = begin.centroids.requires_grad_(
                self.centroid_update == "gradient"
            )

            # Phase 2: move encoder and centroids towards the target distribution.
            optimizer = torch.optim.AdamW(
                [*encoder.parameters(), *[centroids] * centroids.requires_grad],
                lr=self.learning_rate,
                weight_decay=self.weight_decay,
                fused=True,
            )

            def step(index: Tensor, p: Tensor) -> dict[str, Tensor]:
                log_q = log_soft_assignment(encoder(rows[index]), centroids, self.alpha)
                loss = clustering_divergence(p, log_q)
                gradient_step(loss, optimizer)
                return {"loss": loss}

            shuffle = Generator().manual_seed(shuffle_seed)
            fitted = self_training(self, begin, step, [encoder], task, shuffle)
            for name, value in fitted.items():
                setattr(self, name, value)
        return self

    def _objective(self) -> Callable[[Tensor], Tensor]:
        encoder, centroids = encoder_and_centroids(
            self.autoencoder_, self.cluster_centers_
        )
        frequency = torch.tensor(self.cluster_frequencies_, device=centroids.device)

        def divergence(x: Tensor) -> Tensor:
            log_q = log_soft_assignment(encoder(x), centroids, self.alpha)
            p = target_distribution(log_q.exp(), frequency)
            return clustering_divergence_per_sample(p, log_q)

        return divergence
