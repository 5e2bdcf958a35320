"""Deep clustering network (DCN)."""

from collections.abc import Callable
from numbers import Real
from typing import Any, Self

import torch
from torch import Tensor

from skdeep._compat import Interval, fit_context
from skdeep.base import image_shape_of
from skdeep.cluster._base import (
    BaseDeepClusterer,
    encoder_and_centroids,
    inverse_transform,
    require_decoder,
)
from skdeep.cluster._pseudo_labels import (
    PSEUDO_LABEL_CONSTRAINTS,
    with_pseudo_labels,
)
from skdeep.cluster._runs import fit_best_run
from skdeep.cluster._steps import (
    SELF_TRAINING_CONSTRAINTS,
    Assigned,
    augmentation,
    reseeded,
    self_training,
    start,
)
from skdeep.nn import chained
from skdeep.objectives.clustering import kmeans_loss, moved_centroids
from skdeep.objectives.distances import squared_distances
from skdeep.objectives.reconstruction import RECONSTRUCTIONS
from skdeep.training import Adam, FitTask


class DCNClusterer(BaseDeepClusterer):
    r"""Deep clustering network: an embedding in which k-means finds tight clusters.

    An autoencoder is pretrained and k-means places the centroids in its embedding. Then
    both go on together: each batch of rows is assigned to the nearest centroids, the
    networks take a step that rebuilds the rows and draws their embeddings to these
    centroids, and the centroids move to the rows. With the decoder g,

    .. math::

        L = \frac1n \sum_i \frac1D \|x_i - g(z_i)\|^2
          + \texttt{clustering\_weight} \;
            \frac1n \sum_i \min_j \|z_i - \mu_j\|^2

    or the cross-entropy of autoencoders that have it in place of the squared error,
    where D is the number of features, x is scaled as the autoencoder scales it,
    :math:`z_i` is the embedding of row i and :math:`\mu_j` the centroid of cluster j. A
    row that is assigned to cluster j moves its centroid by
    :math:`(z_i - \mu_j) / c_j`, with :math:`c_j` the rows that did so, itself included.

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
        Degrees of freedom of the Student-t kernel of `predict_proba`; smaller has
        heavier tails. The training knows it only where `pseudo_label_weight` asks for
        sure rows.

    clustering_weight : float, default=0.01
        Weight of the distances to the centroids. Larger makes tighter clusters and
        rebuilds the rows worse. The paper sums both terms over rows, features and
        components and weights the second by :math:`\lambda / 2`: that is
        ``clustering_weight`` :math:`= \lambda / 2D`.

    init : {"auto", "modularity", "inertia", "kmeans", "tied", "gmm", "smooth", "spectral"}, default="auto"
        How the centroids are placed in the pretrained embedding.
        ``"modularity"``: of `n_init` k-means, the one whose labels cut the
        nearest-neighbour graph of the input least, or, if they cut clearly less, the
        means of Gaussians of one common covariance; ``"inertia"``: the one of least
        inertia, unless clusters of unequal sizes cut far fewer edges; ``"kmeans"``: the
        one of least inertia, as in the papers; ``"tied"`` and ``"gmm"``: at the means
        of Gaussians of one common or of full covariances; ``"smooth"``: by k-means on
        codes averaged over their neighbours; ``"spectral"``: at the means of spectral
        clusters. ``"auto"`` is modularity, inertia for rows of one length, as those of
        words are and of one-hot columns alone, and k-means for tables of categories
        beside measurements.

    n_init : int, default=20
        Starts of k-means, of which the best is kept. Gaussians, each of which starts
        from a k-means, have a quarter as many with ``init="gmm"`` and half as many with
        ``"modularity"``. From 100 000 rows on, or 1000 for each cluster if these are
        more, starts are made and compared in a random sample of about half the rows at
        most. Mixtures are fitted to 20 000 codes at most.

    n_runs : int, default=1
        Whole fits, pretraining included, from different seeds; the one of which the
        labels have the largest modularity on the nearest-neighbour graph of the input,
        or cut less than half as many of its edges, is kept. Runs share the
        pretraining if the autoencoder is frozen or has a `random_state` of its own.

    pseudo_label_weight : float, default=0.0
        Weight of a second term: rows of the batch that are in one cluster with a q
        above `pseudo_label_threshold` take it for their label, and its cross-entropy is
        added, averaged over the rows of each cluster and then over clusters. `score`
        leaves it out.

    pseudo_label_threshold : float, default=0.9
        Least q of a row that is sure of its label.

    max_iter : int or "auto", default="auto"
        Epochs of the deep stage, at most. ``"auto"``: as many as make 400 gradient
        steps, between 2 and 200.

    tol : float, default=1e-3
        Stop when less than this fraction of the labels changes between two looks at
        all of them. 0 never stops early.

    n_iter_no_change : int, default=1
        Successive looks with less change than `tol` that stop the training.

    update_interval : int, default=1
        Epochs between such looks, at which clusters without rows get new centroids.
        The first epoch is always followed by one.

    guard : bool, default=True
        Return the state before the deep stage if the labels after it cut the
        nearest-neighbour graph of the input worse, by more than 0.01 in modularity or
        at twice as many edges, or if the embedding collapsed to few dimensions. False
        always returns the state after it.

    augment : {"auto"}, callable, MarginalCorruption or None, default="auto"
        Changes each batch of scaled rows (or images) of the deep stage before a step,
        which assigns and rebuilds the changed rows. ``"auto"`` moves, turns and resizes
        images of at least 16 x 16 pixels a little, as the autoencoder does, which has
        such a parameter of its own. A callable takes a tensor and a `torch.Generator`:
        see :mod:`skdeep.nn.augmentation`.

    batch_size : int, default=256
        Rows of a gradient step.

    learning_rate : float, default=1e-3
        Step size of Adam for the networks.

    weight_decay : float, default=0.0
        Decoupled decay of the weights per unit of step size.

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
        The trained autoencoder; `autoencoder_.history_` is that of its pretraining.

    cluster_centers_ : ndarray of shape (n_clusters, n_components), float32
        Centroids, in the embedding.

    labels_ : ndarray of shape (n_samples,), int64
        Nearest centroid of each training row, equal to `predict` on them.

    initial_labels_ : ndarray of shape (n_samples,), int64
        Clusters before the deep stage: the nearest centroid in the pretrained
        embedding.

    deep_stage_kept_ : bool
        False if the guard returned the state before the deep stage.

    initial_modularity_ : float
        Modularity of `initial_labels_` on the nearest-neighbour graph of the rows, as
        the autoencoder scales them, to be compared with the last
        ``history_["modularity"]``. NaN without the guard.

    cluster_frequencies_ : ndarray of shape (n_clusters,), float32
        Sums of `predict_proba` over the training rows: soft sizes of the clusters.

    run_scores_ : ndarray of shape (n_runs,) or None
        Modularity of the labels of each run, if there were several.

    n_iter_ : int
        Epochs of the deep stage.

    history_ : dict of str to list of float
        One value an epoch of the deep stage: the objective (``"loss"``) and its terms
        (``"reconstruction_loss"``, ``"clustering_loss"`` and, if it has a weight,
        ``"pseudo_label_loss"``), the fraction of labels that changed at the last
        look (``"label_change"``), the dimensions that the embedding spreads over
        (``"effective_rank"``) and, with the guard, the modularity of the labels
        (``"modularity"``).

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    IDECClusterer : Soft assignments and a target that sharpens them.
    AEKMeans : K-means on the same codes, without a deep stage.

    Notes
    -----
    The reconstruction keeps the embedding from shrinking to a point, which would be the
    minimum of the second term alone.

    The paper's centroid update, row by row, is done for a batch at once, by its closed
    form. Deviations from the paper: Adam instead of SGD; rows are assigned to the
    nearest centroid at each step rather than at their last visit, and the embeddings
    that move the centroids are those before the step, which spares a pass through the
    encoder; counts start from the sizes that k-means found; the autoencoder is trained
    from end to end, has a neighbour-contrastive term and 512-256 hidden units; the
    start by modularity; images are moved; a centroid that loses all its rows moves to
    the row farthest from its own; the guard.
    Nearest to the paper is ``DCNClusterer(autoencoder=AutoencoderTransformer(
    neighbor_weight=0, hidden_layer_sizes=(500, 500, 2000)), init="kmeans",
    augment=None, guard=False)`` with the weight given above.

    References
    ----------
    .. [1] B. Yang, X. Fu, N. D. Sidiropoulos, M. Hong, "Towards K-means-friendly
       Spaces: Simultaneous Deep Learning and Clustering", ICML 2017, arXiv:1610.04794.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.cluster import DCNClusterer
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=50)
    >>> dcn = DCNClusterer(3, autoencoder=autoencoder, random_state=0).fit(X)
    >>> dcn.inverse_transform(dcn.cluster_centers_).shape
    (3, 4)
    """  # noqa: E501

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepClusterer._parameter_constraints,
        **SELF_TRAINING_CONSTRAINTS,
        **PSEUDO_LABEL_CONSTRAINTS,
        "clustering_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        autoencoder=None,
        alpha=1.0,
        clustering_weight=0.01,
        init="auto",
        n_init=20,
        n_runs=1,
        pseudo_label_weight=0.0,
        pseudo_label_threshold=0.9,
        max_iter="auto",
        tol=1e-3,
        n_iter_no_change=1,
        update_interval=1,
        guard=True,
        augment="auto",
        batch_size=256,
        learning_rate=1e-3,
        weight_decay=0.0,
        device="auto",
        precision="auto",
        memory=None,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.autoencoder = autoencoder
        self.alpha = alpha
        self.clustering_weight = clustering_weight
        self.init = init
        self.n_init = n_init
        self.n_runs = n_runs
        self.pseudo_label_weight = pseudo_label_weight
        self.pseudo_label_threshold = pseudo_label_threshold
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.update_interval = update_interval
        self.guard = guard
        self.augment = augment
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device
        self.precision = precision
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        """Pretrain, start by k-means, train networks and clusters in turn.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W). At least `n_clusters` rows.
        y : None
            Ignored.

        Returns
        -------
        self : DCNClusterer

        Raises
        ------
        TypeError
            If the encoder has no decoder.
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.

        Warns
        -----
        ConvergenceWarning
            If the rows have fewer distinct values than there are clusters, or clusters
            end without rows, or the embedding collapses.
        """
        require_decoder(self)
        if self.n_runs > 1:
            return fit_best_run(self, X, y)
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True, min_samples=self.n_clusters)
        with FitTask(self, X, y, max_subtasks=3) as task:
            *start_seeds, shuffle_seed, noise_seed = task.seeds(self, 5)
            # Phase 1: pretrain the autoencoder, and place the centroids by k-means.
            begin = start(self, X, image_shape, task, start_seeds, self.init)
            rows, autoencoder = begin.rows, begin.autoencoder
            encoder, decoder = autoencoder.encoder_, autoencoder.decoder_
            reconstruction_loss = RECONSTRUCTIONS[autoencoder.loss].loss
            centroids = begin.centroids
            # c: counts start from the sizes that k-means found.
            counts = torch.bincount(begin.labels, minlength=len(centroids))
            counts = counts.to(centroids)
            begin.moving.append(counts)
            view = augmentation(self.augment, begin, noise_seed)

            # Phase 2: in turn assign, move the networks and move the centroids.
            optimizer = Adam(
                [encoder, decoder],
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                precision=self.precision,
            )

            def step(index: Tensor) -> dict[str, Tensor]:
                x = view(rows[index])
                z, output = chained(x, encoder, decoder)
                labels = squared_distances(z.detach(), centroids).argmin(1)
                distance = kmeans_loss(z, centroids, labels)
                reconstruction = reconstruction_loss(output, x)
                loss = reconstruction + self.clustering_weight * distance
                losses = {
                    "loss": loss,
                    "reconstruction_loss": reconstruction,
                    "clustering_loss": distance,
                }
                losses = with_pseudo_labels(self, losses, z, centroids)
                optimizer.step(losses["loss"])
                moved = moved_centroids(centroids, counts, z.detach(), labels)
                centroids.copy_(moved[0])
                counts.copy_(moved[1])
                return losses

            def refresh(z: Tensor) -> Assigned:
                found, emptied = reseeded(begin, z, self.alpha)
                counts[emptied] = 1
                return found

            batches = begin.batches(self.batch_size, shuffle_seed)
            fitted = self_training(
                self, begin, lambda _: step, refresh, optimizer, task, batches
            )
            self.__dict__.update(fitted)
        return self

    inverse_transform = inverse_transform

    def _objective(self) -> Callable[[Tensor], Tensor]:
        encoder, centroids = encoder_and_centroids(
            self.autoencoder_, self.cluster_centers_
        )
        decoder = self.autoencoder_.decoder_
        reconstruction_loss = RECONSTRUCTIONS[self.autoencoder_.loss].per_sample

        def objective(x: Tensor) -> Tensor:
            z = encoder(x)
            distance = squared_distances(z, centroids).amin(1)
            return (
                reconstruction_loss(decoder(z), x) + self.clustering_weight * distance
            )

        return objective
