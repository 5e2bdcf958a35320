"""The steps that the autoencoder clusterers share, in the order of their papers."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from joblib import Memory
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, check_memory
from threadpoolctl import threadpool_limits
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from skdeep.base import BaseDeepEstimator
from skdeep.cluster._base import BaseDeepClusterer, soft_assignments
from skdeep.metrics import graph_modularity
from skdeep.nn import Network
from skdeep.objectives.clustering import soft_assignment, target_distribution
from skdeep.representation import AutoencoderTransformer
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.training import (
    FitTask,
    Rows,
    epochs_for,
    products_in,
    resolved_precision,
    train_epoch,
)

N_STEPS = 400
"""Gradient steps that max_iter="auto" makes at least."""

N_NEIGHBORS = 15
"""Neighbours of a row in the graph that judges the deep stage."""


def fitted_autoencoder(
    clusterer: BaseDeepClusterer,
    X: Any,
    image_shape: tuple[int, int, int] | None,
    seed: int,
    task: FitTask,
) -> tuple[AutoencoderTransformer, np.ndarray | None]:
    """Pretrain a clone of the clusterer's autoencoder, or copy a frozen one.

    Returns
    -------
    autoencoder : AutoencoderTransformer
        The clusterer's own, free to be trained further.
    neighbors : ndarray of shape (n_samples, n_neighbors) or None
        The nearest-neighbour graph of the rows, if pretraining made one.
    """
    if isinstance(clusterer.autoencoder, FrozenEstimator):
        with task.leaf("pretrain"):
            return _copy_of_frozen(clusterer, X), None
    inner = clusterer.autoencoder
    inner = AutoencoderTransformer() if inner is None else clone(inner)
    if not isinstance(inner, BaseDeepEstimator) or not hasattr(inner, "_train"):
        raise TypeError(
            f"The 'autoencoder' parameter of {type(clusterer).__name__} must be a "
            "skdeep transformer with an encoder, such as AutoencoderTransformer(), or "
            f"FrozenEstimator of a fitted one. Got {inner!r} instead."
        )
    # What the inner estimator leaves open it takes from the clusterer.
    inner.set_callbacks()
    open_parameters = {
        "random_state": (None, seed),
        "device": ("auto", str(clusterer._device())),
        "precision": ("auto", clusterer.precision),
        "image_shape": (None, image_shape),
    }
    for name, (open_value, value) in open_parameters.items():
        if getattr(inner, name) == open_value:
            inner.set_params(**{name: value})
    inner._validate_params()

    memory: Memory = check_memory(clusterer.memory)
    state, neighbors = memory.cache(_pretrain, ignore=["task"])(inner, X, task)
    if "pretrain" not in task.begun:  # it came out of the cache
        with task.leaf("pretrain"):
            pass
    inner.__setstate__(state)
    return inner, neighbors


def _pretrain(
    autoencoder: AutoencoderTransformer, X: Any, task: FitTask
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Train `autoencoder` and return its state in arrays and plain values.

    A function of its first two arguments alone, so that a search can keep the result.
    """
    neighbors = autoencoder._train(X, None, task, "pretrain")
    return autoencoder.__getstate__(), neighbors


def _copy_of_frozen(clusterer: BaseDeepClusterer, X: Any) -> AutoencoderTransformer:
    fitted = clusterer.autoencoder.estimator
    if not isinstance(fitted, BaseDeepEstimator) or not hasattr(fitted, "_train"):
        raise TypeError(
            f"The 'autoencoder' parameter of {type(clusterer).__name__} must freeze a "
            "fitted skdeep transformer with an encoder, such as "
            f"AutoencoderTransformer(). Got {fitted!r} instead."
        )
    check_is_fitted(fitted)
    if fitted.n_features_in_ != X.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features, but the frozen {type(fitted).__name__} was "
            f"fitted on {fitted.n_features_in_}."
        )
    return copy.deepcopy(fitted)


def kmeans(Z: np.ndarray, n_clusters: int, n_init: int, seed: int) -> KMeans:
    """scikit-learn's k-means on an embedding."""
    # Its sums over threads end in the order in which the threads do: one thread keeps
    # the same bits on every run.
    with threadpool_limits(limits=1, user_api="openmp"):
        return KMeans(n_clusters, n_init=n_init, random_state=seed).fit(Z)


@dataclass
class Start:
    """Where the deep stage starts from: a pretrained autoencoder and its k-means."""

    autoencoder: AutoencoderTransformer
    rows: Rows
    neighbors: np.ndarray | None
    centroids: Tensor
    labels: np.ndarray


def start(
    clusterer: BaseDeepClusterer,
    X: Any,
    image_shape: tuple[int, int, int] | None,
    task: FitTask,
    seeds: list[int],
) -> Start:
    """Pretrain the autoencoder of a clusterer and run k-means on its embedding."""
    pretrain_seed, kmeans_seed, neighbor_seed = seeds
    autoencoder, neighbors = fitted_autoencoder(
        clusterer, X, image_shape, pretrain_seed, task
    )
    rows = autoencoder._scaled_rows(X, resident=True)
    if neighbors is None and clusterer.guard:
        neighbors = nearest_neighbors(rows, N_NEIGHBORS, neighbor_seed)
    with task.leaf("init"):
        Z = autoencoder._encode(rows)
        found = kmeans(Z, clusterer.n_clusters, clusterer.n_init, kmeans_seed)
    centers = found.cluster_centers_
    q = soft_assignments(autoencoder, centers, clusterer.alpha, rows)
    centroids = torch.tensor(centers, device=rows.device)
    return Start(autoencoder, rows, neighbors, centroids, q.argmax(axis=1))


def self_training(
    clusterer: BaseDeepClusterer,
    start: Start,
    step: Callable[[Tensor, Tensor], dict[str, Tensor]],
    networks: list[Network],
    task: FitTask,
    rng: Generator,
) -> dict[str, Any]:
    """Alternate targets over all rows with epochs of steps towards them.

    Parameters
    ----------
    clusterer : BaseDeepClusterer
        Its parameters rule the loop.
    start : Start
        Its autoencoder and centroids are trained in place by `step`.
    step : callable
        Takes row numbers and their targets, makes one update, returns its losses.
    networks : list of Network
        Those that `step` trains.
    task : FitTask
    rng : Generator
        Of the shuffles.

    Returns
    -------
    dict
        The fitted attributes of `clusterer`.
    """
    autoencoder, rows, centroids = start.autoencoder, start.rows, start.centroids
    before = {
        "autoencoder_": copy.deepcopy(autoencoder),
        "cluster_centers_": centroids.detach().cpu().numpy().copy(),
    }

    def embed() -> Tensor:
        return torch.from_numpy(autoencoder._encode(rows)).to(rows.device)

    def snapshot() -> dict[str, Any]:
        return {
            "autoencoder_": copy.deepcopy(autoencoder),
            "cluster_centers_": centroids.detach().cpu().numpy().copy(),
            "cluster_frequencies_": q.sum(0).cpu().numpy(),
            "history_": phase.history,
        }

    max_iter = clusterer.max_iter
    if max_iter == "auto":
        max_iter = epochs_for(N_STEPS, len(rows), clusterer.batch_size)
    phase = task.phase("cluster", max_iter, snapshot)
    q = soft_assignment(embed(), centroids.detach(), clusterer.alpha)
    labels = q.argmax(1)
    record: dict[str, float] = {}
    calm = 0
    precision = resolved_precision(clusterer.precision, rows.device, networks)
    for epoch in phase:
        p = target_distribution(q)
        with products_in(precision, networks):
            losses = train_epoch(
                lambda index, p=p: step(index, p[index]),
                len(rows),
                batch_size=clusterer.batch_size,
                rng=rng,
            )
        if epoch % clusterer.update_interval == 0 or epoch in (1, max_iter):
            q = refreshed_assignment(
                embed(), centroids, clusterer.alpha, clusterer.centroid_update
            )
            previous, labels = labels, q.argmax(1)
            record["label_change"] = float((labels != previous).float().mean())
            if start.neighbors is not None:
                record["modularity"] = graph_modularity(
                    start.neighbors, labels.cpu().numpy()
                )
            calm = calm + 1 if record["label_change"] < clusterer.tol else 0
            if calm >= clusterer.n_iter_no_change:
                phase.stop()
        phase.record({**losses, **record})

    after = {
        "autoencoder_": autoencoder,
        "cluster_centers_": centroids.detach().cpu().numpy(),
    }
    q_after = soft_assignments(*after.values(), clusterer.alpha, rows)
    kept, modularity = guarded(start.labels, q_after.argmax(axis=1), start.neighbors)
    chosen = after if kept or not clusterer.guard else before
    q = soft_assignments(*chosen.values(), clusterer.alpha, rows)
    warn_of_empty_clusters(q.argmax(axis=1), start.labels, type(clusterer).__name__)
    return {
        **chosen,
        "cluster_frequencies_": q.sum(axis=0),
        "labels_": q.argmax(axis=1),
        "initial_labels_": start.labels,
        "initial_modularity_": modularity,
        "deep_stage_kept_": chosen is after,
        "n_iter_": phase.n_iter,
        "history_": phase.history,
    }


@torch.no_grad()
def refreshed_assignment(
    z: Tensor, centroids: Tensor, alpha: float, centroid_update: str
) -> Tensor:
    """Soft assignment of all rows, after the centroids were mended in place.

    With ``centroid_update="mean"`` each centroid moves to the mean of its rows. One
    that lost all its rows moves to the row that lies farthest from its own centroid.
    """
    q = soft_assignment(z, centroids, alpha)
    if centroid_update == "mean":
        members = one_hot(q.argmax(1), len(centroids)).to(z.dtype)
        sizes = members.sum(0)
        means = members.T @ z / sizes.clamp_min(1).unsqueeze(1)
        centroids[sizes > 0] = means[sizes > 0]
        q = soft_assignment(z, centroids, alpha)
    sizes = torch.bincount(q.argmax(1), minlength=len(centroids))
    empty = torch.nonzero(sizes == 0).flatten()
    if len(empty):
        farthest = q.amax(1).argsort(stable=True)[: len(empty)]
        centroids[empty[: len(farthest)]] = z[farthest]
        q = soft_assignment(z, centroids, alpha)
    return q


def guarded(
    initial_labels: np.ndarray, labels: np.ndarray, neighbors: np.ndarray | None
) -> tuple[bool, float]:
    """Whether the deep stage is kept, and the modularity of the labels before it.

    It is kept if its labels cut the nearest-neighbour graph of the input no worse than
    the labels before it: a criterion that, unlike a silhouette of the embedding, does
    not measure what the deep stage optimises.
    """
    if neighbors is None:
        return True, float("nan")
    before = graph_modularity(neighbors, initial_labels)
    return graph_modularity(neighbors, labels) >= before, before


def warn_of_empty_clusters(
    labels: np.ndarray, initial_labels: np.ndarray, name: str
) -> None:
    """Warn if clusters that k-means found have no rows at the end."""
    found, before = len(np.unique(labels)), len(np.unique(initial_labels))
    if found < before:
        warnings.warn(
            f"{name} ended with {found} clusters that hold rows, of {before} after "
            "k-means. Try fewer n_clusters, a smaller learning_rate or another "
            "random_state.",
            ConvergenceWarning,
            stacklevel=3,
        )
