"""Precision and recall over pairs of rows."""

from numbers import Real
from typing import Any

import numpy as np

from skdeep.metrics._contingency import class_cluster_counts


def pairwise_precision_recall_f_score(
    labels_true: Any, labels_pred: Any, *, beta: float = 1.0
) -> tuple[float, float, float]:
    r"""Precision, recall and F of the pairs of rows that a clustering puts together.

    A pair of distinct rows is found when both rows share a cluster, and right when
    they share a class too. With :math:`n_{ck}` rows of class :math:`c` in cluster
    :math:`k`, of :math:`a_c` and :math:`b_k` in all, and
    :math:`\binom{m}{2} = m (m - 1) / 2`,

    .. math::
        P = \frac{\sum_{ck} \binom{n_{ck}}{2}}{\sum_k \binom{b_k}{2}}, \quad
        R = \frac{\sum_{ck} \binom{n_{ck}}{2}}{\sum_c \binom{a_c}{2}}, \quad
        F_\beta = \frac{(1 + \beta^2) P R}{\beta^2 P + R}.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Class of each row, of any label type.
    labels_pred : array-like of shape (n_samples,)
        Cluster of each row, of any label type.
    beta : float, default=1.0
        Recall counts `beta` times as much as precision.

    Returns
    -------
    precision : float
        Share of the pairs put together that belong together. 1 if no rows are put
        together: nothing found is wrong.
    recall : float
        Share of the pairs that belong together that are put together. 1 if no rows
        belong together: nothing is missed.
    f : float
        Weighted harmonic mean of both; 0 if either is 0.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional, missing, or differ in length, or
        if `beta` is not a positive number.

    See Also
    --------
    sklearn.metrics.cluster.pair_confusion_matrix : The counts behind the scores.
    sklearn.metrics.fowlkes_mallows_score : Geometric mean of precision and recall.

    Notes
    -----
    The counts come from the contingency table, so that time and memory grow with
    n_samples and not with its square. With the two conventions for absent pairs,
    equal partitions score 1 throughout, also when every row is a class of its own.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schuetze, "Introduction to Information
       Retrieval", Cambridge University Press 2008, section 16.3.

    Examples
    --------
    >>> from skdeep.metrics import pairwise_precision_recall_f_score
    >>> pairwise_precision_recall_f_score([0, 0, 1, 1], [0, 0, 1, 2])
    (1.0, 0.5, 0.6666666666666666)
    """
    if not isinstance(beta, Real) or not 0 < beta < np.inf:
        raise ValueError(
            "The 'beta' parameter of pairwise_precision_recall_f_score must be a float "
            f"in the range (0.0, inf). Got {beta!r} instead."
        )
    counts = class_cluster_counts(labels_true, labels_pred, sparse=True)
    right = _n_pairs(counts.data)
    found = _n_pairs(counts.sum(axis=0))
    existing = _n_pairs(counts.sum(axis=1))

    precision = right / found if found else 1.0
    recall = right / existing if existing else 1.0
    # F from the counts, where it is finite as soon as there is any pair at all; by the
    # smaller of beta^2 and its inverse, which do not overflow.
    if beta <= 1:
        weight, weighted = beta**2, found + beta**2 * existing
    else:
        weight = float(beta) ** -2
        weighted = weight * found + existing
    if weighted:
        f = (1 + weight) * right / weighted
    else:
        f = 0.0 if found or existing else 1.0
    return precision, recall, f


def _n_pairs(sizes: Any) -> int:
    # int64 holds n (n - 1) up to 3e9 rows; int() because Python's do not wrap after it.
    sizes = np.asarray(sizes, dtype=np.int64)
    return int((sizes * (sizes - 1)).sum()) // 2
