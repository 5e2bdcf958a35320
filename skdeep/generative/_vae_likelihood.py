"""The likelihoods of a variational autoencoder: what its decoder's output means."""

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from skdeep.nn.noise import normal
from skdeep.objectives.variational import (
    bernoulli_log_likelihood,
    bernoulli_loss,
    gaussian_log_likelihood,
    gaussian_loss,
    gaussian_loss_of_squares,
    mean_squares,
)
from skdeep.training import changing

LEAST_VARIANCE, LARGEST_VARIANCE = 1e-4, 10.0
"""Bounds of a variance that is learned, in scaled rows."""

LEAST_SHARE = 0.01
"""Of the variance of a column, which the least one never exceeds: without scaling, or
beside values far out, a column may have less than the least."""

LOWEST, HIGHEST = math.log(LEAST_VARIANCE), math.log(LARGEST_VARIANCE)

MEMORY = 50
"""Steps over which a shared variance is averaged in training."""


class Likelihood(ABC):
    """Distribution of scaled rows, given the output of the decoder."""

    n_outputs: int
    """Outputs of the decoder for each feature."""

    variance: Tensor | None = None
    """Mean square of the noise of each column, if it is Gaussian."""

    @abstractmethod
    def loss(self, x: Tensor, output: Tensor) -> Tensor:
        """Minus the log-likelihood of a training batch, averaged over its rows."""

    @abstractmethod
    def log_likelihood(self, x: Tensor, output: Tensor) -> Tensor:
        """Log-likelihood of each row: of ``(..., n_features)``, ``(...)``."""

    @abstractmethod
    def mean(self, output: Tensor) -> Tensor:
        """Mean of the distribution, ``(..., n_features)``."""

    @abstractmethod
    def draw(self, output: Tensor, rng: Generator) -> Tensor:
        """Rows drawn from the distribution, ``(..., n_features)``."""


class Bernoulli(Likelihood):
    """Binary entries, whose logits the decoder gives."""

    n_outputs = 1

    def loss(self, x: Tensor, output: Tensor) -> Tensor:
        """Minus the log-probability, averaged over the rows."""
        return bernoulli_loss(x, output)

    def log_likelihood(self, x: Tensor, output: Tensor) -> Tensor:
        """Log-probability of each row."""
        return bernoulli_log_likelihood(x, output)

    def mean(self, output: Tensor) -> Tensor:
        """Probabilities of a one."""
        return output.sigmoid()

    def draw(self, output: Tensor, rng: Generator) -> Tensor:
        """Zeros and ones."""
        return torch.bernoulli(output.sigmoid(), generator=rng)


class Gaussian(Likelihood):
    """Independent Gaussian noise about a mean.

    A column that did not vary in `fit` has no density: it is left out, and no noise is
    added to it.

    Parameters
    ----------
    variance : Tensor of shape (n_features,)
        Mean square of the noise of each column; 0 if it does not vary.
    pooled : bool
        Whether all columns have one variance.
    least : Tensor of shape (n_features,) or () or None
        Least variance of each column that training finds; None is that of columns of
        variance 1.
    """

    def __init__(
        self,
        variance: Tensor,
        pooled: bool = False,
        least: Tensor | None = None,
    ) -> None:
        self.variance: Tensor = variance
        self.pooled = pooled
        self.least = torch.full_like(variance, LEAST_VARIANCE)
        if least is not None:
            self.least = least.to(variance)
        self.varies = variance > 0
        self.counted: slice | Tensor = slice(None)
        if not self.varies.all():
            self.counted = self.varies.nonzero()[:, 0]

    @abstractmethod
    def moments(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of all columns."""

    def log_likelihood(self, x: Tensor, output: Tensor) -> Tensor:
        """Log-density of each row."""
        mean, log_var = self.moments(output)
        x, mean, log_var = (part[..., self.counted] for part in (x, mean, log_var))
        return gaussian_log_likelihood(x, mean, log_var)

    def mean(self, output: Tensor) -> Tensor:
        """Mean of the distribution."""
        return self.moments(output)[0]

    def draw(self, output: Tensor, rng: Generator) -> Tensor:
        """Mean and noise."""
        mean, log_var = self.moments(output)
        noise = normal(mean.shape, rng)
        return torch.addcmul(mean, (log_var / 2).exp(), noise * self.varies)

    def follow(self, squares: Tensor, share: float | Tensor = 1.0) -> None:
        """Take so large a share of the variance from mean squared residuals."""
        if self.pooled:
            squares = squares[self.counted].mean()
        self.variance.lerp_(torch.maximum(squares, self.least) * self.varies, share)


class SharedGaussian(Gaussian):
    r"""Noise whose variance in a column is the same for all rows.

    Where it is learned it is not left to the optimiser: the variance of largest
    likelihood is the mean squared residual, which is averaged over the last steps.

    Parameters
    ----------
    variance : Tensor of shape (n_features,)
    pooled : bool
    least : Tensor of shape (n_features,) or () or None
    learned : bool
        Whether training moves the variance.
    """

    n_outputs = 1

    def __init__(
        self,
        variance: Tensor,
        pooled: bool = False,
        least: Tensor | None = None,
        learned: bool = False,
    ) -> None:
        super().__init__(variance, pooled, least)
        self.learned = learned
        self.n_steps = 0

    def state(self) -> dict[str, Any]:
        """Return the variance, and the steps it was learned from."""
        return {"variance": self.variance, "n_steps": self.n_steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.variance.copy_(state["variance"])
        self.n_steps = state["n_steps"]

    def loss(self, x: Tensor, output: Tensor) -> Tensor:
        """Minus the log-density, averaged over the rows."""
        squares = mean_squares(x, output)
        if self.learned:
            self.follow(squares.detach(), changing(self._next_share))
        counted = self.counted
        return gaussian_loss_of_squares(squares[counted], self.variance[counted].log())

    def _next_share(self) -> float:
        self.n_steps += 1
        return 1 / min(self.n_steps, MEMORY)

    def moments(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Output, and what all rows share."""
        return output, self.variance.log()


def least_variances(variance: np.ndarray) -> np.ndarray:
    """Least variance of the noise of columns of given variances, in scaled rows."""
    share = np.where(variance > 0, LEAST_SHARE * variance, np.inf)
    return np.asarray(np.minimum(share, LEAST_VARIANCE))


class RowGaussian(Gaussian):
    """Noise whose variance the decoder gives for each row and column.

    The second half of its output is squeezed between two bounds; 0 there means the
    variance of the data.
    """

    n_outputs = 2

    def loss(self, x: Tensor, output: Tensor) -> Tensor:
        """Minus the log-density, averaged over the rows."""
        mean, log_var = self.moments(output)
        counted = self.counted
        return gaussian_loss(x[:, counted], mean[:, counted], log_var[:, counted])

    def moments(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Both halves of the output."""
        mean, free = output.chunk(2, dim=-1)
        share = torch.sigmoid(free + math.log(-LOWEST / HIGHEST))
        return mean, LOWEST + (HIGHEST - LOWEST) * share


def fitted_likelihood(
    variance: np.ndarray | None, is_of_row: bool, device: torch.device
) -> Likelihood:
    """Return the likelihood that was trained: without a variance, that of bits."""
    if variance is None:
        return Bernoulli()
    kind = RowGaussian if is_of_row else SharedGaussian
    return kind(torch.tensor(variance, device=device))
