"""Ways from noise to rows and back, given the velocity that a denoiser finds.

The letters are those of :mod:`skdeep.objectives.diffusion`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from skdeep.nn.row_noise import noise_parts, uniform_parts
from skdeep.objectives.diffusion import (
    Field,
    ancestral_step,
    decoder_log_prob,
    divergence,
    epsilon_from_v,
    estimated_divergence,
    heun_step,
    implicit_step,
    prior_kl,
    transition_kl,
    x_0_from_v,
)
from skdeep.objectives.variational import standard_normal_log_density

CROWDING = 2.0
"""Power of the share of steps that gives the share of time: small times are dense."""

MOST_SPREAD = 1024
"""Features up to which the noise of a bound is spread evenly."""

RAREST = 1e-7
"""Share of a normal variable beyond which none is drawn."""


@dataclass(frozen=True)
class Diffusion:
    """The rates of row and noise at each time, and the velocity of rows at a time.

    Parameters
    ----------
    a, s : sequence of float
        At t = 0, ..., T.
    velocity : callable
        v of rows ``(n, D)`` at a time from 1 to T.
    """

    a: Sequence[float]
    s: Sequence[float]
    velocity: Callable[[Tensor, int], Tensor]

    def field(self, t: int) -> Field:
        """Velocity at one time; at t = 0, where nothing is noise, that at t = 1."""
        return lambda x: self.velocity(x, max(t, 1))

    def angle(self, t: int) -> float:
        """Angle of the noise at time t."""
        return float(np.arctan2(self.s[t], self.a[t]))

    def at(self, t: int) -> tuple[float, float]:
        """Rates of row and noise at time t."""
        return self.a[t], self.s[t]


def times_of(n_timesteps: int, n_steps: int) -> list[int]:
    """Choose the times of `n_steps` steps from 0 to T, the denser the smaller they are.

    Where little noise is left, rows move along the finest structure of the data.
    """
    share = np.linspace(0, 1, n_steps + 1) ** CROWDING
    # No two steps can be nearer than one time.
    spread = np.maximum(np.rint(share * n_timesteps), np.arange(n_steps + 1))
    return np.unique(spread.clip(max=n_timesteps).astype(int)).tolist()


def implicit_path(diffusion: Diffusion, x: Tensor, times: Sequence[int]) -> Tensor:
    """Rows that DDIM makes of noise, without further noise."""
    for t, u in pairwise(reversed(times)):
        rates = diffusion.at(t)
        v = diffusion.velocity(x, t)
        found, epsilon = x_0_from_v(x, v, *rates), epsilon_from_v(x, v, *rates)
        x = implicit_step(found, epsilon, *diffusion.at(u))
    return x


def ancestral_path(
    diffusion: Diffusion, x: Tensor, times: Sequence[int], rng: Generator
) -> Tensor:
    """Rows that DDPM makes of noise, adding new noise in each step but the last."""
    for t, u in pairwise(reversed(times)):
        rates = diffusion.at(t)
        found = x_0_from_v(x, diffusion.velocity(x, t), *rates)
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        x = ancestral_step(x, found, noise, *rates, *diffusion.at(u))
    return x


def flow_path(diffusion: Diffusion, x: Tensor, times: Sequence[int]) -> Tensor:
    """Move rows along the probability flow, to later times or, reversed, to earlier."""
    for t, u in pairwise(times):
        width = diffusion.angle(u) - diffusion.angle(t)
        x = heun_step(diffusion.field(u), x, diffusion.field(t)(x), width)
    return x


def flow_log_density(
    diffusion: Diffusion,
    x: Tensor,
    times: Sequence[int],
    probes: Iterable[Tensor] | None,
) -> Tensor:
    r"""Log-density of each row, by the change of volume along the probability flow.

    .. math:: \log p_0(x_0) = \log N(x_T; 0, I)
              + \int_0^{\phi_T} \nabla \cdot v(x_\phi, \phi) \, d\phi

    Parameters
    ----------
    diffusion : Diffusion
    x : Tensor of shape (n, D)
    times : sequence of int
        From 0 to T.
    probes : iterable of Tensor of shape (D,) or (n, D), or None
        At each time, random signs that estimate the divergence; None: it is exact.
    """
    signs = None if probes is None else iter(probes)

    def slope_and_divergence(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        field = diffusion.field(t)
        if signs is None:
            return divergence(field, x)
        return estimated_divergence(field, x, next(signs))

    volume = x.new_zeros(len(x))
    slope, change = slope_and_divergence(x, times[0])
    for t, u in pairwise(times):
        width = diffusion.angle(u) - diffusion.angle(t)
        x = heun_step(diffusion.field(u), x, slope, width)
        before = change
        slope, change = slope_and_divergence(x, u)
        volume += width / 2 * (before + change)
    return standard_normal_log_density(x) + volume


def bound(
    diffusion: Diffusion, x: Tensor, times: Sequence[int], noise: Iterable[Tensor]
) -> Tensor:
    r"""Variational lower bound of the log-density of each row, by DDPM's steps.

    .. math:: -L_T - \sum_{0 < u < t} L_u - L_0

    with one draw of the noise a step, for all rows or for each.

    Parameters
    ----------
    diffusion : Diffusion
    x : Tensor of shape (n, D)
    times : sequence of int
        From 0 to T.
    noise : iterable of Tensor of shape (D,) or (n, D)
        Standard normal, of each step.
    """
    n_features = x.shape[1]
    total = -prior_kl(x, *diffusion.at(times[-1]))
    for (u, t), epsilon in zip(pairwise(times), noise, strict=True):
        a, s = diffusion.at(t)
        x_t = a * x + s * epsilon
        squares = x_0_from_v(x_t, diffusion.velocity(x_t, t), a, s).sub_(x)
        squares = squares.square().sum(1)
        # Small noise is not found at all, and its own length would make most of the
        # variance of the squares: what a standard normal row leaves of it is taken off.
        squares -= (a * s) ** 2 * (epsilon.square().sum(-1) - n_features)
        if u == 0:
            total += decoder_log_prob(squares, n_features, a, s)
        else:
            total -= transition_kl(squares, n_features, a, s, *diffusion.at(u))
    return total


def spread_noise(x: Tensor, n_steps: int, seed: int) -> Iterator[Tensor]:
    """Draw standard normal noise of each row that fills the space evenly over steps.

    Sums over steps then vary less than with independent noise. Of many features, the
    sum over them does that. Each row shifts the same points, told by its content, so
    that its score depends on no other row, and means of many scores on the seed little.

    Parameters
    ----------
    x : Tensor of shape (n, D)
    n_steps, seed : int

    Yields
    ------
    Tensor of shape (n, D)
    """
    n_features = x.shape[1]
    if n_features > MOST_SPREAD:
        yield from (part[0] for part in noise_parts(x, n_steps, n_features, seed, 1))
        return
    points = SobolEngine(n_features, scramble=True, seed=seed).draw(n_steps)
    (shifts,) = uniform_parts(x, 1, n_features, seed, 1)
    for point in points.to(x.device):
        share = (point + shifts[0]) % 1
        yield torch.special.ndtri(share.clamp(RAREST, 1 - RAREST))
