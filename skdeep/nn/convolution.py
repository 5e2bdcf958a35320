"""Convolutional encoder and decoder of small images, as in DCEC."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from skdeep.nn.network import Network

KERNEL, STRIDE, PADDING = 3, 2, 1


class Convolution(nn.Conv2d):
    """A convolution that is right in bfloat16 on narrow maps, too.

    Where a stride of 2 leaves one column, torch 2.13 in bfloat16 on CPUs returns memory
    that it never wrote. Of such maps, the columns to leave out are computed first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_in, height, width)`` to ``(n, n_out, height', width')``."""
        if x.shape[3] > 2:
            return super().forward(x)
        down, across = self.stride
        dense = conv2d(x, self.weight, self.bias, (down, 1), PADDING)
        return dense[..., ::across]


class TransposedConvolution(nn.ConvTranspose2d):
    """The transpose of `Convolution`, with the same care for narrow maps."""

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Map ``(n, n_in, height, width)`` to ``(n, n_out, height', width')``."""
        if x.shape[3] > 1:
            return super().forward(x, list(output_size) if output_size else None)
        down, across = self.output_padding
        stride, padding = (self.stride[0], 1), (PADDING, 0)
        wide = conv_transpose2d(x, self.weight, self.bias, stride, padding, (down, 0))
        return wide[..., PADDING : PADDING + 1 + across]


def side_lengths(
    image_shape: Sequence[int], n_layers: int, smallest: int = 1
) -> list[tuple[int, int]]:
    """(height, width) before the first layer and after each: a stride of 2 halves them.

    Odd sides are halved upwards. Both stay as they are from where one would come out
    shorter than `smallest`.
    """
    _, height, width = image_shape
    sides = [(height, width)]
    for _ in range(n_layers):
        if min(height, width) >= 2 * smallest - 1:
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
        layers: list[nn.Module] = [nn.Unflatten(1, tuple(image_shape))]
        for n_in, n_out in itertools.pairwise(depths):
            layers += [
                Convolution(n_in, n_out, KERNEL, STRIDE, PADDING),
                nn.ReLU(inplace=True),
            ]
        height, width = side_lengths(image_shape, len(channels))[-1]
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
        sides = side_lengths(image_shape, len(channels))[::-1]
        layers: list[nn.Module] = []
        steps = zip(depths[:-1], depths[1:], sides[:-1], sides[1:], strict=True)
        for n_in, n_out, (h_in, w_in), (h_out, w_out) in steps:
            # An odd side is halved upwards: the padding tells 2 h from 2 h - 1.
            padding = (h_out - 2 * h_in + 1, w_out - 2 * w_in + 1)
            layers += [
                nn.ReLU(inplace=True),
                TransposedConvolution(n_in, n_out, KERNEL, STRIDE, PADDING, padding),
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
