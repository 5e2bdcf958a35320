r"""The clustering objective of DEC and IDEC.

Symbols: :math:`z_i` is the embedding of row i, :math:`\mu_j` the centroid of cluster
j, :math:`q_{ij}` the soft assignment of i to j, :math:`p_{ij}` its target and
:math:`f_j` the soft size of cluster j. Equation numbers are those of Xie, Girshick
and Farhadi, "Unsupervised Deep Embedding for Clustering Analysis", ICML 2016,
arXiv:1511.06335.
"""

import torch
from torch import Tensor

from skdeep.objectives.distances import student_log_softmax


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
    return (torch.xlogy(p, p) - p * log_q).sum(1)
