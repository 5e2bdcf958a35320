"""Encoders that tell how sure they are, from encoders that do not."""

from typing import Any

import torch
from torch import Tensor, nn

from skdeep.nn.network import Network


def with_variances(encoder: Network, log_var: float) -> Network:
    """Return an encoder of twice the outputs: those of `encoder`, and constants.

    Parameters
    ----------
    encoder : Network
        Of d outputs, which ends in a dense layer.
    log_var : float
        The other d outputs to start with, logarithms of variances.
    """
    layer = last_layer(encoder)
    weight = torch.cat([layer.weight, torch.zeros_like(layer.weight)])
    bias = torch.cat([layer.bias, torch.full_like(layer.bias, log_var)])
    return with_last_layer(encoder, weight, bias)


def means_alone(encoder: Network) -> Network:
    """Return the encoder of the first half of the outputs, what `with_variances` got.

    The inverse of it, on an encoder that was trained since.
    """
    layer, n_means = last_layer(encoder), encoder.n_outputs // 2
    return with_last_layer(encoder, layer.weight[:n_means], layer.bias[:n_means])


def last_layer(network: Network) -> nn.Linear:
    """Return the last dense layer of a network."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]


@torch.no_grad()
def with_last_layer(network: Network, weight: Tensor, bias: Tensor) -> Network:
    """Copy a network, except for its last dense layer."""
    arguments: dict[str, Any] = dict(network.arguments)
    if "sizes" in arguments:
        arguments["sizes"] = [*arguments["sizes"][:-1], len(bias)]
    else:
        arguments["n_components"] = len(bias)
    with torch.device("meta"):  # builds shapes and draws nothing
        copy = type(network)(**arguments)
    state = network.state_dict()
    *_, last_weight, last_bias = state
    state.update({last_weight: weight, last_bias: bias})
    copy.load_state_dict({n: w.clone() for n, w in state.items()}, assign=True)
    return copy.eval()
