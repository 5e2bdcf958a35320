"""The Gaussian that a flow starts from."""

import math
from collections.abc import Iterator

import numpy as np
from torch import Tensor

N_FOLDS = 5
"""Parts of the rows, each of which is held out once."""

SHRINKAGES = np.geomspace(1e-7, 1.0, 29)
"""Weights of the diagonal that are tried."""

SURE, FEW_ROWS = 3, 3
"""Standard errors by which shrinkage has to help, with so many rows a column or more;
of fewer rows the covariance itself is not to be trusted, and one is enough."""

SMALLEST_VARIANCE, SMALLEST_SHARE = 1e-12, 1e-10
"""Of a column, and of what it varies in all: one that does not vary has a narrow
density still, and one without scaling may have less than the former."""

ROUNDING = 1e-13
"""Of mean squares, in float64."""


def fitted_gaussian(
    batches: Iterator[Tensor], smallest: np.ndarray | float = SMALLEST_VARIANCE
) -> tuple[np.ndarray, np.ndarray]:
    r"""Mean and covariance of rows, shrunk as far as rows held out ask for it.

    .. math:: \Sigma = (1 - \rho) S + \rho \, \mathrm{diag}(S)

    with the sample covariance S. In cross-validation, :math:`\rho` has the largest gain
    over the least shrinkage, less three standard errors of that gain: where shrinkage
    does not surely help, it is left out. The least is a floor, since columns may depend
    on each other linearly.

    Parameters
    ----------
    batches : iterator of Tensor of shape (m, n_columns)
        All rows, which are read once: the moments of the folds say all that is needed.
    smallest : ndarray of shape (n_columns,) or float
        Variance that each column has at least.

    Returns
    -------
    mean : ndarray of shape (n_columns,)
    covariance : ndarray of shape (n_columns, n_columns)
    """
    counts, sums, products = moments_of_folds(batches)
    n_rows, total, product = counts.sum(), sums.sum(0), products.sum(0)
    mean = total / n_rows
    covariance = product / n_rows - np.outer(mean, mean)
    variance = covariance.diagonal().clip(smallest)
    np.fill_diagonal(covariance, variance)
    diagonal = np.diag(variance)
    units = np.sqrt(np.outer(variance, variance))
    scores = []
    for i in np.flatnonzero(counts):
        center = (total - sums[i]) / (n_rows - counts[i])
        square = np.outer(center, center)
        others = (product - products[i]) / (n_rows - counts[i]) - square
        # Second moment of the rows of the fold about the mean of all others.
        cross = np.outer(sums[i] / counts[i], center)
        held_out = products[i] / counts[i] - cross - cross.T + square
        scores.append(log_likelihoods(others / units, held_out / units))
    gains = np.array(scores) - np.array(scores)[:, :1]
    error = gains.std(0, ddof=1) / math.sqrt(len(gains))
    doubt = SURE if n_rows >= FEW_ROWS * len(mean) else 1
    shrinkage = SHRINKAGES[(gains.mean(0) - doubt * error).argmax()]
    return mean, (1 - shrinkage) * covariance + shrinkage * diagonal


def smallest_variances(sums: Tensor, squares: Tensor, n_rows: Tensor) -> np.ndarray:
    """Variance that a column has at least, by sums and sums of squares of its rows."""
    variance = squares / n_rows - (sums / n_rows).square()
    # What is left where a column does not vary is a rounding error.
    varies = variance > ROUNDING * squares / n_rows
    share = (SMALLEST_SHARE * variance).where(varies, math.inf)
    return share.clamp_max(SMALLEST_VARIANCE).cpu().numpy()


def shrunken_means(means: Tensor, counts: Tensor, squares: Tensor) -> Tensor:
    r"""Means of classes, drawn to that of all rows where they hardly differ.

    .. math:: m + \frac{n_c \sigma_b^2}{n_c \sigma_b^2 + \sigma_w^2} (m_c - m)

    for each column, with :math:`\sigma_w^2` the variance inside of the classes and
    :math:`\sigma_b^2` that of their means, as the analysis of variance estimates it: a
    class of few rows far from all others stays where they are.

    Parameters
    ----------
    means : Tensor of shape (n_classes, n_columns)
    counts : Tensor of shape (n_classes, 1)
        Rows of each class.
    squares : Tensor of shape (n_columns,)
        Sums of squares about the means.

    Returns
    -------
    Tensor of shape (n_classes, n_columns)
        The mean of all rows, of classes without rows and of classes of a row each.
    """
    n_rows, n_seen = counts.sum(), (counts > 0).sum()
    mean = (counts * means).sum(0) / n_rows
    within = squares / (n_rows - n_seen)
    total = (counts * (means - mean).square()).sum(0) - (n_seen - 1) * within
    between = total.clamp_min(0) / (n_rows - counts.square().sum() / n_rows)
    share = counts * between / (counts * between + within)
    return mean + share.nan_to_num(0.0) * (means - mean)


def moments_of_folds(
    batches: Iterator[Tensor],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts, sums and sums of products of each fold; rows take turns."""
    counts = np.zeros(N_FOLDS)
    sums: np.ndarray | int = 0
    products: np.ndarray | int = 0
    for batch in batches:
        x = batch.double().cpu().numpy()
        parts = [x[fold::N_FOLDS] for fold in range(N_FOLDS)]
        counts += [len(part) for part in parts]
        sums = sums + np.stack([part.sum(0) for part in parts])
        products = products + np.stack([part.T @ part for part in parts])
    return counts, np.asarray(sums), np.asarray(products)


def log_likelihoods(correlation: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Mean log-likelihood of each shrinkage, up to a constant, by the second moment."""
    values, vectors = np.linalg.eigh(correlation)
    shrunk = (1 - SHRINKAGES[:, None]) * values.clip(0) + SHRINKAGES[:, None]
    along = np.einsum("ij,ik,kj->j", vectors, moment, vectors, optimize=True)
    return -(np.log(shrunk) + along / shrunk).sum(1) / 2
