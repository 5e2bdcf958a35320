"""Multi-layer perceptron."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from skdeep.nn.dense import DenseLayers, DenseStack
from skdeep.nn.network import Network
from skdeep.nn.products import onednn_from, products_for


class MLP(Network):
    r"""Dense layers with rectifiers between them.

    .. math:: h_0 = x, \qquad h_l = \max(0, W_l h_{l-1} + b_l), \qquad
              \text{output} = W_L h_{L-1} + b_L

    Parameters
    ----------
    sizes : sequence of int
        Widths from the input to the output, both included.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        if len(sizes) < 2:
            raise ValueError(
                "The 'sizes' parameter of MLP must hold the widths of the input and of "
                f"the output. Got {list(sizes)!r}."
            )
        super().__init__(sizes[-1], sizes=list(sizes))
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])
        self.n_hidden = sizes[-2]
        self.stack: DenseStack | None = None  # an optimiser's, while it trains

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n, sizes[0])`` to ``(n, sizes[-1])``."""
        check_rows(x)
        if not torch.is_grad_enabled():
            return inferred(self.layers, x)
        if self.stack is None:
            return self.layers(x)
        return DenseLayers.apply(x, self.stack.parameters, self.stack)[0]

    def hidden_layer(self, x: Tensor) -> Tensor:
        """Map ``(n, sizes[0])`` to the last hidden layer ``(n, sizes[-2])``.

        Raises
        ------
        RuntimeError
            Where an optimiser trains the layers as one: its gradient would be lost.
        """
        if self.stack is not None and torch.is_grad_enabled():
            raise RuntimeError(
                "The hidden layer of an MLP can be trained through only if its "
                "optimiser was made with fused_layers=False."
            )
        check_rows(x)
        if not torch.is_grad_enabled():
            return inferred([*self.layers][:-1], x)
        return self.in_product_type(self.layers[:-1], x)

    def __getstate__(self) -> dict[str, Any]:
        # The stack holds the weights of this network: a copy has others.
        return {**super().__getstate__(), "stack": None}


def check_rows(x: Tensor) -> None:
    """Refuse other than rows, which only some ways through dense layers take."""
    if x.ndim != 2:
        raise ValueError(f"MLP maps rows (n, n_features). Got {tuple(x.shape)}.")


def inferred(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Pass x through dense layers and rectifiers, by the fastest products."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            products = products_for(len(x), onednn_from(layer.weight))
            x = products.affine(x, layer.weight, layer.bias)
        else:
            x = x.relu_()
    return x


def chained(x: Tensor, *networks: Network) -> tuple[Tensor, ...]:
    """Pass x through networks, one after the other, and return the output of each.

    Dense networks that train together are then one operation.
    """
    stacks = [net.stack for net in networks if isinstance(net, MLP) and net.stack]
    if len(stacks) == len(networks) and torch.is_grad_enabled():
        return DenseLayers.apply(x, stacks[0].parameters, *stacks)
    outputs = []
    for network in networks:
        x = network(x)
        outputs.append(x)
    return tuple(outputs)


def logits_of_head(head: Network, z: Tensor) -> Tensor:
    r"""Logits of the classes by a head of one layer, ``(n, n_outputs)``: W z + b.

    In float64: in float32 the last bits depend on where in a batch a row is.
    """
    weight, bias = head.parameters()
    return linear(z.double(), weight.double(), bias.double())


def softmax_of_head(head: Network, z: Tensor) -> Tensor:
    r"""Probabilities of the classes by a head of one layer, ``(n, n_outputs)``.

    .. math:: p = \operatorname{softmax}(W z + b)
    """
    return logits_of_head(head, z).softmax(1).float()
