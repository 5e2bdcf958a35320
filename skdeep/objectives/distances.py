"""Distances between the rows of two matrices, and the Student kernel of them."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
    return torch.addmm(squares, a, b.T, alpha=-2).relu()


def student_log_softmax(a: Tensor, b: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Logarithm of the Student-t similarity of each a to each b, normalised over b.

    .. math:: \log q_{ij} = \log \frac{s_{ij}}{\sum_{j'} s_{ij'}}, \qquad
              s_{ij} = (1 + \|a_i - b_j\|^2 / \alpha)^{-(\alpha + 1) / 2}

    Parameters
    ----------
    a : Tensor of shape (n, d)
    b : Tensor of shape (m, d)
    alpha : float
        Degrees of freedom; smaller has heavier tails.

    Returns
    -------
    Tensor of shape (n, m)

    Notes
    -----
    Distances are those of the expanded square about the mean of b, which loses digits
    where small distances stand beside large norms. In float32, similarities to five
    points of which one is 1000 units of the kernel away from the others are off by up
    to 0.01, and by a third where it is 10 000; in float64 they keep nine digits.
    """
    return StudentLogSoftmax.apply(a, b, alpha)


class StudentLogSoftmax(torch.autograd.Function):
    r"""`student_log_softmax`, with the pass back written out in few operations.

    With :math:`G` the gradient by :math:`\log q`,

    .. math::

        w_{ij} = - \frac{\alpha + 1}{\alpha}
        \frac{G_{ij} - q_{ij} \sum_{j'} G_{ij'}}{1 + \|a_i - b_j\|^2 / \alpha}, \qquad
        \frac{\partial L}{\partial a_i} = \sum_j w_{ij} (a_i - b_j), \qquad
        \frac{\partial L}{\partial b_j} = - \sum_i w_{ij} (a_i - b_j)
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, alpha: float) -> Tensor:
        """Map ``(n, d)`` and ``(m, d)`` to ``(n, m)``."""
        center = b.mean(0)
        a, b = a - center, b - center
        squares = a.square().sum(1, keepdim=True) + b.square().sum(1)
        scaled = torch.addmm(squares, a, b.T, alpha=-2).relu_()
        if alpha != 1:
            scaled /= alpha
        # The power is taken as a logarithm, so that a row far from every b keeps a
        # finite similarity where the quotient would be 0 / 0.
        log_similarity = scaled.log1p().mul_(-(alpha + 1) / 2)
        log_q = torch.log_softmax(log_similarity, dim=1)
        ctx.save_for_backward(a, b, scaled, log_q)
        ctx.alpha = alpha
        return log_q

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of both sides."""
        a, b, scaled, log_q = ctx.saved_tensors
        w = torch.addcmul(
            gradient, log_q.exp(), gradient.sum(1, keepdim=True), value=-1
        )
        w /= 1 + scaled
        w *= -(ctx.alpha + 1) / ctx.alpha
        a_gradient = b_gradient = None
        if ctx.needs_input_grad[0]:
            a_gradient = torch.addmm(a * w.sum(1, keepdim=True), w, b, alpha=-1)
        if ctx.needs_input_grad[1]:
            b_gradient = torch.addmm(b * w.sum(0).unsqueeze(1), w.T, a, alpha=-1)
        return a_gradient, b_gradient, None
