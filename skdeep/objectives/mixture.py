r"""A Gaussian mixture as the prior of codes, as in variational deep embedding (VaDE).

Symbols: z is a code of :math:`d` components, :math:`\pi_c` the weight of component c of
the mixture, :math:`\mu_c` its mean and :math:`\sigma_c^2` its variances. An encoder
says of row x that :math:`q(z \mid x) = N(\tilde\mu, \mathrm{diag}(\tilde\sigma^2))`,
and :math:`\gamma_c` is the responsibility of c for the row. `log_var` and `log_vars`
are logarithms of variances. All is in nats, and sums over components of the code.

Z. Jiang, Y. Zheng, H. Tan, B. Tang, H. Zhou, "Variational Deep Embedding: An
Unsupervised and Generative Approach to Clustering", IJCAI 2017, arXiv:1611.05148.
"""

from torch import Tensor

from skdeep.objectives.variational import LOG_TAU


def log_joint(
    z: Tensor, log_weights: Tensor, means: Tensor, log_vars: Tensor
) -> Tensor:
    r"""Logarithm of :math:`p(z, c)`.

    .. math:: \log \pi_c - \frac12 \sum_j \left( \log 2 \pi + \log \sigma_{cj}^2
              + \frac{(z_j - \mu_{cj})^2}{\sigma_{cj}^2} \right)

    Parameters
    ----------
    z : Tensor of shape (n, d)
    log_weights : Tensor of shape (n_clusters,)
        Of weights that sum to one.
    means, log_vars : Tensor of shape (n_clusters, d)

    Returns
    -------
    Tensor of shape (n, n_clusters)
    """
    precisions = (-log_vars).exp()
    # Moved to the middle of the means, so that squares of codes far off do not cancel.
    middle = means.detach().mean(0)
    z, means = z - middle, means - middle
    # The square multiplied out: three products instead of (n, n_clusters, d) numbers.
    squares = (
        z.square() @ precisions.T
        - 2 * z @ (means * precisions).T
        + (means.square() * precisions).sum(1)
    )
    constants = log_vars.sum(1) + z.shape[1] * LOG_TAU
    return log_weights - (squares + constants) / 2


def log_responsibilities(
    z: Tensor, log_weights: Tensor, means: Tensor, log_vars: Tensor
) -> Tensor:
    r"""Logarithm of :math:`\gamma_c = p(c \mid z)`, eq. (16); see `log_joint`."""
    return log_joint(z, log_weights, means, log_vars).log_softmax(1)


def kl_to_mixture(
    mean: Tensor,
    log_var: Tensor,
    log_gamma: Tensor,
    log_weights: Tensor,
    means: Tensor,
    log_vars: Tensor,
) -> Tensor:
    r"""Divergence of :math:`q(z, c \mid x)` from the prior, the last terms of eq. (12).

    .. math::

        \sum_c \gamma_c \log \frac{\gamma_c}{\pi_c}
        + \frac12 \sum_c \gamma_c \sum_j \left( \log \sigma_{cj}^2
        + \frac{\tilde\sigma_j^2 + (\tilde\mu_j - \mu_{cj})^2}{\sigma_{cj}^2} \right)
        - \frac12 \sum_j \left( 1 + \log \tilde\sigma_j^2 \right)

    Parameters
    ----------
    mean, log_var : Tensor of shape (n, d)
        Of the codes, by the encoder.
    log_gamma : Tensor of shape (n, n_clusters)
        Logarithms of the responsibilities.
    log_weights : Tensor of shape (n_clusters,)
    means, log_vars : Tensor of shape (n_clusters, d)
        Of the mixture.

    Returns
    -------
    Tensor of shape (n,)
        At least 0.
    """
    gamma = log_gamma.exp()
    precisions = (-log_vars).exp()
    # E_q log N(z; mu_c, sigma_c): the density at the mean, less what the spread costs.
    expected = log_joint(mean, log_weights, means, log_vars)
    expected = expected - log_var.exp() @ precisions.T / 2
    negative_entropy = -(log_var + 1 + LOG_TAU).sum(1) / 2
    return (gamma * (log_gamma - expected)).sum(1) + negative_entropy
