"""Building a network from a generator of one's own."""

import itertools
import math
from typing import Any, TypeVar

import torch
from torch import Generator, nn

from skdeep.nn.attention import ColumnTokens
from skdeep.nn.critic import Shortcut
from skdeep.nn.denoiser import Waves
from skdeep.nn.encoders import ColumnEmbedding
from skdeep.nn.flow import Mixing, Whitening
from skdeep.nn.network import Network
from skdeep.nn.zero import ZeroConvolution, ZeroLinear

AnyNetwork = TypeVar("AnyNetwork", bound=Network)

FIXED = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    Shortcut,
    Waves,
    ZeroLinear,
    ZeroConvolution,
    Whitening,
)
"""Layers of which nothing is drawn: each knows how it starts."""


def initialized(
    network: type[AnyNetwork], rng: Generator, **arguments: Any
) -> AnyNetwork:
    r"""Build a network whose weights are drawn from `rng` alone.

    Weights and biases are uniform in :math:`\pm 1 / \sqrt{n_{in}}`, torch's own
    initialisation, which draws from the global generator and is therefore not used.
    Those of columns, each its own input, are uniform in :math:`\pm 1`. Normalisations
    start as ones and zeros, shortcuts as the identity, last layers of denoisers and of
    the networks of couplings as zeros.

    Parameters
    ----------
    network : subclass of Network
    rng : Generator
        On the CPU, so that a seed gives the same network on every device.
    **arguments
        Arguments of the class.

    Raises
    ------
    TypeError
        If a layer holds numbers that would stay as they were found in memory.
    """
    with torch.device("meta"):  # builds shapes and draws nothing
        built = network(**arguments).float()  # whatever torch's default is
    # Module.to_empty, on networks of shapes alone, imports sympy: a third of a second.
    places = {
        name: torch.empty(shape.shape, dtype=shape.dtype, device="cpu")
        for name, shape in built.state_dict().items()
    }
    built.load_state_dict(places, assign=True)
    for layer in built.modules():
        if isinstance(layer, FIXED):
            layer.reset_parameters()
        elif isinstance(layer, Mixing):
            layer.draw(rng)
        elif isinstance(layer, ColumnEmbedding | ColumnTokens):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -1, 1, generator=rng)
        elif isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            weight, bias = layer.weight, layer.bias
            bound = 1 / math.sqrt(weight[0].numel())
            nn.init.uniform_(weight, -bound, bound, generator=rng)
            if bias is not None:
                nn.init.uniform_(bias, -bound, bound, generator=rng)
        elif holds_numbers(layer):
            raise TypeError(
                f"initialized knows no start for the parameters and buffers of "
                f"{type(layer).__name__} in {network.__name__}. It knows dense layers, "
                "convolutions of images and normalisations."
            )
    return built


def holds_numbers(layer: nn.Module) -> bool:
    """Whether a layer has parameters or buffers beside those of layers inside."""
    own = itertools.chain(layer.parameters(recurse=False), layer.buffers(recurse=False))
    return any(True for _ in own)
