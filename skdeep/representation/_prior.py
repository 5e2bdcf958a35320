"""Codes distributed as a prior says: an adversary tells them from draws of it."""

import torch
from torch import Tensor

from skdeep.fitting import Fitting
from skdeep.nn import MLP, initialized
from skdeep.nn.noise import normal, uniform
from skdeep.objectives.adversarial import (
    discriminator_loss,
    non_saturating_generator_loss,
)

DISCRIMINATOR = (256, 64)
"""Hidden widths of the adversary."""


class PriorMatch:
    """A discriminator of codes and draws from a prior, and its optimiser.

    Parameters
    ----------
    prior : {"uniform", "normal"}
        The uniform one is that of sigmoids of the codes.
    n_components : int
    fitting : Fitting
        Gives weights, draws and the optimiser.
    """

    def __init__(self, prior: str, n_components: int, fitting: Fitting) -> None:
        self.is_uniform = prior == "uniform"
        self.draw = uniform if self.is_uniform else normal
        self.noise = fitting.noise
        sizes = [n_components, *DISCRIMINATOR, 1]
        discriminator = initialized(MLP, fitting.weight_rng, sizes=sizes)
        self.discriminator = discriminator.to(fitting.rows.device)
        self.adversary, _ = fitting.optimizer([self.discriminator])

    def losses(self, z: Tensor) -> dict[str, Tensor]:
        """Loss of codes ``(n, n_components)``, after a step of the discriminator."""
        # The discriminator learns first, from codes that it does not move.
        fake = torch.sigmoid(z) if self.is_uniform else z
        real = self.draw(z.shape, self.noise)
        told = discriminator_loss(
            self.discriminator(real), self.discriminator(fake.detach())
        )
        self.adversary.step(told)
        with self.adversary.frozen():
            fooled = non_saturating_generator_loss(self.discriminator(fake))
        return {"prior_loss": fooled, "discriminator_loss": told}
