"""k-means on the embedding of an autoencoder."""

import copy
from collections.abc import Callable
from typing import Any, Self

from torch import Tensor

from skdeep._compat import StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.cluster._base import (
    AUTOENCODER_CONSTRAINTS,
    BaseDeepClusterer,
    encoder_and_centroids,
    inverse_transform,
)
from skdeep.cluster._collapse import warn_of_empty_clusters
from skdeep.cluster._graph_kmeans import N_NEIGHBORS, kmeans, kmeans_of_graph
from skdeep.cluster._runs import fit_best_run
from skdeep.cluster._starts import GRAPH_STARTS, in_sample, resolved_init
from skdeep.objectives.distances import squared_distances
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.representation._pretraining import fitted_encoder
from skdeep.training import FitTask

OF_GRAPH: dict[str, Callable[..., Any]] = {
    **GRAPH_STARTS,
    "modularity": kmeans_of_graph,
}
"""`GRAPH_STARTS` that are k-means and never a mixture."""


class AEKMeans(BaseDeepClusterer):
    r"""k-means on the embedding of an autoencoder.

    The stage before the deep one of DEC and IDEC, by itself: an autoencoder is trained,
    and k-means clusters the embedding z of the rows,

    .. math:: \min_\mu \frac1n \sum_i \min_j \|z_i - \mu_j\|^2

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.

    autoencoder : estimator or None, default=None
        The autoencoder to pretrain: it is cloned, not changed. None means
        ``AutoencoderTransformer()``. A fitted one inside
        :class:`sklearn.frozen.FrozenEstimator` is copied and not pretrained. What it
        leaves open of `random_state`, `device` and `precision` it takes from here.

    alpha : float, default=1.0
        Degrees of freedom of the Student-t kernel of `predict_proba`, which nothing
        else knows here; smaller has heavier tails.

    init : {"auto", "modularity", "inertia", "kmeans"}, default="auto"
        Which of `n_init` k-means is kept. ``"modularity"``: the one whose labels cut
        the nearest-neighbour graph of the input least; ``"inertia"``: the one of least
        inertia, unless clusters of unequal sizes cut far fewer edges of that graph;
        ``"kmeans"``: the one of least inertia. ``"auto"`` is modularity, inertia for
        rows of one length, as those of words are and of one-hot columns alone, and
        k-means for tables of categories beside measurements and for encoders other than
        autoencoders.

    n_init : int, default=20
        k-means starts on the embedding. From 100 000 rows on, or 1000 for each cluster
        if these are more, they are made in a random sample of about half the rows at
        most; the best goes on for at most 10 rounds on all rows.

    n_runs : int, default=1
        Whole fits, pretraining included, from different seeds; the one of which the
        labels have the largest modularity on the nearest-neighbour graph of the input,
        or cut less than half as many of its edges, is kept. Runs share the
        pretraining if the autoencoder is frozen or has a `random_state` of its own.

    device : str, default="auto"
        Torch device. ``"auto"``: the GPU if there is one.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number type of the matrix products in training: see
        :class:`skdeep.representation.AutoencoderTransformer`.

    memory : str, object with the joblib.Memory interface or None, default=None
        Where pretrained autoencoders are kept: candidates of a search that share the
        autoencoder, the rows and the seed pretrain once. Needs an integer
        `random_state`.

    random_state : int, RandomState instance or None, default=None
        Seed of pretraining, k-means and shuffles.

    verbose : int, default=0
        1 writes one line a phase.

    Attributes
    ----------
    autoencoder_ : AutoencoderTransformer
        The trained autoencoder, or other encoder that was given.

    cluster_centers_ : ndarray of shape (n_clusters, n_components), float32
        Means of the clusters, in the embedding.

    labels_, initial_labels_ : ndarray of shape (n_samples,), int64
        Cluster of each training row, equal to `predict` on them. Both are the same
        here: there is no stage after k-means.

    inertia_ : float
        Sum of squared distances of the embeddings to their centers.

    run_scores_ : ndarray of shape (n_runs,) or None
        Modularity of the labels of each run, if there were several.

    n_iter_ : int
        Iterations of the best k-means.

    history_ : dict of str to list of float
        That of the autoencoder: one value an epoch.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    DECClusterer, IDECClusterer : Train the embedding for the clusters.
    sklearn.cluster.KMeans : On the input itself.

    References
    ----------
    .. [1] J. Xie, R. Girshick, A. Farhadi, "Unsupervised Deep Embedding for Clustering
       Analysis", ICML 2016, arXiv:1511.06335. (Its baseline "AE + k-means".)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.cluster import AEKMeans
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=50)
    >>> model = AEKMeans(3, autoencoder=autoencoder, random_state=0).fit(X)
    >>> model.labels_.shape
    (150,)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepClusterer._parameter_constraints,
        **AUTOENCODER_CONSTRAINTS,
        "init": [StrOptions({"auto", "kmeans", *OF_GRAPH})],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        autoencoder=None,
        alpha=1.0,
        init="auto",
        n_init=20,
        n_runs=1,
        device="auto",
        precision="auto",
        memory=None,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.autoencoder = autoencoder
        self.alpha = alpha
        self.init = init
        self.n_init = n_init
        self.n_runs = n_runs
        self.device = device
        self.precision = precision
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the autoencoder and run k-means on its embedding.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W). At least `n_clusters` rows.
        y : None
            Ignored.

        Returns
        -------
        self : AEKMeans

        Raises
        ------
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.

        Warns
        -----
        ConvergenceWarning
            If clusters are left without rows, as those are that are more than there
            are distinct rows.
        """
        if self.n_runs > 1:
            return fit_best_run(self, X, y)
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True, min_samples=self.n_clusters)
        with FitTask(self, X, y, max_subtasks=2) as task:
            pretrain_seed, kmeans_seed, neighbor_seed = task.seeds(self, 3)
            autoencoder, neighbors = fitted_encoder(
                self, X, image_shape, pretrain_seed, task
            )
            rows = autoencoder._scaled_rows(X, resident=True)
            init = resolved_init(self.init, X, autoencoder)
            if neighbors is None and init in OF_GRAPH:
                neighbors = nearest_neighbors(rows, N_NEIGHBORS, neighbor_seed)
            with task.leaf("init"):
                Z = autoencoder._encode(rows)
                start = in_sample(
                    OF_GRAPH.get(init, kmeans),
                    Z,
                    self.n_clusters,
                    self.n_init,
                    kmeans_seed,
                    neighbors if init in OF_GRAPH else None,
                )

            self.autoencoder_ = autoencoder
            self.cluster_centers_ = start.cluster_centers_
            labels = self._labels(rows)
            self.labels_, self.initial_labels_ = labels, labels.copy()
            warn_of_empty_clusters(labels, self)
            self.run_scores_ = None
            self.inertia_ = float(start.inertia_)
            self.n_iter_ = start.n_iter_
            self.history_ = copy.deepcopy(autoencoder.history_)
        return self

    inverse_transform = inverse_transform

    def _objective(self) -> Callable[[Tensor], Tensor]:
        encoder, centroids = encoder_and_centroids(
            self.autoencoder_, self.cluster_centers_
        )
        return lambda x: squared_distances(encoder(x), centroids).amin(1)
