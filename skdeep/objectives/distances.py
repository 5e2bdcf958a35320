"""Distances between the rows of two matrices."""

import torch
from torch import Tensor


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    r"""Squared Euclidean distances :math:`d_{ij} = \|a_i - b_j\|^2`.

    Parameters
    ----------
    a : Tensor of shape (n, d)
    b : Tensor of shape (m, d)

    Returns
    -------
    Tensor of shape (n, m), never negative.
    """
    # Both sides are moved to the centre of b: the expanded square cancels badly
    # when points lie far from the origin and close to each other.
    center = b.mean(0).detach()
    a, b = a - center, b - center
    squares = a.square().sum(1, keepdim=True) + b.square().sum(1)
    return torch.addmm(squares, a, b.T, alpha=-2).clamp_min(0)
