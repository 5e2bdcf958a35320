"""Scores that match clusters with classes.

Symbols of this file: n_ck is the number of rows of class c in cluster k, a_c and b_k
are the sizes of class and cluster, n is the number of rows.
"""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from skdeep.metrics._contingency import class_cluster_counts

# Classes times clusters up to which a dense table is quick: 8 megabytes.
_MAX_CELLS = 1_000_000


def clustering_accuracy_score(labels_true: Any, labels_pred: Any) -> float:
    r"""Share of rows classified right by the best one-to-one naming of the clusters.

    Each cluster is named after at most one class and each class names at most one
    cluster, in the way that makes the accuracy largest:

    .. math:: \mathrm{ACC} = \max_m \frac{1}{n} \sum_{k} n_{m(k) k},

    where :math:`m` ranges over the one-to-one matchings of clusters :math:`k` with
    classes and :math:`n_{ck}` counts the rows of class :math:`c` in cluster
    :math:`k`. The Hungarian method finds the maximum. Numbers of clusters and
    classes may differ; the rows of a cluster left without a class are errors.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Class of each row, of any label type.
    labels_pred : array-like of shape (n_samples,)
        Cluster of each row, of any label type. Noise labels such as -1 are a cluster
        like any other.

    Returns
    -------
    accuracy : float
        Between 0 (excluded) and 1; 1 for equal partitions, whatever the names.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional, missing, or differ in length.

    See Also
    --------
    purity_score : Lets several clusters share a class.
    matched_iou_score : One value for each class, after a matching.
    sklearn.metrics.adjusted_rand_score : Agreement over pairs, corrected for chance.

    Notes
    -----
    The score is not corrected for chance: one single cluster has the share of the
    largest class.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", Naval
       Research Logistics Quarterly 2, 1955, doi:10.1002/nav.3800020109.
    .. [2] J. Xie, R. Girshick, A. Farhadi, "Unsupervised deep embedding for
       clustering analysis", ICML 2016, arXiv:1511.06335, equation 10.

    Examples
    --------
    >>> from skdeep.metrics import clustering_accuracy_score
    >>> clustering_accuracy_score([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    >>> clustering_accuracy_score(["a", "a", "a", "b"], [5, 5, -1, -1])
    0.75
    """
    counts = class_cluster_counts(labels_true, labels_pred, sparse=True)
    return float(counts[matching(counts)].sum() / counts.sum())


def purity_score(labels_true: Any, labels_pred: Any) -> float:
    r"""Share of rows that belong to the largest class of their cluster.

    .. math:: \mathrm{purity} = \frac{1}{n} \sum_k \max_c n_{ck},

    where :math:`n_{ck}` counts the rows of class :math:`c` in cluster :math:`k`.
    Unlike in the clustering accuracy, several clusters may share a class.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Class of each row, of any label type.
    labels_pred : array-like of shape (n_samples,)
        Cluster of each row, of any label type.

    Returns
    -------
    purity : float
        Between 0 (excluded) and 1; never less than the clustering accuracy.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional, missing, or differ in length.

    See Also
    --------
    clustering_accuracy_score : Allows each class one cluster only.
    sklearn.metrics.homogeneity_score : The same question asked in nats.

    Notes
    -----
    Purity grows with the number of clusters, up to 1 when each row is a cluster: it
    compares partitions with the same number of clusters only.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schuetze, "Introduction to Information
       Retrieval", Cambridge University Press 2008, section 16.3.

    Examples
    --------
    >>> from skdeep.metrics import purity_score
    >>> purity_score([0, 0, 1, 1], [0, 1, 2, 2])
    1.0
    >>> purity_score([0, 0, 1, 1], [0, 0, 0, 1])
    0.75
    """
    counts = class_cluster_counts(labels_true, labels_pred, sparse=True)
    return float(counts.max(axis=0).sum() / counts.sum())


def matched_iou_score(
    labels_true: Any, labels_pred: Any, *, average: str | None = "macro"
) -> float | np.ndarray:
    r"""Intersection over union of each class with the cluster matched to it.

    A class :math:`c` and a cluster :math:`k` overlap by

    .. math:: \mathrm{IoU}_{ck} = \frac{n_{ck}}{a_c + b_k - n_{ck}},

    where :math:`n_{ck}` counts the rows that they share, :math:`a_c` and :math:`b_k`
    the rows of each. Clusters are matched one to one with classes so that the summed
    overlap is largest.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Class of each row, of any label type.
    labels_pred : array-like of shape (n_samples,)
        Cluster of each row, of any label type.
    average : {"macro"} or None, default="macro"
        "macro" takes the mean over classes, which counts a small class as much as a
        large one. `None` keeps one value for each class.

    Returns
    -------
    iou : float or ndarray of shape (n_classes,)
        Between 0 and 1; 0 for a class left without a cluster. Classes are in sorted
        order.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional, missing, or differ in length, or
        if `average` is neither "macro" nor None.

    See Also
    --------
    clustering_accuracy_score : Matches for the most rows instead, so that large
        classes decide.
    sklearn.metrics.jaccard_score : The same for labels that are matched already.

    References
    ----------
    .. [1] X. Ji, J. F. Henriques, A. Vedaldi, "Invariant information clustering for
       unsupervised image classification and segmentation", ICCV 2019,
       arXiv:1807.06653.

    Examples
    --------
    >>> from skdeep.metrics import matched_iou_score
    >>> labels_true, labels_pred = [0, 0, 1, 1, 2, 2], [5, 5, 7, 7, 7, 7]
    >>> matched_iou_score(labels_true, labels_pred, average=None)
    array([1. , 0.5, 0. ])
    >>> matched_iou_score(labels_true, labels_pred)
    0.5
    """
    if average is not None and not (isinstance(average, str) and average == "macro"):
        raise ValueError(
            "The 'average' parameter of matched_iou_score must be 'macro' (the mean "
            f"over classes) or None (one value for each class). Got {average!r} "
            "instead."
        )
    counts = class_cluster_counts(labels_true, labels_pred, sparse=True)
    a, b = (np.asarray(counts.sum(axis=axis)).ravel() for axis in (1, 0))
    n, (c, k) = counts.data, counts.nonzero()
    overlap = sparse.csr_matrix((n / (a[c] + b[k] - n), (c, k)), counts.shape)
    classes, clusters = matching(overlap)
    iou = np.zeros(len(a))
    iou[classes] = np.asarray(overlap[classes, clusters]).ravel()
    return iou if average is None else float(iou.mean())


def matching(gain: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a sparse matrix, matched one to one for the largest sum."""
    n_rows, n_columns = gain.shape
    if n_rows * n_columns <= _MAX_CELLS:
        return linear_sum_assignment(gain.toarray(), maximize=True)
    if n_rows > n_columns:
        return matching(gain.T.tocsr())[::-1]
    # All rows must be matched, so that each has a column of its own to stay alone with;
    # one more for every entry, since a zero would be no edge.
    edges = gain.astype(np.float64)
    edges.data += 1
    edges = sparse.hstack([edges, sparse.identity(n_rows)], format="csr")
    rows, columns = min_weight_full_bipartite_matching(edges, maximize=True)
    matched = columns < n_columns
    return rows[matched], columns[matched]
