"""Contrastive losses: rows that belong together against the others of the batch."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from skdeep.objectives.distances import squared_distances


def neighbor_contrastive_loss(z: Tensor, z_neighbor: Tensor) -> Tensor:
    r"""Tell the code of each row's neighbour from the other neighbours of the batch.

    .. math:: -\frac1n \sum_i \log \frac{s(z_i, z'_i)}{\sum_j s(z_i, z'_j)},
              \qquad s(a, b) = \frac{1}{1 + \|a - b\|^2}

    The Cauchy kernel s has no temperature, and its heavy tail lets the codes of
    unrelated rows lie anywhere but close: the kernel of t-SNE, with the softmax of
    InfoNCE.

    Parameters
    ----------
    z, z_neighbor : Tensor of shape (n, n_components)
        Codes of the rows, and of one neighbour of each.

    Returns
    -------
    Tensor of shape ()
    """
    log_similarity = -torch.log1p(squared_distances(z, z_neighbor))
    return cross_entropy(log_similarity, torch.arange(len(z), device=z.device))
