r"""How much each of scikit-learn's transformers stretches space around a row.

A density moves through an invertible map :math:`z = f(x)` by

.. math:: \log p_X(x) = \log p_Z(f(x)) + \log |\det \partial f / \partial x|

and here are these last terms, of the maps that have one, in parts that add up to them.
Maps of single columns have diagonal Jacobians: each column has the logarithm of its
derivative for a part, which is left out with the column where that has no density.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.special import logit
from scipy.stats import norm
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.validation import validate_data

from skdeep._compat import standardizer_of


class NoJacobianError(NotImplementedError):
    """A transformer, with the parameters or data it has, that maps no density."""


def log_stretches(step: Any, X: Any) -> np.ndarray:
    """Parts of the log-determinant of a fitted transformer's Jacobian.

    Parameters
    ----------
    step : transformer
        A subclass of one that is known is not known: it may have changed the map.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that it transforms.

    Returns
    -------
    ndarray of shape (n_features,) or (n_samples, n_features)
        That of each column, or of each principal axis; one row if all rows have the
        same. Their sum is the logarithm of the absolute determinant.

    Raises
    ------
    NoJacobianError
        With a reason that completes "the transformer ...".
    """
    if type(step) in OF_AFFINE:
        return OF_AFFINE[type(step)](step)
    if type(step) in OF_CELLWISE:
        x = float64(
            validate_data(
                step, X, accept_sparse=True, ensure_all_finite=False, reset=False
            )
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # outside of the domain
            return OF_CELLWISE[type(step)](step, x)
    known = ", ".join(sorted(kind.__name__ for kind in {**OF_AFFINE, **OF_CELLWISE}))
    raise NoJacobianError(
        f"has no known Jacobian determinant. Those of {known} are known."
    )


def is_outside(log_stretch: np.ndarray, X: Any) -> np.ndarray:
    """Whether rows are where a map has no finite derivative, and are finite themselves.

    Whoever meets the other ones next says what is wrong with them.
    """
    outside = ~np.isfinite(log_stretch).all(axis=-1)
    if outside.any():
        outside &= np.isfinite(float64(X)).all(axis=1)
    return outside


# affine maps: the same for all rows


def of_divisor(step: Any) -> np.ndarray:
    """Return log-stretches of scalers that divide by `scale_`, if by anything."""
    return np.zeros(step.n_features_in_) if step.scale_ is None else -log(step.scale_)


def of_min_max_scaler(step: MinMaxScaler) -> np.ndarray:
    """Return log-stretches of the scaler that multiplies by `scale_`."""
    refuse_to_clip(step)
    return log(step.scale_)


def of_max_abs_scaler(step: MaxAbsScaler) -> np.ndarray:
    """Return log-stretches of the scaler that divides by `scale_`."""
    refuse_to_clip(step)
    return of_divisor(step)


def refuse_to_clip(step: Any) -> None:
    """Raise if a scaler clips."""
    if step.clip:
        raise NoJacobianError(
            "clips what lies outside the range of the training rows, and cannot be "
            "inverted there. Use clip=False."
        )


def of_pca(step: PCA | IncrementalPCA) -> np.ndarray:
    """Return log-stretches of axes: none by a rotation, but by whitening."""
    n_components, n_features = step.components_.shape
    if n_components < n_features:
        raise NoJacobianError(
            f"keeps {n_components} of {n_features} dimensions. Only with all of them "
            "do rows have a density: n_components=None, and no more columns than rows."
        )
    variances = step.explained_variance_
    rounding = n_features * np.finfo(variances.dtype).eps
    if variances.min() <= variances.max() * rounding:
        raise NoJacobianError(
            "met columns that are constant or depend on each other linearly: their "
            "rows have no density. Drop some of them."
        )
    return -log(variances) / 2 if step.whiten else np.zeros(n_components)


OF_AFFINE: dict[type, Callable[[Any], np.ndarray]] = {
    IncrementalPCA: of_pca,
    MaxAbsScaler: of_max_abs_scaler,
    MinMaxScaler: of_min_max_scaler,
    PCA: of_pca,
    RobustScaler: of_divisor,
    StandardScaler: of_divisor,
}


# maps of single cells: the logarithm of the derivative of each


def of_power(step: PowerTransformer, x: np.ndarray) -> np.ndarray:
    r"""Return log-derivatives of power transforms and of the scaling behind them.

    .. math::

        \log \frac{dz}{dx} = \begin{cases}
        (\lambda - 1) \log x & \text{Box-Cox} \\
        \operatorname{sign}(x) (\lambda - 1) \log(1 + |x|) & \text{Yeo-Johnson}
        \end{cases}
    """
    if step.method == "box-cox":
        log_derivative = (step.lambdas_ - 1) * np.log(x)
    else:
        log_derivative = np.sign(x) * (step.lambdas_ - 1) * np.log1p(np.abs(x))
    scaler = standardizer_of(step)
    return log_derivative if scaler is None else log_derivative - np.log(scaler.scale_)


def of_quantile(step: QuantileTransformer, x: np.ndarray) -> np.ndarray:
    r"""Return log-derivatives of the map to quantiles, and on to normal ones.

    Between neighbouring quantiles q the map rises linearly from one level r to the
    next, and outside of the training rows not at all: the density is zero there.

    .. math::

        \frac{du}{dx} = \frac{r_{k+1} - r_k}{q_{k+1} - q_k} \text{ for }
        q_k \le x < q_{k+1}, \qquad z = \Phi^{-1}(u), \quad
        \frac{dz}{du} = \frac{1}{\varphi(z)}
    """
    levels = step.references_
    log_derivative = np.full(x.shape, -np.inf)
    for j, quantiles in enumerate(step.quantiles_.T):
        widths = np.diff(quantiles)
        if not widths.size or widths.min() <= 0:
            raise NoJacobianError(
                f"met equal values in column {j}, as columns of integers, categories "
                "and constants have. They have probabilities, not densities."
            )
        is_normal = step.output_distribution == "normal"
        if is_normal and quantiles[-1] - quantiles[0] < LEAST_RANGE:
            raise NoJacobianError(
                f"met a range of {quantiles[-1] - quantiles[0]:.1g} in column {j}, at "
                f"the ends of which it is flat over 1e-7: below {LEAST_RANGE:.0e} that "
                "is too much. Use larger numbers, of smaller units."
            )
        inside = (x[:, j] >= quantiles[0]) & (x[:, j] <= quantiles[-1])
        values = x[inside, j]
        piece = np.searchsorted(quantiles, values, side="right") - 1
        slopes = (np.diff(levels) / widths)[np.minimum(piece, len(widths) - 1)]
        log_derivative[inside, j] = np.log(slopes)
        if is_normal:
            u = np.interp(values, quantiles, levels).clip(CLIPPED, 1 - CLIPPED)
            log_derivative[inside, j] -= norm.logpdf(norm.ppf(u))
    return log_derivative


CLIPPED = 1e-7
"""Probability beyond which QuantileTransformer clips normal quantiles."""

LEAST_RANGE = 1e-4
"""Of a column whose QuantileTransformer to normal ones is taken for invertible."""


def of_function(step: FunctionTransformer, x: np.ndarray) -> np.ndarray:
    """Return log-derivatives of a function that is applied to each cell."""
    if step.func is None:
        return np.zeros_like(x)
    if step.func not in FUNCTIONS or step.kw_args:
        known = ", ".join(function.__name__ for function in FUNCTIONS)
        raise NoJacobianError(
            f"applies a function whose derivative is not known. Those of {known} are, "
            "without kw_args."
        )
    return FUNCTIONS[step.func](x)


FUNCTIONS: dict[Callable[..., Any], Callable[[np.ndarray], np.ndarray]] = {
    np.log: lambda x: -np.log(x),
    np.log1p: lambda x: -np.log1p(x),
    np.arcsinh: lambda x: -np.log(np.hypot(1, x)),
    logit: lambda x: -np.log(x) - np.log1p(-x),
}
"""Functions of cells, and the logarithms of their derivatives.

All reach every real number, so that any sample has an inverse.
"""

OF_CELLWISE: dict[type, Callable[[Any, np.ndarray], np.ndarray]] = {
    FunctionTransformer: of_function,
    PowerTransformer: of_power,
    QuantileTransformer: of_quantile,
}


def log(scale: np.ndarray) -> np.ndarray:
    """Logarithms in float64, be the numbers in float32 or not."""
    return np.log(scale, dtype=np.float64)


def float64(X: Any) -> np.ndarray:
    """Numbers as a dense float64 array, from arrays, DataFrames and sparse matrices."""
    return np.asarray(X.toarray() if issparse(X) else X, dtype=np.float64)
