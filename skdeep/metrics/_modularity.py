"""Modularity of labels on a nearest-neighbour graph."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array, check_consistent_length

from skdeep._compat import Interval, checks_parameters
from skdeep.metrics._contingency import distinct_labels, label_array
from skdeep.metrics._rows import near_one, require_no_missing_labels
from skdeep.tables import added_up, numpy_of

EDGES_AT_ONCE = 2**18
"""Edges of a graph that are looked at together: bounds the memory of many rows."""


@checks_parameters({"resolution": [Interval(Real, 0, None, closed="left")]})
def graph_modularity(neighbors: Any, labels: Any, *, resolution: float = 1.0) -> float:
    r"""Newman's modularity of labels on the graph of given neighbours.

    The graph has a directed edge from each row :math:`i` to each of its :math:`k`
    neighbours :math:`j`, of weight 1, and is symmetrised: its weights are
    :math:`W = (A + A^\top) / 2` with :math:`A_{ij} = 1` for these edges, so that a
    pair of rows that are neighbours of each other weighs twice as much as a one-sided
    one. With :math:`w = \sum_{ij} W_{ij} = n k`,

    .. math::
        Q = \sum_c \left( e_{cc} - \gamma a_c^2 \right), \quad
        e_{cc} = \frac{1}{w} \sum_{i \in c, j \in c} W_{ij}, \quad
        a_c = \frac{1}{w} \sum_{i \in c} \sum_j W_{ij},

    where :math:`c` runs over the clusters and :math:`\gamma` is the `resolution`: the
    share of the edges inside a cluster, less the share expected if edges were drawn at
    random between rows of the same degrees.

    Parameters
    ----------
    neighbors : array-like of int of shape (n_samples, n_neighbors)
        Row numbers of the neighbours of each row. Where a row is among its own, as
        ``kneighbors(X)`` returns it, that is no edge.
    labels : array-like of shape (n_samples,)
        Cluster of each row, of any label type.
    resolution : float, default=1.0
        Weight of the expected share. Below 1 few large clusters score better than many
        small ones, above 1 worse [3]_.

    Returns
    -------
    modularity : float
        Between -0.5 and 1 at a resolution of 1, larger is better; ``1 - resolution``
        for one single cluster, and 0 for a graph without edges.

    Raises
    ------
    ValueError
        If `neighbors` is not a table of row numbers with one line for each label, if
        labels are missing, or if `resolution` is negative or not finite.

    See Also
    --------
    neighbor_modularity_score : Builds the graph from the rows first.

    Notes
    -----
    One pass over the neighbours: time and memory in O(n_samples * n_neighbors).

    References
    ----------
    .. [1] M. E. J. Newman, M. Girvan, "Finding and evaluating community structure in
       networks", Physical Review E 69, 2004, arXiv:cond-mat/0308217, equation 5.
    .. [2] M. E. J. Newman, "Analysis of weighted networks", Physical Review E 70,
       2004, arXiv:cond-mat/0407503.
    .. [3] J. Reichardt, S. Bornholdt, "Statistical mechanics of community detection",
       Physical Review E 74, 2006, arXiv:cond-mat/0603718.

    Examples
    --------
    >>> from skdeep.metrics import graph_modularity
    >>> neighbors = [[1], [0], [3], [2]]
    >>> graph_modularity(neighbors, ["a", "a", "b", "b"])
    0.5
    >>> graph_modularity(neighbors, ["a", "b", "a", "b"])
    -0.5
    """
    kept, by_chance = edge_shares(neighbors, labels)
    return kept - resolution * by_chance


def edge_shares(neighbors: Any, labels: Any) -> tuple[float, float]:
    """Shares of a graph's edges inside the clusters: those found, those by chance."""
    neighbors = np.asarray(numpy_of(neighbors))
    labels = label_array(labels)
    if neighbors.ndim != 2 or labels.ndim != 1 or len(neighbors) != len(labels):
        raise ValueError(
            "graph_modularity needs neighbors of shape (n_samples, n_neighbors) and "
            f"labels of shape (n_samples,). Got shapes {neighbors.shape} and "
            f"{labels.shape}."
        )
    if neighbors.size == 0:
        return 0.0, 0.0
    if (
        neighbors.dtype.kind not in "iu"
        or neighbors.min() < 0
        or neighbors.max() >= len(labels)
    ):
        raise ValueError(
            "graph_modularity needs neighbors that are row numbers from 0 to "
            f"n_samples - 1 = {len(labels) - 1}, as kneighbors(return_distance=False) "
            "returns them."
        )
    need = "graph_modularity needs a cluster of each row. Got labels with"
    require_no_missing_labels(labels, need)
    clusters, cluster_of = distinct_labels(labels)
    tails, heads = np.zeros((2, len(clusters)))
    n_inside = 0
    n_rows = max(1, EDGES_AT_ONCE // neighbors.shape[1])
    for start in range(0, len(labels), n_rows):
        part = neighbors[start : start + n_rows]
        row = np.arange(start, start + len(part))[:, np.newaxis]
        edges, tail, head = part != row, cluster_of[row], cluster_of[part]
        n_inside += int(np.count_nonzero((head == tail) & edges))
        n_of_row = edges.sum(axis=1)
        tails += np.bincount(tail[:, 0], n_of_row, minlength=len(clusters))
        heads += np.bincount(head[edges], minlength=len(clusters))
    n_edges = tails.sum()
    if n_edges == 0:
        return 0.0, 0.0
    # Half the weight of an edge goes with its tail and half with its head.
    a = (tails + heads) / (2 * n_edges)
    return n_inside / float(n_edges), float(a @ a)


@checks_parameters({"n_neighbors": [Interval(Integral, 1, None, closed="left")]})
def neighbor_modularity_score(X: Any, labels: Any, *, n_neighbors: int = 15) -> float:
    r"""Modularity of labels on the nearest-neighbour graph of the rows of X.

    Labels that cut few edges of the graph score high, without any assumption on the
    shape of the clusters and without true labels. Every row has an edge to each of
    its `n_neighbors` nearest rows in Euclidean distance; see
    :func:`graph_modularity` for the formula.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows, in the space whose neighbourhoods are to be kept: usually the input of
        the clusterer, not its embedding. Further dimensions, as those of images, are
        flattened.
    labels : array-like of shape (n_samples,)
        Cluster of each row, of any label type.
    n_neighbors : int, default=15
        Neighbours of each row, itself excluded; all other rows if there are fewer.
        Larger values look at coarser structure.

    Returns
    -------
    modularity : float
        Between -0.5 and 1, larger is better; 0 for one single cluster.

    Raises
    ------
    ValueError
        If `n_neighbors` is not a positive integer, if `X` is not numeric and finite,
        or if `X` and `labels` differ in length.

    See Also
    --------
    graph_modularity : The same for a graph that is at hand.
    sklearn.metrics.silhouette_score : Prefers round clusters.

    Notes
    -----
    Distances depend on the scale of the columns, so scale them first if they have
    different units. Modularity misses clusters that are small beside the whole graph
    [1]_: use it to compare labels of the same rows with similar numbers of clusters.

    References
    ----------
    .. [1] S. Fortunato, M. Barthelemy, "Resolution limit in community detection",
       PNAS 104, 2007, arXiv:physics/0607100.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skdeep.metrics import neighbor_modularity_score
    >>> X, moon = make_moons(200, noise=0.05, random_state=0)
    >>> round(neighbor_modularity_score(X, moon), 2)
    0.5
    >>> neighbor_modularity_score(X, X[:, 1] > 0.25) < 0.5
    True
    """
    X = check_array(numpy_of(X), accept_sparse="csr", allow_nd=True, input_name="X")
    check_consistent_length(X, labels)
    if X.ndim > 2:
        X = X.reshape(len(X), -1)
    n_neighbors = min(int(n_neighbors), X.shape[0] - 1)
    if n_neighbors == 0:
        return 0.0
    (X,) = near_one(added_up(X))
    graph = NearestNeighbors(n_neighbors=n_neighbors).fit(X)
    return graph_modularity(graph.kneighbors(return_distance=False), labels)
