"""What SCAN trains, and the two phases of it: an encoder with a linear head."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize, one_hot

from skdeep.base import network_copy
from skdeep.cluster._base import BaseDeepClusterer
from skdeep.cluster._graph_kmeans import means_of
from skdeep.cluster._starts import REGULARISATION
from skdeep.cluster._steps import Clustering, LabelWatch, Start, guarded
from skdeep.nn import MLP, Network, chained, initialized, softmax_of_head
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._neighbors import nearest_neighbors
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

N_SELF_LABEL_STEPS = 200
"""Gradient steps that self_label_iter="auto" aims at."""


@dataclass(frozen=True)
class Model:
    """An encoder and a linear head on its codes."""

    encoder: BaseRepresentation
    head: Network

    @property
    def networks(self) -> list[Network]:
        """All that training moves."""
        return [self.encoder.encoder_, self.head]

    def logits(self, x: Tensor) -> Tensor:
        """Map scaled rows to logits of the clusters, ``(n, n_clusters)``."""
        return chained(x, *self.networks)[-1]

    def probabilities(self, x: Tensor) -> Tensor:
        """Softmax of the logits of scaled rows."""
        return softmax_of_head(self.head, self.encoder.encoder_(x))

    def copied(self) -> "Model":
        """Copy both, as they are now."""
        encoder = copy.deepcopy(self.encoder)
        return Model(encoder, network_copy(self.head).to(encoder._home()))


def clustering_of(model: Model, rows: Rows) -> Clustering:
    """Copy the state that training has reached."""
    model = model.copied()
    p = in_chunks(model.probabilities, rows)
    labels = p.argmax(axis=1)
    Z = model.encoder._encode(rows)
    centers = means_of(Z, labels, p.shape[1])
    # A cluster that is no row's most probable one lies where it is probable most, and
    # in the middle of all rows if it is so improbable that nothing is left.
    for empty in np.setdiff1d(np.arange(p.shape[1]), labels):
        likely = p[:, empty] + np.finfo(p.dtype).tiny
        centers[empty] = likely / likely.sum() @ Z
    attributes = {
        "encoder_": model.encoder,
        "head_": model.head,
        "cluster_centers_": centers,
        "cluster_frequencies_": p.sum(axis=0),
    }
    return Clustering(labels, attributes)


class DeepStage:
    """The two phases that train a model, and the guard over both.

    Parameters
    ----------
    clusterer : BaseDeepClusterer
        Its parameters rule the loops.
    begin : Start
        Rows, and the graph of the guard.
    model : Model
        Trained in place.
    task : FitTask
    batches : Batches
        Of an epoch.
    """

    def __init__(
        self,
        clusterer: BaseDeepClusterer,
        begin: Start,
        model: Model,
        task: FitTask,
        batches: Batches,
    ) -> None:
        self.clusterer = clusterer
        self.rows = begin.rows
        self.neighbors = begin.neighbors
        self.model = model
        self.batches = batches
        self.before = clustering_of(model, self.rows)
        self.watch = LabelWatch(torch.from_numpy(self.before.labels), self.neighbors)
        self.moving: list[Thing] = [batches.rng, self.watch, *begin.moving]
        self.cluster, self.self_label = (
            task.phase(name, batches.epochs(given, n_steps), self.now)
            for name, given, n_steps in (
                ("cluster", clusterer.max_iter, N_STEPS),
                ("self-label", clusterer.self_label_iter, N_SELF_LABEL_STEPS),
            )
        )

    def optimizer(self, learning_rate: float) -> Adam:
        """Adam on the model as it is now."""
        return Adam(
            self.model.networks,
            learning_rate=learning_rate,
            weight_decay=self.clusterer.weight_decay,
            precision=self.clusterer.precision,
        )

    def run(
        self,
        phase: Phase,
        toward: Callable[[Tensor], Step],
        optimizer: Adam,
        *moving: Thing,
    ) -> None:
        """Run the epochs of a phase, of which each has a step of its own.

        Parameters
        ----------
        phase : Phase
        toward : callable
            Takes the probabilities of all rows, and returns the step of the next epoch.
        optimizer : Adam
        moving : things
            What the steps move beside the model.
        """
        rows = self.rows

        def probabilities() -> Tensor:
            p = in_chunks(self.model.probabilities, rows)
            return torch.from_numpy(p).to(rows.device)

        last = {"p": probabilities()}
        phase.moves(optimizer, last, *moving, *self.moving)
        for _ in phase:
            with optimizer.training():
                losses = train_epoch(toward(last["p"]), self.batches)
            p = last["p"] = probabilities()
            phase.record({**losses, **self.watch.look(p.argmax(1).cpu())})
        phase.check_weights(optimizer)

    def now(self) -> dict[str, Any]:
        """Attributes of a clusterer that predicts with the model as it is now."""
        return {**clustering_of(self.model, self.rows).attributes, **self.histories()}

    def histories(self) -> dict[str, Any]:
        """Return the records of the phases, by attribute."""
        return {
            "history_": self.cluster.history,
            "self_label_history_": self.self_label.history,
        }

    def fitted(self) -> dict[str, Any]:
        """Attributes of the fitted clusterer: of the model, or of what was before."""
        after = clustering_of(self.model, self.rows)
        return {
            **guarded(self.clusterer, self.before, after, self.neighbors),
            "n_iter_": self.cluster.n_iter,
            **self.histories(),
        }


def code_neighbors(Z: Tensor, n_neighbors: int, seed: int) -> Tensor:
    """Row numbers of the nearest codes of each by their angles, ``(n, n_neighbors)``.

    Fewer columns for fewer rows; a row that is alone has itself.
    """
    codes = normalize(Z, dim=1).cpu().numpy()
    zeros, ones = np.zeros(Z.shape[1]), np.ones(Z.shape[1])
    rows = Rows(codes, zeros, ones, Z.device)
    neighbors = torch.from_numpy(nearest_neighbors(rows, n_neighbors, seed))
    if neighbors.shape[1] == 0:
        neighbors = torch.arange(len(Z)).unsqueeze(1)
    return neighbors.to(Z.device)


@torch.no_grad()
def discriminant_head(Z: Tensor, labels: Tensor, n_clusters: int) -> Network:
    r"""Linear head that says which center a code is nearest to, and how surely.

    Near in the metric in which the clusters, of mean covariance S, are round. With the
    means :math:`\mu_j` of the clusters and d components,

    .. math:: p_{ij} \propto \exp \left( -\frac{1}{2d} (z_i - \mu_j)^\top S^{-1}
              (z_i - \mu_j) \right)
              \propto \exp \left( \frac1d (\mu_j - m)^\top S^{-1} z_i
              - \frac{1}{2d} \mu_j^\top S^{-1} \mu_j \right) .

    Without the d, which Gaussians do not have, few rows would leave anything to learn.
    The mean m of the centers changes no probability and keeps the weights small.
    """
    members = one_hot(labels, n_clusters).to(Z.dtype)
    sizes = members.sum(0).clamp_min(1).unsqueeze(1)
    centers = members.T @ Z / sizes
    inner = Z - centers[labels]
    floor = REGULARISATION * Z.var(correction=0)
    floor = torch.where(floor > 0, floor, 1.0)
    covariance = inner.T @ inner / len(Z) + floor * torch.eye(Z.shape[1]).to(Z)
    middle = centers.mean(0)
    offset = torch.linalg.solve(Z.shape[1] * covariance, (centers - middle).T).T
    head = initialized(MLP, Generator(), sizes=[Z.shape[1], n_clusters])
    weight, bias = head.to(Z.device).parameters()
    weight.copy_(offset)
    # Of each center less that of the middle, without a difference of large numbers.
    bias.copy_(-(offset * (centers + middle)).sum(1) / 2)
    return head
