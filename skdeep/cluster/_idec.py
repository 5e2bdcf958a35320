"""Improved deep embedded clustering (IDEC)."""

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
from skdeep.cluster._online import Reservoir, partial_fit
from skdeep.cluster._pseudo_labels import (
    PSEUDO_LABEL_CONSTRAINTS,
    with_pseudo_labels,
)
from skdeep.cluster._runs import fit_best_run
from skdeep.cluster._steps import (
    CENTROID_UPDATES,
    SELF_TRAINING_CONSTRAINTS,
    Assigned,
    Refresh,
    Start,
    Targets,
    Toward,
    augmentation,
    refreshed_assignment,
    self_training,
    start,
)
from skdeep.nn import chained
from skdeep.objectives.clustering import (
    clustering_divergence,
    clustering_divergence_per_sample,
    log_soft_assignment,
    target_distribution,
)
from skdeep.objectives.reconstruction import RECONSTRUCTIONS
from skdeep.training import Adam, FitTask, Step


class IDECClusterer(BaseDeepClusterer):
    r"""Improved deep embedded clustering: sharpen clusters, keep the embedding's shape.

    As DEC, but the decoder is trained along, so that the embedding goes on to describe
    the rows while the clusters form. With the terms of
    :class:`~skdeep.cluster.DECClusterer` and the decoder g,

    .. math::

        L = \mathrm{KL}(P \| Q) + \texttt{reconstruction\_weight} \;
            \frac1n \sum_i \frac1D \|x_i - g(z_i)\|^2

    or the cross-entropy of autoencoders that have it in place of the squared error,
    where D is the number of features and x is scaled as the autoencoder scales it.

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
        Degrees of freedom of the Student-t kernel; smaller has heavier tails.

    reconstruction_weight : float, default=1.0
        Weight of the reconstruction loss. Larger keeps the embedding closer to the
        pretrained one. The paper weights the clustering term instead,
        :math:`L_{rec} + \gamma L_{KL}` with :math:`\gamma = 0.1`: that is
        ``reconstruction_weight=10`` where, as here and in the authors' code, squared
        errors are averaged over the D features, and 10 D where they are summed.

    centroid_update : {"gradient", "mean"}, default="gradient"
        How centroids move: by the gradient at each step, as in the paper, or at each
        refresh to the mean of the rows assigned to them.

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
        Stop when less than this fraction of the labels changes between refreshes of
        the target. 0 never stops early.

    n_iter_no_change : int, default=1
        Successive refreshes below `tol` that stop the training.

    update_interval : int, default=1
        Epochs between refreshes of the target distribution. The first epoch is always
        followed by one.

    guard : bool, default=True
        Return the state before the deep stage if the labels after it cut the
        nearest-neighbour graph of the input worse, by more than 0.01 in modularity or
        at twice as many edges, or if the embedding collapsed to few dimensions. False
        always returns the state after it.

    augment : {"auto"}, callable, MarginalCorruption or None, default="auto"
        Changes each batch of scaled rows (or images) of the deep stage before a step;
        targets are those of the unchanged rows. ``"auto"`` moves, turns and resizes
        images of at least 16 x 16 pixels a little, as the autoencoder does, which has
        such a parameter of its own. A callable takes a tensor and a `torch.Generator`:
        see :mod:`skdeep.nn.augmentation`.

    batch_size : int, default=256
        Rows of a gradient step.

    learning_rate : float, default=1e-3
        Step size of Adam for the networks and the centroids.

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
        Cluster of each training row, equal to `predict` on them.

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
        Soft sizes f of the clusters, in rows.

    run_scores_ : ndarray of shape (n_runs,) or None
        Modularity of the labels of each run, if there were several.

    n_iter_ : int
        Epochs of the deep stage.

    reservoir_ : Reservoir or None
        What `partial_fit` keeps of earlier rows: a uniform sample of at most 2000
        (``reservoir_.rows``) of all that it saw (``reservoir_.n_seen``). None after
        `fit`, whose rows are not kept.

    pretrained_ : AutoencoderTransformer or None
        The autoencoder that `partial_fit` goes on to pretrain, as it is without the
        deep stages. None before the second part of a stream.

    history_ : dict of str to list of float
        One value an epoch of the deep stage: the objective (``"loss"``) and its terms
        (``"clustering_loss"``, ``"reconstruction_loss"`` and, if it has a weight,
        ``"pseudo_label_loss"``), the fraction of labels that changed at the last
        refresh (``"label_change"``), the dimensions that the embedding spreads over
        (``"effective_rank"``) and, with the guard, the modularity of the labels
        (``"modularity"``).

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    DECClusterer : Without the decoder.
    AEKMeans : K-means on the same codes, without a deep stage.

    Notes
    -----
    Both terms are averaged over the rows, KL is summed over the clusters and the
    squared error averaged over the features. Deviations from the paper are those of
    DEC, and a smaller default weight of the reconstruction, which the benchmark chose.
    Nearest to the paper is ``IDECClusterer(autoencoder=AutoencoderTransformer(
    neighbor_weight=0, hidden_layer_sizes=(500, 500, 2000)), reconstruction_weight=10,
    init="kmeans", augment=None, guard=False)``.
    With an autoencoder of ``image_shape=(C, H, W)`` this is DCEC [2]_.

    References
    ----------
    .. [1] X. Guo et al., "Improved Deep Embedded Clustering with Local Structure
       Preservation", IJCAI 2017.
    .. [2] X. Guo et al., "Deep Clustering with Convolutional Autoencoders", ICONIP
       2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.cluster import IDECClusterer
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=50)
    >>> idec = IDECClusterer(3, autoencoder=autoencoder, random_state=0).fit(X)
    >>> idec.inverse_transform(idec.cluster_centers_).shape
    (3, 4)
    """  # noqa: E501

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepClusterer._parameter_constraints,
        **SELF_TRAINING_CONSTRAINTS,
        **PSEUDO_LABEL_CONSTRAINTS,
        "centroid_update": [CENTROID_UPDATES],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        autoencoder=None,
        alpha=1.0,
        reconstruction_weight=1.0,
        centroid_update="gradient",
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
        self.reconstruction_weight = reconstruction_weight
        self.centroid_update = centroid_update
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
        """Pretrain, start by k-means, train the clusters.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W). At least `n_clusters` rows.
        y : None
            Ignored.

        Returns
        -------
        self : IDECClusterer

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

            # Phase 2: move networks and centroids towards the target distribution.
            optimizer, toward, refresh = self._deep_stage(begin, noise_seed)
            batches = begin.batches(self.batch_size, shuffle_seed)
            fitted = self_training(
                self, begin, toward, refresh, optimizer, task, batches
            )
            self.__dict__.update(fitted)
            self.reservoir_: Reservoir | None = None
            self.pretrained_: Any = None
        return self

    partial_fit = partial_fit

    inverse_transform = inverse_transform

    def _deep_stage(
        self, begin: Start, noise_seed: int
    ) -> tuple[Adam, Toward, Refresh]:
        """Optimiser, the step by the targets of its rows, and refresh."""
        rows, autoencoder = begin.rows, begin.autoencoder
        encoder, decoder = autoencoder.encoder_, autoencoder.decoder_
        reconstruction_loss = RECONSTRUCTIONS[autoencoder.loss].loss
        centroids = begin.centroids.requires_grad_(self.centroid_update == "gradient")
        view = augmentation(self.augment, begin, noise_seed)
        optimizer = Adam(
            [encoder, decoder],
            [centroids] * centroids.requires_grad,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            precision=self.precision,
        )

        def toward(targets: Targets) -> Step:
            def step(index: Tensor) -> dict[str, Tensor]:
                x = view(rows[index])
                z, output = chained(x, encoder, decoder)
                log_q = log_soft_assignment(z, centroids, self.alpha)
                divergence = clustering_divergence(targets(index), log_q)
                reconstruction = reconstruction_loss(output, x)
                loss = divergence + self.reconstruction_weight * reconstruction
                losses = {
                    "loss": loss,
                    "clustering_loss": divergence,
                    "reconstruction_loss": reconstruction,
                }
                losses = with_pseudo_labels(self, losses, z, centroids)
                optimizer.step(losses["loss"])
                return losses

            return step

        def refresh(z: Tensor) -> Assigned:
            return refreshed_assignment(begin, z, self.alpha, self.centroid_update)

        return optimizer, toward, refresh

    def _objective(self) -> Callable[[Tensor], Tensor]:
        encoder, centroids = encoder_and_centroids(
            self.autoencoder_, self.cluster_centers_
        )
        centroids = centroids.double()
        frequency = torch.tensor(self.cluster_frequencies_, device=centroids.device)
        decoder = self.autoencoder_.decoder_
        reconstruction_loss = RECONSTRUCTIONS[self.autoencoder_.loss].per_sample

        def objective(x: Tensor) -> Tensor:
            z = encoder(x)
            # In float64, where far rows still have a nearest centroid.
            log_q = log_soft_assignment(z.double(), centroids, self.alpha)
            p = target_distribution(log_q.exp(), frequency)
            return clustering_divergence_per_sample(
                p, log_q
            ) + self.reconstruction_weight * reconstruction_loss(decoder(z), x)

        return objective
