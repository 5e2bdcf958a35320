"""Whole fits from several seeds, of which the best is kept."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skdeep.base import image_shape_of
from skdeep.cluster._base import BaseDeepClusterer
from skdeep.cluster._graph_kmeans import N_NEIGHBORS, Partition
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.representation._pretraining import encoder_parameter, fitted_encoder
from skdeep.training import FitTask


def fit_best_run(clusterer: BaseDeepClusterer, X: Any, y: Any) -> Any:
    """Fit a clusterer from as many seeds as it has runs, and keep the best fit.

    The best are the labels of the largest modularity on the nearest-neighbour graph of
    the input, or those that cut far fewer of its edges. Runs share the pretraining if
    the encoder has a seed of its own: they would all make the same.

    Parameters
    ----------
    clusterer : BaseDeepClusterer
    X, y : array-like
        As the user gave them; callbacks may look at y.

    Returns
    -------
    BaseDeepClusterer
        The clusterer, fitted.
    """
    given, image_shape = X, image_shape_of(X)
    X = clusterer._validated(X, reset=True, min_samples=clusterer.n_clusters)
    parts: list[Partition] = []
    best: tuple[Partition, BaseDeepClusterer] | None = None
    with FitTask(clusterer, X, y, max_subtasks=1 + clusterer.n_runs) as task:
        neighbor_seed, *seeds = task.seeds(clusterer, 1 + clusterer.n_runs)
        parameter = encoder_parameter(clusterer)
        encoder = getattr(clusterer, parameter)
        if getattr(encoder, "random_state", None) is not None:
            shared, _ = fitted_encoder(clusterer, X, image_shape, seeds[0], task)
            encoder = FrozenEstimator(shared)
        for number, seed in enumerate(seeds, 1):
            run = clone(clusterer)
            run.set_params(n_runs=1, random_state=seed, **{parameter: encoder})
            run.set_callbacks()
            with task.leaf(f"run-{number}", run):
                run.fit(given, y)
            if best is None:
                rows = run._embedder()._scaled_rows(X)
                neighbors = nearest_neighbors(rows, N_NEIGHBORS, neighbor_seed)
            part = Partition.of(neighbors, run.labels_)
            if best is None or part.is_better(best[0]):
                best = part, run
            parts.append(part)
            if task.interrupted_phase is not None:
                break
        assert best is not None, "There is at least one run."
        for name, value in vars(best[1]).items():
            if name.endswith("_") and not name.startswith("_"):
                setattr(clusterer, name, value)
        clusterer.run_scores_ = np.array([part.modularity for part in parts])
    return clusterer
