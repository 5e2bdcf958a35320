"""Scorers of clusterers: callables `scorer(estimator, X, y=None)` to be maximised.

All go where scikit-learn takes `scoring`, as in `GridSearchCV`. They are plain
functions, so that they pickle by name, and they are finite for every partition that
`predict` returns, one single cluster included: a search can rank every candidate.
"""

from math import ceil
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from sklearn.utils import resample

from skdeep.metrics._contingency import coded_labels
from skdeep.metrics._matching import clustering_accuracy_score
from skdeep.metrics._modularity import neighbor_modularity_score
from skdeep.metrics._rows import last_step, some_rows
from skdeep.tables import n_rows
from skdeep.wrapping import thawed

# Both may take distances between all pairs of rows: at these sizes that is seconds,
# and some twenty of them for dense rows as wide as images.
_MAX_SILHOUETTE_ROWS = 10_000
_MAX_MODULARITY_ROWS = 20_000


def clustering_accuracy_scorer(estimator: Any, X: Any, y: Any = None) -> float:
    """Clustering accuracy of `estimator.predict(X)` against `y`.

    Parameters
    ----------
    estimator : object
        Fitted clusterer with `predict`.
    X : array-like of shape (n_samples, n_features)
        Rows to assign to clusters.
    y : array-like of shape (n_samples,)
        Class of each row. Optional in the signature only.

    Returns
    -------
    score : float
        Between 0 and 1, larger is better.

    Raises
    ------
    ValueError
        If `y` is None, or labels are missing.

    See Also
    --------
    clustering_accuracy_score : The formula.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeep.metrics import clustering_accuracy_scorer
    >>> X, y = [[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"]
    >>> clustering_accuracy_scorer(KMeans(2, random_state=0).fit(X), X, y)
    1.0
    """
    _require_labels(y, "clustering_accuracy_scorer")
    return clustering_accuracy_score(y, estimator.predict(X))


def normalized_mutual_info_scorer(estimator: Any, X: Any, y: Any = None) -> float:
    r"""Normalised mutual information of `estimator.predict(X)` and `y`, geometric.

    .. math:: \mathrm{NMI} = \frac{I(Y; C)}{\sqrt{H(Y) H(C)}}

    The geometric mean of the entropies is the one of the deep clustering papers;
    scikit-learn's default is the arithmetic one, and the two agree only when both
    entropies do.

    Parameters
    ----------
    estimator : object
        Fitted clusterer with `predict`.
    X : array-like of shape (n_samples, n_features)
        Rows to assign to clusters.
    y : array-like of shape (n_samples,)
        Class of each row. Optional in the signature only.

    Returns
    -------
    score : float
        Between 0 and 1, larger is better; 0 for one single cluster of several
        classes.

    Raises
    ------
    ValueError
        If `y` is None, or labels are missing.

    See Also
    --------
    sklearn.metrics.normalized_mutual_info_score : The score of two labelings, with
        `average_method="arithmetic"` as its default.

    References
    ----------
    .. [1] A. Strehl, J. Ghosh, "Cluster ensembles: a knowledge reuse framework for
       combining multiple partitions", JMLR 3, 2002, equation 3.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeep.metrics import normalized_mutual_info_scorer
    >>> X, y = [[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"]
    >>> model = KMeans(2, random_state=0).fit(X)
    >>> round(normalized_mutual_info_scorer(model, X, y), 6)
    1.0
    """
    _require_labels(y, "normalized_mutual_info_scorer")
    (_, y), labels = coded_labels(y, "y"), estimator.predict(X)
    return float(normalized_mutual_info_score(y, labels, average_method="geometric"))


def adjusted_rand_scorer(estimator: Any, X: Any, y: Any = None) -> float:
    """Rand index of `estimator.predict(X)` and `y`, adjusted for chance.

    Parameters
    ----------
    estimator : object
        Fitted clusterer with `predict`.
    X : array-like of shape (n_samples, n_features)
        Rows to assign to clusters.
    y : array-like of shape (n_samples,)
        Class of each row. Optional in the signature only.

    Returns
    -------
    score : float
        Between -0.5 and 1, larger is better; 0 on average for random labels, and for
        one single cluster of several classes.

    Raises
    ------
    ValueError
        If `y` is None, or labels are missing.

    See Also
    --------
    sklearn.metrics.adjusted_rand_score : The score of two labelings.

    Notes
    -----
    The string `"adjusted_rand_score"` is scikit-learn's scorer of the same quantity.
    This one tells what to do when there are no labels.

    References
    ----------
    .. [1] L. Hubert, P. Arabie, "Comparing partitions", Journal of Classification 2,
       1985, doi:10.1007/BF01908075.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skdeep.metrics import adjusted_rand_scorer
    >>> X, y = [[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"]
    >>> adjusted_rand_scorer(KMeans(2, random_state=0).fit(X), X, y)
    1.0
    """
    _require_labels(y, "adjusted_rand_scorer")
    _, y = coded_labels(y, "y")
    return float(adjusted_rand_score(y, estimator.predict(X)))


def embedding_silhouette_scorer(estimator: Any, X: Any, y: Any = None) -> float:  # noqa: ARG001
    r"""Silhouette of `estimator.predict(X)` in the space of `estimator.transform(X)`.

    The mean over rows :math:`i` of

    .. math:: s_i = \frac{d_i^\mathrm{other} - d_i^\mathrm{own}}
              {\max(d_i^\mathrm{own}, d_i^\mathrm{other})},

    with the mean Euclidean distances from the embedding of the row to the other rows
    of its own cluster and to the rows of the nearest other cluster.

    Parameters
    ----------
    estimator : object
        Fitted clusterer with `predict` and `transform`, or a pipeline that ends in
        one.
    X : array-like of shape (n_samples, n_features)
        Rows to assign to clusters. Above 10 000 rows, a fixed sample of 10 000 counts.
    y : None
        Ignored.

    Returns
    -------
    score : float
        Between -1 and 1, larger is better; -1 for one single cluster, and when every
        row is a cluster.

    See Also
    --------
    neighbor_modularity_scorer : Judges in the input space, which is the same for
        every candidate.

    Notes
    -----
    The embedding that a deep clusterer learns is part of the answer: training pulls
    the rows of a cluster together, so the silhouette rises whether or not the clusters
    are right. Compare numbers of clusters on one embedding with it, not embeddings
    with each other.

    References
    ----------
    .. [1] P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and
       validation of cluster analysis", Journal of Computational and Applied
       Mathematics 20, 1987, doi:10.1016/0377-0427(87)90125-7.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skdeep.metrics import embedding_silhouette_scorer
    >>> centers = [[0, 0], [5, 0], [0, 5]]
    >>> X, _ = make_blobs(200, centers=centers, cluster_std=0.5, random_state=0)
    >>> search = GridSearchCV(
    ...     KMeans(random_state=0),
    ...     {"n_clusters": [2, 3, 4]},
    ...     scoring=embedding_silhouette_scorer,
    ... )
    >>> search.fit(X).best_params_
    {'n_clusters': 3}
    """
    X = some_rows(X, _MAX_SILHOUETTE_ROWS)
    labels = np.asarray(estimator.predict(X))
    if not 1 < len(np.unique(labels)) < len(labels):
        return -1.0
    return float(silhouette_score(estimator.transform(X), labels))


def neighbor_modularity_scorer(estimator: Any, X: Any, y: Any = None) -> float:  # noqa: ARG001
    """Modularity of `estimator.predict(X)` on the 15-nearest-neighbour graph of X.

    The graph is that of the input of the clusterer: of a pipeline, or a search over
    one, the rows as the steps before the last one prepare them.

    Parameters
    ----------
    estimator : object
        Fitted clusterer with `predict`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to assign to clusters. Above 20 000 rows, a fixed sample of 20 000 counts.
    y : None
        Ignored.

    Returns
    -------
    score : float
        Between -0.5 and 1, larger is better; 0 for one single cluster.

    See Also
    --------
    neighbor_modularity_score : The formula, and what it can and cannot see.

    Notes
    -----
    Columns of different units should be scaled, before the search or in the pipeline.
    A search over the preparing steps compares graphs of different spaces: such scores
    should not be compared.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from skdeep.metrics import neighbor_modularity_scorer
    >>> X, _ = make_blobs(200, centers=4, cluster_std=0.3, random_state=0)
    >>> round(neighbor_modularity_scorer(KMeans(4, random_state=0).fit(X), X), 2)
    0.75
    """
    X = some_rows(X, _MAX_MODULARITY_ROWS)
    labels = estimator.predict(X)
    _, prepared = last_step(estimator, X)
    return neighbor_modularity_score(prepared, labels)


def stability_scorer(estimator: Any, X: Any, y: Any = None) -> float:  # noqa: ARG001
    """Agreement of two fits of the estimator on overlapping samples of X.

    Clusters that are really there are found again when some rows are missing. Two
    clones of the estimator are fitted on two fixed random samples of 80 % of the
    rows, both predict all rows, and the score is the adjusted Rand index of the two
    labelings.

    Parameters
    ----------
    estimator : object
        Clusterer with `predict`, or a frozen one. Its parameters are used, its fit is
        neither used nor changed.
    X : array-like of shape (n_samples, n_features)
        Rows to fit on and to assign. In a search, the rows held out.
    y : None
        Ignored.

    Returns
    -------
    score : float
        Between -0.5 and 1, larger is better; 0 if either fit puts all rows into one
        cluster, since two such fits agree whatever the data.

    See Also
    --------
    neighbor_modularity_scorer : Label-free too, without fits.

    Notes
    -----
    Each call costs two fits of 80 % of the rows. A search with c candidates and f
    folds makes 2 c f of them beside its own c f + 1. The clones have no callbacks.

    Two fits can agree on wrong clusters. Stability favours few clusters, and on
    large data every number of clusters whose objective has one best solution [2]_.
    Whatever the estimator freezes, as a `FrozenEstimator` within a pipeline, is equal
    in both fits and raises the score.

    References
    ----------
    .. [1] A. Ben-Hur, A. Elisseeff, I. Guyon, "A stability based method for
       discovering structure in clustered data", Pacific Symposium on Biocomputing
       2002.
    .. [2] U. von Luxburg, "Clustering stability: an overview", Foundations and Trends
       in Machine Learning 2, 2010, arXiv:1007.1075.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from skdeep.metrics import stability_scorer
    >>> X, _ = make_blobs(200, centers=4, cluster_std=0.3, random_state=0)
    >>> stability_scorer(KMeans(4, n_init=5, random_state=0), X)
    1.0
    >>> stability_scorer(KMeans(7, n_init=5, random_state=0), X) < 1.0
    True
    """
    estimator = thawed(estimator)  # a frozen one's fit would do nothing
    first, second = (_labels_of_refit(estimator, X, seed) for seed in (0, 1))
    if len(np.unique(first)) == 1 or len(np.unique(second)) == 1:
        return 0.0
    return float(adjusted_rand_score(first, second))


CLUSTERING_SCORERS = {
    "ACC": clustering_accuracy_scorer,
    "NMI": normalized_mutual_info_scorer,
    "ARI": adjusted_rand_scorer,
}
"""Scorers of clusterers against labels, by the names of the papers."""


def _require_labels(y: Any, name: str) -> None:
    if y is None:
        raise ValueError(
            f"{name} needs labels: it compares estimator.predict(X) with y, and y is "
            "None. Pass them, as in GridSearchCV(...).fit(X, y); for a search without "
            "labels use embedding_silhouette_scorer, neighbor_modularity_scorer or "
            "stability_scorer."
        )


def _labels_of_refit(estimator: Any, X: Any, seed: int) -> np.ndarray:
    n_samples = ceil(0.8 * n_rows(X))
    rows = resample(X, replace=False, n_samples=n_samples, random_state=seed)
    return np.asarray(_unwatched_clone(estimator).fit(rows).predict(X))


def _unwatched_clone(estimator: Any) -> Any:
    # Callbacks may call this scorer, whose fits would then call it again.
    copy, given = clone(estimator), estimator.get_params()
    for name, part in {"": copy, **copy.get_params()}.items():
        if hasattr(part, "set_callbacks") and part is not given.get(name):
            part.set_callbacks()
    return copy
