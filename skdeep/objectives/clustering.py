r"""The clustering objectives of DEC and IDEC, and of DCN.

Symbols: :math:`z_i` is the embedding of row i, :math:`\mu_j` the centroid of cluster
j, :math:`q_{ij}` the soft assignment of i to j, :math:`p_{ij}` its target,
:math:`f_j` the soft size of cluster j, :math:`s_i` the one cluster that DCN assigns i
to and :math:`c_j` the rows that have moved centroid j. Equation numbers are those of
Xie, Girshick and Farhadi, "Unsupervised Deep Embedding for Clustering Analysis", ICML
2016, arXiv:1511.06335.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from skdeep.objectives.distances import student_log_softmax
from skdeep.objectives.shapes import check_equal_shapes


def log_soft_assignment(z: Tensor, centroids: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Logarithm of the Student-t soft assignment, eq. (1).

    .. math:: q_{ij} = \frac{(1 + \|z_i - \mu_j\|^2 / \alpha)^{-(\alpha + 1) / 2}}
              {\sum_{j'} (1 + \|z_i - \mu_{j'}\|^2 / \alpha)^{-(\alpha + 1) / 2}}

    Parameters
    ----------
    z : Tensor of shape (n, n_components)
    centroids : Tensor of shape (n_clusters, n_components)
    alpha : float
        Degrees of freedom of the Student-t kernel.

    Returns
    -------
    Tensor of shape (n, n_clusters)
    """
    return student_log_softmax(z, centroids, alpha)


def soft_assignment(z: Tensor, centroids: Tensor, alpha: float = 1.0) -> Tensor:
    """Student-t soft assignment q, eq. (1): see `log_soft_assignment`."""
    return log_soft_assignment(z, centroids, alpha).exp()


def target_distribution(q: Tensor, frequency: Tensor | None = None) -> Tensor:
    r"""Target distribution, eq. (3): confident assignments, balanced by cluster size.

    .. math:: p_{ij} = \frac{q_{ij}^2 / f_j}{\sum_{j'} q_{ij'}^2 / f_{j'}},
              \qquad f_j = \sum_i q_{ij}

    Parameters
    ----------
    q : Tensor of shape (n, n_clusters)
        Soft assignments of the whole data set: f_j sums over all its rows.
    frequency : Tensor of shape (n_clusters,), optional
        f_j of another data set, up to a common factor, for rows that were not
        trained on.

    Returns
    -------
    Tensor of shape (n, n_clusters)
    """
    f = q.sum(0) if frequency is None else frequency
    # A cluster that no row touches has f_j = 0 and q_ij = 0: its target is 0.
    weight = q.square() / f.clamp_min(torch.finfo(q.dtype).tiny)
    return weight / weight.sum(1, keepdim=True)


def clustering_divergence(p: Tensor, log_q: Tensor) -> Tensor:
    r"""Clustering loss, eq. (2), averaged over the rows.

    .. math:: L_C = \frac1n \sum_i \sum_j p_{ij} \log \frac{p_{ij}}{q_{ij}}

    Parameters
    ----------
    p : Tensor of shape (n, n_clusters)
        Targets, taken as constants.
    log_q : Tensor of shape (n, n_clusters)
        Logarithms of the soft assignments.

    Returns
    -------
    Tensor of shape ()
    """
    return clustering_divergence_per_sample(p, log_q).mean()


def clustering_divergence_per_sample(p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p_i || q_i) of each row: see `clustering_divergence`."""
    check_equal_shapes("p and log_q", p, log_q)
    # A cluster that is no target counts as 0, however improbable it is.
    cross = p * torch.where(p > 0, log_q, 0)
    return (torch.xlogy(p, p) - cross).sum(1)


def kmeans_loss(z: Tensor, centroids: Tensor, labels: Tensor) -> Tensor:
    r"""Squared distance of each row to the centroid of its cluster, averaged over rows.

    .. math:: L_K = \frac1n \sum_i \|z_i - \mu_{s_i}\|^2

    Yang et al., "Towards K-means-friendly Spaces: Simultaneous Deep Learning and
    Clustering", ICML 2017, arXiv:1610.04794, the second term of eq. (5).

    Parameters
    ----------
    z : Tensor of shape (n, n_components)
    centroids : Tensor of shape (n_clusters, n_components)
    labels : Tensor of int64 of shape (n,)
        s, the cluster of each row.

    Returns
    -------
    Tensor of shape ()
    """
    return (z - centroids[labels]).square().sum(1).mean()


@torch.no_grad()
def moved_centroids(
    centroids: Tensor, counts: Tensor, z: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Centroids after each row of a batch has pulled its own, eq. (8) of DCN.

    The rows come one after the other, each with a smaller step than the one before:

    .. math:: c_{s_i} \leftarrow c_{s_i} + 1, \qquad
              \mu_{s_i} \leftarrow \mu_{s_i} - (\mu_{s_i} - z_i) / c_{s_i}

    Each step keeps :math:`c_j \mu_j` equal to the sum of what has been counted, so that
    all of them together are, with :math:`b_j` the rows of the batch in cluster j,

    .. math:: \mu_j \leftarrow \frac{c_j \mu_j + \sum_{i: s_i = j} z_i}{c_j + b_j}
              = \mu_j + \frac{1}{c_j + b_j} \sum_{i: s_i = j} (z_i - \mu_j),
              \qquad c_j \leftarrow c_j + b_j

    Parameters
    ----------
    centroids : Tensor of shape (n_clusters, n_components)
    counts : Tensor of shape (n_clusters,)
        c, in the type of the centroids; 0 forgets where a centroid was.
    z : Tensor of shape (n, n_components)
    labels : Tensor of int64 of shape (n,)
        s, the cluster of each row.

    Returns
    -------
    centroids : Tensor of shape (n_clusters, n_components)
    counts : Tensor of shape (n_clusters,)
    """
    members = one_hot(labels, len(centroids)).to(z.dtype)
    counts = counts + members.sum(0)
    pull = members.T @ (z - centroids[labels])
    # A cluster that never had a row has no pull either.
    return centroids + pull / counts.clamp_min(1).unsqueeze(1), counts
