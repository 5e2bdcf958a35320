r"""Couplings: a part of the columns is moved as the others say, and can be moved back.

In flows the columns lead: a table is a tensor ``(n_columns, n)`` and images are
``(n_channels, n, height, width)``. The halves of a coupling are then slices in one
piece, and so is each parameter of a map for all rows.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from skdeep.nn.network import Network
from skdeep.nn.spline import inverse_rational_quadratic, rational_quadratic
from skdeep.nn.zero import ZeroConvolution, ZeroLinear

LARGEST_LOG_SCALE = 3.0
"""Bound of the log-scales of affine couplings, alike for both signs."""


class ScalarMap(NamedTuple):
    """An increasing map of each entry, with parameters ``(n_parameters, *x.shape)``."""

    forward: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Of x and the parameters: y and the logarithm of dy/dx."""
    inverse: Callable[[Tensor, Tensor], Tensor]
    """Of y and the parameters: x."""
    n_parameters: Callable[[int], int]
    """Of the number of bins, for splines."""


def damped(log_scale: Tensor) -> Tensor:
    r"""Bound s by :math:`s / (1 + |s| / c)`.

    A bound on one side would not let a flow contract, or not let it expand.
    """
    return log_scale / (1 + log_scale.abs() / LARGEST_LOG_SCALE)


def added(x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """NICE: y = x + t."""
    return x + parameters[0], torch.zeros_like(x)


def subtracted(y: Tensor, parameters: Tensor) -> Tensor:
    """Inverse of `added`."""
    return y - parameters[0]


def scaled(x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """RealNVP: y = exp(s) x + t."""
    log_scale = damped(parameters[1])
    return torch.addcmul(parameters[0], x, log_scale.exp()), log_scale


def unscaled(y: Tensor, parameters: Tensor) -> Tensor:
    """Inverse of `scaled`."""
    return (y - parameters[0]) * (-damped(parameters[1])).exp()


SCALAR_MAPS = {
    "additive": ScalarMap(added, subtracted, lambda _: 1),
    "affine": ScalarMap(scaled, unscaled, lambda _: 2),
    "spline": ScalarMap(
        rational_quadratic, inverse_rational_quadratic, lambda n_bins: 3 * n_bins - 1
    ),
}
"""Name -> what a coupling does to the columns that it moves."""


class DenseConditioner(Network):
    r"""Dense layers with shortcuts, on columns that lead.

    .. math:: h_1 = W_1 x + b_1, \qquad
              h_l = h_{l-1} + W_l \, \mathrm{silu}(h_{l-1}) + b_l

    without the shortcut where the width changes, and a last layer that starts with
    zeros.

    Parameters
    ----------
    n_inputs : int
    hidden_layer_sizes : sequence of int
    n_outputs : int
    """

    def __init__(
        self, n_inputs: int, hidden_layer_sizes: Sequence[int], n_outputs: int
    ) -> None:
        super().__init__(n_outputs)
        sizes = [n_inputs, *hidden_layer_sizes]
        self.hidden = nn.ModuleList(
            nn.Linear(n_in, n_out) for n_in, n_out in itertools.pairwise(sizes)
        )
        self.last = ZeroLinear(sizes[-1], n_outputs)

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n_inputs, n)`` to ``(n_outputs, n)``."""
        first, *others = self.hidden
        h = first(x.t())
        for layer in others:
            added = layer(silu(h))
            h = h + added if added.shape == h.shape else added
        # The columns lead again, without a copy: the product can be had either way.
        bias = self.last.bias.unsqueeze(1)
        return torch.addmm(bias, self.last.weight, silu(h).t())


class ConvConditioner(Network):
    """Convolutions that keep the sides, with rectifiers between them.

    The first and the last look at neighbouring pixels, those between at the same pixel.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Channels.
    hidden_layer_sizes : sequence of int
        Channels between them; at least one number.
    """

    def __init__(
        self, n_inputs: int, hidden_layer_sizes: Sequence[int], n_outputs: int
    ) -> None:
        super().__init__(n_outputs)
        first, *others = hidden_layer_sizes
        layers: list[nn.Module] = [nn.Conv2d(n_inputs, first, 3, padding=1)]
        for n_in, n_out in itertools.pairwise([first, *others]):
            layers += [nn.SiLU(), nn.Conv2d(n_in, n_out, 1)]
        last = ZeroConvolution(hidden_layer_sizes[-1], n_outputs, 3, padding=1)
        self.layers = nn.Sequential(*layers, nn.SiLU(), last)

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n_inputs, n, height, width)`` to ``(n_outputs, n, height, width)``."""
        return self.layers(x.transpose(0, 1)).transpose(0, 1)


class Coupling(nn.Module):
    r"""Move the second half of the columns as the first half, and the context, say.

    .. math:: y_a = x_a, \qquad y_b = f(x_b; \theta(x_a, c))

    with f increasing in each entry, so that the Jacobian is triangular. A single column
    is the second half, and its parameters depend on the context alone.

    Parameters
    ----------
    n_columns : int
        Or channels.
    kind : {"additive", "affine", "spline"}
    conditioner : subclass of Network
        Of theta.
    hidden_layer_sizes : sequence of int
    n_bins : int
        Of splines.
    n_context : int
        Columns of the context.
    """

    def __init__(
        self,
        n_columns: int,
        kind: str,
        conditioner: type[DenseConditioner] | type[ConvConditioner],
        hidden_layer_sizes: Sequence[int],
        n_bins: int,
        n_context: int,
    ) -> None:
        super().__init__()
        self.n_fixed = n_columns // 2
        n_moved = n_columns - self.n_fixed
        self.scalar_map = SCALAR_MAPS[kind]
        self.n_parameters = self.scalar_map.n_parameters(n_bins)
        self.conditioner = conditioner(
            max(1, self.n_fixed + n_context),
            hidden_layer_sizes,
            self.n_parameters * n_moved,
        )

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map ``(n_columns, n, ...)`` and ``(n_context, n, ...)``.

        Returns
        -------
        y : Tensor of shape (n_columns, n, ...)
        log_det : Tensor of shape (n,)
        """
        fixed, moved = x.tensor_split([self.n_fixed])
        parameters = self._theta(fixed, moved, context)
        moved, log_derivative = self.scalar_map.forward(moved, parameters)
        log_det = log_derivative.sum(0)
        if log_det.dim() > 1:
            log_det = log_det.flatten(1).sum(1)
        return torch.cat((fixed, moved)), log_det

    def inverse(self, y: Tensor, context: Tensor | None) -> Tensor:
        """Map y back to x."""
        fixed, moved = y.tensor_split([self.n_fixed])
        parameters = self._theta(fixed, moved, context)
        return torch.cat((fixed, self.scalar_map.inverse(moved, parameters)))

    def _theta(self, fixed: Tensor, moved: Tensor, context: Tensor | None) -> Tensor:
        given = fixed if context is None else torch.cat((fixed, context))
        if not len(given):
            given = moved.new_ones(1, *moved.shape[1:])
        parameters = self.conditioner(given)
        return parameters.unflatten(0, (self.n_parameters, len(moved)))
