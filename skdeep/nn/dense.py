"""Dense layers as one operation, with the pass back written out.

Autograd would record four operations a layer, make new tensors for all gradients and,
in bfloat16, convert each weight and gradient on its own. In training that is a third
of the time of a large network and most of that of a small one. Here a whole stack of
layers is one operation, which writes the gradients of its weights where the optimiser
wants them.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

rectified_gradient = torch.ops.aten.threshold_backward


@dataclass
class DenseStack:
    """Weights of dense layers as the products read them, and places for gradients.

    Parameters
    ----------
    parameters : Tensor
        Of which the layers are a part; it tells autograd that there is a gradient.
    layers : list of (Tensor, Tensor)
        Weight ``(n_out, n_in)`` and bias of each layer, in the type of the products.
    gradients : list of (Tensor, Tensor)
        Where their gradients are written, in the same type.
    """

    parameters: Tensor
    layers: list[tuple[Tensor, Tensor]]
    gradients: list[tuple[Tensor, Tensor]]
    written: bool = field(default=False, init=False)
    """Whether the gradients hold a part of this step's, to which others are added."""


class DenseLayers(torch.autograd.Function):
    r"""Dense layers with rectifiers between them, of a `DenseStack`.

    With :math:`h_l = \max(0, a_l)`, :math:`a_l = W_l h_{l-1} + b_l` and
    :math:`g_l = \partial L / \partial a_l`, the pass back is

    .. math:: \frac{\partial L}{\partial W_l} = g_l^\top h_{l-1}, \qquad
              \frac{\partial L}{\partial b_l} = \sum_i g_{il}, \qquad
              g_{l-1} = (g_l W_l) \cdot [h_{l-1} > 0]
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, _: Tensor, stack: DenseStack) -> Tensor:
        """Map ``(n, n_in)`` to ``(n, n_out)``, in the type of x."""
        h = x.to(stack.layers[0][0].dtype)
        inputs: list[Tensor] = []
        for weight, bias in stack.layers:
            if inputs:
                h = h.relu_()
            inputs.append(h)
            h = torch.addmm(bias, h, weight.t())
        ctx.save_for_backward(*inputs)
        ctx.stack = stack
        return h.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:
        """Write the gradients of the weights, and return that of the input."""
        stack: DenseStack = ctx.stack
        g = gradient.to(stack.layers[0][0].dtype)
        inputs = ctx.saved_tensors
        for depth in reversed(range(len(inputs))):
            h, weight = inputs[depth], stack.layers[depth][0]
            weight_gradient, bias_gradient = stack.gradients[depth]
            if stack.written:
                weight_gradient.addmm_(g.t(), h)
                bias_gradient.add_(g.sum(0))
            else:
                torch.mm(g.t(), h, out=weight_gradient)
                torch.sum(g, 0, out=bias_gradient)
            if depth:
                g = rectified_gradient(g @ weight, h, 0)
        stack.written = True
        if not ctx.needs_input_grad[0]:
            return None, None, None
        return (g @ stack.layers[0][0]).to(gradient.dtype), None, None
