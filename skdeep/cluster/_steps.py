"""The steps that the autoencoder clusterers share, in the order of their papers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions
from skdeep.base import STEP_CONSTRAINTS
from skdeep.cluster._base import (
    AUTOENCODER_CONSTRAINTS,
    BaseDeepClusterer,
    exact_assignment,
    student_assignment,
)
from skdeep.cluster._collapse import RankWatch, warn_of_empty_clusters
from skdeep.cluster._graph_kmeans import N_NEIGHBORS, Partition
from skdeep.cluster._starts import GRAPH_STARTS, INITS, resolved_init, started
from skdeep.metrics import graph_modularity
from skdeep.nn.augmentation import MarginalCorruption
from skdeep.objectives.clustering import target_distribution
from skdeep.objectives.distances import squared_distances
from skdeep.parameters import ImageShape
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.representation._pretraining import fitted_encoder
from skdeep.representation._views import Views, on_rows, resolved_augment
from skdeep.training import (
    Adam,
    Batches,
    FitTask,
    Phase,
    Rows,
    Step,
    Thing,
    in_chunks,
    train_epoch,
)

N_STEPS = 400
"""Gradient steps that max_iter="auto" aims at."""

SLACK = 0.01
"""Loss of modularity up to which the deep stage is kept: most such are gains."""


DEEP_STAGE_CONSTRAINTS: dict[str, list[Any]] = {
    "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "guard": ["boolean"],
    "augment": [StrOptions({"auto"}), callable, MarginalCorruption, None],
    **STEP_CONSTRAINTS,
}
"""What the parameters of any deep stage may be."""

SELF_TRAINING_CONSTRAINTS: dict[str, list[Any]] = {
    **AUTOENCODER_CONSTRAINTS,
    **DEEP_STAGE_CONSTRAINTS,
    "tol": [Interval(Real, 0, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "update_interval": [Interval(Integral, 1, None, closed="left")],
    "init": [INITS],
}
"""What the parameters of `self_training`, and of its start, may be."""

ASSIGNED_NUMBERS = 2**18
"""Numbers of soft assignments made at once: bounds the memory of many clusters."""


class Assigned(NamedTuple):
    """Assignment of all rows, without the table of rows and clusters.

    Parameters
    ----------
    labels : Tensor of int64 of shape (n_samples,)
        Cluster of each row.
    frequency : Tensor of float64 of shape (n_clusters,)
        Sum of the soft assignments to each cluster.
    """

    labels: Tensor
    frequency: Tensor


Targets = Callable[[Tensor], Tensor]
"""Takes row numbers; returns the targets of these rows, since the last refresh."""

Toward = Callable[[Targets], Step]
"""Takes what the steps of an epoch aim at; returns the step."""

Refresh = Callable[[Tensor], Assigned]
"""Takes the embedding of all rows, mends the centroids in place, assigns the rows."""

CENTROID_UPDATES = StrOptions({"gradient", "mean"})
"""How `refreshed_assignment` and the steps before it may move centroids."""


@dataclass
class Start:
    """Where the deep stage starts from; it trains the first two in place.

    Generators of what surrounds its steps join `moving`, beside the centroids.
    Each row stands for as many as its weight says, or for itself alone.
    """

    autoencoder: BaseRepresentation
    centroids: Tensor
    labels: Tensor
    rows: Rows
    neighbors: np.ndarray | None
    moving: list[Thing] = field(default_factory=list)
    weights: np.ndarray | None = None

    def batches(self, size: int, seed: int) -> Batches:
        """Batches of all rows."""
        rng = Generator().manual_seed(seed)
        return Batches(len(self.rows), size, rng, self.rows.device)

    def row_weights(self) -> Tensor:
        """Rows that each row stands for, in float64."""
        weights = np.ones(len(self.rows)) if self.weights is None else self.weights
        return torch.from_numpy(weights).to(self.rows.device)


def start(
    clusterer: BaseDeepClusterer,
    X: np.ndarray | csr_matrix,
    image_shape: ImageShape | None,
    task: FitTask,
    seeds: list[int],
    init: str,
) -> Start:
    """Pretrain the encoder of a clusterer and place centroids in its embedding."""
    pretrain_seed, kmeans_seed, neighbor_seed = seeds
    autoencoder, neighbors = fitted_encoder(
        clusterer, X, image_shape, pretrain_seed, task
    )
    rows = autoencoder._scaled_rows(X, resident=True)
    init = resolved_init(init, X, autoencoder)
    if neighbors is None and (clusterer.guard or init in GRAPH_STARTS):
        neighbors = nearest_neighbors(rows, N_NEIGHBORS, neighbor_seed)
    with task.leaf("init"):
        Z = autoencoder._encode(rows)
        found = started(
            init, Z, clusterer.n_clusters, clusterer.n_init, kmeans_seed, neighbors
        )
    if not clusterer.guard:
        neighbors = None
    centroids = torch.tensor(found.cluster_centers_, device=rows.device)
    labels = torch.from_numpy(found.labels_).to(torch.int64)
    return Start(autoencoder, centroids, labels, rows, neighbors, [centroids])


def augmentation(
    augment: str | Views, start: Start, seed: int
) -> Callable[[Tensor], Tensor]:
    """Change of the rows of a step that a parameter such as `augment` asks for."""
    rng = Generator(start.rows.device).manual_seed(seed)
    start.moving.append(rng)
    order = Generator().manual_seed(seed + 1)  # on the CPU `rng` would be its twin
    encoder = start.autoencoder
    change, shape = resolved_augment(
        augment, encoder.image_shape_, encoder.pixel_shape_
    )
    changed = on_rows(change, shape, start.rows, order)
    if callable(augment) and encoder.constants_ is not None:  # it may let all vary
        encoder.constants_ = np.full_like(encoder.constants_, np.nan)
    return lambda x: changed(x, rng)


@dataclass(frozen=True)
class Clustering:
    """A state that training has reached.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Clusters of the training rows.
    attributes : dict
        What a fitted clusterer needs in order to predict.
    """

    labels: np.ndarray
    attributes: dict[str, Any]


def clustering_of(start: Start, alpha: float) -> Clustering:
    """Copy the state that training has reached."""
    autoencoder = copy.deepcopy(start.autoencoder)
    centers = start.centroids.detach().cpu().numpy().copy()
    assignment = student_assignment(autoencoder, centers, alpha)
    sizes = torch.zeros(len(centers), dtype=torch.float64, device=start.rows.device)

    def counted(x: Tensor, weights: Tensor) -> Tensor:
        q = assignment(x)
        sizes.add_(weights @ q)
        return q.argmax(1)

    labels = in_chunks(counted, start.rows, start.row_weights())
    attributes = {
        "autoencoder_": autoencoder,
        "cluster_centers_": centers,
        "cluster_frequencies_": sizes.float().cpu().numpy(),
    }
    return Clustering(labels, attributes)


def self_training(
    clusterer: BaseDeepClusterer,
    start: Start,
    toward: Toward,
    refresh: Refresh,
    optimizer: Adam,
    task: FitTask,
    batches: Batches,
    max_iter: int | None = None,
) -> dict[str, Any]:
    """Run the deep stage and keep it, unless the guard prefers what was before.

    Parameters
    ----------
    clusterer : BaseDeepClusterer
        Its parameters rule the loop.
    start : Start
    toward : callable
        Takes the map of row numbers to the targets of these rows, since the last
        refresh, and returns the step of the next epoch: of row numbers, it makes one
        update and returns its losses.
    refresh : callable
        Takes the embedding of all rows, mends the centroids in place and assigns the
        rows to them.
    optimizer : Adam
        Of the networks that the steps train.
    task : FitTask
    batches : Batches
        Of an epoch.
    max_iter : int or None
        Epochs at most, if not those of the parameter.

    Returns
    -------
    dict
        The fitted attributes of `clusterer`.
    """
    alpha = clusterer.alpha
    before = clustering_of(start, alpha)
    if max_iter is None:
        max_iter = batches.epochs(clusterer.max_iter, N_STEPS)

    def snapshot() -> dict[str, Any]:
        return {**clustering_of(start, alpha).attributes, "history_": phase.history}

    phase = task.phase("cluster", max_iter, snapshot)
    rank = alternate(clusterer, start, toward, refresh, optimizer, phase, batches)
    after = clustering_of(start, alpha)
    fitted = guarded(clusterer, before, after, start.neighbors, rank.lost)
    rank.warn(fitted["deep_stage_kept_"], type(clusterer).__name__)
    return {
        **fitted,
        "n_iter_": phase.n_iter,
        "history_": phase.history,
    }


def guarded(
    clusterer: BaseDeepClusterer,
    before: Clustering,
    after: Clustering,
    neighbors: np.ndarray | None,
    collapsed: bool = False,
) -> dict[str, Any]:
    """Fitted attributes of the clustering after the deep stage, or of that before it.

    Without the graph, for which the guard asks, always of the one after it; with it,
    never of one whose embedding collapsed.
    """
    # Silhouettes of the embedding measure what the deep stage optimises, and always
    # prefer it. The graph of the input does not know the embedding.
    modularity, kept = float("nan"), True
    if neighbors is not None:
        old, new = (Partition.of(neighbors, each.labels) for each in (before, after))
        modularity = old.modularity
        kept = new.modularity >= modularity - SLACK and not old.cuts_far_fewer(new)
        kept = kept and not collapsed
    chosen = after if kept else before
    warn_of_empty_clusters(chosen.labels, clusterer)
    return {
        **chosen.attributes,
        "labels_": chosen.labels,
        "initial_labels_": before.labels.copy(),
        "initial_modularity_": modularity,
        "deep_stage_kept_": kept,
        "run_scores_": None,
    }


class LabelWatch:
    """What becomes of the labels of the training rows from one look to the next.

    Parameters
    ----------
    labels : Tensor of int64 of shape (n_samples,)
        Those to begin with.
    neighbors : ndarray or None
        The graph, if the guard asks for it.
    """

    def __init__(self, labels: Tensor, neighbors: np.ndarray | None) -> None:
        self.labels = labels
        self.neighbors = neighbors

    def state(self) -> dict[str, Any]:
        """Return the labels of the last look."""
        return {"labels": self.labels}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.labels = state["labels"].to(self.labels)

    def look(self, labels: Tensor) -> dict[str, float]:
        """Fraction of labels that changed, and modularity of the new ones."""
        change = float((labels != self.labels).float().mean())
        self.labels = labels
        seen = {"label_change": change}
        if self.neighbors is not None:
            seen["modularity"] = graph_modularity(self.neighbors, labels.cpu().numpy())
        return seen


def alternate(
    clusterer: BaseDeepClusterer,
    start: Start,
    toward: Toward,
    refresh: Refresh,
    optimizer: Adam,
    phase: Phase,
    batches: Batches,
) -> RankWatch:
    """Alternate assignments of all rows with epochs of steps towards them.

    An embedding that loses its rank ends the phase; its watch is returned.
    """
    rows = start.rows

    def embedding() -> Tensor:
        with optimizer.inference():
            return torch.from_numpy(start.autoencoder._encode(rows)).to(rows.device)

    def keep(z: Tensor, found: Assigned) -> Tensor:
        centroids = start.centroids.detach().clone()
        last.update(z=z, centroids=centroids, frequency=found.frequency)
        return found.labels

    def targets() -> Targets:
        kept = (last[name] for name in ("z", "centroids", "frequency"))
        return targets_by(clusterer.alpha, *kept)

    z = embedding()
    rank = RankWatch(z.cpu().numpy(), clusterer.n_clusters)
    last: dict[str, Any] = {"seen": {}, "calm": 0}
    labels = keep(z, assigned(start, z, clusterer.alpha))
    watch = LabelWatch(labels, start.neighbors)
    phase.moves(optimizer, batches.rng, watch, last, rank, *start.moving)
    step = None
    for epoch in phase:
        step = step or toward(targets())
        with optimizer.training():
            losses = train_epoch(step, batches)
        if epoch % clusterer.update_interval and epoch not in (1, phase.max_iter):
            phase.record(losses, again=last["seen"])
        else:
            z, step = embedding(), None
            seen = last["seen"] = watch.look(keep(z, refresh(z)))
            seen["effective_rank"] = rank.look(z.cpu().numpy())
            is_calm = seen["label_change"] < clusterer.tol
            last["calm"] = last["calm"] + 1 if is_calm else 0
            if last["calm"] >= clusterer.n_iter_no_change or rank.lost:
                phase.stop()
            phase.record({**losses, **seen})
    phase.check_weights(optimizer)
    return rank


def rows_at_once(n_clusters: int) -> int:
    """Rows of which soft assignments are made at once."""
    return max(1, ASSIGNED_NUMBERS // n_clusters)


@torch.no_grad()
def assigned(start: Start, z: Tensor, alpha: float) -> Assigned:
    """Assign all rows by their embedding, a part of them at a time."""
    n_clusters = len(start.centroids)
    frequency = torch.zeros(n_clusters, dtype=torch.float64, device=z.device)
    labels = torch.empty(len(z), dtype=torch.int64, device=z.device)
    of_all = z, start.row_weights(), labels
    parts = (each.split(rows_at_once(n_clusters)) for each in of_all)
    for codes, weights, found in zip(*parts, strict=True):
        q = exact_assignment(codes, start.centroids, alpha)
        frequency += weights @ q
        torch.argmax(q, 1, out=found)
    return Assigned(labels, frequency)


def targets_by(
    alpha: float, z: Tensor, centroids: Tensor, frequency: Tensor
) -> Targets:
    """Targets of rows by the codes, centroids and frequencies of one refresh.

    Made when a step wants them: all of them, a number for each cluster of each row,
    would be the largest thing that a fit holds. If the rows are few, they are made at
    once, which takes less time.
    """

    def of_codes(z: Tensor) -> Tensor:
        return target_distribution(
            exact_assignment(z, centroids, alpha), frequency
        ).float()

    if len(z) <= rows_at_once(len(centroids)):
        return of_codes(z).__getitem__
    return lambda index: of_codes(z[index])


@torch.no_grad()
def refreshed_assignment(
    start: Start, z: Tensor, alpha: float, centroid_update: str
) -> Assigned:
    """Assign all rows, after mending the centroids in place.

    With ``centroid_update="mean"`` each centroid moves to the mean of its rows. One
    that lost all its rows moves to the row that lies farthest from its own centroid.
    """
    if centroid_update == "mean":
        labels = assigned(start, z, alpha).labels
        for number in labels.unique().tolist():
            start.centroids[number] = z[labels == number].mean(0)
    return reseeded(start, z, alpha)[0]


@torch.no_grad()
def reseeded(start: Start, z: Tensor, alpha: float) -> tuple[Assigned, Tensor]:
    """Move centroids without rows, in place, to the rows farthest from their own.

    Returns
    -------
    found : Assigned
        All rows.
    moved : Tensor of int64
        Which centroids moved.
    """
    centroids = start.centroids
    found = assigned(start, z, alpha)
    sizes = torch.bincount(found.labels, minlength=len(centroids))
    empty = torch.nonzero(sizes == 0).flatten()
    if len(empty):
        parts = z.split(rows_at_once(len(centroids)))
        distances = torch.cat([squared_distances(p, centroids).amin(1) for p in parts])
        farthest = distances.argsort(descending=True, stable=True)[: len(empty)]
        empty = empty[: len(farthest)]
        centroids[empty] = z[farthest]
        found = assigned(start, z, alpha)
    return found, empty
