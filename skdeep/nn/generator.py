"""Generator and discriminator of images, as in DCGAN."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from skdeep.nn.convolution import Convolution, side_lengths
from skdeep.nn.network import Network

KERNEL, STRIDE, PADDING = 4, 2, 1
"""Of what halves and doubles: an even kernel covers all pixels equally often."""

SMALLEST = 4
"""Side below which maps are not halved."""

LEAK = 0.2
"""Slope of the discriminator's rectifiers below zero."""


class Doubling(nn.ConvTranspose2d):
    """A transposed convolution that doubles the sides of a map, up to a last pixel."""

    def __init__(self, n_in: int, n_out: int, side_lengths: tuple[int, int]) -> None:
        super().__init__(n_in, n_out, KERNEL, STRIDE, PADDING)
        self.side_lengths = side_lengths

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map ``(n, n_in, height, width)`` to ``(n, n_out, *side_lengths)``."""
        height, width = self.side_lengths
        return super().forward(x, output_size)[..., :height, :width]


def n_halvings(image_shape: Sequence[int]) -> int:
    """How often the sides of an image can be halved."""
    most = max(image_shape).bit_length()
    return len(set(side_lengths(image_shape, most, SMALLEST))) - 1


class ImageGenerator(Network):
    r"""One dense layer, then layers that double the sides of a map up to an image.

    Each map is normalised by its own mean and variance, not by those of a batch: a row
    is the same whatever is generated beside it. Pixels lie between two bounds:

    .. math:: \text{output} = low + (high - low) \, \sigma(h)

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width of an image; images leave as flat rows.
    channels : sequence of int
        Of the maps, the finest first, as in the discriminator.
    n_codes : int
        Columns of the input.
    low, high : float
        Bounds of the pixels.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: Sequence[int],
        n_codes: int,
        low: float,
        high: float,
    ) -> None:
        super().__init__(
            math.prod(image_shape),
            image_shape=list(image_shape),
            channels=list(channels),
            n_codes=n_codes,
            low=low,
            high=high,
        )
        depths = [image_shape[0], *channels][::-1]
        sides = side_lengths(image_shape, len(channels), SMALLEST)[::-1]
        first = depths[0] * math.prod(sides[0])
        layers: list[nn.Module] = [
            nn.Linear(n_codes, first),
            nn.Unflatten(1, (depths[0], *sides[0])),
        ]
        for (n_in, n_out), (before, after) in zip(
            itertools.pairwise(depths), itertools.pairwise(sides), strict=True
        ):
            layers += [
                nn.GroupNorm(1, n_in),
                nn.ReLU(inplace=True),
                Convolution(n_in, n_out, 3, 1, padding=1)
                if after == before
                else Doubling(n_in, n_out, after),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Sigmoid())
        self.low, self.high = low, high

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n, n_codes)`` to ``(n, C * H * W)``."""
        return self.low + (self.high - self.low) * self.layers(x)


class ImageDiscriminator(Network):
    r"""Convolutions that halve the sides of an image, then one dense layer.

    With classes, the score of features :math:`\phi(x)` of an image of class y is

    .. math:: C(x, y) = w^\top \phi(x) + b + v_y^\top \phi(x) + b_y

    (Miyato and Koyama, "cGANs with projection discriminator", ICLR 2018,
    arXiv:1802.05637). There is no normalisation: each row has a score of its own, as
    penalties of gradients need.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width of an image; images come as flat rows.
    channels : sequence of int
        Of the maps; each layer halves the sides that are 7 or longer.
    n_classes : int
        Columns of the input after the pixels, of which that of the class is one.
    """

    def __init__(
        self, image_shape: Sequence[int], channels: Sequence[int], n_classes: int = 0
    ) -> None:
        super().__init__(
            1,
            image_shape=list(image_shape),
            channels=list(channels),
            n_classes=n_classes,
        )
        depths = [image_shape[0], *channels]
        sides = side_lengths(image_shape, len(channels), SMALLEST)
        layers: list[nn.Module] = [nn.Unflatten(1, tuple(image_shape))]
        for (n_in, n_out), (before, after) in zip(
            itertools.pairwise(depths), itertools.pairwise(sides), strict=True
        ):
            layers += [
                Convolution(n_in, n_out, 3, 1 if after == before else 2, padding=1),
                nn.LeakyReLU(LEAK, inplace=True),
            ]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.n_pixels = math.prod(image_shape)
        n_features = depths[-1] * math.prod(sides[-1])
        self.scores = nn.Linear(n_features, 1 + n_classes)

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n, C * H * W + n_classes)`` to ``(n, 1)``."""
        image, context = x[:, : self.n_pixels], x[:, self.n_pixels :]
        scores = self.scores(self.features(image))
        of_classes = scores[:, 1:] * context
        return scores[:, :1] + of_classes.sum(1, keepdim=True)
