"""What the training of a generative adversarial network plays with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skdeep.fitting import Fitting
from skdeep.generative._base import RowMap, joined
from skdeep.nn import MLP, ImageDiscriminator, ImageGenerator, Network, initialized
from skdeep.nn.generator import n_halvings
from skdeep.objectives.adversarial import (
    discriminator_loss,
    gradient_penalty,
    minimax_generator_loss,
    non_saturating_generator_loss,
    r1_penalty,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)
from skdeep.parameters import checked_sizes
from skdeep.training import Adam

LOSSES = {
    "non_saturating": (discriminator_loss, non_saturating_generator_loss),
    "minimax": (discriminator_loss, minimax_generator_loss),
    "wasserstein": (wasserstein_critic_loss, wasserstein_generator_loss),
    "wasserstein_gp": (wasserstein_critic_loss, wasserstein_generator_loss),
}
"""Losses of the discriminator and of the generator."""

N_STEPS, N_IMAGE_STEPS = 3000, 1500
"""Gradient steps of the generator that max_iter="auto" aims at."""

MOST_EPOCHS = 2000
"""Epochs that it never exceeds: a table of some hundred rows needs its steps too."""

BETAS, CLIPPED_BETAS = (0.5, 0.999), (0.0, 0.9)
"""Decay of Adam's running means: the adversary moves, and old gradients mislead. Beside
a critic whose weights are clipped, no momentum helps at all, as its paper found.
"""

SHARE_OF_CLIP = 0.03
"""Step size of such a critic, at most, over the clip: larger steps throw its weights
from one bound to the other.
"""

R1_WEIGHT, R1_IMAGE_WEIGHT = 0.5, 1.0
"""Weight of the penalty at real rows: for each column of a table, and for an image."""

LIPSCHITZ_WEIGHT = 10.0
"""Weight of the penalty of WGAN-GP, the paper's."""

CHANNELS = (32, 64, 128, 256)
"""Of as many layers as the sides of an image can be halved, but of two at least."""

Penalty = Callable[[RowMap, Tensor, Tensor], Tensor | float]
"""Of a map of rows to scores, of real rows and of generated ones."""


@dataclass(frozen=True)
class Game:
    """The steps of two adversaries.

    Parameters
    ----------
    discriminator : Network
        Scores rows, and with them their context, ``(n,)``.
    optimizer, adversary : Adam
        Of the generator and of the discriminator.
    told_apart : callable
        Loss of the discriminator, of scores of real and of fake rows.
    passed_off : callable
        Loss of the generator, of scores of fake rows.
    penalty : callable
        Of the slope of the discriminator.
    clip : float or None
        Largest weight that the discriminator may have, if there is one.
    """

    discriminator: Network
    optimizer: Adam
    adversary: Adam
    told_apart: Callable[[Tensor, Tensor], Tensor]
    passed_off: Callable[[Tensor], Tensor]
    penalty: Penalty
    clip: float | None

    def tell_apart(self, x: Tensor, fake: Tensor, context: Tensor | None) -> Tensor:
        """Teach the discriminator to tell real rows from fake ones, which do not move.

        Returns its loss.
        """
        both = None if context is None else torch.cat([context, context])
        scores = self.discriminator(joined(torch.cat([x, fake]), both))
        loss = self.told_apart(*scores.chunk(2))
        slope = self.penalty(lambda x: self.discriminator(joined(x, context)), x, fake)
        self.adversary.step(loss + slope)
        if self.clip is not None:
            clipped = self.adversary.weights.clamp(-self.clip, self.clip)
            self.adversary.set_weights(clipped)
        return loss

    def pass_off(self, fake: Tensor, context: Tensor | None) -> Tensor:
        """Teach the generator to pass off the fake rows; returns its loss."""
        with self.adversary.frozen():
            loss = self.passed_off(self.discriminator(joined(fake, context)))
        self.optimizer.step(loss)
        return loss.detach()


def n_steps_ahead(estimator: Any, is_image: bool) -> int:
    """Count the steps of the discriminator for each one of the generator."""
    if estimator.n_discriminator_steps != "auto":
        return int(estimator.n_discriminator_steps)
    if estimator.loss.startswith("wasserstein"):
        return 5
    return 1 if is_image else 2


def discriminator_rate(estimator: Any) -> float | None:
    """Step size of the discriminator; None: that of the generator."""
    rate = estimator.discriminator_learning_rate
    if rate is None and estimator.loss == "wasserstein":
        return min(estimator.learning_rate, SHARE_OF_CLIP * estimator.clip)
    return rate


def new_networks(
    estimator: Any, fitting: Fitting, n_classes: int
) -> tuple[Network, Network]:
    """Build generator and discriminator, on the device of the rows."""
    rng, n_features = fitting.weight_rng, fitting.n_features
    n_codes = int(estimator.n_components) + n_classes
    shape = fitting.image_shape
    if shape is None:
        sizes = checked_sizes(estimator, (128, 128))
        generator: Network = initialized(MLP, rng, sizes=[n_codes, *sizes, n_features])
        discriminator: Network = initialized(
            MLP, rng, sizes=[n_features + n_classes, *sizes, 1]
        )
    else:
        channels = checked_sizes(estimator, CHANNELS[: max(2, n_halvings(shape))])
        low = (fitting.columns.minimum - fitting.offset) / fitting.scale
        high = (fitting.columns.maximum - fitting.offset) / fitting.scale
        generator = initialized(
            ImageGenerator,
            rng,
            image_shape=shape,
            channels=channels,
            n_codes=n_codes,
            low=float(low.min()),
            high=float(high.max()),
        )
        discriminator = initialized(
            ImageDiscriminator,
            rng,
            image_shape=shape,
            channels=channels,
            n_classes=n_classes,
        )
    device = fitting.rows.device
    return generator.to(device), discriminator.to(device)


def slope_penalty(estimator: Any, fitting: Fitting) -> Penalty:
    """Weighted penalty of a discriminator's slope, of it, real and fake rows."""
    weight, noise = estimator.gradient_penalty, fitting.noise
    if estimator.loss == "wasserstein" or weight == 0:
        return no_penalty
    if estimator.loss == "wasserstein_gp":
        weight = LIPSCHITZ_WEIGHT if weight == "auto" else weight
        return lambda score, x, fake: weight * gradient_penalty(score, x, fake, noise)
    if weight == "auto":
        is_table = fitting.image_shape is None
        weight = R1_WEIGHT * fitting.n_features if is_table else R1_IMAGE_WEIGHT
    return lambda score, x, _: weight * r1_penalty(score, x)


def no_penalty(*_: Any) -> float:
    """Leave the slope of a discriminator alone."""
    return 0.0
