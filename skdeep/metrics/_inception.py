"""How sure a classifier is of sampled rows, and how many classes it finds."""

from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import entr
from sklearn.utils import check_array

from skdeep._compat import HasMethods, checks_parameters
from skdeep.tables import numpy_of


@checks_parameters({"classifier": [HasMethods("predict_proba"), None]})
def inception_score(
    X_sampled: Any, *, classifier: Any = None, n_splits: int | None = None
) -> float | np.ndarray:
    r"""Effective number of classes among sampled rows, as a classifier sees them.

    .. math::
        \mathrm{IS} = \exp \frac1n \sum_i
            \mathrm{KL}\left(p(y | x_i) \,\|\, p(y)\right), \qquad
        p(y) = \frac1n \sum_i p(y | x_i),

    the exponential of the mutual information of row and class. It is large if each row
    is of one class for certain, and all classes occur alike. The name is that of the
    network of the paper; here any classifier does.

    Parameters
    ----------
    X_sampled : array-like of shape (n_samples, n_features) or (n_samples, n_classes)
        Sampled rows, as the classifier takes them; without a classifier, the
        probabilities of the classes of each row.
    classifier : object or None, default=None
        Classifier with `predict_proba`, fitted on real rows.
    n_splits : int or None, default=None
        Parts of consecutive rows that are scored apart. Papers give mean and standard
        deviation over 10 parts of 5 000 rows.

    Returns
    -------
    score : float or ndarray of shape (n_splits,)
        Between 1 and the number of classes, larger is better; one value for each part
        if `n_splits` is given.

    Raises
    ------
    TypeError
        If `classifier` has no `predict_proba`.
    ValueError
        If rows of probabilities are negative or do not sum to 1, or if `n_splits` is
        not between 1 and the number of rows.

    See Also
    --------
    frechet_distance : Looks at the real rows too.

    Notes
    -----
    Real rows are compared with nowhere: the score has its maximum at one row of each
    class, repeated, and cannot see what the classifier was not trained to see. Hold it
    against the score of real rows. Parts of few rows score less than the whole.

    References
    ----------
    .. [1] T. Salimans, I. Goodfellow, W. Zaremba, V. Cheung, A. Radford, X. Chen,
       "Improved techniques for training GANs", NeurIPS 2016, arXiv:1606.03498.
    .. [2] S. Barratt, R. Sharma, "A note on the inception score", 2018,
       arXiv:1801.01973.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skdeep.metrics import inception_score
    >>> round(inception_score([[1, 0, 0], [0, 1, 0], [0, 0, 1]]), 6)
    3.0
    >>> inception_score([[0.8, 0.2], [0.8, 0.2]])
    1.0
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = LogisticRegression(max_iter=1000).fit(X, y)
    >>> 2.0 < inception_score(X, classifier=classifier) < 3.0
    True
    """
    X_sampled = numpy_of(X_sampled)
    p = X_sampled if classifier is None else classifier.predict_proba(X_sampled)
    p = check_array(p, dtype=np.float64, input_name="the probabilities")
    # Probabilities in float16 sum to 1 within this.
    if p.min() < 0 or not np.allclose(p.sum(axis=1), 1, atol=1e-2):
        raise ValueError(
            "inception_score needs probabilities: rows of numbers from 0 to 1 that sum "
            "to 1. Pass rows of features together with classifier=, and scores of a "
            "network after a softmax."
        )
    p = p / p.sum(axis=1, keepdims=True)
    if n_splits is None:
        return _score(p)
    if (
        not isinstance(n_splits, Integral)
        or isinstance(n_splits, bool)
        or not 1 <= n_splits <= len(p)
    ):
        raise ValueError(
            "The 'n_splits' parameter of inception_score must be None or an int from "
            f"1 to the number of rows, {len(p)}. Got {n_splits!r} instead."
        )
    return np.array([_score(part) for part in np.array_split(p, n_splits)])


def _score(p: np.ndarray) -> float:
    # The mean divergence from the mean is the entropy of the mean less the mean one.
    information = entr(p.mean(axis=0)).sum() - entr(p).sum(axis=1).mean()
    return float(np.exp(max(information, 0.0)))
