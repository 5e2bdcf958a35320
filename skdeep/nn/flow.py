"""Normalizing flows: chains of maps that can be inverted, with a known density."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.linalg import solve_triangular

from skdeep.nn.coupling import ConvConditioner, Coupling, DenseConditioner
from skdeep.nn.network import Network

N_LEVELS = 3
"""Most levels of a flow on images."""

SMALLEST_SIDE = 4
"""Of the images of a level after the first."""


class Whitening(nn.Module):
    r"""A fixed linear map, :math:`y = W (x - \mu_c)` with triangular W.

    A flow whose couplings start as the identity starts as the Gaussian that it whitens:
    one a column of the context, if there is one, all of the same covariance.
    """

    def __init__(self, n_columns: int, n_context: int = 0) -> None:
        super().__init__()
        self.register_buffer("means", torch.empty(n_columns, max(n_context, 1)))
        self.register_buffer("factor", torch.empty(n_columns, n_columns))
        self.means: Tensor
        self.factor: Tensor

    def reset_parameters(self) -> None:
        """Set the identity."""
        self.means.zero_()
        nn.init.eye_(self.factor)

    def set(self, means: Tensor, covariance: Tensor) -> None:
        """Whiten distributions of means ``(n_columns, n_context or 1)``."""
        root = torch.linalg.cholesky(covariance.double())
        eye = torch.eye(len(root), dtype=root.dtype, device=root.device)
        self.factor.copy_(solve_triangular(root, eye, upper=False))
        self.means.copy_(means)

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map ``(n_columns, n, ...)`` to y and the logarithm of the determinant."""
        y = self.factor @ (x - self._centers(x, context)).flatten(1)
        log_det = self.factor.diagonal().log().sum() * n_places(x)
        return y.view_as(x), log_det

    def inverse(self, y: Tensor, context: Tensor | None) -> Tensor:
        """Map y back to x."""
        return self.colored(y) + self._centers(y, context)

    def colored(self, noise: Tensor) -> Tensor:
        """Give white noise ``(n_columns, n, ...)`` the covariance that is whitened."""
        x = solve_triangular(self.factor, noise.flatten(1), upper=False)
        return x.view_as(noise)

    def _centers(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Mean of each row, for all of its places."""
        centers = self.means if context is None else self.means @ context.t()
        return centers.view(*centers.shape, *[1] * (x.dim() - 2))


class Mixing(nn.Module):
    r"""Reorder the columns after couplings, scale, shift and, if `linear`, mix them.

    .. math:: y = L U P x + b

    P is a fixed permutation, L a lower triangle with ones on its diagonal and U an
    upper one with :math:`e^s` on it, so that the determinant is that of the scales.
    Of the channels of images this is Glow's 1 x 1 convolution. If not `linear`, L and U
    are diagonal: P is then followed by Glow's actnorm. All start as P alone, which in
    turns swaps the halves and is random: two couplings in a row move all columns.

    Parameters
    ----------
    n_couplings, n_columns : int
    linear : bool
    """

    def __init__(self, n_couplings: int, n_columns: int, linear: bool) -> None:
        super().__init__()
        self.register_buffer("order", torch.empty(n_couplings, n_columns).long())
        self.order: Tensor
        self.log_scale = nn.Parameter(torch.empty(n_couplings, n_columns))
        self.shift = nn.Parameter(torch.empty(n_couplings, n_columns, 1))
        size = (n_couplings, n_columns, n_columns)
        self.triangles = nn.Parameter(torch.empty(size)) if linear else None

    def draw(self, rng: Generator) -> None:
        """Draw the permutations, and set the identity beside."""
        n_columns = self.order.shape[1]
        for i, order in enumerate(self.order):
            swap = torch.arange(n_columns).roll(n_columns // 2)
            drawn = torch.randperm(n_columns, generator=rng)
            order.copy_(drawn if i % 2 else swap)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def matrices(self) -> Tensor:
        """Return L U P after each coupling, ``(n_couplings, n_columns, n_columns)``."""
        product = self.log_scale.exp().diag_embed()
        if self.triangles is not None:
            eye = torch.eye(
                product.shape[2], dtype=product.dtype, device=product.device
            )
            lower = self.triangles.tril(-1) + eye
            product = lower @ (self.triangles.triu(1) + product)
        columns = self.order.argsort(1).unsqueeze(1).expand_as(product)
        return product.gather(2, columns)


class Level(nn.Module):
    """Couplings of the same columns, each followed by a mixing.

    Parameters
    ----------
    couplings : sequence of Coupling
    mixing : Mixing
    """

    def __init__(self, couplings: Sequence[Coupling], mixing: Mixing) -> None:
        super().__init__()
        self.couplings: Any = nn.ModuleList(couplings)
        self.mixing = mixing

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map ``(n_columns, n, ...)`` to y and the logarithm of the determinant."""
        log_det = self.mixing.log_scale.sum() * n_places(x)
        steps = zip(
            self.couplings, self.mixing.matrices(), self.mixing.shift, strict=True
        )
        for coupling, matrix, shift in steps:
            x, change = coupling(x, context)
            log_det = log_det + change
            x = torch.addmm(shift, matrix, x.flatten(1)).view_as(x)
        return x, log_det

    def inverse(self, y: Tensor, context: Tensor | None) -> Tensor:
        """Map y back to x."""
        matrices, shifts = self.mixing.matrices(), self.mixing.shift
        for i in reversed(range(len(self.couplings))):
            x = torch.linalg.solve(matrices[i], y.flatten(1) - shifts[i])
            y = self.couplings[i].inverse(x.view_as(y), context)
        return y


def n_places(x: Tensor) -> int:
    """Count the pixels of the images ``(n_channels, n, ...)``; 1 for tables."""
    return math.prod(x.shape[2:])


class Plan(NamedTuple):
    """Images of one size, on which the couplings of a level work, or a table."""

    factors: tuple[int, ...]
    """Height and width of the blocks of pixels that become channels."""
    shape: tuple[int, ...]
    """Columns; or channels, height and width, after that."""
    n_leaving: int
    """Columns that go to the base distribution after the level."""


def levels_of(shape: tuple[int, ...]) -> list[Plan]:
    """Levels of a flow on rows of a shape, while their images are not too small."""
    levels: list[Plan] = []
    while True:
        n_columns, *sides = shape
        factors = tuple(smallest_factor(side) for side in sides)
        sides = [side // factor for side, factor in zip(sides, factors, strict=True)]
        n_columns *= math.prod(factors)
        shape = n_columns, *sides
        goes_on = [side >= 2 * SMALLEST_SIDE and side % 2 == 0 for side in sides]
        if not sides or len(levels) + 1 == N_LEVELS or not all(goes_on):
            return [*levels, Plan(factors, shape, n_columns)]
        n_leaving = n_columns // 2
        levels.append(Plan(factors, shape, n_leaving))
        shape = n_columns - n_leaving, *sides


def smallest_factor(number: int) -> int:
    """Smallest factor above 1 of a number; 1 of 1."""
    return next((f for f in range(2, number + 1) if number % f == 0), 1)


def squeezed(x: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Turn neighbouring pixels, of blocks of that height and width, into channels."""
    if not factors:
        return x
    down, across = factors
    blocks = x.unflatten(3, (-1, across)).unflatten(2, (-1, down))
    return blocks.permute(0, 3, 5, 1, 2, 4).flatten(0, 2)


def spread(x: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Turn channels back into neighbouring pixels."""
    if not factors:
        return x
    blocks = x.unflatten(0, (-1, *factors)).permute(0, 3, 4, 1, 5, 2)
    return blocks.flatten(4, 5).flatten(2, 3)


def columns_first(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """View rows ``(n, n_features)`` as ``(n_columns, n, ...)``."""
    return rows.unflatten(1, shape).transpose(0, 1)


def rows_first(x: Tensor) -> Tensor:
    """View ``(n_columns, n, ...)`` as rows ``(n, n_features)``."""
    return x.transpose(0, 1).flatten(1)


def placed(context: Tensor | None, x: Tensor) -> Tensor | None:
    """Context ``(n, n_context)`` as columns at every place of x."""
    if context is None:
        return None
    places = x.shape[2:]
    given = context.t().view(-1, len(context), *[1] * len(places))
    return given.expand(-1, -1, *places)


class Flow(Network):
    r"""An invertible map f between rows and a standard normal distribution.

    .. math:: \log p(x) = \log N(f(x); 0, I) + \log |\det \partial f / \partial x|

    A fixed whitening, then couplings, each followed by a reordering or linear mixing of
    the columns. On images, couplings are of channels: each level turns neighbouring
    pixels into channels first, half of which leave the flow after it (RealNVP, Glow).

    Parameters
    ----------
    n_features : int
    coupling : {"additive", "affine", "spline"}
    mixing : {"linear", "permutation"}
    n_couplings : int
        Of each level.
    hidden_layer_sizes : sequence of int
        Of the networks that set the parameters of a coupling: widths of dense layers,
        or channels of convolutions.
    n_bins : int
        Of splines.
    n_context : int
        Columns of the context on which the distribution depends.
    image_shape : (int, int, int) or None
        Channels, height and width of an image.
    """

    def __init__(
        self,
        n_features: int,
        coupling: str = "spline",
        mixing: str = "linear",
        n_couplings: int = 6,
        hidden_layer_sizes: Sequence[int] = (64, 64),
        n_bins: int = 8,
        n_context: int = 0,
        image_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            n_features,
            n_features=n_features,
            coupling=coupling,
            mixing=mixing,
            n_couplings=n_couplings,
            hidden_layer_sizes=list(hidden_layer_sizes),
            n_bins=n_bins,
            n_context=n_context,
            image_shape=None if image_shape is None else list(image_shape),
        )
        self.shape = (n_features,) if image_shape is None else tuple(image_shape)
        self.plans = levels_of(self.shape)
        conditioner = DenseConditioner if image_shape is None else ConvConditioner
        sizes = tuple(hidden_layer_sizes)
        self.whitening = Whitening(self.shape[0], n_context)
        self.levels: Any = nn.ModuleList()
        for n_columns, *_ in (plan.shape for plan in self.plans):
            couplings = [
                Coupling(n_columns, coupling, conditioner, sizes, n_bins, n_context)
                for _ in range(n_couplings)
            ]
            mixing_maps = Mixing(n_couplings, n_columns, mixing == "linear")
            self.levels.append(Level(couplings, mixing_maps))

    def map(  # type: ignore[override]
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map rows to the base distribution.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
        context : Tensor of shape (n, n_context) or None

        Returns
        -------
        z : Tensor of shape (n, n_features)
        log_det : Tensor of shape (n,)
            Logarithm of the determinant of the Jacobian of z by x.
        """
        x, log_det = self.whitening(columns_first(x, self.shape), context)
        parts = []
        for plan, level in zip(self.plans, self.levels, strict=True):
            x = squeezed(x, plan.factors)
            x, change = level(x, placed(context, x))
            log_det = log_det + change
            leaving, x = x.tensor_split([plan.n_leaving])
            parts.append(rows_first(leaving))
        return torch.cat(parts, 1), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map points of the base distribution ``(n, n_features)`` back to rows."""
        shapes = [(plan.n_leaving, *plan.shape[1:]) for plan in self.plans]
        parts = z.split([math.prod(shape) for shape in shapes], 1)
        x = z.new_empty(0)
        for i in reversed(range(len(self.plans))):
            leaving = columns_first(parts[i], shapes[i])
            x = torch.cat((leaving, x)) if len(x) else leaving
            x = self.levels[i].inverse(x, placed(context, x))
            x = spread(x, self.plans[i].factors)
        return rows_first(self.whitening.inverse(x, context))

    def colored(self, noise: Tensor) -> Tensor:
        """Give white noise ``(n, n_features)`` the covariance of the start."""
        return rows_first(self.whitening.colored(columns_first(noise, self.shape)))

    def log_density(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Logarithm of the density of each row, ``(n,)``, in nats."""
        z, log_det = self(x) if context is None else self(x, context)
        constant = self.n_outputs * math.log(2 * math.pi)
        return log_det - (z.square().sum(1) + constant) / 2
