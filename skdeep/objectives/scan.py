r"""The objectives of SCAN: neighbours that agree, and labels that a model gives itself.

Symbols: :math:`p_{ij}` is the probability that row i belongs to cluster j,
:math:`p'_{ij}` that of a neighbour of row i, and :math:`\tilde p_{ij}` that of row i as
a strong view shows it. Equation numbers are those of Van Gansbeke et al., "SCAN:
Learning to Classify Images without Labels", ECCV 2020, arXiv:2005.12320. What is
trained comes as logarithms or logits: their gradients stay finite where probabilities
round to zero.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from skdeep.objectives.shapes import check_equal_shapes


def consistency_loss(log_p: Tensor, log_p_neighbor: Tensor) -> Tensor:
    r"""Neighbours belong to one cluster, and surely so: eq. (2), first term.

    .. math:: -\frac1n \sum_i \log \sum_j p_{ij} \, p'_{ij}

    Zero if and only if both probabilities of each pair are one, of the same cluster.

    Parameters
    ----------
    log_p, log_p_neighbor : Tensor of shape (n, n_clusters)
        Logarithms of the probabilities of the rows, and of a neighbour of each.

    Returns
    -------
    Tensor of shape ()
    """
    return consistency_loss_per_sample(log_p, log_p_neighbor).mean()


def consistency_loss_per_sample(log_p: Tensor, log_p_neighbor: Tensor) -> Tensor:
    """Minus log <p_i, p'_i> of each row: see `consistency_loss`."""
    check_equal_shapes("log_p and log_p_neighbor", log_p, log_p_neighbor)
    return -torch.logsumexp(log_p + log_p_neighbor, dim=1)


def mean_entropy(log_p: Tensor) -> Tensor:
    r"""Entropy of the mean probabilities, in nats: eq. (2), minus the second term.

    .. math:: -\sum_j \bar p_j \log \bar p_j, \qquad
              \bar p_j = \frac1n \sum_i p_{ij}

    At most log k, for clusters of one size; without it, one cluster would take all.

    Parameters
    ----------
    log_p : Tensor of shape (n, n_clusters)

    Returns
    -------
    Tensor of shape ()
    """
    # 0 times the lowest number is 0, where 0 times log 0 would be no number.
    log_p = log_p.clamp_min(torch.finfo(log_p.dtype).min)
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    return -(log_mean.exp() * log_mean).sum()


def self_labelling_loss(logits: Tensor, p: Tensor, threshold: float) -> Tensor:
    r"""Cross-entropy of the labels that sure rows give themselves, section 2.3.

    With :math:`S_j` the rows that are most probably in cluster j, by more than the
    threshold,

    .. math:: -\frac{1}{|\{j : S_j \ne \emptyset\}|} \sum_j
              \frac{1}{|S_j|} \sum_{i \in S_j} \log \tilde p_{ij}

    All clusters with sure rows weigh the same, whatever their sizes.

    Parameters
    ----------
    logits : Tensor of shape (n, n_clusters)
        Of :math:`\tilde p`, before normalisation: usually of rows that were changed.
    p : Tensor of shape (n, n_clusters)
        Probabilities of the unchanged rows, taken as constants.
    threshold : float

    Returns
    -------
    Tensor of shape ()
        0 if no row is sure.
    """
    check_equal_shapes("logits and p", logits, p)
    members = one_hot(p.argmax(1), p.shape[1]) * (p > threshold)
    sizes = members.sum(0)
    means = (members * -logits.log_softmax(1)).sum(0) / sizes.clamp_min(1)
    return means.sum() / (sizes > 0).sum().clamp_min(1)
