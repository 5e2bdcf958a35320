"""Encoder, decoder and likelihood as one model, and what it says of rows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from skdeep.generative._base import joined
from skdeep.generative._vae_likelihood import Likelihood
from skdeep.nn import Network
from skdeep.nn.noise import normal
from skdeep.objectives.variational import (
    annealed_importance,
    code_distribution,
    drawn_codes,
    elbo_per_sample,
    importance_weighted_bound,
    kl_to_standard_normal,
    log_importance_weight,
    mean_squares,
    reparametrised,
    standard_normal_log_density,
)
from skdeep.parameters import ImageShape

NUMBERS = 2**20
"""Numbers that the decoder makes at once for many codes a row: bounds the memory."""


@dataclass
class VariationalModel:
    """A model of scaled rows x with codes z, given contexts c if it is conditional.

    Parameters
    ----------
    encoder : Network
        Maps rows to means and log-variances of codes.
    decoder : Network
        Maps codes to what the likelihood reads.
    likelihood : Likelihood
    n_places : int
        Pixels of a channel, each of which the encoder shows the context; 1 for tables.
    """

    encoder: Network
    decoder: Network
    likelihood: Likelihood
    n_places: int

    def loss_terms(
        self, x: Tensor, context: Tensor | None, rng: Generator
    ) -> tuple[Tensor, Tensor]:
        """Reconstruction loss and divergence of a training batch, a mean row of it."""
        parameters = self.encoder(joined(x, context, self.n_places))
        shape = (len(x), parameters.shape[1] // 2)
        noise = normal(shape, rng)
        z, kl = drawn_codes(parameters, noise)
        return self.likelihood.loss(x, self.decoder(joined(z, context))), kl

    def posterior(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the codes of rows, ``(n, d)`` each."""
        return code_distribution(self.encoder(joined(x, context, self.n_places)))

    def decoded(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Decode one code a row, ``(n, d)``, or several, ``(k, n, d)``."""
        if z.ndim == 2:
            return self.decoder(joined(z, context))
        if context is not None:
            context = context.expand(len(z), *context.shape).flatten(0, 1)
        output = self.decoder(joined(z.flatten(0, 1), context))
        return output.unflatten(0, z.shape[:2])

    def elbo(
        self,
        x: Tensor,
        context: Tensor | None,
        noise: Iterable[Tensor],
        beta: float = 1.0,
    ) -> Tensor:
        """Evidence lower bound of rows, by parts ``(k, n, d)`` of noise."""
        mean, log_var = self.posterior(x, context)
        parts = [
            self._log_likelihood(x, reparametrised(mean, log_var, part), context)
            for part in noise
        ]
        return elbo_per_sample(torch.cat(parts), mean, log_var, beta)

    def importance_weighted(
        self, x: Tensor, context: Tensor | None, noise: Iterable[Tensor]
    ) -> Tensor:
        """Importance-weighted bound of rows, by parts ``(k, n, d)`` of noise."""
        mean, log_var = self.posterior(x, context)
        parts = []
        for part in noise:
            z = reparametrised(mean, log_var, part)
            log_likelihood = self._log_likelihood(x, z, context)
            parts.append(log_importance_weight(log_likelihood, z, part, log_var))
        return importance_weighted_bound(torch.cat(parts))

    def annealed(
        self,
        x: Tensor,
        context: Tensor | None,
        rng: Generator,
        n_chains: int,
        n_temperatures: int,
    ) -> tuple[Tensor, Tensor]:
        """Annealed estimate of the log-likelihood of rows, and its standard error."""
        size = self.codes_at_once(n_chains)
        found = []
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            given = None if context is None else context[part]
            found.append(
                self._annealed_part(x[part], given, rng, n_chains, n_temperatures)
            )
        estimates, errors = zip(*found, strict=True)
        return torch.cat(estimates), torch.cat(errors)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _annealed_part(
        self,
        x: Tensor,
        context: Tensor | None,
        rng: Generator,
        n_chains: int,
        n_temperatures: int,
    ) -> tuple[Tensor, Tensor]:
        # The moves follow gradients, which tensors made in inference mode have not.
        x, context = x.clone(), None if context is None else context.clone()

        def log_joint(z: Tensor) -> Tensor:
            log_likelihood = self._log_likelihood(x, z, context)
            return log_likelihood + standard_normal_log_density(z)

        return annealed_importance(
            log_joint,
            *self.posterior(x, context),
            rng,
            n_chains=n_chains,
            n_temperatures=n_temperatures,
        )

    def left_over(
        self, x: Tensor, context: Tensor | None, rng: Generator
    ) -> tuple[Tensor, Tensor]:
        """Mean square of what codes leave of each column, and each code's divergence.

        ``(n_features,)`` and ``(d,)``, averaged over the rows.
        """
        mean, log_var = self.posterior(x, context)
        noise = normal(mean.shape, rng)
        output = self.decoded(reparametrised(mean, log_var, noise), context)
        squares = mean_squares(x, self.likelihood.mean(output))
        return squares, kl_to_standard_normal(mean, log_var).mean(0)

    def codes_at_once(self, n_rows: int) -> int:
        """Codes of each row whose outputs fit the memory."""
        return max(1, NUMBERS // (n_rows * self.decoder.n_outputs))

    def _log_likelihood(self, x: Tensor, z: Tensor, context: Tensor | None) -> Tensor:
        return self.likelihood.log_likelihood(x, self.decoded(z, context))


def n_places(image_shape: ImageShape | None) -> int:
    """Pixels of a channel; 1 for tables."""
    return 1 if image_shape is None else math.prod(image_shape[1:])
