"""Whether a representation uses its dimensions."""

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skdeep.fitting import Fitting
from skdeep.nn import Network
from skdeep.representation._base import BaseRepresentation
from skdeep.training import in_chunks
from skdeep.warning import warn

COLLAPSED = 0.1
"""Share of the dimensions at hand below which an embedding counts as collapsed."""


ROUNDING = 1e-6
"""Spread of an embedding, relative to its size, that float32 may make of a point."""

NUMBERS_AT_ONCE = 2**20
"""Numbers of an embedding that are read at once, in float64."""


def effective_rank(Z: np.ndarray) -> float:
    r"""Effective rank of a centred embedding: the dimensions that it spreads over.

    .. math:: \exp \Big( - \sum_k p_k \log p_k \Big), \qquad
              p_k = \frac{\sigma_k}{\sum_l \sigma_l}

    with :math:`\sigma_k` the singular values of the centred rows. It is d for d
    dimensions of equal spread and 1 for a line; a point counts as 0.

    References
    ----------
    O. Roy, M. Vetterli, "The Effective Rank: A Measure of Effective Dimensionality",
    EUSIPCO 2007.
    """
    # By torch: NumPy's own threads would wait for more work on the cores that the next
    # steps need.
    parts = torch.from_numpy(Z).split(max(1, NUMBERS_AT_ONCE // Z.shape[1]))
    mean = torch.stack([part.double().sum(0) for part in parts]).sum(0) / len(Z)
    # Of the small Gram matrix: the rows may be millions.
    gram = torch.zeros(Z.shape[1], Z.shape[1], dtype=torch.float64)
    for part in parts:
        centred = part.double() - mean
        gram.addmm_(centred.T, centred)
    size = (gram.trace() + len(Z) * mean.square().sum()).sqrt()
    sigma = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    if sigma.sum() <= ROUNDING * size:
        return 0.0
    p = sigma[sigma > 0] / sigma.sum()
    return float((-p * p.log()).sum().exp())


def checked_rank(
    estimator: BaseRepresentation, encoder: Network, fitting: Fitting
) -> float:
    """Effective rank of the codes of the rows, with a warning if it is small."""
    rank = effective_rank(in_chunks(encoder, fitting.rows))
    usable = min(encoder.n_outputs, fitting.n_features, len(fitting.rows) - 1)
    if fitting.max_iter:
        warn_of_collapse(rank, usable, type(estimator).__name__)
    return rank


def warn_of_collapse(rank: float, n_dimensions: int, name: str) -> None:
    """Warn if an embedding spreads over few of the dimensions that it could use."""
    if n_dimensions > 1 and rank < max(1.0, COLLAPSED * n_dimensions):
        warn(
            f"{name} spreads its codes over {rank:.1f} of {n_dimensions} dimensions: "
            "they have collapsed. Try stronger views (augment), a larger batch_size, a "
            "smaller learning_rate or fewer n_components.",
            ConvergenceWarning,
        )
