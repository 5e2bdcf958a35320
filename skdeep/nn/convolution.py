"""Convolutional encoder and decoder of small images, as in DCEC."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from skdeep.nn.network import Network

KERNEL, STRIDE, PADDING = 3, 2, 1


def strides(sides: tuple[int, int], stride: int = STRIDE) -> tuple[int, int]:
    """Stride down and across a map: 1 along a side of one pixel, which it leaves."""
    # A kernel that strides over one column sees padding alone at its outer places. The
    # gradient is zero there, but torch in bfloat16 on CPUs leaves it uninitialised.
    down, across = (1 if side == 1 else stride for side in sides)
    return down, across


def _side_lengths(image_shape: Sequence[int], n_layers: int) -> list[tuple[int, int]]:
    """(height, width) before the first layer and after each; a stride of 2 halves."""
    _, height, width = image_shape
    sides = [(height, width)]
    for _ in range(n_layers):
        height, width = (height + 1) // 2, (width + 1) // 2
        sides.append((height, width))
    return sides


class ConvEncoder(Network):
    r"""Strided convolutions with rectifiers, then one dense layer to the code.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width of an image; images come as flat rows.
    channels : sequence of int
        Output channels of the convolutions; each halves the sides.
    n_components : int
        Width of the code.
    """

    def __init__(
        self, image_shape: Sequence[int], channels: Sequence[int], n_components: int
    ) -> None:
        super().__init__(
            n_components,
            image_shape=list(image_shape),
            channels=list(channels),
            n_components=n_components,
        )
        depths = [image_shape[0], *channels]
        sides = _side_lengths(image_shape, len(channels))
        layers: list[nn.Module] = [nn.Unflatten(1, tuple(image_shape))]
        for (n_in, n_out), before in zip(
            itertools.pairwise(depths), sides, strict=False
        ):
            layers += [
                nn.Conv2d(n_in, n_out, KERNEL, strides(before), PADDING),
                nn.ReLU(inplace=True),
            ]
        height, width = sides[-1]
        n_flat = depths[-1] * height * width
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(n_flat, n_components)
        )

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n, C * H * W)`` to ``(n, n_components)``."""
        return self.layers(x)


class ConvDecoder(Network):
    r"""The mirror of `ConvEncoder`: one dense layer, then transposed convolutions.

    Parameters
    ----------
    image_shape, channels, n_components
        As in the encoder that it mirrors.
    """

    def __init__(
        self, image_shape: Sequence[int], channels: Sequence[int], n_components: int
    ) -> None:
        super().__init__(
            math.prod(image_shape),
            image_shape=list(image_shape),
            channels=list(channels),
            n_components=n_components,
        )
        depths = [image_shape[0], *channels][::-1]
        sides = _side_lengths(image_shape, len(channels))[::-1]
        layers: list[nn.Module] = []
        steps = zip(depths[:-1], depths[1:], sides[:-1], sides[1:], strict=True)
        for n_in, n_out, (h_in, w_in), (h_out, w_out) in steps:
            # An odd side is halved upwards: the padding tells 2 h from 2 h - 1.
            padding = (h_out - 2 * h_in + 1, w_out - 2 * w_in + 1)
            layers += [
                nn.ReLU(inplace=True),
                nn.ConvTranspose2d(
                    n_in, n_out, KERNEL, strides((h_out, w_out)), PADDING, padding
                ),
            ]
        self.layers = nn.Sequential(
            nn.Linear(n_components, depths[0] * sides[0][0] * sides[0][1]),
            nn.Unflatten(1, (depths[0], *sides[0])),
            *layers,
            nn.Flatten(),
        )

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n, n_components)`` to ``(n, C * H * W)``."""
        return self.layers(x)
