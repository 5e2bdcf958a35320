r"""Reconstruction losses.

Symbols: :math:`x_i` is a row of :math:`D` features and :math:`\hat x_i` what the
decoder makes of its code. All are averaged over the features, so that a weight means
the same on tables of any width.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from skdeep.objectives.shapes import check_equal_shapes


def squared_error_per_sample(output: Tensor, x: Tensor) -> Tensor:
    r"""Mean squared error of each row, :math:`\frac1D \|x_i - \hat x_i\|^2`."""
    return (output - x).square().mean(1)


def cross_entropy_per_sample(output: Tensor, x: Tensor) -> Tensor:
    r"""Binary cross-entropy of each row, with :math:`\hat x = \sigma(\text{output})`.

    .. math:: -\frac1D \sum_d \big( x_{id} \log \hat x_{id}
              + (1 - x_{id}) \log (1 - \hat x_{id}) \big)

    Outside of [0, 1] it means nothing: entries there count as the nearer bound, and by
    their distance from it besides.
    """
    inside = x.clamp(0, 1)
    terms = binary_cross_entropy_with_logits(output, inside, reduction="none")
    return (terms + (x - inside).abs()).mean(1)


def squared_error(output: Tensor, x: Tensor) -> Tensor:
    """Mean over the rows of `squared_error_per_sample`, in one operation."""
    check_equal_shapes("output and x", output, x)
    return torch.ops.aten.mse_loss(output, x)


MANY_NUMBERS = 2**16
"""From which to save passes over the rows is worth an operation in Python."""


class SquaredErrorInPlace(torch.autograd.Function):
    r"""Mean squared error that needs no array of the size of the rows.

    The difference of output and rows is kept for the pass back where the output was,
    and becomes the gradient where it lies: a second pass back through the same loss is
    an error.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor) -> Tensor:
        """Return the mean over rows and features."""
        difference = output.sub_(x)
        ctx.save_for_backward(difference)
        flat = difference.flatten()
        return torch.dot(flat, flat) / flat.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return that of the output."""
        (difference,) = ctx.saved_tensors
        return difference.mul_(gradient * (2 / difference.numel())), None


def squared_error_in_place(output: Tensor, x: Tensor) -> Tensor:
    """Return `squared_error` of an output that nobody reads after, and may be lost."""
    if output.numel() < MANY_NUMBERS:
        return squared_error(output, x)
    check_equal_shapes("output and x", output, x)
    return SquaredErrorInPlace.apply(output, x)


def cross_entropy(output: Tensor, x: Tensor) -> Tensor:
    """Mean over the rows of `cross_entropy_per_sample`, in few operations."""
    inside = x.clamp(0, 1)
    return binary_cross_entropy_with_logits(output, inside) + l1_loss(x, inside)


def identity(output: Tensor) -> Tensor:
    """Reconstruction of an output whose loss is the squared error."""
    return output


TensorMap = Callable[[Tensor], Tensor]
TensorLoss = Callable[[Tensor, Tensor], Tensor]


class Reconstruction(NamedTuple):
    """A reconstruction loss and what belongs to it."""

    loss: TensorLoss
    """Mean over the rows. It may overwrite the output: nobody may read that after."""
    per_sample: TensorLoss
    output_map: TensorMap
    """From the decoder's output to the data."""


RECONSTRUCTIONS = {
    "squared_error": Reconstruction(
        squared_error_in_place, squared_error_per_sample, identity
    ),
    "binary_cross_entropy": Reconstruction(
        cross_entropy, cross_entropy_per_sample, torch.sigmoid
    ),
}
"""Name of the loss -> its functions."""
