"""Denoisers: networks that find what the noise in a row did to it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skdeep.nn.network import Network
from skdeep.nn.zero import ZeroConvolution, ZeroLinear

N_FREQUENCIES = 16
"""Waves of which a time is made."""

SLOWEST, FASTEST = 0.25, 32.0
"""Periods that the first and the last wave have between the times 0 and 1."""

N_TIME_UNITS = 64
"""Width in which dense denoisers see the time and the class."""

GROUP_WIDTH = 8
"""Channels that are normalised together."""


class Waves(nn.Module):
    r"""Sines and cosines of a time in [0, 1], from slow to fast.

    .. math:: \sin(2 \pi f_k t), \; \cos(2 \pi f_k t), \qquad
              f_k = f_1 \left( \frac{f_K}{f_1} \right)^{(k - 1) / (K - 1)}
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequency", torch.empty(2 * N_FREQUENCIES))
        self.register_buffer("phase", torch.empty(2 * N_FREQUENCIES))

    def reset_parameters(self) -> None:
        """Set the frequencies; a cosine is a sine a quarter of a period ahead."""
        octaves = torch.linspace(
            math.log(SLOWEST),
            math.log(FASTEST),
            N_FREQUENCIES,
            dtype=self.frequency.dtype,
            device=self.frequency.device,
        )
        frequency = 2 * math.pi * octaves.exp()
        self.frequency.copy_(torch.cat([frequency, frequency]))
        self.phase.copy_(torch.arange(2.0).repeat_interleave(N_FREQUENCIES))
        self.phase.mul_(math.pi / 2)

    def forward(self, t: Tensor) -> Tensor:
        """Map ``(n,)`` to ``(n, 2 * N_FREQUENCIES)``."""
        return torch.addcmul(self.phase, t.unsqueeze(1), self.frequency).sin()


class Moment(nn.Module):
    r"""What a denoiser is told of a row beside its values: time and class.

    .. math:: \mathrm{SiLU}(W \, \text{waves}(t) + b + C y)

    y is the class as one column a class; a row of zeros is one of no known class.
    """

    def __init__(self, n_units: int, n_classes: int) -> None:
        super().__init__()
        self.waves = Waves()
        self.time = nn.Linear(2 * N_FREQUENCIES, n_units)
        self.classes = nn.Linear(n_classes, n_units, bias=False) if n_classes else None

    def forward(self, t: Tensor, y: Tensor | None) -> Tensor:
        """Map times ``(n,)`` and classes ``(n, n_classes)`` to ``(n, n_units)``."""
        told = self.time(self.waves(t))
        if self.classes is not None and y is not None:
            told = told + self.classes(y)
        return F.silu(told)


class DenseBlock(nn.Module):
    r"""Two dense layers beside the identity; the time enters between them.

    .. math:: h + W_2 \, \mathrm{SiLU}(W_1 h + m)

    Biases would add nothing: those of the first layer are in m.
    """

    def __init__(self, width: int, n_units: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, n_units, bias=False)
        self.second = nn.Linear(n_units, width, bias=False)

    def forward(self, h: Tensor, moment: Tensor) -> Tensor:
        """Map ``(n, width)`` and ``(n, n_units)`` to ``(n, width)``."""
        g = F.silu(torch.addmm(moment, h, self.first.weight.t()))
        return torch.addmm(h, g, self.second.weight.t())


class MLPDenoiser(Network):
    r"""Residual dense blocks that know the time and, if there are any, the class.

    .. math:: h_0 = W_0 x_t + b_0, \qquad
              h_l = h_{l-1} + V_l \, \mathrm{SiLU}(W_l h_{l-1} + M_l m + b_l),
              \qquad \text{output} = W \, \mathrm{SiLU}(h_L) + b + G m \odot x_t

    with m a map of sines and cosines of the time, and of the class. The output starts
    at zero. G is there if rows are wider than what is between the blocks: most of the
    noise in them cannot pass there, and passes by.

    Parameters
    ----------
    n_features : int
    hidden_layer_sizes : sequence of int
        Units of each block; those of the first are the width between the blocks, too.
    n_classes : int
        0 if rows have none.
    """

    def __init__(
        self, n_features: int, hidden_layer_sizes: Sequence[int], n_classes: int = 0
    ) -> None:
        super().__init__(
            n_features,
            n_features=n_features,
            hidden_layer_sizes=list(hidden_layer_sizes),
            n_classes=n_classes,
        )
        width = hidden_layer_sizes[0]
        self.sizes = list(hidden_layer_sizes)
        self.moment = Moment(N_TIME_UNITS, n_classes)
        # Of all blocks at once: one product instead of many small ones.
        self.moments = nn.Linear(N_TIME_UNITS, sum(self.sizes))
        self.first = nn.Linear(n_features, width)
        self.blocks = nn.ModuleList([DenseBlock(width, size) for size in self.sizes])
        self.last = ZeroLinear(width, n_features)
        is_wide = n_features > width
        self.gate = ZeroLinear(N_TIME_UNITS, n_features) if is_wide else None

    def map(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Map rows ``(n, n_features)`` at times t to rows of the same shape.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
        t : Tensor of shape (n,) or (1,)
            In [0, 1], from rows without noise to noise alone.
        y : Tensor of shape (n, n_classes) or (1, n_classes), optional
            One column a class; zeros stand for no known class.
        """
        told = self.moment(t, y)
        moments = self.moments(told).split(self.sizes, 1)
        h = self.first(x)
        for block, moment in zip(self.blocks, moments, strict=True):
            h = block(h, moment)
        found = self.last(F.silu(h))
        return found if self.gate is None else found + self.gate(told) * x


class ConvBlock(nn.Module):
    r"""Two convolutions beside a shortcut; the time enters between them.

    .. math:: S h + K_2 * \mathrm{SiLU}(\mathrm{norm}(
              K_1 * \mathrm{SiLU}(\mathrm{norm}(h)) + M m))

    Group normalisation knows no batch. The second convolution starts at zero, and S is
    the identity unless the number of channels changes.
    """

    def __init__(self, n_in: int, n_out: int, n_units: int) -> None:
        super().__init__()
        self.first_norm = group_norm(n_in)
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.moment = nn.Linear(n_units, n_out)
        self.second_norm = group_norm(n_out)
        self.second = ZeroConvolution(n_out, n_out, 3, padding=1)
        self.shortcut = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, h: Tensor, moment: Tensor) -> Tensor:
        """Map ``(n, n_in, H, W)`` and ``(n, n_units)`` to ``(n, n_out, H, W)``."""
        shift = self.moment(moment)[:, :, None, None]
        g = self.first(F.silu(self.first_norm(h))) + shift
        return self.shortcut(h) + self.second(F.silu(self.second_norm(g)))


def group_norm(n_channels: int) -> nn.GroupNorm:
    """Group normalisation of about eight channels a group."""
    n_groups = max(1, n_channels // GROUP_WIDTH)
    while n_channels % n_groups:
        n_groups -= 1
    return nn.GroupNorm(n_groups, n_channels)


class UNetDenoiser(Network):
    r"""Convolutions from fine to coarse maps and back, with bridges between them.

    Maps are halved by means and doubled by repetition, with a `ConvBlock` at each size
    on the way down and up and one at the bottom. Nothing attends: all that is far apart
    meets at the bottom. Images whose sides do not halve that often are padded with
    zeros, and the padding is cut off at the end.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, height and width of an image; images come as flat rows.
    channels : sequence of int
        Channels of the maps; all but the first halve the sides.
    n_classes : int
        0 if images have none.
    """

    def __init__(
        self, image_shape: Sequence[int], channels: Sequence[int], n_classes: int = 0
    ) -> None:
        super().__init__(
            math.prod(image_shape),
            image_shape=list(image_shape),
            channels=list(channels),
            n_classes=n_classes,
        )
        n_units = 4 * channels[0]
        self.image_shape = tuple(image_shape)
        self.moment = Moment(n_units, n_classes)
        self.first = nn.Conv2d(image_shape[0], channels[0], 3, padding=1)
        before = [channels[0], *channels[:-1]]
        self.down = nn.ModuleList(
            [
                ConvBlock(n_in, n_out, n_units)
                for n_in, n_out in zip(before, channels, strict=True)
            ]
        )
        self.middle = ConvBlock(channels[-1], channels[-1], n_units)
        # What comes up is narrowed on the coarse map, where that is cheap.
        after = [*channels[1:], channels[-1]]
        self.narrow = nn.ModuleList(
            [
                nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
                for n_in, n_out in zip(after, channels, strict=True)
            ]
        )
        self.up = nn.ModuleList([ConvBlock(2 * n, n, n_units) for n in channels])
        self.norm = group_norm(channels[0])
        self.last = ZeroConvolution(channels[0], image_shape[0], 3, padding=1)

    def map(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Map images ``(n, C * H * W)`` at times t to images of the same shape.

        Parameters
        ----------
        x : Tensor of shape (n, C * H * W)
        t : Tensor of shape (n,) or (1,)
            In [0, 1], from images without noise to noise alone.
        y : Tensor of shape (n, n_classes) or (1, n_classes), optional
            One column a class; zeros stand for no known class.
        """
        moment = self.moment(t, y)
        _, height, width = self.image_shape
        multiple = 2 ** (len(self.down) - 1)
        padding = (0, -width % multiple, 0, -height % multiple)
        h = self.first(F.pad(x.unflatten(1, self.image_shape), padding))
        bridges = []
        for depth, block in enumerate(self.down):
            if depth:
                h = F.avg_pool2d(h, 2)
            h = block(h, moment)
            bridges.append(h)
        h = self.middle(h, moment)
        for depth in reversed(range(len(self.up))):
            h = self.narrow[depth](h)
            if depth < len(self.up) - 1:
                h = F.interpolate(h, scale_factor=2.0)
            h = self.up[depth](torch.cat([h, bridges[depth]], 1), moment)
        h = self.last(F.silu(self.norm(h)))
        return h[:, :, :height, :width].flatten(1)
