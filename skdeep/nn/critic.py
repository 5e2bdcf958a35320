"""Critics: networks that score how well local features and whole rows fit together."""

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skdeep.nn.network import Network


class Shortcut(nn.Linear):
    """A dense layer, no narrower than its input, that starts as the identity."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, bias=False)

    def reset_parameters(self) -> None:
        """Set the identity, with zeros where the output is wider."""
        nn.init.eye_(self.weight)


class ResidualBlock(nn.Module):
    r"""Two dense layers beside a shortcut, and layer normalisation.

    .. math:: \mathrm{LayerNorm}(S x + W_2 \max(0, W_1 x + b_1) + b_2)

    S starts as the identity unless the input is the wider one. A layer normalisation
    knows no batch: one row is as good as many.
    """

    def __init__(self, n_in: int, n_units: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(
            nn.Linear(n_in, n_units),
            nn.ReLU(inplace=True),
            nn.Linear(n_units, n_units),
        )
        self.shortcut = (
            Shortcut(n_in, n_units)
            if n_in <= n_units
            else nn.Linear(n_in, n_units, bias=False)
        )
        self.norm = nn.LayerNorm(n_units)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., n_in)`` to ``(..., n_units)``."""
        return self.norm(self.shortcut(x) + self.dense(x))


class DotCritic(Network):
    r"""The encode-and-dot critic of Deep InfoMax.

    .. math:: T_{kij} = \frac{1}{\sqrt U} \, f(l_{ik})^\top g(y_j)

    where :math:`l_{ik}` is local feature k of row i, :math:`y_j` the global feature
    of row j, and f and g are residual blocks into :math:`U` units.

    Parameters
    ----------
    n_local, n_global : int
        Widths of the local and of the global features.
    n_units : int
        Width in which they meet.
    """

    def __init__(self, n_local: int, n_global: int, n_units: int) -> None:
        super().__init__(1, n_local=n_local, n_global=n_global, n_units=n_units)
        self.local_block = ResidualBlock(n_local, n_units)
        self.global_block = ResidualBlock(n_global, n_units)

    def map(self, local: Tensor, whole: Tensor) -> Tensor:
        """Map ``(..., n, m, n_local)`` and ``(..., n, n_global)`` to scores.

        They are ``(..., m, n, n)``.
        """
        f, g = self.local_block(local), self.global_block(whole)
        g = g / math.sqrt(g.shape[-1])
        scores = f.transpose(-3, -2).flatten(-3, -2) @ g.mT
        return scores.unflatten(-2, (local.shape[-2], -1))


class ConcatenateCritic(Network):
    r"""Dense layers on a local and a global feature, side by side.

    .. math:: T_{kij} = w^\top \max(0, W_2 \max(0, W_l l_{ik} + W_g y_j + b_1) + b_2)
              + b_3

    where :math:`l_{ik}` is local feature k of row i and :math:`y_j` the global
    feature of row j. All :math:`m n^2` pairs pass the second layer, which makes this
    critic far dearer than `DotCritic`; its memory is that of one location's
    :math:`n^2` pairs, for which each location is computed again in the backward pass.

    Parameters
    ----------
    n_local, n_global : int
        Widths of the local and of the global features.
    n_units : int
        Width of both hidden layers.
    """

    def __init__(self, n_local: int, n_global: int, n_units: int) -> None:
        super().__init__(1, n_local=n_local, n_global=n_global, n_units=n_units)
        # The first layer is split, so that it sees each feature once, not each pair.
        self.local_layer = nn.Linear(n_local, n_units)
        self.global_layer = nn.Linear(n_global, n_units, bias=False)
        self.pair_layers = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Linear(n_units, n_units),
            nn.ReLU(inplace=True),
            nn.Linear(n_units, 1),
        )

    def map(self, local: Tensor, whole: Tensor) -> Tensor:
        """Map ``(..., n, m, n_local)`` and ``(..., n, n_global)`` to scores.

        They are ``(..., m, n, n)``.
        """
        if local.dim() > 3:
            return torch.stack([*map(self.map, local, whole)])
        g = self.global_layer(whole)
        locations = self.local_layer(local).unbind(1)
        # Nothing in here is random: the state of the generators need not be kept.
        return torch.stack(
            [
                checkpoint(
                    self._scores, f, g, use_reentrant=False, preserve_rng_state=False
                )
                for f in locations
            ]
        )

    def _scores(self, f: Tensor, g: Tensor) -> Tensor:
        return self.pair_layers(f[:, None] + g).squeeze(-1)
