r"""Random changes of a batch: what two views of one row may differ in.

An augmentation is any callable ``(x, rng) -> x`` on a batch of rows, each row drawn on
its own from the given generator, which lives on the device of the batch.

Symbols of this file: n images have C channels, H rows and W columns of pixels.
Positions are those of `torch.nn.functional.grid_sample`: :math:`(-1, -1)` is the upper
left corner of an image and :math:`(1, 1)` the lower right one, whatever its sides.
"""

import math
import sys
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from skdeep.nn.corruption import Augmentation, MarginalCorruption
from skdeep.nn.settings import is_within, require

__all__ = ["PHOTOGRAPHS", "Augmentation", "ImageAugmentation", "MarginalCorruption"]

CROP_ASPECT = 4 / 3
"""Largest ratio of the sides of a crop."""

BLUR_REACH = 3.0
"""Deviations after which the kernel of the blur ends."""


@dataclass(frozen=True)
class ImageAugmentation:
    r"""Move, recolour, blur and occlude images, each in its own way.

    First comes one affine map with one interpolation (`shift`, `rotation`, `scale`,
    `crop`, `flip`), then the colours (`brightness`, `contrast`, `saturation`, `grey`),
    `blur`, and `erase`. Strengths are the largest changes, of which each image gets a
    share drawn uniformly; a strength of zero is the exact identity and costs nothing.

    The defaults suit digits and other small images in which left and right, and light
    and dark, carry meaning. `PHOTOGRAPHS` suits scenes and objects in colour.

    Parameters
    ----------
    shift : float in [0, 1], default=0.125
        Largest move along each axis, as a fraction of the side.
    rotation : float in [0, 180], default=15.0
        Largest rotation in either direction, in degrees.
    scale : float in [0, 1), default=0.15
        Largest relative change of size, up or down.
    crop : float in (0, 1], default=1.0
        Smallest share of the area that a random crop keeps; the crop is stretched to
        the full size. Its sides, as shares of those of the image, have a ratio between
        3/4 and 4/3, and nearer to 1 where the crop is large. 1 crops nothing.
    flip : bool, default=False
        Whether to mirror images left to right, each with probability 1/2.
    brightness : float, at least 0, default=0.0
        Largest amount added to or taken from all values of an image, in standard
        deviations of its values.
    contrast : float in [0, 1], default=0.0
        Largest relative change of the distances from the mean value of an image.
    saturation : float in [0, 1], default=0.0
        Largest relative change of the distances of the channels from their mean. Of no
        effect on images of one channel, as `grey`.
    grey : float in [0, 1], default=0.0
        Probability that all channels of an image are replaced by their mean.
    blur : float, at least 0, default=0.0
        Largest standard deviation of a Gaussian blur, in pixels.
    erase : float in [0, 1], default=0.0
        Largest side of one erased rectangle, as a fraction of that of the image.

    Raises
    ------
    ValueError
        If a field is outside its range.

    Notes
    -----
    What moves in from beyond the edge repeats the outermost pixels. What is erased gets
    the background of the image, light or dark: the median of its outermost pixels, a
    channel at a time, in which corners count twice, and of two in the middle the larger
    is taken.

    Every operation commutes with :math:`x \mapsto a x + b`, a > 0, applied to all
    values: it does not matter how the images are scaled.

    Examples
    --------
    >>> import torch
    >>> from skdeep.nn.augmentation import ImageAugmentation
    >>> augment = ImageAugmentation(rotation=30.0, erase=0.5)
    >>> x = torch.rand(5, 1, 8, 8)
    >>> augment(x, torch.Generator().manual_seed(0)).shape
    torch.Size([5, 1, 8, 8])
    """

    shift: float = 0.125
    rotation: float = 15.0
    scale: float = 0.15
    crop: float = 1.0
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        for name in ("shift", "contrast", "saturation", "grey", "erase"):
            value = getattr(self, name)
            require(is_within(value, 0, 1), owner, name, "a float in [0, 1]", value)
        for name in ("brightness", "blur"):
            value = getattr(self, name)
            allowed = is_within(value, 0, sys.float_info.max)
            require(allowed, owner, name, "a float in [0, inf)", value)
        allowed = is_within(self.rotation, 0, 180)
        require(allowed, owner, "rotation", "a float in [0, 180]", self.rotation)
        allowed = is_within(self.scale, 0, 1) and self.scale < 1
        require(allowed, owner, "scale", "a float in [0, 1)", self.scale)
        allowed = is_within(self.crop, 0, 1) and self.crop > 0
        require(allowed, owner, "crop", "a float in (0, 1]", self.crop)
        require(self.flip in (False, True), owner, "flip", "a bool", self.flip)

    def __call__(self, x: Tensor, rng: Generator) -> Tensor:
        """Map ``(n, C, H, W)`` to ``(n, C, H, W)``, leaving `x` as it is.

        Parameters
        ----------
        x : Tensor of shape (n, C, H, W), floating point
        rng : Generator
            On the device of `x`; all that is random is drawn from it.

        Returns
        -------
        x : Tensor of shape (n, C, H, W)
            The argument itself if all strengths are zero.
        """
        if x.ndim != 4 or not x.is_floating_point():
            raise ValueError(
                "ImageAugmentation needs floating-point images of shape (n, C, H, W). "
                f"Got {x.dtype} of shape {tuple(x.shape)}."
            )
        if len(x) == 0:
            return x
        if self.shift or self.rotation or self.scale or self.crop < 1 or self.flip:
            x = moved(x, self._drawn_maps(x, rng))
        if self.brightness or self.contrast or self.saturation or self.grey:
            x = recolored(x, *self._drawn_colors(x, rng))
        if self.blur:
            deviation = self.blur * _uniform(x, rng)
            x = blurred(x, deviation, math.ceil(BLUR_REACH * self.blur))
        if self.erase:
            size = self.erase * _uniform(x, rng, 2)
            x = erased(x, size, (1 - size) * _uniform(x, rng, 2))
        return x

    def _drawn_maps(self, x: Tensor, rng: Generator) -> Tensor:
        shift = 2 * self.shift * _symmetric(x, rng, 2)
        angle = math.radians(self.rotation) * _symmetric(x, rng)
        size = (1 + self.scale * _symmetric(x, rng)).unsqueeze(1)
        side = torch.ones_like(shift)
        center = torch.zeros_like(shift)
        if self.crop < 1:
            area = 1 - (1 - self.crop) * _uniform(x, rng)
            # A large crop is nearer to a square: none reaches beyond the image.
            aspect = (CROP_ASPECT ** _symmetric(x, rng)).clamp(area, 1 / area)
            side = torch.stack([area * aspect, area / aspect], 1).sqrt().clamp(max=1)
            center = (1 - side) * _symmetric(x, rng, 2)
        if self.flip:
            left_right = 1 - 2 * (_uniform(x, rng) < 0.5).to(x)
            side = torch.stack([left_right * side[:, 0], side[:, 1]], 1)
        height, width = x.shape[2:]
        return affine_maps(shift, angle, side / size, center, height / width)

    def _drawn_colors(self, x: Tensor, rng: Generator) -> tuple[Tensor, Tensor, Tensor]:
        brightness = self.brightness * _symmetric(x, rng)
        contrast = 1 + self.contrast * _symmetric(x, rng)
        saturation = 1 + self.saturation * _symmetric(x, rng)
        colored = _uniform(x, rng) >= self.grey
        return brightness, contrast, saturation * colored


PHOTOGRAPHS = ImageAugmentation(
    shift=0.0,
    rotation=0.0,
    scale=0.0,
    crop=0.25,
    flip=True,
    brightness=0.8,
    contrast=0.4,
    saturation=0.4,
    grey=0.2,
)
"""Crops, flips and changes of colour, for scenes and objects: SimCLR's without hues."""


def affine_maps(
    shift: Tensor, angle: Tensor, side: Tensor, center: Tensor, aspect: float
) -> Tensor:
    r"""Where each position of the new image comes from in the old one.

    A crop of given sides about a centre is stretched to the full image, rotated and
    shifted; a position p of the result is therefore taken from

    .. math:: c + s \odot S^{-1} R^{-1} S \, (p - t), \qquad R^{-1} =
              \begin{pmatrix} \cos a & -\sin a \\ \sin a & \cos a \end{pmatrix},
              \quad S = \mathrm{diag}(W, H)

    where S makes the rotation one of pixels rather than of shares of unequal sides.

    Parameters
    ----------
    shift : Tensor of shape (n, 2)
        t, to the right and down.
    angle : Tensor of shape (n,)
        a in radians, counter-clockwise.
    side : Tensor of shape (n, 2)
        s, width and height of the crop as shares of those of the image. Above 1 it
        reaches beyond the image, which then shrinks; negative, it is mirrored.
    center : Tensor of shape (n, 2)
        c of the crop.
    aspect : float
        H / W.

    Returns
    -------
    maps : Tensor of shape (n, 2, 3)
        As of `torch.nn.functional.affine_grid`.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    first = torch.stack([cos, -sin * aspect], 1)
    second = torch.stack([sin / aspect, cos], 1)
    linear = side.unsqueeze(2) * torch.stack([first, second], 1)
    offset = center.unsqueeze(2) - linear @ shift.unsqueeze(2)
    return torch.cat([linear, offset], 2)


def moved(x: Tensor, maps: Tensor) -> Tensor:
    """Take each pixel from where the maps (n, 2, 3) say, bilinearly.

    Beyond the edge the outermost pixels go on.
    """
    height, width = x.shape[2:]
    across = maps[:, None, :, 0] * _pixel_centers(width, x).unsqueeze(1)
    down = maps[:, None, :, 1] * _pixel_centers(height, x).unsqueeze(1)
    # (n, H, W, 2), as affine_grid makes it with a product of matrices per position.
    grid = across.unsqueeze(1) + (down + maps[:, None, :, 2]).unsqueeze(2)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _pixel_centers(n_pixels: int, x: Tensor) -> Tensor:
    index = torch.arange(n_pixels, dtype=x.dtype, device=x.device)
    return (2 * index + 1) / n_pixels - 1


def recolored(
    x: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor
) -> Tensor:
    r"""Change light and colour, by one value of each strength per image.

    With :math:`\bar x` the mean over channels of each pixel, and :math:`\mu` and
    :math:`\sigma` mean and deviation of all values of an image,

    .. math:: x' = \mu + b \sigma + c \, (\bar x + s (x - \bar x) - \mu).

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    brightness, contrast, saturation : Tensor of shape (n,)
        b, c and s; 0, 1 and 1 change nothing.
    """
    b, c, s = (t.view(-1, 1, 1, 1) for t in (brightness, contrast, saturation))
    mean = x.mean((1, 2, 3), keepdim=True)
    deviation = x.std((1, 2, 3), correction=0, keepdim=True)
    grey = x.mean(1, keepdim=True)
    return mean + b * deviation + c * (grey + s * (x - grey) - mean)


def blurred(x: Tensor, deviation: Tensor, radius: int) -> Tensor:
    r"""Average each pixel with those near it, by Gaussian weights in both directions.

    .. math:: w_k \propto \exp(-k^2 / 2 \sigma^2), \qquad |k| \le \texttt{radius},
              \quad \sum_k w_k = 1

    Beyond the edge the outermost pixels go on.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    deviation : Tensor of shape (n,)
        :math:`\sigma` of each image, in pixels.
    radius : int
    """
    k = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    # The smallest deviation gives weights 0 and 1, where a zero would give NaN.
    weights = torch.exp(-0.5 * (k / deviation.clamp(min=1e-3).unsqueeze(1)) ** 2)
    weights = weights / weights.sum(1, keepdim=True)
    # All channels of all images are channels of one image, each with its own kernel.
    n, n_channels, height, width = x.shape
    kernel = weights.repeat_interleave(n_channels, 0).unsqueeze(1)
    padded = F.pad(x, [radius] * 4, mode="replicate").flatten(0, 1)
    upright = F.conv2d(padded, kernel.unsqueeze(3), groups=n * n_channels)
    both = F.conv2d(upright, kernel.unsqueeze(2), groups=n * n_channels)
    return both.view(n, n_channels, height, width)


def background(x: Tensor) -> Tensor:
    """Median of the outermost pixels: ``(n, C, H, W)`` to ``(n, C, 1, 1)``."""
    sides = [x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]]
    # Sorted, because the median of torch is not deterministic on every device.
    edge = torch.cat(sides, 2).sort(2).values
    return edge[:, :, edge.shape[2] // 2, None, None]


def erased(x: Tensor, size: Tensor, corner: Tensor) -> Tensor:
    """Give the pixels whose centres lie in a rectangle the background of the image.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    size : Tensor of shape (n, 2)
        Height and width of each rectangle, as shares of the sides.
    corner : Tensor of shape (n, 2)
        Distance of its upper left corner from that of the image, likewise.
    """
    inside = []
    for axis, n_pixels in enumerate(x.shape[2:]):
        position = (torch.arange(n_pixels, device=x.device) + 0.5) / n_pixels
        start = corner[:, axis, None]
        inside.append((position >= start) & (position < start + size[:, axis, None]))
    rows, columns = inside
    rectangle = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(rectangle, background(x), x)


def _uniform(x: Tensor, rng: Generator, *shape: int) -> Tensor:
    """Draw from [0, 1) for each image: ``(n, *shape)``."""
    size = (len(x), *shape)
    return torch.rand(size, generator=rng, dtype=x.dtype, device=x.device)


def _symmetric(x: Tensor, rng: Generator, *shape: int) -> Tensor:
    """Draw from [-1, 1) for each image: ``(n, *shape)``."""
    return 2 * _uniform(x, rng, *shape) - 1
