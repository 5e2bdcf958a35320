r"""Diffusion models: schedules of the noise, losses, bounds and steps.

Symbols: :math:`x_0` is a row of D features, :math:`\epsilon` a row of standard normal
noise, t = 0, 1, ..., T a time. Each step adds noise of variance :math:`\beta_t`,
:math:`\alpha_t = 1 - \beta_t`, and :math:`\bar\alpha_t` is the product of all
:math:`\alpha` up to t. What is left of the row after t steps, and what came in,

.. math:: x_t = a_t x_0 + s_t \epsilon, \qquad a_t = \sqrt{\bar\alpha_t}, \quad
          s_t = \sqrt{1 - \bar\alpha_t}

lie on a circle, :math:`a_t = \cos \phi_t` and :math:`s_t = \sin \phi_t`. The velocity
is the derivative of :math:`x_t` along it, :math:`v = a_t \epsilon - s_t x_0`.
`a` and `s` are a float or have shape (n, 1), one pair a row; t is the time of a row
and u < t an earlier one, whose pair is `a_u` and `s_u`.

- DDPM: J. Ho, A. Jain, P. Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS
  2020, arXiv:2006.11239.
- DDIM: J. Song, C. Meng, S. Ermon, "Denoising Diffusion Implicit Models", ICLR 2021,
  arXiv:2010.02502.
- Score SDE: Y. Song et al., "Score-Based Generative Modeling through Stochastic
  Differential Equations", ICLR 2021, arXiv:2011.13456.
- Velocity: T. Salimans, J. Ho, "Progressive Distillation for Fast Sampling of Diffusion
  Models", ICLR 2022, arXiv:2202.00512.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from skdeep.objectives.variational import LOG_TAU, kl_to_standard_normal

Rate = float | Tensor
"""One for all rows, or of shape (n, 1)."""

Field = Callable[[Tensor], Tensor]
"""Maps rows ``(n, D)`` to ``(n, D)``, each row on its own."""

LARGEST_BETA = 0.999
"""Variance of a step, at most: something is left of the row, by which to divide."""

COSINE_OFFSET = 0.008
"""Keeps the first steps of the cosine schedule from being too small."""


# schedules


def linear_betas(n_timesteps: int) -> Tensor:
    """Variances of DDPM, which grow linearly; for T other than 1000, as fast in t / T.

    Returns
    -------
    Tensor of shape (n_timesteps,), float64
    """
    share = 1000 / n_timesteps
    betas = torch.linspace(1e-4, 0.02, n_timesteps, dtype=torch.float64)
    return (share * betas).clamp(max=LARGEST_BETA)


def cosine_betas(n_timesteps: int) -> Tensor:
    r"""Variances with which the angle of the noise grows linearly.

    .. math:: \bar\alpha_t = \frac{f(t)}{f(0)}, \qquad
              f(t) = \cos^2 \left( \frac{t / T + 0.008}{1.008} \, \frac\pi2 \right)

    A. Nichol, P. Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML
    2021, arXiv:2102.09672, eq. (17).

    Returns
    -------
    Tensor of shape (n_timesteps,), float64
    """
    share = torch.arange(n_timesteps + 1, dtype=torch.float64) / n_timesteps
    angle = (share + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2
    f = torch.cos(angle).square()
    return (1 - f[1:] / f[:-1]).clamp(max=LARGEST_BETA)


SCHEDULES = {"cosine": cosine_betas, "linear": linear_betas}
"""Name -> variances of T steps."""


def rates(betas: Tensor) -> tuple[Tensor, Tensor]:
    r"""Rates of the row and of the noise at t = 0, ..., T.

    .. math:: a_t = \sqrt{\bar\alpha_t}, \qquad s_t = \sqrt{1 - \bar\alpha_t}, \qquad
              \bar\alpha_t = \prod_{i=1}^t (1 - \beta_i)

    Returns
    -------
    a, s : Tensor of shape (T + 1,)
        From 1 and 0, a row without noise, to nearly 0 and 1.
    """
    # 1 - prod (1 - beta), without the loss of digits where betas are small.
    log_alpha_bar = torch.log1p(-betas).cumsum(0)
    log_alpha_bar = torch.cat([log_alpha_bar.new_zeros(1), log_alpha_bar])
    return (log_alpha_bar / 2).exp(), (-torch.expm1(log_alpha_bar)).sqrt()


# what a network may be asked for


def diffused(x_0: Tensor, noise: Tensor, a: Rate, s: Rate) -> Tensor:
    r"""Row at time t, a draw from :math:`q(x_t \mid x_0)` (DDPM eq. 4)."""
    return a * x_0 + s * noise


def velocity(x_0: Tensor, noise: Tensor, a: Rate, s: Rate) -> Tensor:
    r"""Velocity :math:`v = a_t \epsilon - s_t x_0`, the target of ``"v"``."""
    return a * noise - s * x_0


def x_0_from_v(x_t: Tensor, v: Tensor, a: Rate, s: Rate) -> Tensor:
    r"""Row without noise, :math:`x_0 = a_t x_t - s_t v`."""
    return a * x_t - s * v


def epsilon_from_v(x_t: Tensor, v: Tensor, a: Rate, s: Rate) -> Tensor:
    r"""Noise in a row, :math:`\epsilon = s_t x_t + a_t v`."""
    return s * x_t + a * v


def guided(given: Tensor, free: Tensor, weight: float) -> Tensor:
    r"""Push what a class makes of a row away from what no class makes of it.

    .. math:: (1 + w) \, v(x_t, t, y) - w \, v(x_t, t)

    J. Ho, T. Salimans, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, eq. (6),
    which is the same for noise and velocity.
    """
    return torch.lerp(free, given, 1 + weight)


# losses


def v_loss(v: Tensor, x_0: Tensor, noise: Tensor, a: Rate, s: Rate) -> Tensor:
    r"""Squared error of the velocity, a mean over rows and features.

    .. math:: \mathbb E \left[ \| a_t \epsilon - s_t x_0 - v \|^2 \right] / D
    """
    return (v - velocity(x_0, noise, a, s)).square().mean()


def epsilon_loss(v: Tensor, x_0: Tensor, noise: Tensor, a: Rate, s: Rate) -> Tensor:
    r"""Squared error of the noise that a velocity implies: DDPM's simple loss.

    .. math:: \mathbb E \left[ \| \epsilon - (s_t x_t + a_t v) \|^2 \right] / D
              = \mathbb E \left[ a_t^2 \| a_t \epsilon - s_t x_0 - v \|^2 \right] / D

    (DDPM eq. 14.) A network that gave the noise itself would have to be exact where
    hardly anything else is left, as :math:`x_0` is found by dividing through
    :math:`a_t`; one that gives the velocity need not.
    """
    return (a * (v - velocity(x_0, noise, a, s))).square().mean()


DENOISING_LOSSES = {"v": v_loss, "epsilon": epsilon_loss}
"""Name of what is predicted -> loss of a velocity."""


# the variational bound


def prior_kl(x_0: Tensor, a: float, s: float) -> Tensor:
    r"""Divergence :math:`KL(q(x_T \mid x_0) \| N(0, I))` of each row.

    The term :math:`L_T` of the bound (DDPM eq. 5), in nats.
    """
    log_var = torch.full_like(x_0, 2 * math.log(s))
    return kl_to_standard_normal(a * x_0, log_var).sum(-1)


def posterior(
    x_0: Tensor, x_t: Tensor, a: float, s: float, a_u: float, s_u: float
) -> tuple[Tensor, float]:
    r"""Mean and variance of :math:`q(x_u \mid x_t, x_0)`, for u < t.

    With :math:`r = a_t / a_u` and :math:`\beta = 1 - r^2`, which are
    :math:`\sqrt{\alpha_t}` and :math:`\beta_t` where u = t - 1,

    .. math:: \mu = \frac{a_u \beta}{s_t^2} x_0 + \frac{r s_u^2}{s_t^2} x_t,
              \qquad \tilde\beta = \frac{s_u^2}{s_t^2} \beta

    (DDPM eqs. 6 and 7.)
    """
    r = a / a_u
    beta = 1 - r**2
    mean = a_u * beta / s**2 * x_0 + r * s_u**2 / s**2 * x_t
    return mean, s_u**2 / s**2 * beta


def transition_kl(
    squares: Tensor, n_features: int, a: float, s: float, a_u: float, s_u: float
) -> Tensor:
    r"""Divergence of a step back from the posterior, of each row, for 0 < u < t.

    The posterior has the mean that the true row gives and the variance
    :math:`\tilde\beta`; the step has the mean that :math:`\hat x_0` gives and, as the
    true row is not known, the variance :math:`\beta`. With
    :math:`\rho = \tilde\beta / \beta = s_u^2 / s_t^2`,

    .. math:: KL(q(x_u \mid x_t, x_0) \| p(x_u \mid x_t))
              = \frac D2 (\rho - 1 - \log \rho)
              + \frac{a_u^2 \beta}{2 s_t^4} \| x_0 - \hat x_0 \|^2

    The terms :math:`L_{t-1}` of the bound (DDPM eq. 8), in nats. Of DDPM's two
    variances the larger one bounds continuous rows much more tightly.

    Parameters
    ----------
    squares : Tensor of shape (n,)
        :math:`\| x_0 - \hat x_0 \|^2`.
    n_features : int
        D.
    a, s, a_u, s_u : float

    Returns
    -------
    Tensor of shape (n,)
    """
    beta = 1 - (a / a_u) ** 2
    rho = (s_u / s) ** 2
    spread = n_features * (rho - 1 - math.log(rho))
    return (spread + a_u**2 * beta / s**4 * squares) / 2


def decoder_log_prob(squares: Tensor, n_features: int, a: float, s: float) -> Tensor:
    r"""Log-density of each row at the end of the last step, to t = 0.

    .. math:: \log N(x_0; \hat x_0, s_t^2 / a_t^2) = -\frac{a_t^2}{2 s_t^2}
              \| x_0 - \hat x_0 \|^2 - \frac D2 \log \frac{2 \pi s_t^2}{a_t^2}

    Minus the term :math:`L_0` of the bound, for continuous rows: where their density is
    smooth, those from which :math:`x_t` can have come have the variance of the noise.

    Parameters
    ----------
    squares, n_features, a, s
        As of `transition_kl`.

    Returns
    -------
    Tensor of shape (n,)
    """
    log_variance = 2 * math.log(s / a)
    return -((a / s) ** 2 * squares + n_features * (LOG_TAU + log_variance)) / 2


# steps back


def ancestral_step(
    x_t: Tensor,
    x_0: Tensor,
    noise: Tensor,
    a: float,
    s: float,
    a_u: float,
    s_u: float,
) -> Tensor:
    r"""Step of DDPM from t to u, without noise where u is the end.

    (DDPM algorithm 2.) The mean is that of `posterior` at the x_0 that is found, and
    the variance :math:`\beta`, that of `transition_kl`: with :math:`\tilde\beta`, as if
    that were the true row, the rows of few steps would lie too close together.
    """
    mean, _ = posterior(x_0, x_t, a, s, a_u, s_u)
    return mean + math.sqrt(1 - (a / a_u) ** 2) * noise if s_u else mean


def implicit_step(x_0: Tensor, epsilon: Tensor, a_u: float, s_u: float) -> Tensor:
    r"""Step of DDIM to u, with the row and the noise that are found in x_t.

    .. math:: x_u = a_u \hat x_0 + s_u \hat\epsilon

    (DDIM eq. 12 at :math:`\eta = 0`, where nothing is random.)

    Parameters
    ----------
    x_0, epsilon : Tensor of shape (n, D)
    a_u, s_u : float
    """
    return a_u * x_0 + s_u * epsilon


# the probability flow, without noise: dx/dphi = v, with phi the angle of the noise


def heun_step(field: Field, x: Tensor, slope: Tensor, width: float) -> Tensor:
    r"""Step of an ordinary differential equation dx/dphi = v, of second order.

    .. math:: x' = x + \frac h2 (v + v'), \qquad v' = v(x + h v)

    Parameters
    ----------
    field : callable
        v at the end of the step.
    x, slope : Tensor of shape (n, D)
        Place and velocity at its beginning.
    width : float
        h, negative to go back.

    Returns
    -------
    Tensor of shape (n, D)
        Place at the end of the step.
    """
    foreseen = field(x + width * slope)
    return x + width / 2 * (slope + foreseen)


def divergence(field: Field, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""Field and its divergence :math:`\sum_j \partial v_j / \partial x_j` in each row.

    One pass back a feature.

    Returns
    -------
    v : Tensor of shape (n, D)
    divergence : Tensor of shape (n,)
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = field(x)
        total = x.new_zeros(len(x))
        for j in range(x.shape[1]):
            (slope,) = torch.autograd.grad(v[:, j].sum(), x, retain_graph=True)
            total += slope[:, j]
    return v.detach(), total


def estimated_divergence(
    field: Field, x: Tensor, probes: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Field and an unbiased estimate of its divergence, of one pass back.

    .. math:: e^\top \frac{\partial v}{\partial x} e, \qquad
              \mathbb E[e e^\top] = I

    M. Hutchinson, 1990; score SDE eq. (40).

    Parameters
    ----------
    field : callable
    x : Tensor of shape (n, D)
    probes : Tensor of shape (D,) or (n, D)
        e, best of random signs.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = field(x)
        (product,) = torch.autograd.grad(v, x, probes.expand_as(v))
    return v.detach(), (product * probes).sum(1)
