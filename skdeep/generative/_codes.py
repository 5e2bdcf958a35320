"""Walks through the codes of a fitted model, and directions in which to walk."""

from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length, check_scalar
from sklearn.utils.validation import column_or_1d

from skdeep._compat import StrOptions, checks_parameters
from skdeep.base import flat_rows
from skdeep.generative._base import classes_of
from skdeep.sampling import PATHS


@checks_parameters({"method": [StrOptions(set(PATHS))]})
def interpolated_codes(
    z_start: Any, z_end: Any, n_steps: int = 8, *, method: str = "spherical"
) -> np.ndarray:
    r"""Codes on the way from some codes to others.

    With t in equal steps from 0 to 1 and :math:`\omega` the angle between the codes a
    and b,

    .. math::

        z_t = (1 - t) \, a + t \, b \quad \text{(linear)}, \qquad
        z_t = \frac{\sin((1 - t) \omega)}{\sin \omega} a
        + \frac{\sin(t \omega)}{\sin \omega} b \quad \text{(spherical)}

    Parameters
    ----------
    z_start, z_end : array-like of shape (n_components,) or (n_codes, n_components)
        Where each way starts and ends.
    n_steps : int, default=8
        Codes of a way, both ends included.
    method : {"spherical", "linear"}, default="spherical"
        Codes of many dimensions with a normal prior lie near a sphere, which the
        straight line between two of them leaves and the arc does not.

    Returns
    -------
    Z : ndarray of shape (n_steps, ..., n_components)
        The codes of each step, in the shape given.

    Raises
    ------
    ValueError
        If there are fewer than two steps, or the ends differ in shape.

    See Also
    --------
    interpolate : Decodes such codes.
    attribute_direction : A direction that changes one property.

    References
    ----------
    .. [1] T. White, "Sampling Generative Networks", 2016, arXiv:1609.04468.

    Examples
    --------
    >>> from skdeep.generative import interpolated_codes
    >>> interpolated_codes([0, 1], [1, 0], 3).round(2)
    array([[0.  , 1.  ],
           [0.71, 0.71],
           [1.  , 0.  ]])
    """
    n_steps = check_scalar(n_steps, "n_steps", Integral, min_val=2)
    a, b = (np.asarray(z, dtype=np.float64) for z in (z_start, z_end))
    if a.shape != b.shape or a.ndim not in (1, 2):
        raise ValueError(
            "z_start and z_end must be one code each, or as many codes as the other. "
            f"Got the shapes {a.shape} and {b.shape}."
        )
    t = np.linspace(0, 1, n_steps).reshape(-1, *[1] * a.ndim)
    return PATHS[method](a, b, t)


@checks_parameters({"method": [StrOptions(set(PATHS))]})
def interpolate(
    sampler: Any,
    x_start: Any,
    x_end: Any,
    n_steps: int = 8,
    *,
    y: Any = None,
    method: str = "spherical",
) -> np.ndarray:
    """Rows on the way from some rows to others, through their codes.

    Rows are coded by `transform` of the model, their codes interpolated, and decoded by
    `inverse_transform`: what comes out looks like data all the way, where averages of
    the rows themselves do not.

    Parameters
    ----------
    sampler : fitted estimator
        With `transform` and `inverse_transform`.
    x_start, x_end : {array-like, sparse matrix} of shape (n_rows, n_features)
        Where each way starts and ends. One row alone may have shape (n_features,), and
        of a DataFrame be a Series; images may have shape (C, H, W) or
        (n_rows, C, H, W).
    n_steps : int, default=8
        Rows of a way, both ends included. These are the rows given as the model
        rebuilds them.
    y : class, array-like of shape (n_rows,) or None, default=None
        Class of each way, of a conditional sampler.
    method : {"spherical", "linear"}, default="spherical"
        See :func:`interpolated_codes`.

    Returns
    -------
    X : ndarray of shape (n_steps, n_features) or (n_steps, n_rows, n_features)
        In the units of the input; images are flattened.

    Raises
    ------
    TypeError
        If the model cannot code rows, as a GAN cannot, or cannot decode them.
    ValueError
        If there are fewer than two steps, other numbers of rows at both ends, or
        classes for a model that knows none.

    See Also
    --------
    interpolated_codes : Between codes, such as those of samples of a GAN.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.generative import VAESampler, interpolate
    >>> X = load_iris().data
    >>> vae = VAESampler(2, max_iter=50, random_state=0).fit(X)
    >>> interpolate(vae, X[0], X[100], 5).shape
    (5, 4)
    """
    require_codes(sampler)
    (x_start, is_one), (x_end, _) = (rows_of(x, sampler) for x in (x_start, x_end))
    given = () if y is None else (y,)
    z_start, z_end = (
        np.asarray(sampler.transform(flat_rows(x), *given)) for x in (x_start, x_end)
    )
    Z = interpolated_codes(z_start, z_end, n_steps, method=method)
    if y is not None and np.ndim(y) > 0:
        given = (np.tile(np.asarray(y), n_steps),)
    X = np.asarray(sampler.inverse_transform(np.concatenate(Z), *given))
    return X if is_one else X.reshape(n_steps, x_start.shape[0], -1)


@checks_parameters({"method": [StrOptions({"means", "linear"})]})
def attribute_direction(Z: Any, y: Any, *, method: str = "means") -> np.ndarray:
    r"""Direction in the codes along which an attribute changes.

    .. math:: v = \bar z_1 - \bar z_0 \quad \text{(means)}, \qquad
              v = \frac{w^\top (\bar z_1 - \bar z_0)}{\|w\|^2} \, w
              \quad \text{(linear)}

    with :math:`\bar z_0, \bar z_1` the mean codes of rows without and with the
    attribute and w the normal of a logistic regression that tells them apart. ``Z + v``
    carries the rows without it to where those with it are.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_components)
        Codes.
    y : array-like of shape (n_samples,)
        Two classes; of these, the one that is sorted last has the attribute.
    method : {"means", "linear"}, default="means"
        ``"linear"`` changes nothing on the way that the attribute does not need: the
        difference of the means also holds all that goes along with it in these data.

    Returns
    -------
    v : ndarray of shape (n_components,)
        What to add to codes.

    Raises
    ------
    ValueError
        If `y` does not hold two classes, or if that of a row is missing.

    See Also
    --------
    interpolate : From one row to another.

    References
    ----------
    .. [1] A. B. L. Larsen et al., "Autoencoding beyond Pixels Using a Learned
       Similarity Metric", ICML 2016, arXiv:1512.09300.

    Examples
    --------
    >>> from skdeep.generative import attribute_direction
    >>> attribute_direction([[0, 0], [0, 1], [2, 0], [2, 1]], [0, 0, 1, 1])
    array([2., 0.])
    """
    Z = check_array(flat_rows(Z), dtype=np.float64)
    y = column_or_1d(flat_rows(y), warn=True)
    check_consistent_length(Z, y)
    classes, codes = classes_of(y)
    if len(classes) != 2:
        raise ValueError(
            "attribute_direction needs y with two classes, without and with the "
            f"attribute. Got {len(classes)}: {classes.tolist()[:5]}."
        )
    has = codes == 1
    difference = Z[has].mean(axis=0) - Z[~has].mean(axis=0)
    if method == "means":
        return difference
    scaler = StandardScaler().fit(Z)
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(Z), has)
    normal = model.coef_[0] / scaler.scale_
    if not normal.any():  # nothing tells the rows apart
        return normal
    return normal * (normal @ difference) / (normal @ normal)


def require_codes(model: Any) -> None:
    """Raise if a model cannot code rows, or cannot decode them."""
    name = type(model).__name__
    if not hasattr(model, "transform"):
        raise TypeError(
            f"interpolate needs a model with the method transform, and {name} has "
            "none. Interpolate codes by interpolated_codes, and decode them with "
            "inverse_transform."
        )
    if not hasattr(model, "inverse_transform"):
        raise TypeError(
            f"interpolate needs a model with the method inverse_transform, and {name} "
            "has none: it does not decode."
        )


def rows_of(x: Any, model: Any) -> tuple[Any, bool]:
    """Rows for a model, and whether one was given alone.

    The model may ask for the names of frames, and of Series of pandas that are rows.
    """
    if hasattr(x, "columns"):
        return x, False
    if sparse.issparse(x):
        return x.reshape(-1, x.shape[-1]), x.ndim == 1
    is_series = hasattr(x, "to_frame") and hasattr(x, "index")
    if is_series and hasattr(model, "feature_names_in_"):
        return x.to_frame().T.infer_objects(), True
    x = np.asarray(x)
    is_one = x.ndim in (1, 3)
    return x[None] if is_one else x, is_one
