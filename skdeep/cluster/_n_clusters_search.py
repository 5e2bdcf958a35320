"""The number of clusters, chosen from the codes of one pretrained encoder."""

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdeep._compat import HasMethods, Interval, fit_context
from skdeep.base import image_shape_of
from skdeep.cluster._base import BaseDeepClusterer
from skdeep.cluster._dec import DECClusterer
from skdeep.cluster._graph_kmeans import N_NEIGHBORS, NEGLIGIBLE, Partition, kmeans
from skdeep.cluster._starts import closed_sample
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.representation._pretraining import encoder_parameter, fitted_encoder
from skdeep.training import FitTask

MAX_ROWS = 20_000
"""Rows on which k-means places the centers of a candidate; all get a label, or of long
tables those of a sample.
"""

BLURRED = 1 / 15
"""Share of edges that the best labels cut, from which on the tolerance is full."""

ENOUGH = 0.5
"""Share of the largest modularity that clusters which lie apart need: few outliers that
lie apart have next to none.
"""


class NClustersSearch(BaseDeepClusterer):
    r"""Choose the number of clusters, and cluster by that number.

    The encoder of the clusterer is pretrained once. Then k-means clusters its codes
    with each number of clusters K, and the labels are judged in the input: by how few
    edges of its nearest-neighbour graph they cut. With the shares :math:`e_{cc}` of the
    edges inside cluster c and :math:`a_c` of the edge ends in it, their modularity and
    cut are

    .. math::
        Q_K = \sum_{c=1}^K \left( e_{cc} - a_c^2 \right), \qquad
        C_K = 1 - \sum_{c=1}^K e_{cc} .

    Modularity alone splits most real classes: around its peak :math:`\hat K` the curve
    is flat. The fewest clusters are chosen that lose little, by the tolerance
    :math:`\tau`,

    .. math:: K^* = \min \{ K : Q_K \ge Q_{\hat K}
              - \tau \min (1, 15 \, C_{\hat K}) \},

    and the clusterer is fitted with :math:`K^*` clusters, starting from the pretrained
    encoder. Where clusters lie apart, the best labels cut nothing, and nothing is given
    up. But modularity also divides two large clusters, however far apart: where the
    labels of :math:`K^*` clusters cut a fifteenth of the edges or more, and those of
    fewer, with half the modularity or more, cut next to none (0.002), the latter are
    chosen.

    Parameters
    ----------
    clusterer : estimator or None, default=None
        The clusterer to fit: it is cloned, not changed, and its `n_clusters` is
        ignored. It must pretrain an encoder. None means ``DECClusterer()``.

    min_clusters : int, default=2
        Smallest number of clusters that is tried.

    max_clusters : int, default=30
        Largest number of clusters that is tried, as far as there are rows.

    tolerance : float, default=0.02
        :math:`\tau`: larger finds fewer clusters. 0 takes the largest modularity.

    n_init : int, default=5
        k-means starts of each candidate; the best is kept.

    random_state : int, RandomState instance or None, default=None
        Seed of all phases; of the clusterer, if it has none.

    verbose : int, default=0
        1 writes one line for the pretraining; of what follows the clusterer's own
        `verbose` decides.

    Attributes
    ----------
    n_clusters_ : int
        The number of clusters that was chosen.

    results_ : dict of str to ndarray
        The curve it was chosen from, a table of one line a candidate:
        ``"n_clusters"``, ``"score"`` (the modularity :math:`Q_K`, the larger the
        better), ``"cut"`` (:math:`C_K`) and ``"inertia"`` (that of k-means, for those
        who look for its elbow). It goes into ``pandas.DataFrame``.

    clusterer_ : estimator
        The fitted clusterer.

    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each training row, equal to `predict` on them.

    cluster_centers_ : ndarray of shape (n_clusters, n_components), float32
        Those of the clusterer.

    n_iter_ : int
        That of the clusterer.

    history_ : dict of str to list of float
        That of the clusterer, which is that of the autoencoder if there is no other
        training.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    skdeep.metrics.graph_modularity : The criterion.
    sklearn.model_selection.GridSearchCV : Searches all other parameters.

    Notes
    -----
    The number is that of groups which the neighbourhoods of the input tell apart. A
    class of several shapes counts as several, and two classes that lie side by side
    as one. Silhouettes, the gap statistic, the stability of the labels, the Bayesian
    information criterion of a mixture and the largest modularity were farther from the
    true number on most real sets; the user guide has the table.

    Cost: one pretraining, k-means on at most 20 000 codes a candidate, and one fit of
    the clusterer that starts from the pretrained encoder.

    References
    ----------
    .. [1] M. E. J. Newman, M. Girvan, "Finding and evaluating community structure in
       networks", Physical Review E 69, 2004, arXiv:cond-mat/0308217.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeep.cluster import AEKMeans, NClustersSearch
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X, _ = make_blobs(300, n_features=8, centers=6, random_state=1)
    >>> clusterer = AEKMeans(autoencoder=AutoencoderTransformer(4, max_iter=50))
    >>> search = NClustersSearch(clusterer, max_clusters=10, random_state=0).fit(X)
    >>> search.n_clusters_
    6
    """

    _defaults = {"clusterer": DECClusterer}

    _parameter_constraints: dict[str, list[Any]] = {
        "clusterer": [HasMethods(["fit", "predict_proba"]), None],
        "min_clusters": [Interval(Integral, 1, None, closed="left")],
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        clusterer=None,
        *,
        min_clusters=2,
        max_clusters=30,
        tolerance=0.02,
        n_init=5,
        random_state=None,
        verbose=0,
    ):
        self.clusterer = clusterer
        self.min_clusters = min_clusters
        self.max_clusters = max_clusters
        self.tolerance = tolerance
        self.n_init = n_init
        self.random_state = random_state
        self.verbose = verbose

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        """Pretrain, choose the number of clusters, fit the clusterer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W). At least `min_clusters` rows.
        y : None
            Ignored.

        Returns
        -------
        self : NClustersSearch

        Raises
        ------
        TypeError
            If the clusterer pretrains no encoder.
        ValueError
            If `max_clusters` is smaller than `min_clusters`.
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.
        """
        clusterer = clone(given_clusterer(self))
        first, last = int(self.min_clusters), int(self.max_clusters)
        if last < first:
            raise ValueError(
                "The 'max_clusters' parameter of NClustersSearch must be at least "
                f"min_clusters={first}. Got {last!r} instead."
            )
        image_shape, given = image_shape_of(X), X
        X = self._validated(X, reset=True, min_samples=first)
        candidates = np.arange(first, min(last, X.shape[0]) + 1)
        with FitTask(self, X, y, max_subtasks=3) as task:
            pretrain_seed, neighbor_seed, kmeans_seed, fit_seed = task.seeds(self, 4)
            # Phase 1: pretrain the encoder, once.
            encoder, neighbors = fitted_encoder(
                clusterer, X, image_shape, pretrain_seed, task
            )

            # Phase 2: judge the labels of k-means for each number of clusters.
            with task.leaf("search"):
                rows = encoder._scaled_rows(X, resident=True)
                if neighbors is None:
                    neighbors = nearest_neighbors(rows, N_NEIGHBORS, neighbor_seed)
                Z = encoder._encode(rows)
                results = curve(Z, neighbors, candidates, int(self.n_init), kmeans_seed)
            n_clusters = fewest_clusters(results, self.tolerance)

            # Phase 3: fit the clusterer, from the pretrained encoder on.
            parameter = encoder_parameter(clusterer)
            open_encoder = getattr(clusterer, parameter)
            clusterer.n_clusters = n_clusters
            setattr(clusterer, parameter, FrozenEstimator(encoder))
            if clusterer.random_state is None:
                clusterer.random_state = fit_seed
            with task.leaf("fit-clusterer", clusterer):
                clusterer.fit(given, y)
            # The encoder is in the fitted clusterer: a second copy would be stored.
            setattr(clusterer, parameter, open_encoder)

            self.n_clusters_ = n_clusters
            self.results_ = results
            self.clusterer_ = clusterer
            for name in ("labels_", "cluster_centers_", "n_iter_", "history_"):
                setattr(self, name, getattr(clusterer, name))
        return self

    @available_if(lambda search: clusterer_decodes(search))
    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows that the decoder makes of embeddings, in the units of the input.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Embeddings, for example `cluster_centers_`.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features), float32
            In float64 if that is too coarse for a column, or its unit too small.

        Raises
        ------
        ValueError
            If X has more or fewer columns than an embedding.
        """
        check_is_fitted(self)
        self._placed()
        return self.clusterer_.inverse_transform(X)

    @property
    def device(self) -> str:
        """That of the clusterer."""
        return given_clusterer(self).device

    def _device(self) -> torch.device:
        return given_clusterer(self)._device()

    def _embedder(self) -> BaseRepresentation:
        self.clusterer_.device = self.device
        return self.clusterer_._embedder()

    def _assignment(self) -> Callable[[Tensor], Tensor]:
        return self.clusterer_._assignment()

    def _objective(self) -> Callable[[Tensor], Tensor]:
        return self.clusterer_._objective()


def given_clusterer(search: NClustersSearch) -> Any:
    """Clusterer that a search was given, or that None stands for."""
    given = DECClusterer() if search.clusterer is None else search.clusterer
    if not isinstance(given, BaseDeepClusterer) or isinstance(given, NClustersSearch):
        raise TypeError(
            "The 'clusterer' parameter of NClustersSearch must be a skdeep clusterer "
            f"that pretrains an encoder, such as DECClusterer(). Got {given!r} instead."
        )
    return given


def clusterer_decodes(search: NClustersSearch) -> bool:
    """Whether the clusterer of a search, fitted or not, has a decoder."""
    clusterer = getattr(search, "clusterer_", search.clusterer)
    return hasattr(clusterer, "inverse_transform")


def curve(
    Z: np.ndarray,
    neighbors: np.ndarray,
    candidates: np.ndarray,
    n_init: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Judge the labels of k-means on codes, for each number of clusters.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_components)
    neighbors : ndarray of int of shape (n_samples, n_neighbors)
        The nearest-neighbour graph of the scaled rows.
    candidates : ndarray of int of shape (n_candidates,)
    n_init, seed : int
        Of k-means.

    Returns
    -------
    dict of str to ndarray of shape (n_candidates,)
    """
    sample = closed_sample(len(Z), candidates[-1], seed)
    neighbors = np.searchsorted(sample, neighbors[sample])
    part = Z = Z[sample]
    if len(Z) > MAX_ROWS:
        rows = np.random.RandomState(seed).choice(len(Z), MAX_ROWS, replace=False)
        part = Z[rows]
    parts, inertias = [], []
    for n_clusters in candidates:
        with warnings.catch_warnings():
            # Rows of fewer distinct values than clusters: their labels are judged too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = kmeans(part, int(n_clusters), n_init, seed)
        labels = found.labels_ if part is Z else found.predict(Z)
        parts.append(Partition.of(neighbors, labels))
        inertias.append(found.inertia_)
    return {
        "n_clusters": candidates,
        "score": np.array([part.modularity for part in parts]),
        "cut": np.array([part.cut for part in parts]),
        "inertia": np.array(inertias),
    }


def fewest_clusters(results: dict[str, np.ndarray], tolerance: float) -> int:
    """Smallest number of clusters whose modularity is about the largest.

    Modularity divides two large clusters, as halves are worth more to it than the edges
    between them: where the labels are blurred, and those of fewer clusters lie apart,
    these are taken. A tolerance of 0 leaves it at that.
    """
    numbers, score, cut = (results[name] for name in ("n_clusters", "score", "cut"))
    best = score.argmax()
    loss = tolerance * min(1.0, cut[best] / BLURRED)
    chosen = (score >= score[best] - loss).argmax()
    apart = (cut <= NEGLIGIBLE) & (score >= ENOUGH * score[best]) & (numbers > 1)
    if tolerance > 0 and cut[chosen] >= BLURRED and apart[:chosen].any():
        chosen = np.flatnonzero(apart[:chosen])[-1]
    return int(numbers[chosen])
