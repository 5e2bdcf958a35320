"""Semantic clustering by adopting nearest neighbors (SCAN)."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import torch
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.cluster._base import BaseDeepClusterer
from skdeep.cluster._runs import fit_best_run
from skdeep.cluster._scan_steps import (
    DeepStage,
    Model,
    code_neighbors,
    discriminant_head,
)
from skdeep.cluster._steps import (
    DEEP_STAGE_CONSTRAINTS,
    Start,
    Targets,
    augmentation,
    start,
)
from skdeep.objectives.scan import (
    consistency_loss,
    consistency_loss_per_sample,
    mean_entropy,
    self_labelling_loss,
)
from skdeep.representation import SimCLRTransformer
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._neighbors import drawn_neighbors
from skdeep.representation._pretraining import PRETRAINED
from skdeep.representation._views import default_views
from skdeep.training import FitTask, OneCycle, Step

TINY = torch.finfo(torch.float32).tiny


class SCANClusterer(BaseDeepClusterer):
    r"""Cluster by asking that a row and its neighbours in an embedding belong together.

    An encoder is pretrained without labels, by SimCLR unless another is given, and the
    nearest neighbours of each row are sought among its codes. A linear head with a
    softmax turns codes into probabilities :math:`p_{ij}` of row i to be in cluster j;
    it starts as the discriminant of clusters of the codes, which are those that DEC
    starts from. Encoder and head then learn that random views of
    a row and of one of its neighbours, :math:`p'_i`, belong to one cluster, and that
    all clusters are used:

    .. math::

        L &= -\frac1n \sum_i \log \sum_j p_{ij} \, p'_{ij}
          + \texttt{entropy\_weight} \; \sum_j \bar p_j \log \bar p_j, \\
        \bar p_j &= \frac1n \sum_i p_{ij}

    where the means are taken over a batch. At last, rows with a probability above
    `threshold` are labels for themselves: strongly changed views of them have to find
    the cluster of the unchanged row, by cross-entropy.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.

    encoder : estimator or None, default=None
        The representation to pretrain: it is cloned, not changed. None means
        ``SimCLRTransformer()``. A fitted one inside
        :class:`sklearn.frozen.FrozenEstimator` is copied and not pretrained. What it
        leaves open of `random_state`, `device` and `precision` it takes from here.

    n_neighbors : int, default=15
        Nearest neighbours of each row, by the angle between codes, from which its
        partner is drawn.

    entropy_weight : float, default=2.0
        Weight of the entropy of the mean probabilities. Larger makes clusters of more
        equal sizes; 0 lets one cluster take all. The paper has 5.

    threshold : float in [0, 1), default=0.95
        Largest probability above which a row is its own label. The paper has 0.99, and
        trains longer.

    augment : "auto", callable, MarginalCorruption or None, default="auto"
        Views of the rows and their neighbours. ``"auto"``: ``ImageAugmentation()`` on
        images and ``MarginalCorruption(0.3)`` on tables. A callable maps a batch of
        scaled rows (or images) and a `torch.Generator` to such a batch: see
        :mod:`skdeep.nn.augmentation`. The encoder has such a parameter of its own.

    strong_augment : "auto", callable, MarginalCorruption or None, default="auto"
        Views from which rows find their own labels; they may be stronger. ``"auto"``:
        what `augment` is, since small images and tables that are changed much more turn
        into others.

    n_init : int, default=20
        Starts of the clusters on the pretrained codes; the best is kept. From 100 000
        rows on, or 1000 for each cluster if these are more, they are made in a random
        sample of about half the rows at most.

    n_runs : int, default=1
        Whole fits, pretraining included, from different seeds; the one of which the
        labels have the largest modularity on the nearest-neighbour graph of the input,
        or cut less than half as many of its edges, is kept. Runs share the
        pretraining if the encoder is frozen or has a `random_state` of its own.

    max_iter : int or "auto", default="auto"
        Epochs in which neighbours learn to agree. ``"auto"``: as many as make 400
        gradient steps, between 2 and 200.

    self_label_iter : int or "auto", default="auto"
        Epochs of self-labelling after that, over the rows that are sure by then.
        ``"auto"``: as many as make 200 gradient steps of all rows, between 2 and 200. 0
        leaves this phase out.

    guard : bool, default=True
        Return the state before both phases if the labels after them cut the
        nearest-neighbour graph of the input worse, by more than 0.01 in modularity or
        at twice as many edges. False always returns the state after them.

    batch_size : int, default=128
        Rows of a gradient step, over which the mean probabilities are taken: many
        clusters need more.

    learning_rate : float, default=1e-3
        Largest step size of Adam while neighbours learn to agree; it warms up over a
        tenth of the steps and then anneals to zero.

    self_label_learning_rate : float, default=1e-4
        Step size of Adam in self-labelling. Large ones make the model believe its own
        mistakes.

    weight_decay : float, default=0.0
        Decoupled decay of the weights per unit of step size.

    device : str, default="auto"
        Torch device. ``"auto"``: the GPU if there is one.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number type of the matrix products in training: see
        :class:`skdeep.representation.AutoencoderTransformer`.

    memory : str, object with the joblib.Memory interface or None, default=None
        Where pretrained encoders are kept: candidates of a search that share the
        encoder, the rows and the seed pretrain once. Needs an integer `random_state`.

    random_state : int, RandomState instance or None, default=None
        Seed of pretraining, k-means, shuffles, partners and views.

    verbose : int, default=0
        1 writes one line a phase.

    Attributes
    ----------
    encoder_ : estimator
        The tuned copy of `encoder`; its `transform` returns the codes, unless its
        `layer` says otherwise, and its `history_` is that of pretraining.

    head_ : torch.nn.Module
        Maps codes (n, n_components) to the logits of the clusters (n, n_clusters).

    cluster_centers_ : ndarray of shape (n_clusters, n_components), float32
        Means of the codes of each cluster.

    labels_ : ndarray of shape (n_samples,), int64
        Most probable cluster of each training row, equal to `predict` on them.

    initial_labels_ : ndarray of shape (n_samples,), int64
        Clusters before both phases: those of the head on the pretrained codes.

    deep_stage_kept_ : bool
        False if the guard returned the state before both phases.

    initial_modularity_ : float
        Modularity of `initial_labels_` on the nearest-neighbour graph of the rows, as
        the encoder scales them, to be compared with the last one of the two histories.
        NaN without the guard.

    cluster_frequencies_ : ndarray of shape (n_clusters,), float32
        Sums of the probabilities over the training rows: soft sizes of the clusters.

    run_scores_ : ndarray of shape (n_runs,) or None
        Modularity of the labels of each run, if there were several.

    n_iter_ : int
        Epochs in which neighbours learned to agree.

    history_ : dict of str to list of float
        One value for each of these epochs: the objective (``"loss"``) and its terms
        (``"consistency_loss"``, ``"entropy"``), the fraction of labels that changed
        (``"label_change"``) and, with the guard, the modularity of the labels
        (``"modularity"``).

    self_label_history_ : dict of str to list of float
        One value an epoch of self-labelling: the cross-entropy (``"loss"``), the
        fraction of rows that were sure and took part (``"sure_fraction"``), and the
        last two of `history_`.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    DECClusterer : Sharpens assignments to centroids; takes the same encoders.
    skdeep.representation.SimCLRTransformer : The encoder that is pretrained.

    Notes
    -----
    Codes of moved images spread by the moves, alike in all clusters: k-means has an
    accuracy of 0.84 on those of digits, and Gaussians of one covariance 0.94 (0.93 to
    0.95, six seeds). Both phases add nothing to that there, and the guard returns the
    state before them on most seeds; from the start by k-means they reached 0.91.
    Self-labelling by itself changed little.

    Deviations from the paper: the head starts from clusters instead of the best of ten
    random ones (on digits 0.90 by k-means and 0.84 from one random head, after 200
    steps), and divides squared distances by the number of components, so that rows
    leave something to learn; the
    labels and the sure rows of self-labelling are those of all unchanged rows once an
    epoch; the weight of the entropy, the threshold and the step sizes, as said above;
    Adam anneals while neighbours learn to agree; the guard. `score` takes each row for
    its own neighbour, and :math:`\bar p` from training.

    References
    ----------
    .. [1] W. Van Gansbeke, S. Vandenhende, S. Georgoulis, M. Proesmans, L. Van Gool,
       "SCAN: Learning to Classify Images without Labels", ECCV 2020, arXiv:2005.12320.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdeep.cluster import SCANClusterer
    >>> from skdeep.representation import SimCLRTransformer
    >>> X = load_digits().data[:200].reshape(-1, 1, 8, 8)
    >>> encoder = SimCLRTransformer(16, hidden_layer_sizes=(4, 8, 8, 32), max_iter=5)
    >>> brief = {"max_iter": 2, "self_label_iter": 1}
    >>> scan = SCANClusterer(10, encoder=encoder, random_state=0, **brief).fit(X)
    >>> scan.predict_proba(X[:4]).shape
    (4, 10)
    """

    _defaults = {"encoder": SimCLRTransformer}

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepClusterer._parameter_constraints,
        "encoder": PRETRAINED,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="left")],
        **DEEP_STAGE_CONSTRAINTS,
        "strong_augment": DEEP_STAGE_CONSTRAINTS["augment"],
        "self_label_iter": [
            Interval(Integral, 0, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "self_label_learning_rate": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        n_neighbors=15,
        entropy_weight=2.0,
        threshold=0.95,
        augment="auto",
        strong_augment="auto",
        n_init=20,
        n_runs=1,
        max_iter="auto",
        self_label_iter="auto",
        guard=True,
        batch_size=128,
        learning_rate=1e-3,
        self_label_learning_rate=1e-4,
        weight_decay=0.0,
        device="auto",
        precision="auto",
        memory=None,
        random_state=None,
        verbose=0,
    ):
        self.n_clusters = n_clusters
        self.encoder = encoder
        self.n_neighbors = n_neighbors
        self.entropy_weight = entropy_weight
        self.threshold = threshold
        self.augment = augment
        self.strong_augment = strong_augment
        self.n_init = n_init
        self.n_runs = n_runs
        self.max_iter = max_iter
        self.self_label_iter = self_label_iter
        self.guard = guard
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.self_label_learning_rate = self_label_learning_rate
        self.weight_decay = weight_decay
        self.device = device
        self.precision = precision
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        """Pretrain, let neighbours agree, and let sure rows label themselves.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W). At least `n_clusters` rows.
        y : None
            Ignored.

        Returns
        -------
        self : SCANClusterer

        Raises
        ------
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.

        Warns
        -----
        ConvergenceWarning
            If the rows have fewer distinct values than there are clusters, or clusters
            end without rows.
        """
        if self.n_runs > 1:
            return fit_best_run(self, X, y)
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True, min_samples=self.n_clusters)
        with FitTask(self, X, y, max_subtasks=4) as task:
            *start_seeds, neighbor_seed, view_seed, shuffle_seed, partner_seed = (
                task.seeds(self, 7)
            )
            # Phase 1: pretrain the encoder; clusters of its codes make the head.
            begin = start(self, X, image_shape, task, start_seeds, "auto")
            rows, encoder = begin.rows, begin.autoencoder
            Z = torch.from_numpy(encoder._encode(rows)).to(rows.device)
            labels = begin.labels.to(rows.device)
            head = discriminant_head(Z, labels, int(self.n_clusters))
            model = Model(encoder, head)
            view, strong_view = views(self, begin, view_seed)
            batches = begin.batches(self.batch_size, shuffle_seed)
            stage = DeepStage(self, begin, model, task, batches)

            # Phase 2: a row and its neighbours belong to one cluster.
            partners = code_neighbors(Z, self.n_neighbors, neighbor_seed)
            choice = Generator(rows.device).manual_seed(partner_seed)
            adam = stage.optimizer(self.learning_rate)
            schedule = OneCycle(adam, stage.cluster.max_iter * len(batches))

            def agree(index: Tensor) -> dict[str, Tensor]:
                neighbors = drawn_neighbors(partners, index, choice)
                x = view(rows[torch.cat([index, neighbors])])
                log_p, log_p_neighbor = model.logits(x).log_softmax(1).chunk(2)
                consistency = consistency_loss(log_p, log_p_neighbor)
                entropy = mean_entropy(log_p)
                loss = consistency - self.entropy_weight * entropy
                schedule.advance()
                adam.step(loss)
                return {
                    "loss": loss,
                    "consistency_loss": consistency,
                    "entropy": entropy,
                }

            stage.run(stage.cluster, lambda _: agree, adam, schedule, choice)

            # Phase 3: rows that are sure are the labels of views of themselves.
            self_adam = stage.optimizer(self.self_label_learning_rate)

            def toward(probabilities: Targets) -> Step:
                def follow(index: Tensor) -> dict[str, Tensor]:
                    p = probabilities(index)
                    logits = model.logits(strong_view(rows[index]))
                    loss = self_labelling_loss(logits, p, self.threshold)
                    self_adam.step(loss)
                    sure = (p.amax(1) > self.threshold).float().mean()
                    return {"loss": loss, "sure_fraction": sure}

                return follow

            stage.run(stage.self_label, toward, self_adam)
            self.__dict__.update(stage.fitted())
        return self

    def _embedder(self) -> BaseRepresentation:
        return self.encoder_

    def _model(self) -> Model:
        """Return what was fitted, on the device."""
        return Model(self.encoder_, self.head_.to(self.encoder_._home()))

    def _assignment(self) -> Callable[[Tensor], Tensor]:
        return self._model().probabilities

    def _objective(self) -> Callable[[Tensor], Tensor]:
        model = self._model()
        frequencies = torch.tensor(self.cluster_frequencies_, device="cpu")
        log_mean = (frequencies / frequencies.sum()).clamp_min(TINY).log()
        log_mean = log_mean.to(self.encoder_._home())

        # The entropy of the mean is a mean over rows, if the mean is a constant.
        def objective(x: Tensor) -> Tensor:
            log_p = model.logits(x).log_softmax(1)
            consistency = consistency_loss_per_sample(log_p, log_p)
            return consistency + self.entropy_weight * (log_p.exp() @ log_mean)

        return objective


def views(
    clusterer: SCANClusterer, begin: Start, seed: int
) -> list[Callable[[Tensor], Tensor]]:
    """Change rows as the parameters `augment` and `strong_augment` ask for."""
    weak, strong = clusterer.augment, clusterer.strong_augment
    weak = default_views(weak, begin.autoencoder.image_shape_)
    strong = weak if isinstance(strong, str) else strong
    return [augmentation(change, begin, seed) for change in (weak, strong)]
