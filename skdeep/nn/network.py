"""The contract of every network: it knows how it was built, and its product type."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A map between batches of rows, in float32 at both ends.

    Subclasses define what they `map`, most of them by `layers`. Where gradients flow,
    the matrix products and convolutions inside run in `product_dtype`, which training
    may lower to bfloat16; weights, inputs and outputs are float32 always.

    Parameters
    ----------
    n_outputs : int
        Columns of the output.
    **arguments : plain Python values
        The arguments of the subclass, kept so that the network can be built again.
    """

    map: Callable[..., Tensor]
    """What the subclass computes: of ``(n, n_features)``, ``(n, n_outputs)``."""

    infers_lowered = False
    """Whether inference multiplies in `product_dtype`, too."""

    def __init__(self, n_outputs: int, **arguments: Any) -> None:
        super().__init__()
        self.n_outputs = n_outputs
        self.arguments = arguments
        self.product_dtype = torch.float32

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to ``(n, n_outputs)``, both float32.

        Critics take two inputs and give a score to each pair of rows.
        """
        return self.in_product_type(self.map, *inputs)

    def in_product_type(self, function: Callable[..., Any], *inputs: Tensor) -> Any:
        """Run a part of the network, which returns one tensor or several, alike."""
        lowers = self.infers_lowered or torch.is_grad_enabled()
        if self.product_dtype is torch.float32 or not lowers:
            return function(*inputs)
        # Its cache of lowered weights lives as long as any autocast around it, such as
        # that of a whole fit, and would keep those of the first step for all others.
        device_type = inputs[0].device.type
        with torch.autocast(device_type, self.product_dtype, cache_enabled=False):
            outputs = function(*inputs)
        if isinstance(outputs, Tensor):
            return outputs.float()
        return tuple(output.float() for output in outputs)
