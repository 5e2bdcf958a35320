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

from skdeep.nn.products import Products, onednn_from, products_for

threshold_backward = torch.ops.aten.threshold_backward.grad_input


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

    def __post_init__(self) -> None:
        self.dtype = self.layers[0][0].dtype
        # Small layers between large ones take little time by any products.
        largest = max((weight for weight, _ in self.layers), key=Tensor.numel)
        self.onednn_from = onednn_from(largest)

    def products(self, x: Tensor) -> Products:
        """Products that are the fastest for so many rows."""
        return products_for(x.shape[0], self.onednn_from)

    def add_gradients(
        self, products: Products, depth: int, g: Tensor, h: Tensor, biased: bool = True
    ) -> None:
        """Write or add those of a layer with input `h`; `g` is that of its output.

        That of the bias is zero if the layer is not `biased`.
        """
        of_weight, of_bias = self.gradients[depth]
        if self.written:
            of_weight.addmm_(g.t(), h)
            if biased:
                of_bias.add_(g.sum(0))
            return
        products.product_into(g.t(), h, of_weight)
        if biased:
            torch.sum(g, 0, out=of_bias)
        else:
            of_bias.zero_()


class DenseLayers(torch.autograd.Function):
    r"""Dense layers with rectifiers between them, of one or more `DenseStack`.

    The outputs of each stack are the inputs of the next. With
    :math:`h_l = \max(0, a_l)`, :math:`a_l = W_l h_{l-1} + b_l` and
    :math:`g_l = \partial L / \partial a_l`, the pass back is

    .. math:: \frac{\partial L}{\partial W_l} = g_l^\top h_{l-1}, \qquad
              \frac{\partial L}{\partial b_l} = \sum_i g_{il}, \qquad
              g_{l-1} = (g_l W_l) \cdot [h_{l-1} > 0]

    Where a graph of this pass is asked for, as losses of the gradient in x do, it is
    that of `DenseSlopes`, and the gradients of the weights are those of that loss.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, _: Tensor, *stacks: DenseStack
    ) -> tuple[Tensor, ...]:
        """Return the outputs of each stack, in the type of x."""
        h = in_type(x, stacks[0].dtype)
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []
        for stack in stacks:
            *hidden, last = stack.layers
            products = stack.products(h)
            for layer in hidden:
                inputs.append(h)
                h = products.rectified(h, *layer)
            inputs.append(h)
            h = products.affine(h, *last)
            outputs.append(in_type(h, x.dtype))
        ctx.save_for_backward(*inputs)
        ctx.stacks = stacks
        ctx.type = x.dtype
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Write the gradients of the weights, and return that of x."""
        inputs = list(ctx.saved_tensors)
        if torch.is_grad_enabled():
            if len(ctx.stacks) > 1:
                raise RuntimeError("Chained dense layers have first derivatives only.")
            (stack,), (gradient,) = ctx.stacks, gradients
            slopes = DenseSlopes.apply(gradient, stack.parameters, stack, *inputs[1:])
            return slopes, None, None
        trained = ctx.needs_input_grad[1]
        g: Tensor | None = None
        for position in reversed(range(len(ctx.stacks))):
            stack, gradient = ctx.stacks[position], gradients[position]
            if gradient is not None:
                gradient = in_type(gradient, stack.dtype)
                g = gradient if g is None else g + gradient
            if g is None:  # the loss depends on earlier outputs alone
                del inputs[-len(stack.layers) :]
                continue
            products = stack.products(g)
            for depth in reversed(range(len(stack.layers))):
                h = inputs.pop()
                if trained:
                    stack.add_gradients(products, depth, g, h)
                if depth:
                    g = products.product(g, stack.layers[depth][0])
                    g = rectified_gradient(g, h)
                elif position or ctx.needs_input_grad[0]:
                    g = products.product(g, stack.layers[0][0])
            stack.written = stack.written or trained
        if g is not None:
            g = in_type(g, ctx.type) if ctx.needs_input_grad[0] else None
        return g, None, *[None] * len(ctx.stacks)


class DenseSlopes(torch.autograd.Function):
    r"""The pass back through a `DenseStack`, as a map of its own that is trained.

    It takes the gradient :math:`g_L` of the outputs to that of the inputs,
    :math:`g_0`, as `DenseLayers` does. Rectifiers switch nowhere but on a set of
    measure zero, so that a loss of :math:`g_0`, with gradient :math:`t_0` in it, has

    .. math:: \frac{\partial L}{\partial W_l} = g_l^\top t_{l-1}, \qquad
              t_l = (W_l t_{l-1}) \cdot [h_l > 0], \qquad
              \frac{\partial L}{\partial g_L} = W_L t_{L-1}

    and none in the biases and in x.
    """

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, _: Tensor, stack: DenseStack, *hidden: Tensor
    ) -> Tensor:
        """Return the gradient of the inputs, of that of the outputs."""
        dtype = g.dtype
        g = in_type(g, stack.dtype)
        gradients: list[Tensor] = []
        products = stack.products(g)
        for depth in reversed(range(len(stack.layers))):
            gradients.append(g)
            g = products.product(g, stack.layers[depth][0])
            if depth:
                g = rectified_gradient(g, hidden[depth - 1])
        ctx.save_for_backward(*gradients[::-1], *hidden)
        ctx.stack = stack
        return in_type(g, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        """Write the gradients of the weights, and return that of `g`."""
        stack, n_layers, dtype = ctx.stack, len(ctx.stack.layers), t.dtype
        gradients = ctx.saved_tensors[:n_layers]
        hidden = ctx.saved_tensors[n_layers:]
        t = in_type(t, stack.dtype)
        products = stack.products(t)
        for depth, (weight, _) in enumerate(stack.layers):
            stack.add_gradients(products, depth, gradients[depth], t, biased=False)
            if depth < n_layers - 1:
                t = products.product(t, weight.t())
                t = rectified_gradient(t, hidden[depth])
            elif ctx.needs_input_grad[0]:
                t = products.product(t, weight.t())
        stack.written = True
        g = in_type(t, dtype) if ctx.needs_input_grad[0] else None
        return g, None, None, *[None] * len(hidden)


def rectified_gradient(g: Tensor, h: Tensor) -> Tensor:
    """Make `g`, the gradient of the outputs `h` of rectifiers, that of their inputs."""
    return threshold_backward(g, h, 0, grad_input=g)


def in_type(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x.to(dtype)`, without the cost of a call that changes nothing."""
    return x if x.dtype is dtype else x.to(dtype)
