"""Counts of rows by class and cluster, from validated labels."""

import numpy as np
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_array, check_consistent_length

from skdeep.metrics._rows import numpy_of, require_no_missing_labels
from skdeep.warning import warn


def class_cluster_counts(labels_true, labels_pred, *, sparse=False):
    """Count the rows of each class in each cluster.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Class of each row; strings, integers (negative ones too) or booleans.
    labels_pred : array-like of shape (n_samples,)
        Cluster of each row, of any such type.
    sparse : bool, default=False
        Whether to return the nonzero counts only, at most n_samples of them.

    Returns
    -------
    counts : ndarray or sparse CSR of int64, of shape (n_classes, n_clusters)
        Classes and clusters are in sorted order.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional, or differ in length.
    """
    labels_true = _checked_labels(labels_true, "labels_true")
    labels_pred = _checked_labels(labels_pred, "labels_pred")
    check_consistent_length(labels_true, labels_pred)
    return contingency_matrix(labels_true, labels_pred, sparse=sparse, dtype=np.int64)


def _checked_labels(labels, name):
    labels = check_array(numpy_of(labels), ensure_2d=False, dtype=None, input_name=name)
    if labels.ndim != 1:
        raise ValueError(f"{name} must be 1D: shape is {labels.shape}")
    require_no_missing_labels(labels, f"{name} has")
    if labels.dtype.kind == "f" and np.any(labels != np.floor(labels)):
        warn(
            f"{name} holds fractions, and each distinct value counts as a label of "
            "its own. Clustering metrics compare discrete labels: pass the result of "
            "predict, not of transform or predict_proba.",
            UserWarning,
        )
    return labels
