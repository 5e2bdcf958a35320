"""A fitted diffusion model: samples, codes and densities of scaled rows."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Generator, Tensor

from skdeep.base import varying_columns
from skdeep.generative._base import RowMap
from skdeep.generative._diffusion_paths import (
    Diffusion,
    ancestral_path,
    bound,
    flow_log_density,
    flow_path,
    implicit_path,
    spread_noise,
    times_of,
)
from skdeep.nn import Network
from skdeep.nn.noise import normal
from skdeep.nn.row_noise import noise_parts
from skdeep.objectives.diffusion import guided, rates
from skdeep.training import at_once

EXACT_FEATURES = 16
"""Columns up to which the divergence of the probability flow is exact."""

BOUND_STEPS = 200
"""Steps of the variational bound."""

PART_NUMBERS = 2**16
"""Numbers in the rows that pass the network at once: bounds the memory of its maps."""


class DiffusionModel:
    """A denoiser and what belongs to it, on one device.

    Noise, codes and steps know the columns alone that vary; the network sees zeros in
    the place of the others.

    Parameters
    ----------
    denoiser : Network
    betas : ndarray of shape (n_timesteps,)
        Variances that the steps of the noise add.
    constants : ndarray of shape (n_features,)
        Value of each column that does not vary, NaN of all others.
    device : torch.device
    """

    def __init__(
        self,
        denoiser: Network,
        betas: np.ndarray,
        constants: np.ndarray,
        device: torch.device,
    ) -> None:
        self.denoiser = denoiser
        self.a, self.s = (
            rate.tolist() for rate in rates(torch.tensor(betas, device="cpu"))
        )
        self.n_timesteps = len(betas)
        self.device = device
        self.n_features = len(constants)
        self.varying = varying_columns(constants, device)
        self.n_varying = int(np.isnan(constants).sum())

    def diffusion(self, context: Tensor | None, guidance: float = 0.0) -> Diffusion:
        """Return the velocity of rows of a context, pushed by guidance."""

        def velocity(x: Tensor, t: int) -> Tensor:
            x = self._widened(x)
            time = x.new_full((1,), t / self.n_timesteps)
            if context is None:
                v = self.denoiser(x, time)
            elif guidance == 0:
                v = self.denoiser(x, time, context)
            else:
                contexts = torch.cat([context, torch.zeros_like(context)])
                given, free = self.denoiser(torch.cat([x, x]), time, contexts).chunk(2)
                v = guided(given, free, guidance)
            return self._narrowed(v)

        return Diffusion(self.a, self.s, velocity)

    def drawn(
        self,
        n_rows: int,
        context: Tensor | None,
        rng: Generator,
        *,
        sampler: str,
        n_steps: int,
        guidance: float,
    ) -> Tensor:
        """Make rows of noise that is drawn from `rng`."""

        def rows(x: Tensor, context: Tensor | None = None) -> Tensor:
            diffusion = self.diffusion(context, guidance)
            if sampler == "ddpm":
                x = ancestral_path(diffusion, x, range(self.n_timesteps + 1), rng)
            elif sampler == "ddim":
                x = implicit_path(diffusion, x, times_of(self.n_timesteps, n_steps))
            else:
                x = flow_path(diffusion, x, times_of(self.n_timesteps, n_steps)[::-1])
            return self._widened(x)

        noise = normal((n_rows, self.n_varying), rng)
        return by_parts(rows, noise, *[] if context is None else [context])

    def codes(self, n_steps: int) -> RowMap:
        """Return the function from rows to codes, along the probability flow."""
        return self._carried(times_of(self.n_timesteps, n_steps))

    def rows(self, n_steps: int) -> RowMap:
        """Return the function from codes to rows, back along the flow."""
        return self._carried(times_of(self.n_timesteps, n_steps)[::-1])

    def _carried(self, times: Sequence[int]) -> RowMap:
        """Return the function that carries rows along the flow, through such times."""

        def carried(x: Tensor, context: Tensor | None = None) -> Tensor:
            x = flow_path(self.diffusion(context), self._narrowed(x), times)
            return self._widened(x)

        return partial(by_parts, carried)

    def log_density(self, n_steps: int, seed: int) -> RowMap:
        """Return the log-density of rows, by the change of volume along the flow."""
        times = times_of(self.n_timesteps, n_steps)

        def log_density(x: Tensor, context: Tensor | None = None) -> Tensor:
            # Tensors of the inference mode have no gradients, but their copies do.
            with torch.inference_mode(False), torch.no_grad():
                diffusion = self.diffusion(None if context is None else context.clone())
                x = self._narrowed(x).clone()
                parts = noise_parts(x, len(times), x.shape[1], seed, 1)
                probes = (part[0].sign() for part in parts)
                is_exact = x.shape[1] <= EXACT_FEATURES
                return flow_log_density(
                    diffusion, x, times, None if is_exact else probes
                )

        return partial(by_parts, log_density)

    def lower_bound(self, seed: int) -> RowMap:
        """Return the variational lower bound of the log-density of rows."""
        times = times_of(self.n_timesteps, BOUND_STEPS)

        def lower_bound(x: Tensor, context: Tensor | None = None) -> Tensor:
            x = self._narrowed(x)
            noise = spread_noise(x, len(times) - 1, seed)
            return bound(self.diffusion(context), x, times, noise)

        return partial(by_parts, lower_bound)

    def _narrowed(self, x: Tensor) -> Tensor:
        """Take the columns that vary."""
        return x[:, self.varying]

    def _widened(self, x: Tensor) -> Tensor:
        """Put columns of zeros between those that vary."""
        if isinstance(self.varying, slice):
            return x
        return x.new_zeros(len(x), self.n_features).index_copy(1, self.varying, x)


def by_parts(function: RowMap, x: Tensor, *given: Tensor) -> Tensor:
    """Pass rows and what is given of them a part at a time."""
    n_features = max(1, x.shape[1])
    n_rows = at_once(max(1, PART_NUMBERS // n_features), n_features, x.device)
    parts = zip(*(tensor.split(n_rows) for tensor in (x, *given)), strict=True)
    return torch.cat([function(*part) for part in parts])
