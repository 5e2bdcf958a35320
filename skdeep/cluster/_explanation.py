"""What the clusters are: their prototypes, nearest rows, columns and terms."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skdeep._compat import Interval, checks_parameters, raise_advised
from skdeep.base import NUMBERS, flat_rows, require_no_times
from skdeep.cluster._base import BaseDeepClusterer
from skdeep.metrics import npmi_coherence_score
from skdeep.scaling import CHUNK, column_statistics, of_moderate_size
from skdeep.tables import added_up, column_names, numpy_of

TEXT_COLUMNS = (
    "The table that is described holds numbers. pandas.get_dummies(table) makes "
    "columns of 0 and 1 of its categories, and a difference of dates over a unit, "
    "days say, is a number."
)


@dataclass(frozen=True)
class ClusterExplanation:
    """What `explain_clusters` found: one line a cluster in each array.

    Attributes
    ----------
    sizes : ndarray of int of shape (n_clusters,)
        Rows in each cluster.
    prototypes : ndarray of shape (n_clusters, n_features)
        In the units of the rows; NaN for a cluster without rows, if it cannot be
        decoded.
    nearest_rows : ndarray of int of shape (n_clusters, n_rows)
        Numbers of the rows of the cluster that lie nearest to its center in the
        embedding, nearest first; -1 where it has fewer.
    columns : ndarray of shape (n_clusters, n_columns)
        Names of the columns that tell the cluster from the others, or their numbers.
    correlations : ndarray of shape (n_clusters, n_columns)
        Of each such column with being in the cluster, from -1 to 1.
    means, other_means : ndarray of shape (n_clusters, n_columns)
        Mean of each such column inside and outside of the cluster; NaN of no rows.
    """

    sizes: np.ndarray
    prototypes: np.ndarray
    nearest_rows: np.ndarray
    columns: np.ndarray
    correlations: np.ndarray
    means: np.ndarray
    other_means: np.ndarray

    def table(self) -> dict[str, np.ndarray]:
        """One line a cluster and column, for ``pandas.DataFrame``."""
        n_clusters, n_columns = self.columns.shape
        return {
            "cluster": np.repeat(np.arange(n_clusters), n_columns),
            "size": np.repeat(self.sizes, n_columns),
            "column": self.columns.ravel(),
            "correlation": self.correlations.ravel(),
            "mean": self.means.ravel(),
            "other_mean": self.other_means.ravel(),
        }

    def __str__(self) -> str:
        lines = []
        for j, size in enumerate(self.sizes):
            lines.append(f"cluster {j}: {size} rows")
            for k, column in enumerate(self.columns[j]):
                lines.append(
                    f"    {column}: {self.means[j, k]:.4g}, elsewhere "
                    f"{self.other_means[j, k]:.4g} "
                    f"(correlation {self.correlations[j, k]:+.2f})"
                )
        return "\n".join(lines)


@checks_parameters(
    {
        "n_rows": [Interval(Integral, 0, None, closed="left")],
        "n_columns": [Interval(Integral, 0, None, closed="left")],
    }
)
def explain_clusters(
    clusterer: Any,
    X: Any,
    *,
    table: Any = None,
    feature_names: Any = None,
    n_rows: int = 5,
    n_columns: int = 5,
) -> ClusterExplanation:
    """Describe the clusters of rows: prototypes, nearest rows, distinguishing columns.

    The prototype of a cluster is what the decoder makes of its center, or the mean of
    its rows where no decoder is trained along. Columns are ordered by the size of
    their correlation with being in the cluster.

    Parameters
    ----------
    clusterer : estimator
        A fitted clusterer of skdeep.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows as the clusterer takes them.
    table : {array-like, sparse matrix} of shape (n_samples, n_columns), default=None
        The same rows in other columns, which are described instead of those of X: the
        table before it was scaled, say, with indicators for its categories
        (``pandas.get_dummies``) and no missing cells. None means X.
    feature_names : array-like of shape (n_columns,), default=None
        Names of the columns. None means those of a data frame, else their numbers.
    n_rows : int, default=5
        Nearest rows of each cluster.
    n_columns : int, default=5
        Columns of each cluster, if there are as many.

    Returns
    -------
    explanation : ClusterExplanation
        Arrays `sizes`, `prototypes`, `nearest_rows`, `columns`, `correlations`,
        `means` and `other_means`, and a method `table`. Print it to read it.

    Raises
    ------
    TypeError
        If `clusterer` is no clusterer of skdeep.
    ValueError
        If the table or the names do not fit, or a number is negative.

    See Also
    --------
    cluster_terms : Top terms of clusters of documents.

    References
    ----------
    .. [1] R. F. Tate, "Correlation between a Discrete and a Continuous Variable.
       Point-Biserial Correlation", Annals of Mathematical Statistics 25, 1954.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.cluster import AEKMeans, explain_clusters
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X = load_iris(as_frame=True).data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=50)
    >>> model = AEKMeans(3, autoencoder=autoencoder, random_state=0).fit(X)
    >>> explanation = explain_clusters(model, X, n_columns=2)
    >>> explanation.columns.shape, explanation.prototypes.shape
    ((3, 2), (3, 4))
    """
    if not isinstance(clusterer, BaseDeepClusterer):
        raise TypeError(
            "The 'clusterer' parameter of explain_clusters must be a fitted clusterer "
            "of skdeep: of a pipeline its last step, with the rows that reach it, of a "
            f"search the clusterer that it found. Got {type(clusterer).__name__}."
        )
    check_is_fitted(clusterer)
    labels = clusterer.predict(X)
    n_clusters = len(clusterer.cluster_centers_)
    described = X if table is None else table
    names = names_of(described, feature_names)
    require_no_times(described, "table", TEXT_COLUMNS)
    try:
        values = check_array(
            flat_rows(described), accept_sparse="csr", dtype=NUMBERS, input_name="table"
        )
    except (TypeError, ValueError) as error:
        raise_advised(error, TEXT_COLUMNS)
        raise
    check_consistent_length(labels, values)
    if names is not None and len(names) != values.shape[1]:
        raise ValueError(
            f"feature_names has {len(names)} names for {values.shape[1]} columns."
        )
    means, others, correlations = contrasts(values, labels, n_clusters)
    order = np.argsort(-np.abs(correlations), axis=1, kind="stable")[:, :n_columns]
    return ClusterExplanation(
        sizes=np.bincount(labels, minlength=n_clusters),
        prototypes=prototypes_of(clusterer, X, labels),
        nearest_rows=nearest_rows(clusterer, X, labels, n_rows),
        columns=order if names is None else names[order],
        correlations=np.take_along_axis(correlations, order, axis=1),
        means=np.take_along_axis(means, order, axis=1),
        other_means=np.take_along_axis(others, order, axis=1),
    )


@dataclass(frozen=True)
class ClusterTerms:
    """What `cluster_terms` found: one line a cluster.

    Attributes
    ----------
    terms : list of list of str
        Terms of each cluster, the most telling first.
    coherence : ndarray of shape (n_clusters,)
        NPMI of the terms of each cluster, from -1 to 1.
    """

    terms: list[list[str]]
    coherence: np.ndarray

    def __str__(self) -> str:
        return "\n".join(
            f"cluster {j} (coherence {coherence:.2f}): {', '.join(terms)}"
            for j, (terms, coherence) in enumerate(
                zip(self.terms, self.coherence, strict=True)
            )
        )


@checks_parameters({"n_terms": [Interval(Integral, 1, None, closed="left")]})
def cluster_terms(
    labels: Any, X: Any, feature_names: Any, *, n_terms: int = 10
) -> ClusterTerms:
    """Top terms of clusters of documents, and how coherent they are.

    A term is the higher the more its weight correlates with being in the cluster; only
    those that are heavier inside than outside count.

    Parameters
    ----------
    labels : array-like of int of shape (n_documents,)
        Clusters, from 0 on: the `labels_` of a clusterer.
    X : {array-like, sparse matrix} of shape (n_documents, n_terms)
        Counts or TF-IDF weights of the terms in the same documents.
    feature_names : array-like of str of shape (n_terms,)
        The terms: `get_feature_names_out()` of the vectoriser.
    n_terms : int, default=10
        Terms of each cluster, at most.

    Returns
    -------
    terms : ClusterTerms
        `terms`, a list of lists, and `coherence`, an array. Print it to read it.

    Raises
    ------
    ValueError
        If labels, rows or names do not fit, or `n_terms` is below 1.

    See Also
    --------
    skdeep.metrics.npmi_coherence_score : The coherence.
    explain_clusters : Columns of any table, prototypes and nearest rows.

    References
    ----------
    .. [1] J. H. Lau, D. Newman, T. Baldwin, "Machine Reading Tea Leaves: Automatically
       Evaluating Topic Coherence and Topic Model Quality", EACL 2014.

    Examples
    --------
    >>> from skdeep.cluster import cluster_terms
    >>> X = [[3, 2, 0, 0], [1, 1, 0, 1], [0, 0, 1, 2], [0, 0, 2, 3]]
    >>> print(cluster_terms([0, 0, 1, 1], X, ["bat", "ball", "star", "moon"]))
    cluster 0 (coherence 1.00): ball, bat
    cluster 1 (coherence 0.42): star, moon
    """
    X = check_array(numpy_of(X), accept_sparse="csr", dtype=NUMBERS, input_name="X")
    labels = np.asarray(numpy_of(labels))
    names = checked_names(feature_names)
    check_consistent_length(labels, X)
    if len(names) != X.shape[1]:
        raise ValueError(f"feature_names has {len(names)} names, X {X.shape[1]} terms.")
    if labels.ndim == 1 and labels.dtype.kind == "i" and labels.min() < 0:
        raise ValueError(
            f"cluster_terms needs labels from 0 on. Got {labels.min()}: leave out the "
            "documents of no cluster."
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            "cluster_terms needs labels of shape (n_documents,) that are integers. "
            f"Got an array of shape {labels.shape} and type {labels.dtype}."
        )
    correlations = contrasts(X, labels, int(labels.max()) + 1)[2]
    order = np.argsort(-correlations, axis=1, kind="stable")[:, :n_terms]
    top = np.where(np.take_along_axis(correlations, order, axis=1) > 0, order, -1)
    terms = [[str(name) for name in names[line[line >= 0]]] for line in top]
    return ClusterTerms(terms, npmi_coherence_score(X, top))


def names_of(table: Any, feature_names: Any) -> np.ndarray | None:
    """Return the names of the columns: those given, those of a frame, or none."""
    if feature_names is None:
        feature_names = column_names(table)
    return None if feature_names is None else checked_names(feature_names)


def checked_names(feature_names: Any) -> np.ndarray:
    """Return names of columns as an array of one dimension."""
    if isinstance(feature_names, list | tuple) and any(
        isinstance(name, tuple) for name in feature_names
    ):  # as of several levels, which NumPy would make columns of
        return np.fromiter(feature_names, dtype=object, count=len(feature_names))
    names = np.asarray(feature_names, dtype=object)
    if names.ndim != 1:
        raise ValueError(
            "The 'feature_names' parameter must be a sequence with a name for each "
            f"column. Got {feature_names!r} instead."
        )
    return names


def contrasts(
    X: np.ndarray | sparse.csr_matrix, labels: np.ndarray, n_clusters: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Compare the columns inside and outside of each cluster.

    The correlation of a column with membership of a cluster, which has a share
    :math:`\pi` of the rows, is :math:`(m - m') \sqrt{\pi (1 - \pi)} / s`, with m and
    m' the means inside and outside and s the deviation of the column.

    Returns
    -------
    means, others, correlations : ndarray of shape (n_clusters, n_columns)
        Means of no rows are NaN; correlations are 0 there and where a column is
        constant.
    """
    n = len(labels)
    sizes = np.bincount(labels, minlength=n_clusters)
    sums = np.zeros((n_clusters, X.shape[1]))
    for start in range(0, n, CHUNK):  # a table on disk stays there
        part = labels[start : start + CHUNK]
        places = part, np.arange(len(part))
        shape = n_clusters, len(part)
        members = sparse.csr_matrix((np.ones(len(part)), places), shape=shape)
        of_part = members @ X[start : start + CHUNK]
        sums += of_part.toarray() if sparse.issparse(of_part) else of_part
    with np.errstate(invalid="ignore"):
        means = sums / sizes[:, None]
        others = (sums.sum(axis=0) - sums) / (n - sizes)[:, None]
    others[sizes == n] = np.nan
    moderate, exponents = of_moderate_size(added_up(X))
    columns = column_statistics(moderate)
    deviation = np.sqrt(columns.variance)
    share = (sizes / n)[:, None]
    scale = np.where(deviation > 0, deviation, np.inf)
    difference = np.ldexp(means - others, -exponents)
    correlations = difference * np.sqrt(share * (1 - share)) / scale
    correlations[(sizes == 0) | (sizes == n)] = 0
    return means, others, np.clip(correlations, -1, 1)


def prototypes_of(clusterer: Any, X: Any, labels: np.ndarray) -> np.ndarray:
    """Decode the centers, or return the means of the rows of the clusters."""
    centers = clusterer.cluster_centers_
    if hasattr(clusterer, "inverse_transform"):
        return clusterer.inverse_transform(centers)
    rows = check_array(flat_rows(X), accept_sparse="csr", dtype=NUMBERS)
    return contrasts(rows, labels, len(centers))[0]


def nearest_rows(clusterer: Any, X: Any, labels: np.ndarray, n_rows: int) -> np.ndarray:
    """Numbers of the rows of each cluster nearest to its center; -1 for none."""
    Z = np.asarray(clusterer.transform(X))
    centers = clusterer.cluster_centers_
    distances = np.linalg.norm(Z - centers[labels], axis=1)
    nearest = np.full((len(centers), n_rows), -1)
    for j in range(len(centers)):
        members = np.flatnonzero(labels == j)
        found = members[np.argsort(distances[members], kind="stable")[:n_rows]]
        nearest[j, : len(found)] = found
    return nearest
