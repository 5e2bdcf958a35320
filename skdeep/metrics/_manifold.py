"""Which rows lie among the others: balls that reach to the nearest neighbours.

Symbols of this file: r_i is the distance from real row x_i to its k-th nearest real
row, s_j the one from sampled row y_j to its k-th nearest sampled row.
"""

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches
from sklearn.utils.extmath import row_norms, safe_sparse_dot

from skdeep._compat import Interval, checks_parameters
from skdeep.metrics._rows import comparable_features, near_one

_PAIRS_AT_ONCE = 2**20
_MAX_TREE_COLUMNS = 6
_FAR = 1e3  # times the median distance from the centre


class ManifoldScores(NamedTuple):
    """What `manifold_precision_recall` returns."""

    precision: float
    recall: float
    density: float
    coverage: float


@checks_parameters({"n_neighbors": [Interval(Integral, 1, None, closed="left")]})
def manifold_precision_recall(
    X_real: Any, X_sampled: Any, *, n_neighbors: int = 5, features: Any = None
) -> ManifoldScores:
    r"""Precision, recall, density and coverage of sampled rows among real ones.

    A ball around each real row :math:`x_i` reaches to its k-th nearest real row, at the
    distance :math:`r_i`; one around each sampled row :math:`y_j` reaches to its k-th
    nearest sampled row, at the distance :math:`s_j`. With n real and m sampled rows,

    .. math::
        \mathrm{precision} &= \frac1m \sum_j
            \mathbf 1[\exists i: \|x_i - y_j\| \le r_i], \\
        \mathrm{recall} &= \frac1n \sum_i
            \mathbf 1[\exists j: \|x_i - y_j\| \le s_j], \\
        \mathrm{density} &= \frac1{k m} \sum_j \sum_i
            \mathbf 1[\|x_i - y_j\| \le r_i], \\
        \mathrm{coverage} &= \frac1n \sum_i
            \mathbf 1[\exists j: \|x_i - y_j\| \le r_i].

    A sampler that knows one mode of several has precision 1 and little recall and
    coverage; one that scatters has little precision and density.

    Parameters
    ----------
    X_real : {array-like, sparse matrix} of shape (n_real, n_features)
        Real rows, best held out from the training of the sampler. Images are flattened
        unless `features` takes them as they are.
    X_sampled : {array-like, sparse matrix} of shape (n_sampled, n_features)
        Sampled rows, best as many as real ones.
    n_neighbors : int, default=5
        The k above, the row itself not counted. Larger balls find more rows: precision
        and recall rise. Papers on precision and recall take 3, on density and coverage
        5.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared: a function of the rows, or an
        estimator with `transform`, fitted already. None compares the rows themselves.

    Returns
    -------
    scores : ManifoldScores
        Named tuple of four floats (precision, recall, density, coverage), larger is
        better. All are between 0 and 1 but the density, which may exceed 1.

    Raises
    ------
    TypeError
        If `features` is neither callable nor a transformer nor None.
    ValueError
        If `n_neighbors` is not a positive integer less than either number of rows, if
        either holds what is no finite number, or if they differ in their columns.

    See Also
    --------
    frechet_distance : One number, from means and covariances alone.
    classifier_two_sample_score : Does not depend on the units of columns.

    Notes
    -----
    A far real row has a large ball, in which anything counts as real: with outliers
    trust density and coverage, which balls around sampled rows do not enter. Of rows
    from the very distribution of the real ones, precision and recall are less than 1
    and the less, the more columns there are; density is 1 on average, and coverage
    about :math:`1 - 2^{-k}` for as many rows. Hold a sampler against two halves of the
    real rows.

    Distances depend on the units of columns. Scale them, as by
    ``features=StandardScaler().fit(X_real)``, unless they share one.

    Time grows with the number of pairs of rows; the pairs are never held at once.

    References
    ----------
    .. [1] T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, "Improved
       precision and recall metric for assessing generative models", NeurIPS 2019,
       arXiv:1904.06991, equations 1 and 2.
    .. [2] M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi, J. Yoo, "Reliable fidelity and
       diversity metrics for generative models", ICML 2020, arXiv:2002.09797.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.metrics import manifold_precision_recall
    >>> X, _ = load_iris(return_X_y=True)
    >>> scores = manifold_precision_recall(X, X[:50])  # one species of three
    >>> scores.precision, round(scores.recall, 2), round(scores.coverage, 2)
    (1.0, 0.33, 0.33)
    >>> manifold_precision_recall(X, X + 10)
    ManifoldScores(precision=0.0, recall=0.0, density=0.0, coverage=0.0)
    """
    n_neighbors = int(n_neighbors)
    X, Y = comparable_features(
        {"X_real": X_real, "X_sampled": X_sampled},
        features,
        f"manifold_precision_recall with n_neighbors={n_neighbors}",
        min_rows=n_neighbors + 1,
    )
    X, Y = _near_the_origin(X, Y)
    x_far, y_far = _far_rows(X, Y)
    r, s = _radii(X, n_neighbors, x_far), _radii(Y, n_neighbors, y_far)
    # Products of rows round by some eps |x| |y|, more so the more columns there are.
    # That is allowed for, lest copies and rows on the rim of a ball fall out of it.
    shrink = 1 - 2 * np.finfo(np.float64).eps * np.sqrt(X.shape[1])
    xx, yy = (row_norms(F, squared=True) * shrink for F in (X, Y))
    far_Y = Y[y_far]
    Y = _with_columns(Y, np.ones_like(yy), yy)

    n_balls = np.zeros(len(s), dtype=np.int64)  # around real rows, on each sampled row
    recalled, covered = np.empty(len(r), dtype=bool), np.empty(len(r), dtype=bool)
    n_at_once = min(max(1, _PAIRS_AT_ONCE // len(s)), np.iinfo(np.uint8).max)
    for rows in gen_batches(len(r), n_at_once):
        # |x|^2 - 2 x y + |y|^2 in one product
        left = _with_columns(-2 * X[rows], xx[rows], np.ones_like(xx[rows]))
        distances = safe_sparse_dot(left, Y.T, dense_output=True)
        far = x_far[rows]
        if far.any() and y_far.any():
            between = cdist(X[rows][far], far_Y, "sqeuclidean")
            distances[np.ix_(far, y_far)] = between * shrink
        recalled[rows] = (distances <= s**2).any(axis=1)
        within = distances <= r[rows, np.newaxis] ** 2
        covered[rows] = within.any(axis=1)
        # Bytes, which these rows cannot overflow, are added ten times as fast.
        n_balls += within.view(np.uint8).sum(axis=0, dtype=np.uint8)
    return ManifoldScores(
        precision=float((n_balls > 0).mean()),
        recall=float(recalled.mean()),
        density=float(n_balls.mean() / n_neighbors),
        coverage=float(covered.mean()),
    )


def _near_the_origin(X: Any, Y: Any) -> tuple[Any, Any]:
    """Both in float64, scaled and moved to where products round least."""
    X, Y = near_one(X.astype(np.float64), Y.astype(np.float64))
    if not sparse.issparse(X) and not sparse.issparse(Y):
        center = np.median(X, axis=0)  # a mean follows far rows away from all others
        X -= center
        Y -= center
    return X, Y


def _far_rows(X: Any, Y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Whether rows are so far out that products of two of them lose their distance."""
    if sparse.issparse(X) or sparse.issparse(Y):
        return np.zeros(X.shape[0], dtype=bool), np.zeros(Y.shape[0], dtype=bool)
    norms = row_norms(X), row_norms(Y)
    both = np.concatenate(norms)
    limit = _FAR * np.median(both[both > 0]) if both.any() else 0.0
    return tuple(norm > limit for norm in norms)


def _radii(F: Any, n_neighbors: int, far: np.ndarray) -> np.ndarray:
    # scikit-learn takes trees up to 15 columns, which products overtake at 6 or 7.
    algorithm = "brute" if F.shape[1] > _MAX_TREE_COLUMNS else "auto"
    search = NearestNeighbors(n_neighbors=n_neighbors, algorithm=algorithm).fit(F)
    radii = search.kneighbors()[0][:, -1]
    if far.any():  # by differences; the row itself is one of those found
        search = NearestNeighbors(n_neighbors=n_neighbors + 1, algorithm="kd_tree")
        radii[far] = search.fit(F).kneighbors(F[far])[0][:, -1]
    return radii


def _with_columns(F: Any, *columns: np.ndarray) -> Any:
    parts = [F, *(column[:, np.newaxis] for column in columns)]
    return sparse.hstack(parts, "csr") if sparse.issparse(F) else np.hstack(parts)
