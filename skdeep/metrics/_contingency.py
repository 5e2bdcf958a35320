"""Counts of rows by class and cluster, from validated labels."""

from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_array, check_consistent_length

from skdeep.metrics._rows import require_no_missing_labels
from skdeep.tables import numpy_of
from skdeep.warning import warn


def class_cluster_counts(
    labels_true: Any, labels_pred: Any, *, sparse: bool = False
) -> Any:
    """Count the rows of each class in each cluster.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Class of each row; strings, integers (negative ones too), booleans or objects
        of several types.
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
        If the labels are empty, not one-dimensional, missing, or differ in length.
    """
    _, labels_true = coded_labels(labels_true, "labels_true")
    _, labels_pred = coded_labels(labels_pred, "labels_pred")
    check_consistent_length(labels_true, labels_pred)
    return contingency_matrix(labels_true, labels_pred, sparse=sparse, dtype=np.int64)


def coded_labels(labels: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Distinct labels in sorted order, and the place of the label of each row."""
    labels = label_array(labels)
    if labels.ndim == 1:
        require_no_missing_labels(labels, f"{name} has")
    labels = check_array(labels, ensure_2d=False, dtype=None, input_name=name)
    if labels.ndim != 1:
        raise ValueError(f"{name} must be 1D: shape is {labels.shape}")
    if labels.dtype.kind == "f" and np.any(labels != np.floor(labels)):
        warn(
            f"{name} holds fractions, and each distinct value counts as a label of "
            "its own. Clustering metrics compare discrete labels: pass the result of "
            "predict, not of transform or predict_proba.",
            UserWarning,
        )
    return distinct_labels(labels)


def label_array(labels: Any) -> np.ndarray:
    """Labels as an array, where what is missing or no text does not become text."""
    labels = numpy_of(labels)
    # Also of columns of pandas: scikit-learn fails at their missing values.
    labels = np.asarray(labels, dtype=None if hasattr(labels, "dtype") else object)
    if labels.dtype.kind == "T":  # text of any length, which scikit-learn cannot read
        labels = labels.astype(object)
    if labels.dtype != object:
        return labels
    are_alike = any(
        all(isinstance(label, kind) for label in labels.ravel())
        for kind in (str, Number | np.generic)
    )
    if not are_alike:
        return labels
    # Large integers beside others become floats, and text may lose what it ends in.
    alike = np.asarray(labels.tolist())
    pairs = zip(labels.ravel().tolist(), alike.ravel().tolist(), strict=True)
    same = all(a == b or a != a for a, b in pairs)
    return alike if same else labels


def distinct_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct labels in sorted order, those of mixed types type by type, and codes."""
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError:  # as text and numbers, of which neither comes first
        distinct = sorted_by_type(set(labels))
        place = {label: i for i, label in enumerate(distinct)}
        classes = np.empty(len(distinct), dtype=object)
        classes[:] = distinct
        return classes, np.array([place[label] for label in labels])


def sorted_by_type(labels: Iterable[Any]) -> list[Any]:
    """Labels type by type, by what they print as where they have no order."""
    try:
        return sorted(labels, key=lambda label: (type(label).__name__, label))
    except TypeError:
        return sorted(labels, key=lambda label: (type(label).__name__, repr(label)))
