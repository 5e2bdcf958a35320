"""Layers that start at zero: what they are added to begins as if without them."""

from torch import nn


class ZeroLinear(nn.Linear):
    """A dense layer that starts at zero."""

    def reset_parameters(self) -> None:
        """Set weights and biases to zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class ZeroConvolution(nn.Conv2d):
    """A convolution that starts at zero."""

    def reset_parameters(self) -> None:
        """Set weights and biases to zero."""
        nn.init.zeros_(self.weight)
        assert self.bias is not None, "It is built with one."
        nn.init.zeros_(self.bias)
