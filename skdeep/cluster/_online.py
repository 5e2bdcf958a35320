"""Clusters of rows that come a part at a time: what both clusterers share that can."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.frozen import FrozenEstimator
from torch import Generator, Tensor

from skdeep._compat import fit_context
from skdeep.cluster._base import BaseDeepClusterer
from skdeep.cluster._graph_kmeans import N_NEIGHBORS, kmeans
from skdeep.cluster._starts import (
    Clusters,
    clusters_of_graph,
    compact_clusters,
    resolved_init,
    started,
)
from skdeep.cluster._steps import Start, Targets, augmentation, self_training
from skdeep.nn import initialized
from skdeep.objectives.reconstruction import RECONSTRUCTIONS, squared_error
from skdeep.representation import AutoencoderTransformer
from skdeep.representation._autoencoder_objective import AutoencoderObjective
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.representation._pretraining import LEFT_OPEN, frozen_encoder
from skdeep.training import (
    Adam,
    Batches,
    FitTask,
    OneCycle,
    Rows,
    Step,
    descend,
)
from skdeep.wrapping import thawed

CAPACITY = 2000
"""Rows that are kept for replay."""

N_REHEARSALS, N_PASSES = 80, 40
"""Times that each new row pays for a draw, of pretraining that goes on and of the deep
stage: twice and four times what `fit` makes of them over 10 000 rows.
"""

FOREIGN = 0.5
"""Share of their mixing with the earlier rows that new rows of other kinds lack."""

ENOUGH_ROWS = 1250
"""New rows that pay for the draws in which networks learn anew."""

SLACK = 0.01
"""By how much the start of the deep stage may cut the graph worse than the best.

The rows at hand are few, and so are the edges by which starts are told apart.
"""


@dataclass(frozen=True)
class Reservoir:
    """A uniform sample of the rows of a stream, and how many these were.

    Algorithm R: row number t of the stream, from 0 on, takes a random place of the
    sample with probability ``CAPACITY / (t + 1)``.

    References
    ----------
    J. S. Vitter, "Random Sampling with a Reservoir", ACM Transactions on Mathematical
    Software 11, 1985.
    """

    rows: Any
    n_seen: int = 0

    @property
    def n_features(self) -> int:
        """Columns of the rows."""
        return self.rows.shape[1]

    def with_more(self, X: Any, rng: np.random.RandomState) -> "Reservoir":
        """Sample after the rows of X have passed by."""
        n_old, n_new = self.rows.shape[0], X.shape[0]
        n_free = min(CAPACITY - n_old, n_new)
        # What fills each place of the sample: an old row, or one of X after them.
        origin = np.arange(n_old + n_free)
        late = np.arange(n_free, n_new)
        place = (rng.random_sample(len(late)) * (self.n_seen + late + 1)).astype(int)
        stays = place < CAPACITY
        origin[place[stays]] = n_old + late[stays]  # of two at one place, the later
        old, new = origin[origin < n_old], origin[origin >= n_old] - n_old
        rows = stacked(self.rows[old], X[np.sort(new)])
        return Reservoir(rows, self.n_seen + n_new)


def stacked(first: Any, second: Any) -> Any:
    """Rows of two matrices, one below the other: sparse if one of them is."""
    if sparse.issparse(first) or sparse.issparse(second):
        both = [sparse.csr_matrix(rows) for rows in (first, second)]
        return sparse.vstack(both, format="csr")
    return np.concatenate([first, second])


@fit_context
def partial_fit(self: Any, X: Any, y: Any = None) -> Any:
    """Cluster the next rows of a stream, beside a sample of those before.

    The first call is `fit`. Each later one goes on with the pretraining, places the
    centroids anew and takes the deep stage further, on the new rows and at most
    2000 earlier ones. Clusters keep their numbers as far as they keep their rows.
    Where at least 1250 new rows are of other kinds than the earlier ones, whose
    neighbours they rarely are, pretraining begins anew on both: networks that took
    a new kind for an old one hardly ever part them. Frozen autoencoders stay as
    they are: each call takes the deep stage from there. After `fit`, which keeps no
    rows, the networks go on from those of the fit, and clusters of which the stream
    has no rows are lost. The time of a later call grows with its rows, whatever
    `max_iter`: 80 draws of pretraining and at most 40 of the deep stage for each
    new row. k-means counts rows by what they stand for; mixtures and other starts see
    rows that are drawn so.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Or images of shape (n_samples, C, H, W). In the first call at least
        `n_clusters` rows, and better thousands: they start the networks and say how
        the columns are scaled.
    y : None
        Ignored.

    Returns
    -------
    self : estimator instance

    Raises
    ------
    ValueError
        If `n_clusters`, or a parameter of the autoencoder, is not what the stream
        began with, or a `Checkpoint` is set after the first call.
    FloatingPointError
        If a loss turns infinite or NaN. After any error but in the first call, the
        estimator is what it was before.
    """
    # A method of the two that can: each names it.
    goes_on = self.__sklearn_is_fitted__()
    if goes_on:
        self._validate_params()  # scikit-learn does so in the first call alone
    else:
        self.fit(X, y)
    # All that places the centroids is the stream: it begins with enough rows for them.
    # A copy that a callback kept in the middle of a fit has no stream yet.
    reservoir = getattr(self, "reservoir_", None)
    least = self.n_clusters if reservoir is None else 1
    X = self._validated(X, reset=False, min_samples=least)
    reservoir = reservoir or Reservoir(X[:0])
    # Other seeds in each call, and the same ones for the same stream.
    entropy = [self._seeds(1)[0], reservoir.n_seen % 2**32]
    rng = np.random.RandomState(entropy)
    if goes_on:
        seeds = [int(seed) for seed in rng.randint(2**31 - 1, size=9)]
        require_same_stream(self, X)
        with FitTask(self, X, y, max_subtasks=3, goes_on=True) as task:
            fitted = taught(self, X, reservoir, task, seeds)
            reservoir = reservoir.with_more(X, rng)
            self.__dict__.update(fitted, reservoir_=reservoir)
    else:
        self.reservoir_ = reservoir.with_more(X, rng)
    return self


def require_same_stream(clusterer: BaseDeepClusterer, X: Any) -> None:
    """Raise if a stream was begun with other clusters, or another autoencoder."""
    fitted, given = clusterer.autoencoder_, clusterer.autoencoder
    is_frozen = isinstance(given, FrozenEstimator)
    if is_frozen:
        given = frozen_encoder(clusterer, X, fitted.image_shape_)
    elif given is None:
        given = clusterer._defaults["autoencoder"]()
    name = type(clusterer).__name__
    compared = [
        ("n_clusters", len(clusterer.cluster_centers_), clusterer.n_clusters),
        ("autoencoder", type(fitted).__name__, type(given).__name__),
        *(
            (f"autoencoder__{each}", getattr(fitted, each), getattr(given, each, None))
            for each in fitted.get_params(deep=False)
            if each not in {*LEFT_OPEN, "verbose"}
        ),
    ]
    for parameter, begun, now in compared:
        if now != begun and as_printed(now) != as_printed(begun):  # copies may differ
            raise ValueError(
                f"This stream was begun with {parameter}={begun!r}, and goes on with "
                f"it. Got {now!r}: clone the {name} to begin another."
            )
    if is_frozen and not all(
        np.array_equal(getattr(given, scaling), getattr(fitted, scaling))
        for scaling in ("offset_", "scale_")
    ):
        raise ValueError(
            "This stream was begun with an autoencoder that scales rows otherwise than "
            f"the frozen one, which was fitted on others: clone the {name} to begin "
            "another."
        )


def as_printed(value: Any) -> str:
    """Value of a parameter as text: a list is as good as a tuple."""
    return repr(tuple(value) if isinstance(value, list) else value)


def taught(
    clusterer: BaseDeepClusterer,
    X: Any,
    reservoir: Reservoir,
    task: FitTask,
    seeds: list[int],
) -> dict[str, Any]:
    """Train a fitted clusterer on, with new rows and a sample of the earlier ones.

    Each row of the sample stands for as many as were seen for one of it, so that rows
    that come sorted weigh no more than they did when they were new.

    Returns
    -------
    dict
        The fitted attributes of `clusterer`.
    """
    neighbor_seed, weight_seed, draw_seed, kmeans_seed, noise_seed, seed = seeds[:6]
    n_old, n_new = reservoir.rows.shape[0], X.shape[0]
    weights = np.ones(n_old + n_new)
    weights[:n_old] = reservoir.n_seen / max(1, n_old)
    is_frozen = isinstance(clusterer.autoencoder, FrozenEstimator)
    autoencoder = copy.deepcopy(
        thawed(clusterer.autoencoder)
        if is_frozen
        else getattr(clusterer, "pretrained_", None) or clusterer.autoencoder_
    )
    autoencoder.device = clusterer.device
    known_rows = stacked(reservoir.rows, X)
    if not is_frozen:
        autoencoder._free_what_varies(known_rows)
    rows = autoencoder._scaled_rows(known_rows, resident=True)
    draw = WeightedDraw(weights, draw_seed, rows.device)
    known = clusterer._labels(rows)
    neighbors = nearest_neighbors(rows, N_NEIGHBORS, neighbor_seed)

    # Phase 1: go on with the pretraining, which knows nothing of clusters: clusters
    # that were drawn together by mistake could not be told apart any more. Nor can
    # kinds of rows that the networks have never seen side by side, and took for one.
    exaggeration = 1.0
    if not is_frozen and begins_anew(autoencoder, neighbors, n_old):
        redraw(autoencoder, weight_seed)
        shapes = autoencoder.image_shape_, autoencoder.pixel_shape_
        exaggeration = autoencoder._resolved_exaggeration(*shapes)
    centroids = torch.tensor(clusterer.cluster_centers_, device=rows.device)
    labels = torch.from_numpy(known)
    graph = neighbors if clusterer.guard else None
    begin = Start(autoencoder, centroids, labels, rows, graph, weights=weights)
    if not is_frozen:
        n_draws = N_REHEARSALS * n_new
        rehearse(begin, neighbors, draw, n_draws, task, seeds[6:], exaggeration)
    pretrained = copy.deepcopy(autoencoder)

    # Phase 2: place the centroids anew, as far as possible in their old order.
    with task.leaf("init"):
        init = resolved_init(clusterer.init, X, autoencoder)
        place_anew(begin, init, clusterer.n_init, neighbors, kmeans_seed)

    # Phase 3: the deep stage.
    optimizer, toward, refresh = clusterer._deep_stage(begin, noise_seed)

    def toward_drawn(targets: Targets) -> Step:
        step = toward(targets)
        return lambda index: step(draw(index))

    batches = draws_of(begin, clusterer.batch_size, seed)
    max_iter = epochs_of(N_PASSES * n_new, batches)
    fitted = self_training(
        clusterer, begin, toward_drawn, refresh, optimizer, task, batches, max_iter
    )
    of_new = {
        name: fitted[name][n_old:].copy() for name in ("labels_", "initial_labels_")
    }
    return {**fitted, **of_new, "pretrained_": pretrained}


def begins_anew(
    autoencoder: BaseRepresentation, neighbors: np.ndarray, n_old: int
) -> bool:
    """Whether the new rows are of other kinds, and enough to learn anew from."""
    return (
        len(neighbors) - n_old >= ENOUGH_ROWS
        and foreignness(neighbors, n_old) > FOREIGN
        and isinstance(autoencoder, AutoencoderTransformer)
    )


def place_anew(
    begin: Start, init: str, n_init: int, neighbors: np.ndarray, seed: int
) -> None:
    """Move the centroids to the clusters of today's codes, each to the most alike.

    k-means counts the rows by their weights. Mixtures and other starts see as many
    rows, drawn so.
    """
    Z, weights = begin.autoencoder._encode(begin.rows), begin.weights
    assert weights is not None, "The rows of a stream have weights."
    counts = len(begin.centroids), int(n_init)
    found: Clusters
    if init == "modularity":
        found = clusters_of_graph(Z, *counts, seed, neighbors, weights, SLACK)
    elif init == "inertia":
        found = compact_clusters(Z, *counts, seed, neighbors, weights)
    elif init == "kmeans":
        found = kmeans(Z, *counts, seed, weights)
    else:
        shares = weights / weights.sum()
        drawn = np.random.RandomState(seed).choice(len(Z), len(Z), p=shares)
        found = started(init, Z[drawn], *counts, seed, None)
    labels = found.predict(Z)
    order = in_old_order(begin.labels.numpy(), labels, len(begin.centroids))
    begin.centroids.copy_(torch.from_numpy(found.cluster_centers_[order]))


def foreignness(neighbors: np.ndarray, n_old: int) -> float:
    """How little the rows from number `n_old` on mix with those before them.

    0 if a neighbour of such a row is as often another such row as chance has it, as in
    a stream that comes shuffled; 1 if it always is.
    """
    if not 0 < n_old < len(neighbors) or neighbors.shape[1] == 0:
        return 0.0
    n_others = len(neighbors) - 1
    expected = (n_others - n_old) / n_others
    found = np.mean(neighbors[n_old:] >= n_old)
    return float((found - expected) / (1 - expected))


def redraw(autoencoder: AutoencoderTransformer, seed: int) -> None:
    """Give an autoencoder networks that have learned nothing."""
    rng = Generator().manual_seed(seed)
    for name in ("encoder_", "decoder_"):
        old = getattr(autoencoder, name)
        new = initialized(type(old), rng, **old.arguments).eval()
        setattr(autoencoder, name, new.to(next(old.parameters()).device))


class WeightedDraw:
    """Turn the row numbers of a batch into as many others, drawn by weight."""

    def __init__(self, weights: np.ndarray, seed: int, device: torch.device) -> None:
        self.weights = torch.from_numpy(weights).to(device)
        self.rng = Generator(device).manual_seed(seed)

    def __call__(self, index: Tensor) -> Tensor:
        return torch.multinomial(
            self.weights, len(index), replacement=True, generator=self.rng
        )

    def among(self, choices: Tensor) -> Tensor:
        """Draw one row number of each line of `choices`, by weight."""
        # As torch.multinomial does, which would wait for a GPU to look at the weights:
        # of clocks that ring at these rates, one rings first with that probability.
        weights = self.weights[choices]
        clocks = torch.empty_like(weights).exponential_(generator=self.rng)
        drawn = (weights / clocks).argmax(1, keepdim=True)
        return choices.gather(1, drawn).squeeze(1)


def draws_of(begin: Start, size: int, seed: int) -> Batches:
    """Batches of which each number stands for a row that is drawn: of one at least."""
    n_drawn = max(len(begin.rows), size)
    return replace(begin.batches(size, seed), n_samples=n_drawn)


def epochs_of(n_draws: int, batches: Batches) -> int:
    """Epochs in which about so many rows are drawn, some in each."""
    return max(1, round(n_draws / batches.n_samples))


def rehearse(
    begin: Start,
    neighbors: np.ndarray,
    draw: WeightedDraw,
    n_draws: int,
    task: FitTask,
    seeds: list[int],
    exaggeration: float,
) -> None:
    """Go on with the pretraining of an encoder: its neighbours, and the decoder.

    Neighbours that stand for several rows are drawn as often.
    """
    encoder, rows = begin.autoencoder, begin.rows
    shuffle_seed, view_seed, noise_seed = seeds
    batches = draws_of(begin, encoder.batch_size, shuffle_seed)
    objective = rehearsed_objective(encoder, rows, batches.rng)
    rebuilds = objective.decoder is not None
    paired = objective.neighbor_weight > 0 and neighbors.shape[1] > 0
    if not (paired or rebuilds):
        return
    optimizer = Adam(
        objective.networks,
        learning_rate=encoder.learning_rate,
        weight_decay=encoder.weight_decay,
        precision=encoder.precision,
    )
    phase = task.phase("rehearse", epochs_of(n_draws, batches))
    schedule = OneCycle(optimizer, phase.max_iter * len(batches))
    partners = torch.from_numpy(neighbors).to(rows.device)
    augment = encoder._augment if rebuilds else None
    view = augmentation(augment, begin, view_seed)
    noise = Generator(rows.device).manual_seed(noise_seed)
    phase.moves(optimizer, schedule, noise, batches.rng, draw.rng, *begin.moving)

    def step(index: Tensor) -> dict[str, Tensor]:
        index = draw(index)
        n, power = len(index), 1.0
        if paired:
            index = torch.cat([index, draw.among(partners[index])])
            if exaggeration > 1 and schedule.warms_up:
                power = exaggeration
        losses = objective.losses(view(rows[index]), n, noise, power)
        schedule.advance()
        optimizer.step(losses["loss"])
        return losses

    descend(optimizer, step, batches, phase)


def rehearsed_objective(
    encoder: BaseRepresentation, rows: Rows, order: Generator
) -> AutoencoderObjective:
    """Find what an encoder goes on to minimise.

    Those of other objectives than autoencoders keep to their neighbours alone, and none
    goes on to tell which of its cells were swapped.
    """
    if not isinstance(encoder, AutoencoderTransformer):
        return AutoencoderObjective(
            encoder.encoder_, None, squared_error, 1.0, lambda x, _: x
        )
    return AutoencoderObjective(
        encoder.encoder_,
        encoder.decoder_,
        RECONSTRUCTIONS[encoder.loss].loss,
        encoder.neighbor_weight_,
        encoder._corruption(rows, order),
    )


def in_old_order(old: np.ndarray, new: np.ndarray, n_clusters: int) -> np.ndarray:
    """Which new cluster takes the place of each old one: that of the most rows."""
    shared = np.zeros((n_clusters, n_clusters), dtype=np.int64)
    np.add.at(shared, (old, new), 1)
    return linear_sum_assignment(shared, maximize=True)[1]
