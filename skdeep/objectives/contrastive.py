"""Contrastive losses: rows that belong together against the others of the batch."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from skdeep.objectives.distances import student_log_softmax
from skdeep.objectives.shapes import check_equal_shapes


def neighbor_contrastive_loss(
    z: Tensor, z_neighbor: Tensor, exaggeration: float = 1.0
) -> Tensor:
    r"""Tell the code of each row's neighbour from the other neighbours of the batch.

    .. math:: -\frac1n \sum_i \log
              \frac{s(z_i, z'_i)^\rho}{\sum_j s(z_i, z'_j)},
              \qquad s(a, b) = \frac{1}{1 + \|a - b\|^2}

    The Cauchy kernel s has no temperature, and its heavy tail lets the codes of
    unrelated rows lie anywhere but close: the kernel of t-SNE, with the softmax of
    InfoNCE.

    Parameters
    ----------
    z, z_neighbor : Tensor of shape (n, n_components)
        Codes of the rows, and of one neighbour of each.
    exaggeration : float
        The :math:`\rho` by which neighbours draw each other more than rows repel.

    Returns
    -------
    Tensor of shape ()
    """
    check_equal_shapes("z and z_neighbor", z, z_neighbor)
    loss = -student_log_softmax(z, z_neighbor).diagonal().mean()
    if exaggeration != 1:
        further = (z - z_neighbor).square().sum(1).log1p().mean()
        loss = loss + (exaggeration - 1) * further
    return loss


def nt_xent_loss(z1: Tensor, z2: Tensor, temperature: float = 0.5) -> Tensor:
    r"""Tell the other view of each row from all other views of the batch.

    With :math:`z_1, \dots, z_{2n}` the codes of all views and :math:`z_{i'}` that of
    the row of :math:`z_i` in the other view,

    .. math:: -\frac{1}{2n} \sum_i \log \frac{e^{s(z_i, z_{i'}) / \tau}}
              {\sum_{j \ne i} e^{s(z_i, z_j) / \tau}}, \qquad
              s(a, b) = \frac{a^\top b}{\|a\| \|b\|}

    Chen et al., "A simple framework for contrastive learning of visual
    representations", ICML 2020, arXiv:2002.05709, eq. (1).

    Parameters
    ----------
    z1, z2 : Tensor of shape (n, n_components)
        Codes of the rows in two views.
    temperature : float
        :math:`\tau`; smaller values look at the nearest views alone.

    Returns
    -------
    Tensor of shape ()
        0 for a single row, which has nothing to be told from.
    """
    check_equal_shapes("z1 and z2", z1, z2)
    n = len(z1)
    z = normalize(torch.cat([z1, z2]), dim=1)
    similarity = z @ z.T / temperature
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    other_view = torch.arange(2 * n, device=z.device).roll(n)
    return cross_entropy(similarity.masked_fill(itself, -torch.inf), other_view)
