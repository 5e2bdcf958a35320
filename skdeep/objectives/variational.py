r"""Terms of variational autoencoders, and estimates of the likelihood of a row.

Symbols: x is a row of :math:`D` features, z its code of :math:`d` components with the
prior :math:`p(z) = N(0, I)`, :math:`p(x \mid z)` the likelihood that a decoder gives
and :math:`q(z \mid x) = N(\mu, \mathrm{diag}(\sigma^2))` what an encoder says of the
code; `log_var` is :math:`\log \sigma^2`. All are in nats, and sums over features and
components.

D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014,
arXiv:1312.6114.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

GROUP = 16
"""Probabilities that are multiplied before a logarithm is taken."""

LOG_TAU = math.log(2 * math.pi)

ROUNDING = 1e-5
"""By which scaled values may leave [0, 1]."""

LOG_VAR_LIMIT = 20.0
"""Log-variances of codes are cut to plus or minus this, where float32 has room."""

ACCEPTANCE, ADAPTATION = 0.65, 0.1
"""Share of the moves of `annealed_importance` that is aimed at, and how fast."""


# codes


def code_distribution(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of codes ``(..., d)``, from an encoder's ``(..., 2d)``."""
    mean, log_var = parameters.chunk(2, dim=-1)
    return mean, log_var.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT)


def reparametrised(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    r"""Codes :math:`z = \mu + \sigma \epsilon` of standard normal noise.

    Gradients reach the mean and the log-variance (eq. 4 of the paper).
    """
    return torch.addcmul(mean, (log_var / 2).exp(), noise)


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""Divergence of each component of the code from the prior, in the shape given.

    .. math:: \frac12 \left( \mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1 \right)

    Their sum over the components is :math:`KL(q(z \mid x) \| p(z))` (appendix B).
    """
    return (mean.square() + log_var.exp() - log_var - 1) / 2


def drawn_codes(parameters: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    r"""Reparametrised codes, and their divergence from the prior, as one operation.

    Parameters
    ----------
    parameters : Tensor of shape (n, 2 d)
        Means and log-variances.
    noise : Tensor of shape (n, d)
        Standard normal.

    Returns
    -------
    z : Tensor of shape (n, d)
    kl : Tensor of shape ()
        :math:`KL(q(z \mid x) \| p(z))`, averaged over the rows.
    """
    return DrawnCodes.apply(parameters, noise)


class DrawnCodes(torch.autograd.Function):
    r"""`drawn_codes`, with the pass back written out in few operations.

    With :math:`G` the gradient by z and :math:`\kappa` that by the mean divergence,

    .. math::

        \frac{\partial L}{\partial \mu} = G + \frac{\kappa}{n} \mu, \qquad
        \frac{\partial L}{\partial \log \sigma^2} = \frac12 \Big( G \sigma \epsilon
        + \frac{\kappa}{n} (\sigma^2 - 1) \Big)

    It passes the cut of the log-variance, so that those beyond come back.
    """

    @staticmethod
    def forward(ctx: Any, parameters: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(n, 2 d)`` and ``(n, d)`` to ``(n, d)`` and a number."""
        mean, log_var = code_distribution(parameters)
        deviation = (log_var / 2).exp()
        spread = deviation * noise
        variance = deviation.square()
        kl = (torch.sum(mean.square() + variance - log_var) - mean.numel()) / 2
        ctx.save_for_backward(mean, spread, variance)
        return mean + spread, kl / len(mean)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, kl_gradient: Tensor
    ) -> tuple[Tensor, None]:
        """Gradient of the parameters."""
        mean, spread, variance = ctx.saved_tensors
        share = kl_gradient / len(mean)
        by_log_var = (gradient * spread + share * (variance - 1)) / 2
        return torch.cat([gradient + share * mean, by_log_var], dim=1), None


# likelihoods


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    r"""Logarithm of the density of each row under a Gaussian.

    .. math:: -\frac12 \sum_j \left( \frac{(x_j - m_j)^2}{s_j^2} + \log s_j^2
              + \log 2 \pi \right)

    Parameters
    ----------
    x, mean : Tensor of shape (..., D)
    log_var : Tensor of shape (), (D,) or (..., D)
        :math:`\log s^2`: fixed or shared by all entries, by rows, or by none.

    Returns
    -------
    Tensor of shape (...)
    """
    terms = (x - mean).square() * (-log_var).exp() + log_var
    return -(terms.sum(-1) + x.shape[-1] * LOG_TAU) / 2


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    r"""Logarithm of the probability of each binary row.

    .. math:: \sum_j \big( x_j \log p_j + (1 - x_j) \log (1 - p_j) \big)
              = \sum_j \big( x_j l_j - \mathrm{softplus}(l_j) \big),
              \qquad p_j = \sigma(l_j)

    Of values between 0 and 1 it is the expectation over binary rows with such means:
    no density of the values themselves. Rows with values beyond are impossible.

    Parameters
    ----------
    x, logits : Tensor of shape (..., D)

    Returns
    -------
    Tensor of shape (...)
        :math:`-\infty` of impossible rows.
    """
    # Entry by entry: the sums of both terms may be large and cancel.
    log_prob = (x * logits - softplus(logits)).sum(-1)
    is_possible = ((x >= -ROUNDING) & (x <= 1 + ROUNDING)).all(-1)
    return log_prob.where(is_possible, -math.inf)


def bernoulli_loss(x: Tensor, logits: Tensor) -> Tensor:
    """Minus the mean of `bernoulli_log_likelihood` over the rows, in few operations."""
    return BernoulliLoss.apply(x, logits)


class BernoulliLoss(torch.autograd.Function):
    r"""`bernoulli_loss`; its gradient by the logits is :math:`(\sigma(l) - x) / n`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor) -> Tensor:
        """Map two ``(n, D)`` to a number."""
        p = logits.sigmoid()
        ctx.save_for_backward(x, p)
        # softplus(l) = max(0, l) - log max(p, 1 - p), at a third of the cost. Products
        # of a few of these, each at least a half, need only one logarithm.
        likelier = 1 - p
        torch.maximum(p, likelier, out=likelier)
        n_grouped = len(x) // GROUP * GROUP
        grouped = likelier[:n_grouped].unflatten(0, (-1, GROUP)).prod(1)
        log_sum = grouped.log_().sum() + likelier[n_grouped:].log_().sum()
        surprise = logits.relu().sum() - log_sum
        return (surprise - torch.dot(x.flatten(), logits.flatten())) / len(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        """Gradient of the logits."""
        x, p = ctx.saved_tensors
        return None, (p - x).mul_(gradient / len(x))


def gaussian_loss(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Minus the mean of `gaussian_log_likelihood` over the rows, in few operations.

    Parameters
    ----------
    x, mean, log_var : Tensor of shape (n, D)

    Returns
    -------
    Tensor of shape ()
    """
    return GaussianLoss.apply(x, mean, log_var)


class GaussianLoss(torch.autograd.Function):
    r"""`gaussian_loss`, with the pass back written out.

    .. math::

        \frac{\partial L}{\partial m_j} = \frac{m_j - x_j}{n s_j^2}, \qquad
        \frac{\partial L}{\partial \log s_j^2} = \frac{1}{2n}
        \Big( 1 - \frac{(x_j - m_j)^2}{s_j^2} \Big)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        """Map three ``(n, D)`` to a number."""
        residual = mean - x
        slope = residual * (-log_var).exp_()
        squares = residual.mul_(slope)
        ctx.save_for_backward(slope, squares)
        total = squares.sum() + log_var.sum() + x.numel() * LOG_TAU
        return total / (2 * len(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:
        """Gradients of the mean and of the log-variance."""
        slope, squares = ctx.saved_tensors
        share = gradient / len(slope)
        return None, slope * share, (1 - squares).mul_(share / 2)


def mean_squares(x: Tensor, mean: Tensor) -> Tensor:
    r"""Squared residual of each column, averaged over the rows.

    .. math:: S_j = \frac1n \sum_i (x_{ij} - m_{ij})^2

    It is the variance under which the mean log-likelihood is largest.

    Parameters
    ----------
    x, mean : Tensor of shape (n, D)

    Returns
    -------
    Tensor of shape (D,)
    """
    return MeanSquares.apply(x, mean)


class MeanSquares(torch.autograd.Function):
    r"""`mean_squares`; its gradient by the mean is :math:`2 (m_{ij} - x_{ij}) / n`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor) -> Tensor:
        """Map two ``(n, D)`` to ``(D,)``."""
        residual = mean - x
        ctx.save_for_backward(residual)
        return residual.square().mean(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        """Gradient of the mean."""
        (residual,) = ctx.saved_tensors
        return None, residual * (2 / len(residual) * gradient)


def gaussian_loss_of_squares(squares: Tensor, log_var: Tensor) -> Tensor:
    r"""Minus the mean log-likelihood of rows whose `mean_squares` are given.

    .. math:: \frac12 \sum_j \left(
              \frac{S_j}{s_j^2} + \log s_j^2 + \log 2 \pi \right)

    Parameters
    ----------
    squares, log_var : Tensor of shape (D,)

    Returns
    -------
    Tensor of shape ()
    """
    terms = torch.addcmul(log_var, squares, (-log_var).exp())
    return (terms.sum() + squares.numel() * LOG_TAU) / 2


def gaussian_loss_of_best_variance(squares: Tensor, n_features: int) -> Tensor:
    r"""Minus the mean log-likelihood of rows, under the variance that makes it largest.

    With one variance for all entries that is their mean squared residual S, which need
    then not be learned (O. Rybkin, K. Daniilidis, S. Levine, ICML 2021,
    arXiv:2006.13202):

    .. math:: \frac D2 \left( \log S + 1 + \log 2 \pi \right)

    Parameters
    ----------
    squares : Tensor of shape ()
        S, above 0.
    n_features : int
        D.

    Returns
    -------
    Tensor of shape ()
    """
    return n_features / 2 * (squares.log() + 1 + LOG_TAU)


# bounds


def elbo_per_sample(
    log_likelihood: Tensor, mean: Tensor, log_var: Tensor, beta: float = 1.0
) -> Tensor:
    r"""Evidence lower bound of :math:`\log p(x)` of each row.

    .. math:: \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
              - \beta \, KL(q(z \mid x) \| p(z))

    Parameters
    ----------
    log_likelihood : Tensor of shape (n_codes, n)
        :math:`\log p(x \mid z)` of codes drawn for each row.
    mean, log_var : Tensor of shape (n, d)
        Of :math:`q(z \mid x)`.
    beta : float
        Only 1 gives the bound; other weights are those of the beta-VAE.

    Returns
    -------
    Tensor of shape (n,)
    """
    kl = kl_to_standard_normal(mean, log_var).sum(-1)
    return log_likelihood.mean(0) - beta * kl


def log_importance_weight(
    log_likelihood: Tensor, z: Tensor, noise: Tensor, log_var: Tensor
) -> Tensor:
    r"""Logarithm of the importance weight of codes drawn from the encoder.

    .. math:: \log \frac{p(x \mid z) \, p(z)}{q(z \mid x)} = \log p(x \mid z)
              + \frac12 \sum_j \left( \epsilon_j^2 - z_j^2 + \log \sigma_j^2 \right)

    Parameters
    ----------
    log_likelihood : Tensor of shape (...)
    z, noise, log_var : Tensor of shape (..., d)
        Codes, the noise that made them and the log-variance of the encoder.

    Returns
    -------
    Tensor of shape (...)
    """
    return log_likelihood + (noise.square() - z.square() + log_var).sum(-1) / 2


def importance_weighted_bound(log_weight: Tensor) -> Tensor:
    r"""Bound of :math:`\log p(x)` that grows with the number of codes.

    .. math:: \log \frac1K \sum_{k=1}^K w_k

    Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016,
    arXiv:1509.00519, eq. (8). One code gives the evidence lower bound.

    Parameters
    ----------
    log_weight : Tensor of shape (K, ...)

    Returns
    -------
    Tensor of shape (...)
    """
    return torch.logsumexp(log_weight, dim=0) - math.log(len(log_weight))


# annealed importance sampling

LogJoint = Callable[[Tensor], Tensor]
"""log p(x, z) of codes ``(n_chains, n, d)``, as ``(n_chains, n)``."""


def annealed_importance(
    log_joint: LogJoint,
    mean: Tensor,
    log_var: Tensor,
    rng: Generator,
    *,
    n_chains: int = 16,
    n_temperatures: int = 100,
    n_leapfrog: int = 5,
    step_size: float = 0.2,
) -> tuple[Tensor, Tensor]:
    r"""Estimate :math:`\log p(x)` by annealed importance sampling.

    Chains start at the encoder's q and are led, by Hamiltonian moves, through

    .. math:: f_t(z) \propto q(z \mid x)^{1 - b_t} \, p(x, z)^{b_t}, \qquad
              \log w = \sum_{t=1}^T (b_t - b_{t-1})
              \log \frac{p(x, z_{t-1})}{q(z_{t-1} \mid x)}

    with :math:`b_0 = 0` and :math:`b_T = 1` on a sigmoid. The step size adapts, for
    each row, to an acceptance of 65 % of its chains. Up to that adaptation, the mean of
    the weights w is an unbiased estimate of :math:`p(x)` and its logarithm a lower
    bound in expectation, tight as the temperatures become many.

    R. M. Neal, "Annealed Importance Sampling", Statistics and Computing 11, 2001.
    Y. Wu et al., "On the Quantitative Analysis of Decoder-Based Generative Models",
    ICLR 2017, arXiv:1611.04273, which starts at the prior: zeros as `mean` and
    `log_var` do so.

    Parameters
    ----------
    log_joint : callable
        :math:`\log p(x, z)` of codes ``(n_chains, n, d)``, differentiable.
    mean, log_var : Tensor of shape (n, d)
        Of the Gaussian at which the chains start.
    rng : Generator
        On the device of the codes.
    n_chains : int
        Chains of each row, two or more.
    n_temperatures : int
        T. One temperature is importance sampling.
    n_leapfrog : int
        Gradients of a move.
    step_size : float
        Of the first moves, in deviations of q.

    Returns
    -------
    estimate : Tensor of shape (n,)
    standard_error : Tensor of shape (n,)
        Of the estimate, from the spread of the weights over the chains.
    """

    def normal() -> Tensor:
        shape = (n_chains, *mean.shape)
        return torch.randn(shape, generator=rng, device=mean.device, dtype=mean.dtype)

    # In units of q, where it is a standard normal: z = mu + sigma u.
    deviation, log_volume = (log_var / 2).exp(), log_var.sum(-1) / 2

    def target(u: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            value = log_joint(torch.addcmul(mean, deviation, u)) + log_volume
            (slope,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), slope

    u = normal()
    value, slope = target(u)
    log_weight = torch.zeros_like(value)
    step = torch.full((len(mean), 1), step_size, device=mean.device, dtype=mean.dtype)
    for before, b in pairwise(sigmoid_schedule(n_temperatures)):
        log_weight += (b - before) * (value - standard_normal_log_density(u))
        if b == 1:
            break

        # A Hamiltonian move that keeps f_t.
        momentum = normal()
        moved, v, s = u, momentum, slope
        for _ in range(n_leapfrog):
            v = v + step / 2 * (b * s - (1 - b) * moved)
            moved = moved + step * v
            moved_value, s = target(moved)
            v = v + step / 2 * (b * s - (1 - b) * moved)
        gain = b * (moved_value - value) + (1 - b) * (
            standard_normal_log_density(moved) - standard_normal_log_density(u)
        )
        gain = gain + (momentum.square() - v.square()).sum(-1) / 2
        # A move that overflowed is refused, as one without density is.
        chance = gain.nan_to_num(nan=-math.inf).clamp(max=0).exp()
        drawn = torch.rand(
            chance.shape, generator=rng, device=mean.device, dtype=mean.dtype
        )
        accepted = (drawn < chance).unsqueeze(-1)
        u, slope = torch.where(accepted, moved, u), torch.where(accepted, s, slope)
        value = torch.where(accepted[..., 0], moved_value, value)
        step = step * (ADAPTATION * (chance.mean(0) - ACCEPTANCE)).exp().unsqueeze(-1)

    estimate = importance_weighted_bound(log_weight)
    shares = (log_weight - estimate).exp()
    return estimate, shares.std(0) / math.sqrt(n_chains)


def sigmoid_schedule(n_temperatures: int) -> list[float]:
    """Inverse temperatures from 0 to 1, dense at both ends, T + 1 of them."""
    places = torch.linspace(-4, 4, n_temperatures + 1, dtype=torch.float64).sigmoid()
    first, last = places[0], places[-1]
    return ((places - first) / (last - first)).tolist()


def standard_normal_log_density(u: Tensor) -> Tensor:
    """Logarithm of the density of N(0, I) at ``(..., d)``."""
    return -(u.square().sum(-1) + u.shape[-1] * LOG_TAU) / 2
