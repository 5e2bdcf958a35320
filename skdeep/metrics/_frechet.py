"""Distance of two samples by their means and covariances."""

from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn.utils import gen_batches

from skdeep.metrics._rows import comparable_features

_ROWS_AT_ONCE = 4096


def frechet_distance(X_real: Any, X_sampled: Any, *, features: Any = None) -> float:
    r"""Fréchet distance of two Gaussians with the moments of real and sampled rows.

    .. math::
        d = \|\mu_r - \mu_s\|^2
            + \mathrm{Tr}\left(\Sigma_r + \Sigma_s
            - 2 (\Sigma_r \Sigma_s)^{1/2}\right),

    where :math:`\mu` and :math:`\Sigma` are mean and covariance of the features of the
    rows. It is the squared Wasserstein distance of the two Gaussians. With the
    features of an Inception network it is the FID.

    Parameters
    ----------
    X_real : {array-like, sparse matrix} of shape (n_real, n_features)
        Real rows, best held out from the training of the sampler. Images are flattened
        unless `features` takes them as they are.
    X_sampled : {array-like, sparse matrix} of shape (n_sampled, n_features)
        Sampled rows.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared: a function of the rows, or an
        estimator with `transform`, fitted already. None compares the rows themselves.

    Returns
    -------
    distance : float
        Zero or more, smaller is better; in squared units of the features. 0 for equal
        moments, whatever else differs.

    Raises
    ------
    TypeError
        If `features` is neither callable nor a transformer nor None.
    ValueError
        If either has one row only, or holds what is no finite number, or if they differ
        in their columns.

    See Also
    --------
    manifold_precision_recall : Tells what is wrong: rows that are not real, or real
        ones that are missed.
    frechet_scorer : Minus this distance, for searches.

    Notes
    -----
    With :math:`\Sigma = R^\top R`, the trace of the square root is the sum of the
    singular values of :math:`R_r R_s^\top`. So no root of a product is taken, none can
    be complex, and covariances may be singular.

    The distance of small samples is too large, the more so the fewer rows there are for
    each column: compare distances of equal numbers of rows only, and hold the distance
    of a sampler against that of two halves of the real rows.

    Columns count in their own units. Scale them, as by
    ``features=StandardScaler().fit(X_real)``, unless they share one.

    Time grows with n_columns², for each row, and n_columns³; memory with n_columns²,
    also for sparse rows.

    References
    ----------
    .. [1] D. C. Dowson, B. V. Landau, "The Fréchet distance between multivariate normal
       distributions", Journal of Multivariate Analysis 12, 1982,
       doi:10.1016/0047-259X(82)90077-X.
    .. [2] M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler, S. Hochreiter, "GANs
       trained by a two time-scale update rule converge to a local Nash equilibrium",
       NeurIPS 2017, arXiv:1706.08500, equation 6.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.mixture import GaussianMixture
    >>> from skdeep.metrics import frechet_distance
    >>> X, _ = load_iris(return_X_y=True)
    >>> one, three = (GaussianMixture(k, random_state=0).fit(X) for k in (1, 3))
    >>> round(frechet_distance(X, X + [1, 0, 0, 2]), 6)
    5.0
    >>> rows, _ = three.sample(1000)
    >>> frechet_distance(X, rows) < 0.05
    True
    """
    F_real, F_sampled = comparable_features(
        {"X_real": X_real, "X_sampled": X_sampled},
        features,
        "frechet_distance",
        min_rows=2,
    )
    mu_r, R_r = _mean_and_root(F_real)
    mu_s, R_s = _mean_and_root(F_sampled)
    trace = linalg.svdvals(R_r @ R_s.T).sum() if R_r.size and R_s.size else 0.0
    distance = ((mu_r - mu_s) ** 2).sum() + (R_r**2).sum() + (R_s**2).sum() - 2 * trace
    return max(float(distance), 0.0)  # rounding may leave it just below


def _mean_and_root(F: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the rows, and a matrix R of which R^T R is their covariance."""
    n, n_columns = F.shape
    mean = np.asarray(F.mean(axis=0, dtype=np.float64)).ravel()
    if n <= n_columns:
        return mean, _centered(F, mean) / np.sqrt(n - 1)
    covariance = np.zeros((n_columns, n_columns))
    for rows in gen_batches(n, _ROWS_AT_ONCE):
        C = _centered(F[rows], mean)
        covariance += C.T @ C
    covariance /= n - 1
    variances, directions = linalg.eigh(covariance)
    # What is left of directions without variance is rounding, of either sign.
    kept = variances > n_columns * np.finfo(np.float64).eps * variances[-1]
    return mean, np.sqrt(variances[kept])[:, np.newaxis] * directions[:, kept].T


def _centered(F: Any, mean: np.ndarray) -> np.ndarray:
    return (F.toarray() if sparse.issparse(F) else F) - mean
