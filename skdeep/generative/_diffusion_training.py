"""What the training of a diffusion model starts from, and its loss."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from skdeep.fitting import Fitting, draws_of_each
from skdeep.generative._base import widths
from skdeep.nn import MLPDenoiser, Network, UNetDenoiser, initialized
from skdeep.nn.noise import normal, uniform
from skdeep.objectives.diffusion import DENOISING_LOSSES, diffused, rates

RowsOf = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Rows of given numbers, and their contexts."""


def new_denoiser(estimator: Any, fitting: Fitting, n_classes: int) -> Network:
    """Build the network, on the device of the rows."""
    denoiser: Network
    if fitting.image_shape is None:
        denoiser = initialized(
            MLPDenoiser,
            fitting.weight_rng,
            n_features=fitting.n_features,
            hidden_layer_sizes=widths(estimator, (128, 128, 128)),
            n_classes=n_classes,
        )
    else:
        denoiser = initialized(
            UNetDenoiser,
            fitting.weight_rng,
            image_shape=fitting.image_shape,
            channels=widths(estimator, (32, 64)),
            n_classes=n_classes,
        )
    return denoiser.to(fitting.rows.device)


class Denoising:
    """Mixtures of rows and noise, and how wrong a denoiser is about them.

    Parameters
    ----------
    denoiser : Network
    varies : Tensor of shape (n_features,)
        1 for columns that vary, 0 for others, which have neither noise nor loss.
    betas : Tensor of shape (n_timesteps,)
        Variances that the steps of the noise add.
    prediction : {"v", "epsilon"}
    """

    def __init__(
        self, denoiser: Network, varies: Tensor, betas: Tensor, prediction: str
    ) -> None:
        self.denoiser = denoiser
        self.varies = varies
        self.rates = torch.stack(rates(betas), 1).to(varies)
        self.n_timesteps = len(betas)
        self.loss_of = DENOISING_LOSSES[prediction]

    def loss(
        self, x_0: Tensor, context: Tensor | None, start: Tensor, noise: Tensor
    ) -> Tensor:
        """Mean loss of rows at times that are spread evenly, in their order.

        Parameters
        ----------
        x_0, noise : Tensor of shape (n, n_features)
        context : Tensor of shape (n, n_classes) or None
        start : Tensor of shape (1,)
            In [0, 1): where the times begin, in shares of their distance.
        """
        share = (torch.arange(len(x_0), device=x_0.device) + start) / len(x_0)
        # Rounded, the last share may be 1.
        t = share.mul_(self.n_timesteps).long().add_(1).clamp_(max=self.n_timesteps)
        a, s = self.rates[t].split(1, 1)
        x_0, noise = x_0 * self.varies, noise * self.varies
        given = [] if context is None else [context]
        x_t = diffused(x_0, noise, a, s)
        v = self.denoiser(x_t, t.float() / self.n_timesteps, *given) * self.varies
        return self.loss_of(v, x_0, noise, a, s)

    def drawn_loss(
        self, x_0: Tensor, context: Tensor | None, rng: Generator, dropout: float
    ) -> Tensor:
        """Loss of rows with random noise, some of which lose their class."""
        start = uniform((1,), rng)
        noise = normal(x_0.shape, rng)
        if context is not None and dropout > 0:
            kept = uniform((len(x_0), 1), rng) >= dropout
            context = context * kept
        return self.loss(x_0, context, start, noise)

    def fixed_loss(self, rows_of: RowsOf, seed: int) -> Callable[[Tensor], Tensor]:
        """Loss of rows of given numbers, with the same noise at each call."""

        def loss(index: Tensor) -> Tensor:
            x_0, context = rows_of(index.repeat(draws_of_each(len(index))))
            rng = Generator(x_0.device).manual_seed(seed)
            noise = normal(x_0.shape, rng)
            return self.loss(x_0, context, x_0.new_full((1,), 0.5), noise)

        return loss


def require_guidable(estimator: Any, is_conditional: bool) -> None:
    """Raise if samples are to be guided, but nothing was learned of no class."""
    if not estimator.guidance_weight:
        return
    name = type(estimator).__name__
    if not is_conditional:
        raise ValueError(
            f"The 'guidance_weight' parameter of {name} leads away from what no class "
            f"makes of a row, and needs conditional=True. Got "
            f"{estimator.guidance_weight} without classes; 0 draws unguided rows."
        )
    if not estimator.class_dropout:
        raise ValueError(
            f"The 'guidance_weight' parameter of {name} needs rows that were trained "
            f"on without their class: class_dropout above 0. Got "
            f"guidance_weight={estimator.guidance_weight} and class_dropout=0."
        )
