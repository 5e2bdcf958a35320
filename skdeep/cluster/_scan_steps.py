"""What SCAN trains, and the two phases of it: an encoder with a linear head."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from skdeep.base import network_copy
from skdeep.cluster._base import BaseDeepClusterer
from skdeep.cluster._graph_kmeans import means_of
from skdeep.cluster._starts import REGULARISATION
from skdeep.cluster._steps import (
    Clustering,
    LabelWatch,
    Start,
    Toward,
    guarded,
    rows_at_once,
)
from skdeep.nn import MLP, Network, chained, initialized, softmax_of_head
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.training import (
    Adam,
    Batches,
    FitTask,
    Phase,
    Rows,
    Thing,
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
    Z = model.encoder._encode(rows)
    found = assigned(torch.from_numpy(Z).to(rows.device), model.head)
    labels, frequency, sums = (tensor.cpu().numpy() for tensor in found)
    centers = means_of(Z, labels, len(frequency))
    # A cluster that is no row's most probable one lies where it is probable most, and
    # in the middle of all rows if it is so improbable that nothing is left.
    for empty in np.setdiff1d(np.arange(len(frequency)), labels):
        size = frequency[empty]
        centers[empty] = sums[empty] / size if size > 0 else Z.mean(0)
    attributes = {
        "encoder_": model.encoder,
        "head_": model.head,
        "cluster_centers_": centers,
        "cluster_frequencies_": frequency.astype(np.float32),
    }
    return Clustering(labels, attributes)


@torch.no_grad()
def assigned(z: Tensor, head: Network) -> tuple[Tensor, Tensor, Tensor]:
    """Assign codes, a part of them at a time.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
        The most probable cluster of each.
    frequency : Tensor of float64 of shape (n_clusters,)
        Sum of the probabilities of each cluster.
    sums : Tensor of float64 of shape (n_clusters, n_components)
        The sum of the codes, each times these probabilities.
    """
    labels = torch.empty(len(z), dtype=torch.int64, device=z.device)
    n_clusters = head.n_outputs
    sums = torch.zeros(n_clusters, z.shape[1], dtype=torch.float64, device=z.device)
    frequency = torch.zeros_like(sums[:, 0])
    parts = (each.split(rows_at_once(n_clusters)) for each in (z, labels))
    for codes, found in zip(*parts, strict=True):
        p = softmax_of_head(head, codes)
        torch.argmax(p, 1, out=found)
        frequency += p.double().sum(0)
        sums += p.double().T @ codes.double()
    return labels, frequency, sums


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
        toward: Toward,
        optimizer: Adam,
        *moving: Thing,
    ) -> None:
        """Run the epochs of a phase, and look at all rows after each.

        Parameters
        ----------
        phase : Phase
        toward : callable
            Takes the map of row numbers to the probabilities of these rows at the last
            look, and returns the step.
        optimizer : Adam
        moving : things
            What the steps move beside the model.
        """
        rows = self.rows

        def codes() -> Tensor:
            return torch.from_numpy(self.model.encoder._encode(rows)).to(rows.device)

        head = network_copy(self.model.head).to(rows.device)
        last = {"z": codes()}
        phase.moves(optimizer, last, *head.parameters(), *moving, *self.moving)
        step = toward(lambda index: softmax_of_head(head, last["z"][index]).detach())
        for _ in phase:
            with optimizer.training():
                losses = train_epoch(step, self.batches)
            last["z"] = codes()
            head.load_state_dict(self.model.head.state_dict())
            labels = assigned(last["z"], head)[0]
            phase.record({**losses, **self.watch.look(labels.cpu())})
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
    sizes = torch.bincount(labels, minlength=n_clusters).clamp_min(1).unsqueeze(1)
    sums = [Z[labels == label].sum(0) for label in range(n_clusters)]
    centers = torch.stack(sums) / sizes
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
