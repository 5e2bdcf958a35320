"""k-means on codes, of which a graph of the rows says which is the best."""

import math
import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.neighbors import kneighbors_graph

from skdeep._compat import one_thread
from skdeep.metrics._modularity import edge_shares

N_NEIGHBORS = 15
"""Neighbours of a row, in the graph of the input and in that of the codes."""

LOOSE = 1.25
"""Inertia, over the least, from which modularity does not count."""

FAR_FEWER = 0.5
"""Share of the edges that other labels cut, below which sizes do not count."""

UNEQUAL = {0.3: FAR_FEWER, 0.0: FAR_FEWER**2}
"""Resolution of modularity at which clusters of unequal sizes are looked for -> share
of the edges that those of equal sizes cut, below which they are taken.
"""

NEGLIGIBLE = 0.002
"""Share of all edges, of which fewer are no reason to prefer labels."""

SMALLEST = 0.05
"""Size, over the mean, below which a cluster of unequal sizes is taken for outliers."""

FINER, MOST_JOINED = 4, 60
"""Clusters found for each one that is left, and how many, at most, join others."""

OF_SPECTRUM, OF_EACH = 3000, 50
"""Codes, in all and for each cluster, of which a spectrum gives a start of k-means."""

MOST_SPECTRAL = 10_000
"""Codes of which a spectrum is taken at most, also by ``init="spectral"``."""


def kmeans(
    Z: np.ndarray,
    n_clusters: int,
    n_init: int,
    seed: int,
    weights: np.ndarray | None = None,
) -> KMeans:
    """scikit-learn's k-means on an embedding, of rows that may stand for several."""
    # Its sums over threads end in the order in which the threads do: one thread keeps
    # the same bits on every run.
    model = KMeans(n_clusters, n_init=n_init, random_state=seed)
    with one_thread():
        return model.fit(Z, sample_weight=weights)


def kmeans_of_graph(
    Z: np.ndarray,
    n_clusters: int,
    n_init: int,
    seed: int,
    neighbors: np.ndarray,
    weights: np.ndarray | None = None,
    slack: float = 0.0,
) -> KMeans:
    """Of several k-means, the one whose labels cut a graph of the rows least.

    The inertia compares distances in an embedding that was not made for them; which
    rows are neighbours in the input is known. Rows drawn at random, from which k-means
    starts, are mostly of large clusters: one run in ten starts from clusters that were
    joined along the graph, and one from those of a spectrum of the codes, unless they
    stand for several rows.
    """
    seeds = np.random.RandomState(seed).randint(2**31 - 1, size=n_init)
    runs = [kmeans(Z, n_clusters, 1, int(each), weights) for each in seeds]
    for each in seeds[: math.ceil(n_init / 10)]:
        runs += kmeans_of_joined(Z, n_clusters, int(each), neighbors, weights)
    if weights is None:
        runs += kmeans_of_spectrum(Z, n_clusters, n_init, seed)
    return runs[number_of_best(runs, neighbors, slack)]


def number_of_best(runs: list[KMeans], neighbors: np.ndarray, slack: float) -> int:
    """Which of several k-means has the best labels of a graph.

    By modularity, of those that are not `LOOSE`; the inertia decides among those at
    most `slack` from the best. Modularity likes clusters of one size, a large one cut
    in two and small ones taken for one. Clusters of unequal sizes, of which none is too
    small, are taken if they cut `FAR_FEWER` edges, and half as many again if the sizes
    do not count at all.
    """
    inertia = np.array([run.inertia_ for run in runs])
    kept, by_chance = np.transpose([edge_shares(neighbors, r.labels_) for r in runs])
    cut, modularity = 1 - kept, kept - by_chance
    tight = inertia <= LOOSE * inertia.min()
    best = tight & (modularity >= modularity[tight].max() - slack)
    equal = int(np.where(best, inertia, np.inf).argmin())

    found, to_beat = equal, cut[equal]
    cut[[has_small_clusters(run) for run in runs]] = 1
    for resolution, share in UNEQUAL.items():
        unequal = int((1 - cut - resolution * by_chance).argmax())
        if cut[unequal] < min(share * to_beat, to_beat - NEGLIGIBLE):
            found = unequal
    return found


def has_small_clusters(run: KMeans) -> bool:
    """Whether a cluster is so small, beside the mean one, that it holds outliers."""
    sizes = np.bincount(run.labels_, minlength=len(run.cluster_centers_))
    return bool(sizes.min() < SMALLEST * sizes.mean())


@dataclass(frozen=True)
class Partition:
    """How labels part a graph.

    Parameters
    ----------
    cut : float
        Share of the edges that lie between clusters.
    modularity : float
    """

    cut: float
    modularity: float

    @classmethod
    def of(cls, neighbors: np.ndarray, labels: np.ndarray) -> Self:
        """Look at the labels of all rows."""
        kept, by_chance = edge_shares(neighbors, labels)
        return cls(1 - kept, kept - by_chance)

    def cuts_far_fewer(self, than: Self) -> bool:
        """Whether so few edges are cut, beside another, that sizes do not count."""
        return self.cut < min(FAR_FEWER * than.cut, than.cut - NEGLIGIBLE)

    def is_better(self, than: Self) -> bool:
        """Whether the modularity is larger, unless one cuts far fewer edges."""
        if than.cuts_far_fewer(self):
            return False
        return self.modularity > than.modularity or self.cuts_far_fewer(than)


def edges_between(labels: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Edges of a graph from each cluster to each, in both directions."""
    n = labels.max() + 1
    pairs = labels[:, np.newaxis] * n + labels[neighbors]
    edges = np.bincount(pairs.ravel(), minlength=n * n).reshape(n, n)
    return (edges + edges.T).astype(float)


def kmeans_of_joined(
    Z: np.ndarray,
    n_clusters: int,
    seed: int,
    neighbors: np.ndarray,
    weights: np.ndarray | None = None,
) -> list[KMeans]:
    """k-means from the means of smaller clusters that were joined along a graph.

    Returns
    -------
    list of one KMeans, or of none if there are too few codes for smaller clusters
    """
    n_most = min(FINER * n_clusters, n_clusters + MOST_JOINED)
    n_finer = min(n_most, len(Z) // N_NEIGHBORS)
    if n_finer <= n_clusters:
        return []
    with warnings.catch_warnings():
        # Codes of few distinct values: as many clusters are found.
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        finer = kmeans(Z, n_finer, 1, seed, weights).labels_
    labels = joined(np.unique(finer, return_inverse=True)[1], neighbors, n_clusters)
    if labels.max() + 1 < n_clusters:
        return []
    return [kmeans_from(means_of(Z, labels, n_clusters), Z, weights)]


def kmeans_of_spectrum(
    Z: np.ndarray, n_clusters: int, n_init: int, seed: int
) -> list[KMeans]:
    """k-means from the means of clusters that cut few edges between some of the codes.

    Returns
    -------
    list of one KMeans, or of none if there are too few codes
    """
    most = min(max(OF_SPECTRUM, OF_EACH * n_clusters), MOST_SPECTRAL)
    part = Z[np.random.RandomState(seed).permutation(len(Z))[:most]]
    if n_clusters == 1 or len(part) <= N_NEIGHBORS * n_clusters:
        return []
    labels = spectral_labels(part, n_clusters, n_init, seed)
    if len(np.unique(labels)) < n_clusters:
        return []
    return [kmeans_from(means_of(part, labels, n_clusters), Z)]


def spectral_labels(
    Z: np.ndarray, n_clusters: int, n_init: int, seed: int
) -> np.ndarray:
    """scikit-learn's spectral clusters of codes, by the graph of their neighbours."""
    k = min(N_NEIGHBORS, len(Z) - 1)
    graph = kneighbors_graph(Z, k, include_self=True)
    graph = (graph + graph.T) / 2
    model = SpectralClustering(
        n_clusters, affinity="precomputed", n_init=n_init, random_state=seed
    )
    with one_thread(), warnings.catch_warnings():
        # Clusters far apart are not connected: nothing that anybody has to mend. Nor
        # are codes alike, of which the clusters say so themselves.
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        return model.fit_predict(graph)


def kmeans_from(
    centers: np.ndarray,
    Z: np.ndarray,
    weights: np.ndarray | None = None,
    max_iter: int = 300,
) -> KMeans:
    """k-means of codes that starts from given centers."""
    model = KMeans(len(centers), init=centers, n_init=1, max_iter=max_iter)
    with one_thread():
        return model.fit(Z, sample_weight=weights)


def joined(labels: np.ndarray, neighbors: np.ndarray, n_clusters: int) -> np.ndarray:
    """Labels after joining pairs of clusters, until so many are left.

    Each time the pair with the most edges between them, over the product of their
    sizes: the mean over all pairs of rows, as in average linkage.
    """
    edges = edges_between(labels, neighbors)
    sizes = np.bincount(labels).astype(float)
    while len(sizes) > n_clusters:
        density = edges / np.outer(sizes, sizes)
        np.fill_diagonal(density, -1)
        kept, gone = sorted(np.unravel_index(density.argmax(), density.shape))
        for _ in range(2):
            edges[kept] += edges[gone]
            edges = np.delete(edges, gone, 0).T
        sizes[kept] += sizes[gone]
        sizes = np.delete(sizes, gone)
        labels = np.where(labels == gone, kept, labels - (labels > gone))
    return labels


def means_of(Z: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Mean of the codes of each label; the first code for labels without any."""
    found = [Z[labels == label] for label in range(n_clusters)]
    return np.stack([rows.mean(0) if len(rows) else Z[0] for rows in found])
