r"""Losses of generative adversarial networks, from the discriminator's logits.

Symbols: :math:`D(x)` is the probability of being real that the discriminator gives a
row, :math:`C(x)` its logit, :math:`D = \sigma(C)`, or the unbounded output of a
Wasserstein critic; x is a real row and :math:`\tilde x` a generated one. With
:math:`\mathrm{sp}(t) = \log(1 + e^t)`,

.. math:: -\log D = \mathrm{sp}(-C), \qquad -\log(1 - D) = \mathrm{sp}(C),

which stay finite where the probability itself rounds to 0 or 1. Each side minimises
its own loss, with its own optimiser: the discriminator takes generated rows detached.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    r"""Logistic loss of telling real rows from generated ones.

    .. math:: -\mathbb E[\log D(x)] - \mathbb E[\log (1 - D(\tilde x))]

    Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, arXiv:1406.2661.

    Parameters
    ----------
    real, fake : Tensor of any shape
        Logits of real and of generated rows.

    Returns
    -------
    Tensor of shape ()
        2 log 2 where both are told apart by chance alone.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def non_saturating_generator_loss(fake: Tensor) -> Tensor:
    r"""Loss of a generator that makes its rows likely to be real.

    .. math:: -\mathbb E[\log D(\tilde x)]

    It has the fixed point of `minimax_generator_loss`, and its gradient is largest
    where the generated rows are told apart best.
    """
    return softplus(-fake).mean()


def minimax_generator_loss(fake: Tensor) -> Tensor:
    r"""Loss of a generator that makes its rows unlikely to be generated.

    .. math:: \mathbb E[\log (1 - D(\tilde x))]

    Its gradient vanishes where the generated rows are told apart best.
    """
    return -softplus(fake).mean()


def wasserstein_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    r"""Minus the distance of two distributions that a 1-Lipschitz critic sees.

    .. math:: \mathbb E[C(\tilde x)] - \mathbb E[C(x)]

    Arjovsky, Chintala and Bottou, "Wasserstein GAN", ICML 2017, arXiv:1701.07875.
    """
    return fake.mean() - real.mean()


def wasserstein_generator_loss(fake: Tensor) -> Tensor:
    r"""Loss of the generator against a Wasserstein critic, -E[C] of its rows."""
    return -fake.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: Generator
) -> Tensor:
    r"""Penalty of WGAN-GP on a critic that is not 1-Lipschitz between the rows.

    .. math:: \mathbb E \left[ (\|\nabla C(\hat x)\| - 1)^2 \right], \qquad
              \hat x = u x + (1 - u) \tilde x, \quad u \sim U(0, 1)

    Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017,
    arXiv:1704.00028, eq. (3), where its weight is 10.

    Parameters
    ----------
    critic : callable
        Maps rows to scores, each row on its own.
    real, fake : Tensor of shape (n, ...)
        Rows, not their scores.
    rng : Generator
        On the device of the rows.

    Returns
    -------
    Tensor of shape ()
    """
    shape = (len(real), *[1] * (real.ndim - 1))
    u = torch.rand(shape, generator=rng, device=real.device, dtype=real.dtype)
    slope = _input_gradient(critic, u * real + (1 - u) * fake)
    return (slope.norm(dim=1) - 1).square().mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    r"""Penalty on a discriminator that is steep at real rows.

    .. math:: \frac12 \, \mathbb E \left[ \|\nabla C(x)\|^2 \right]

    With it, training converges where generated rows are already right. Mescheder,
    Geiger and Nowozin, "Which training methods for GANs do actually converge?", ICML
    2018, arXiv:1801.04406.

    Parameters
    ----------
    discriminator : callable
        Maps rows to logits, each row on its own.
    real : Tensor of shape (n, ...)

    Returns
    -------
    Tensor of shape ()
    """
    return _input_gradient(discriminator, real).square().sum(1).mean() / 2


def _input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient of the score of each row in that row, ``(n, n_features)``."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    return gradient.flatten(1)
