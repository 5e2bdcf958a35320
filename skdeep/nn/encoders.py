"""Encoders with a map of local features on the way to the code, as in Deep InfoMax."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from skdeep.nn.convolution import Convolution
from skdeep.nn.network import Network

SMALL_SIDE = 16
"""Images up to this side are halved twice on the way, larger ones three times."""


class LocalEncoder(Network):
    """An encoder in three parts: `local` features, a `hidden` layer and the `code`.

    Subclasses build the three; each reads what the one before it returns.
    """

    local: nn.Module
    hidden: nn.Module
    code: nn.Module
    places: Callable[[Tensor], Tensor]
    """Brings local features to ``(n, n_places, n_local)``."""
    n_places: int
    n_local: int
    n_hidden: int

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to the code ``(n, n_components)``."""
        return self.code(self.hidden(self.local(x)))

    def hidden_layer(self, x: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to the wider layer before the code."""
        return self.in_product_type(lambda x: self.hidden(self.local(x)), x)

    def local_features(self, x: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to ``(n, n_places, n_local)``."""
        return self.in_product_type(lambda x: self.places(self.local(x)), x)

    def local_and_code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return local features and code, of one pass."""

        def stages(x: Tensor) -> tuple[Tensor, Tensor]:
            local = self.local(x)
            return self.places(local), self.code(self.hidden(local))

        return self.in_product_type(stages, x)


class ImageEncoder(LocalEncoder):
    r"""Three convolutions, a wide dense layer and the code.

    The local features are the channels at each place of the map that the second
    convolution makes. Convolutions and the dense layer are normalised and rectified.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width of an image; images come as flat rows.
    channels : (int, int, int)
        Channels that the convolutions make.
    n_hidden : int
        Width of the layer before the code.
    n_components : int
        Width of the code.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: Sequence[int],
        n_hidden: int,
        n_components: int,
    ) -> None:
        super().__init__(
            n_components,
            image_shape=list(image_shape),
            channels=list(channels),
            n_hidden=n_hidden,
            n_components=n_components,
        )
        _, height, width = image_shape
        depths = [image_shape[0], *channels]
        blocks, places = [], []
        first = 1 if max(height, width) <= SMALL_SIDE else 2
        for n_in, n_out, stride in zip(depths, channels, (first, 2, 2), strict=False):
            blocks.append(block(n_in, n_out, stride))
            # Strides halve upwards, with the padding of one pixel.
            height, width = math.ceil(height / stride), math.ceil(width / stride)
            places.append(height * width)
        self.local = nn.Sequential(nn.Unflatten(1, tuple(image_shape)), *blocks[:2])
        self.hidden = nn.Sequential(
            blocks[2],
            nn.Flatten(),
            nn.Linear(channels[2] * places[2], n_hidden),
            BatchNorm1d(n_hidden),
            nn.ReLU(inplace=True),
        )
        self.code = nn.Linear(n_hidden, n_components)
        self.n_places, self.n_local = places[1], channels[1]
        self.n_hidden = n_hidden

    def places(self, local: Tensor) -> Tensor:
        """Bring a map ``(n, n_local, height, width)`` to ``(n, n_places, n_local)``."""
        return local.flatten(2).transpose(1, 2)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation that also trains on a batch of one row."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to ``(n, n_features)``."""
        return normalized(self, super().forward, x)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that also trains on one row with a map of one place."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_channels, height, width)`` to the same shape."""
        return normalized(self, super().forward, x)


def normalized(
    layer: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor
) -> Tensor:
    """Apply `forward` of a batch normalisation.

    One value of a channel has no variance: what earlier batches had is used, as in
    inference.
    """
    if x.numel() > x.shape[1] or not layer.training:
        return forward(x)
    layer.eval()
    try:
        return forward(x)
    finally:
        layer.train()


def keep_statistics(network: nn.Module) -> None:
    """Let batch normalisation use what it has gathered, and gather no more.

    Until the next ``network.train()``: all else of a network in training goes on.
    """
    for layer in network.modules():
        if isinstance(layer, BatchNorm1d | BatchNorm2d):
            layer.eval()


def block(n_in: int, n_out: int, stride: int) -> nn.Module:
    """Convolution, batch normalisation, rectifier."""
    return nn.Sequential(
        Convolution(n_in, n_out, 3, stride, padding=1, bias=False),
        BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


class ColumnEncoder(LocalEncoder):
    r"""A small embedding of each column, dense layers over all of them, and the code.

    The local features of row x at column j are
    :math:`\max(0, x_j w_j + b_j)`, with :math:`w_j, b_j` of `n_local` numbers.

    Parameters
    ----------
    n_features : int
    n_local : int
        Width of the embedding of a column.
    hidden_layer_sizes : sequence of int
    n_components : int
        Width of the code.
    """

    def __init__(
        self,
        n_features: int,
        n_local: int,
        hidden_layer_sizes: Sequence[int],
        n_components: int,
    ) -> None:
        super().__init__(
            n_components,
            n_features=n_features,
            n_local=n_local,
            hidden_layer_sizes=list(hidden_layer_sizes),
            n_components=n_components,
        )
        self.local = ColumnEmbedding(n_features, n_local)
        widths = [n_features * n_local, *hidden_layer_sizes]
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in itertools.pairwise(widths):
            layers += [
                nn.Linear(n_in, n_out),
                BatchNorm1d(n_out),
                nn.ReLU(inplace=True),
            ]
        self.hidden = nn.Sequential(*layers)
        self.code = nn.Linear(widths[-1], n_components)
        self.n_places, self.n_local = n_features, n_local
        self.n_hidden = widths[-1]

    def places(self, local: Tensor) -> Tensor:
        """Return the embeddings of columns ``(n, n_features, n_local)``."""
        return local


class ColumnEmbedding(nn.Module):
    """An affine map of its own for each column, and a rectifier."""

    def __init__(self, n_features: int, n_local: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_features, n_local))
        self.bias = nn.Parameter(torch.empty(n_features, n_local))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to ``(n, n_features, n_local)``."""
        return torch.addcmul(self.bias, x.unsqueeze(2), self.weight).relu()
