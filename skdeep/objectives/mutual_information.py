r"""Lower bounds of mutual information, from the scores of a critic; to maximise.

Symbols: :math:`T_{ij}` is the score of :math:`x_i` with :math:`y_j`, in a batch of n
rows. Pairs on the diagonal belong together and are drawn from the joint distribution
P; those off it come from different rows and stand for the product Q of the marginals.
The mutual information is :math:`I = \mathrm{KL}(P \| Q)`, in nats.

Scores have shape (n, n), or (m, n, n) with one matrix for each of m locations (places
of an image, columns of a table): negatives are then those of the same location, and
what is returned is the mean over the locations.

One row has no negatives and tells nothing: its scores count as 0, without gradient.
Values and gradients stay finite for scores of 10 000 in float32, of either sign.

The bounds are those of Hjelm et al., "Learning deep representations by mutual
information estimation and maximization", ICLR 2019, arXiv:1808.06670, and of Poole et
al., "On variational bounds of mutual information", ICML 2019, arXiv:1905.06922.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from skdeep.objectives.adversarial import discriminator_loss
from skdeep.objectives.shapes import check_square

LARGEST_LOG_RATIO = 20.0
"""Nats from which `nwj_bound` goes on linearly: more than any batch can tell."""


def off_diagonal(scores: Tensor) -> Tensor:
    """Drop the diagonal: ``(..., n, n)`` to ``(..., n, n - 1)``, row by row."""
    # The flat matrix without its first entry has each further diagonal entry at the
    # end of a run of n + 1. Slices have a cheap gradient, which a mask has not.
    n = scores.shape[-1]
    runs = scores.flatten(-2)[..., 1:].unflatten(-1, (-1, n + 1))
    return runs[..., :-1].reshape(*scores.shape[:-1], -1)


def positives_and_negatives(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Split scores ``(..., n, n)`` into ``(..., n)`` and ``(..., n * (n - 1))``.

    Of one row, both are a single 0 without gradient.
    """
    check_square(scores)
    if scores.shape[-1] == 1:
        nothing = 0 * scores.flatten(-2)
        return nothing, nothing
    return scores.diagonal(dim1=-2, dim2=-1), off_diagonal(scores).flatten(-2)


def log_mean_exp(scores: Tensor) -> Tensor:
    r"""Logarithm of the mean of :math:`e^T` over the last dimension."""
    return torch.logsumexp(scores, -1) - math.log(scores.shape[-1])


def jsd_score(scores: Tensor) -> Tensor:
    r"""Jensen-Shannon score, with :math:`\mathrm{sp}(t) = \log(1 + e^t)`.

    .. math:: \mathbb E_P[-\mathrm{sp}(-T)] - \mathbb E_Q[\mathrm{sp}(T)]
              \; \le \; 2 \, \mathrm{JSD}(P \| Q) - 2 \log 2

    It is largest where :math:`T = \log p / q`, as `dv_bound` is, but it is not in nats
    of mutual information: half of (score + 2 log 2) is a lower bound of the
    Jensen-Shannon divergence, which lies between 0 and log 2.

    The critic is a discriminator of the pairs: minus the score is its loss.

    Parameters
    ----------
    scores : Tensor of shape (n, n) or (m, n, n)

    Returns
    -------
    Tensor of shape ()
        -2 log 2 where scores know nothing, 0 at most.
    """
    return -discriminator_loss(*positives_and_negatives(scores))


def infonce_bound(scores: Tensor) -> Tensor:
    r"""InfoNCE bound: which of the n candidates x belongs to each y.

    .. math:: \log n + \frac1n \sum_j \log \frac{e^{T_{jj}}}{\sum_i e^{T_{ij}}}
              \; \le \; I

    The sum holds the positive too: without it this would be no bound.

    Parameters
    ----------
    scores : Tensor of shape (n, n) or (m, n, n)

    Returns
    -------
    Tensor of shape ()
        log n at most, whatever the mutual information.
    """
    check_square(scores)
    share = torch.log_softmax(scores, dim=-2)
    return share.diagonal(dim1=-2, dim2=-1).mean() + math.log(scores.shape[-1])


def infonce_all_locations_score(scores: Tensor) -> Tensor:
    r"""InfoNCE with the negatives of all locations, as Deep InfoMax has it on images.

    .. math:: \log (1 + m (n - 1)) + \frac{1}{m n} \sum_{k, j} \log \frac{e^{T_{kjj}}}
              {e^{T_{kjj}} + \sum_{k'} \sum_{i \ne j} e^{T_{k'ij}}}

    The softmax of a location of row j runs over itself and over all locations of the
    other rows. These are not drawn alike where locations differ, so that this is a
    score, and a bound only with m = 1, where it is `infonce_bound`.

    Parameters
    ----------
    scores : Tensor of shape (m, n, n)

    Returns
    -------
    Tensor of shape ()
        log (1 + m (n - 1)) at most.
    """
    check_square(scores)
    m, n, _ = scores.shape
    positive = scores.diagonal(dim1=1, dim2=2)
    # One sum over the negatives serves all locations of a row.
    negative = torch.logsumexp(off_diagonal(scores.mT), dim=(0, 2))
    share = positive - torch.logaddexp(positive, negative)
    return share.mean() + math.log(1 + m * (n - 1))


def dv_bound(scores: Tensor) -> Tensor:
    r"""Donsker-Varadhan bound.

    .. math:: \mathbb E_P[T] - \log \mathbb E_Q[e^T] \; \le \; I

    The logarithm of a batch's mean is too small in expectation: over batches the
    value is too large, and its gradient biased; see `dv_corrected_loss`.

    Parameters
    ----------
    scores : Tensor of shape (n, n) or (m, n, n)

    Returns
    -------
    Tensor of shape ()
    """
    positive, negative = positives_and_negatives(scores)
    return positive.mean() - log_mean_exp(negative).mean()


def nwj_of_pairs(positive: Tensor, negative: Tensor) -> Tensor:
    """`nwj_bound` of pairs drawn from P and of pairs drawn from Q, in any number."""
    log_ratio = negative - 1
    excess = torch.relu(log_ratio - LARGEST_LOG_RATIO)
    ratio = torch.exp(log_ratio.clamp_max(LARGEST_LOG_RATIO)) * (1 + excess)
    return positive.mean() - ratio.mean()


def nwj_bound(scores: Tensor) -> Tensor:
    r"""Bound of Nguyen, Wainwright and Jordan, also called the f-divergence bound.

    .. math:: \mathbb E_P[T] - \mathbb E_Q[e^{T - 1}] \; \le \; I

    Above T - 1 = 20 the exponential goes on as its tangent. This is the same bound
    for every pair of distributions whose density ratio stays below
    :math:`e^{20}`, and a critic that overshoots is still drawn back, which it would
    not be if scores were clipped.

    Parameters
    ----------
    scores : Tensor of shape (n, n) or (m, n, n)

    Returns
    -------
    Tensor of shape ()
    """
    return nwj_of_pairs(*positives_and_negatives(scores))


def dv_corrected_loss(
    positive: Tensor,
    negative: Tensor,
    running: Tensor | None = None,
    rate: float = 0.01,
) -> tuple[Tensor, Tensor]:
    r"""Minus the Donsker-Varadhan bound, with the gradient that MINE corrects.

    The gradient of a batch divides by the mean :math:`\mathbb E_Q[e^T]` of that batch;
    dividing by its running mean :math:`\bar e` instead makes the bias vanish:

    .. math:: \nabla = -\mathbb E_P[\nabla T] +
              \frac{\mathbb E_Q[e^T \nabla T]}{\bar e}, \qquad
              \bar e \leftarrow (1 - \text{rate}) \, \bar e
              + \text{rate} \; \mathbb E_Q[e^T]

    Belghazi et al., "MINE: mutual information neural estimation", ICML 2018,
    arXiv:1801.04062.

    Parameters
    ----------
    positive : Tensor of shape (..., n)
        Scores of pairs from the joint distribution.
    negative : Tensor of shape (..., k)
        Scores of pairs from the product of the marginals.
    running : Tensor of shape (...), optional
        Logarithm of the running mean so far. None at the first batch, which then
        begins it.
    rate : float in (0, 1]
        Weight of the present batch in the running mean. 1 leaves the bound as it is.

    Returns
    -------
    loss : Tensor of shape ()
        Its value is minus the bound, its gradient the corrected one.
    running : Tensor of shape (...)
        Logarithm of the running mean, this batch included.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate must be in (0, 1]. Got {rate}.")
    if not negative.numel():
        raise ValueError(
            f"negative must hold scores of pairs. Got shape {tuple(negative.shape)}."
        )
    present = log_mean_exp(negative)
    batch = present.detach()
    if running is None or rate == 1:
        running = batch
    else:
        running = torch.logaddexp(running + math.log1p(-rate), batch + math.log(rate))
    # The running mean holds the present one: the quotient is 1 / rate at most.
    quotient = torch.exp(batch - running)
    corrected = batch + quotient * (present - batch)
    return corrected.mean() - positive.mean(), running


MUTUAL_INFORMATION_BOUNDS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "jsd": (jsd_score, "Jensen-Shannon score, not in nats of mutual information"),
    "infonce": (infonce_bound, "InfoNCE lower bound in nats, at most log(batch rows)"),
    "dv": (dv_bound, "Donsker-Varadhan lower bound in nats"),
    "nwj": (nwj_bound, "Nguyen-Wainwright-Jordan lower bound in nats"),
}
"""Name -> (function of the scores, to maximise; what it estimates)."""
