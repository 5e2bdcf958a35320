"""Where the centroids of the deep stage start: clusters of a pretrained embedding."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from skdeep._compat import StrOptions, one_thread
from skdeep.cluster._graph_kmeans import (
    LOOSE,
    MOST_SPECTRAL,
    N_NEIGHBORS,
    Partition,
    kmeans,
    kmeans_from,
    kmeans_of_graph,
    means_of,
    spectral_labels,
)
from skdeep.representation import AutoencoderTransformer, SimCLRTransformer
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._neighbors import row_blocks
from skdeep.scaling import are_directions

N_SMOOTHINGS = 2
"""Times that `smoothed_kmeans` averages codes over their neighbours."""

REGULARISATION = 1e-3
"""Of the covariances of a mixture, as a share of the variance of the codes."""

CLEAR_GAIN = 0.005
"""Of modularity, by which mixtures have to be better than k-means."""

LEAST_SAMPLE, LEAST_OF_CLUSTER = 50_000, 500
"""Codes, in all and for each cluster, in which a start is found if there are twice as
many; all get a label.
"""

BY_INERTIA = math.inf
"""Slack of modularity with which the inertia alone decides."""

N_REFINEMENTS = 10
"""Rounds, at most, in which k-means of a sample moves to the means of all codes."""

MOST_OF_MIXTURES = 20_000
"""Codes to which mixtures are fitted; all get a label."""


class Clusters(Protocol):
    """What every start returns, as scikit-learn's k-means does."""

    cluster_centers_: np.ndarray
    labels_: np.ndarray

    def predict(self, Z: np.ndarray, /) -> np.ndarray:
        """Label of each code."""


@dataclass
class Centroids:
    """Clusters of an embedding.

    Parameters
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_components), float32
    labels_ : ndarray of shape (n_samples,)
    predict : callable
        Map of codes to labels.
    likelihood : float
        Mean log-density of the codes, of a mixture.
    """

    cluster_centers_: np.ndarray
    labels_: np.ndarray
    predict: Callable[[np.ndarray], np.ndarray]
    likelihood: float = math.nan


def least_variance(Z: np.ndarray) -> float:
    """Variance of a Gaussian of codes in any direction, at least."""
    return REGULARISATION * float(Z.var(0).mean()) + 1e-12


def mixture(
    Z: np.ndarray,
    n_clusters: int,
    n_init: int,
    seed: int,
    covariance_type: str,
    weights: np.ndarray | None = None,
) -> Centroids:
    """scikit-learn's mixture of Gaussians, each start of which is a k-means.

    Codes with weights are drawn by them: the mixture takes none.
    """
    model = GaussianMixture(
        n_clusters,
        covariance_type=covariance_type,
        n_init=n_init,
        reg_covar=least_variance(Z),
        random_state=seed,
    )
    rng, part = np.random.RandomState(seed), Z
    if weights is not None:
        n_drawn = min(len(Z), MOST_OF_MIXTURES)
        part = Z[rng.choice(len(Z), n_drawn, p=weights / weights.sum())]
    elif len(Z) > MOST_OF_MIXTURES:
        part = Z[rng.permutation(len(Z))[:MOST_OF_MIXTURES]]
    with (
        one_thread(),
        config_context(array_api_dispatch=False),
        warnings.catch_warnings(),
    ):
        # Means that still move a little are a start as good as any.
        warnings.filterwarnings("ignore", "Best performing initialization did not")
        # Codes may be drawn twice, so that few are left: k-means of all says which are.
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        model.fit(part.astype(np.float64))

    def predict(Z: np.ndarray) -> np.ndarray:
        with one_thread(), config_context(array_api_dispatch=False):
            return model.predict(Z.astype(np.float64))

    means = model.means_.astype(np.float32)
    return Centroids(means, predict(Z), predict, model.lower_bound_)


def gaussian_mixture(
    Z: np.ndarray, n_clusters: int, n_init: int, seed: int
) -> Clusters:
    """Means of Gaussians with full covariances, from a quarter as many starts.

    Clusters may be long or of unlike spreads.
    """
    if len(Z) == 1:
        return kmeans(Z, n_clusters, n_init, seed)
    return mixture(Z, n_clusters, max(1, n_init // 4), seed, "full")


def tied_mixture(Z: np.ndarray, n_clusters: int, n_init: int, seed: int) -> Clusters:
    """Means of Gaussians of one covariance: k-means in the metric of its clusters.

    The k-means that it starts from runs on codes whose principal components are brought
    closer, each to the square root of its spread, so that a few that spread far do not
    decide alone. The mixture itself is the same in any metric.
    """
    if len(Z) == 1:
        return kmeans(Z, n_clusters, n_init, seed)
    mean = Z.mean(0)
    axes, spreads, directions = np.linalg.svd(Z - mean, full_matrices=False)
    found = mixture(axes * np.sqrt(spreads), n_clusters, n_init, seed, "tied")
    factors = np.where(spreads > 0, spreads, np.inf) ** -0.5
    return Centroids(
        means_of(Z, found.labels_, n_clusters),
        found.labels_,
        lambda Z: found.predict((Z - mean) @ directions.T * factors),
    )


def clusters_of_graph(
    Z: np.ndarray,
    n_clusters: int,
    n_init: int,
    seed: int,
    neighbors: np.ndarray,
    weights: np.ndarray | None = None,
    slack: float = 0.0,
) -> Clusters:
    """Clusters of k-means, or of a metric of their own, that cut a graph least.

    Gaussians of one covariance are k-means in the metric in which the clusters are
    round, which is found along. Where images were moved in training, codes spread most
    in the directions of the moves, alike in all clusters, and plain distances mistake
    this for what tells the clusters apart. Half as many are tried, and the best is
    taken if it is clearly better: small gains of modularity mean nothing, nor do any of
    clusters far looser than those of k-means, unless they cut far fewer edges. Of those
    at most `slack` from the largest modularity the likeliest counts as the best.
    """
    plain = kmeans_of_graph(Z, n_clusters, n_init, seed, neighbors, weights, slack)
    if len(Z) == 1:
        return plain
    seeds = np.random.RandomState(seed).randint(2**31 - 1, size=max(1, n_init // 2))
    runs = [mixture(Z, n_clusters, 1, int(each), "tied", weights) for each in seeds]
    parts = [Partition.of(neighbors, run.labels_) for run in [plain, *runs]]
    old, *new = parts
    modularity = np.array([part.modularity for part in new])
    likelihood = np.array([run.likelihood for run in runs])
    is_good = modularity >= modularity.max() - slack
    number = int(np.where(is_good, likelihood, -np.inf).argmax())
    best, part = runs[number], new[number]
    squares = np.square(Z - means_of(Z, best.labels_, n_clusters)[best.labels_]).sum(1)
    inertia = (squares if weights is None else weights * squares).sum()
    alike = inertia <= LOOSE * plain.inertia_ and not old.cuts_far_fewer(part)
    is_clear = modularity.max() - old.modularity > CLEAR_GAIN
    return best if is_clear and (alike or part.cuts_far_fewer(old)) else plain


def compact_clusters(
    Z: np.ndarray,
    n_clusters: int,
    n_init: int,
    seed: int,
    neighbors: np.ndarray,
    weights: np.ndarray | None = None,
) -> KMeans:
    """k-means of the least inertia, unless unequal clusters cut far fewer edges.

    Where neighbours are often of other classes, that much of their graph can be
    believed, and modularity, which likes clusters of one size, can not.
    """
    return kmeans_of_graph(Z, n_clusters, n_init, seed, neighbors, weights, BY_INERTIA)


def smoothed_kmeans(Z: np.ndarray, n_clusters: int, n_init: int, seed: int) -> Clusters:
    """k-means on codes that were averaged over their neighbours, twice."""
    k = min(N_NEIGHBORS, len(Z) - 1)
    if k > 0:
        search = NearestNeighbors(n_neighbors=k).fit(Z)
        neighbors = search.kneighbors(return_distance=False)
        for _ in range(N_SMOOTHINGS):
            Z = (Z + Z[neighbors].sum(1)) / (k + 1)
    with warnings.catch_warnings():
        # Rows that are alike only now: the clusters say so themselves.
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        found = kmeans(Z, n_clusters, n_init, seed)
    return Centroids(found.cluster_centers_, found.labels_, found.predict)


def spectral(Z: np.ndarray, n_clusters: int, n_init: int, seed: int) -> Clusters:
    """Means of the clusters that cut few edges between neighbouring codes.

    Of very many codes those that are drawn; the others join the nearest mean.
    """
    order = np.random.RandomState(seed).permutation(len(Z))[:MOST_SPECTRAL]
    part = Z[np.sort(order)]
    if n_clusters == 1 or len(part) <= n_clusters + 1:
        return kmeans(Z, n_clusters, n_init, seed)
    labels = spectral_labels(part, n_clusters, n_init, seed)
    centers = means_of(part, labels, n_clusters)
    nearest = NearestNeighbors(n_neighbors=1).fit(centers)

    def predict(Z: np.ndarray) -> np.ndarray:
        return nearest.kneighbors(Z, return_distance=False)[:, 0]

    return Centroids(centers, predict(Z), predict)


STARTS: dict[str, Callable[[np.ndarray, int, int, int], Clusters]] = {
    "kmeans": kmeans,
    "gmm": gaussian_mixture,
    "tied": tied_mixture,
    "smooth": smoothed_kmeans,
    "spectral": spectral,
}
"""By name: takes codes, the number of clusters, starts and a seed."""

GRAPH_STARTS: dict[str, Callable[[np.ndarray, int, int, int, np.ndarray], Clusters]] = {
    "modularity": clusters_of_graph,
    "inertia": compact_clusters,
}
"""The same, of those that also take the neighbours of the rows in the input."""

INITS = StrOptions({"auto", *GRAPH_STARTS, *STARTS})


def started(
    init: str,
    Z: np.ndarray,
    n_clusters: int,
    n_init: int,
    seed: int,
    neighbors: np.ndarray | None,
) -> Clusters:
    """Clusters of an embedding by the start of that name, which is not ``"auto"``.

    `neighbors` are those of the rows in the input, which `GRAPH_STARTS` ask for.
    """
    counts = n_clusters, n_init
    if init in GRAPH_STARTS:
        assert neighbors is not None, "The graph is made for this start."
        return in_sample(GRAPH_STARTS[init], Z, *counts, seed, neighbors)
    return in_sample(STARTS[init], Z, *counts, seed)


def in_sample(
    find: Callable[..., Any],
    Z: np.ndarray,
    n_clusters: int,
    n_init: int,
    seed: int,
    neighbors: np.ndarray | None = None,
) -> Any:
    """Clusters of all codes that a start finds in a sample of them, if there are many.

    k-means moves on to the means of all codes; others keep the centers of the sample.
    """
    rows = closed_sample(len(Z), n_clusters, seed)
    graph = () if neighbors is None else (np.searchsorted(rows, neighbors[rows]),)
    # NumPy's narrow integers overflow, here and in SciPy.
    found = find(Z[rows], int(n_clusters), int(n_init), seed, *graph)
    if len(rows) == len(Z):
        return found
    if isinstance(found, KMeans):
        return kmeans_from(found.cluster_centers_, Z, max_iter=N_REFINEMENTS)
    parts = np.array_split(Z, math.ceil(len(Z) / len(rows)))
    return replace(found, labels_=np.concatenate([*map(found.predict, parts)]))


def closed_sample(n_rows: int, n_clusters: int, seed: int) -> np.ndarray:
    """Rows drawn at random that have all their neighbours among them, or all rows.

    They are blocks of rows inside of which neighbours were sought, so that their graph
    is a part of that of all rows.

    Returns
    -------
    ndarray of int of shape (n_sampled,), ascending
    """
    n_least = max(LEAST_SAMPLE, LEAST_OF_CLUSTER * int(n_clusters))
    if n_rows < 2 * n_least:
        return np.arange(n_rows)
    blocks = row_blocks(n_rows)
    n_drawn = math.ceil(n_least / len(blocks[0]))
    drawn = np.random.RandomState(seed).permutation(len(blocks))[:n_drawn]
    return np.sort(np.concatenate([blocks[block] for block in drawn]))


def resolved_init(
    init: str, X: np.ndarray | csr_matrix, encoder: BaseRepresentation
) -> str:
    """Name of a start: that for rows and encoder, if ``"auto"`` was asked for.

    The classes of directions, as those of words are, differ much in size, which
    modularity does not like, and their neighbours are often of other classes. Encoders
    of views see more than which rows are neighbours in the input; views of images
    spread the codes of all clusters alike. Neighbours in tables of categories beside
    measurements say which categories rows have.
    """
    if init != "auto":
        return init
    if isinstance(encoder, SimCLRTransformer) and encoder.image_shape_ is not None:
        return "tied"
    keeps_neighbors = isinstance(encoder, AutoencoderTransformer) and not (
        encoder.neighbor_weight == "auto" and encoder.neighbor_weight_ == 0
    )
    if not keeps_neighbors:
        return "kmeans"
    return "inertia" if are_directions(X) else "modularity"
