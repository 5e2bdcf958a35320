"""Variational deep embedding (VaDE)."""

from collections.abc import Callable
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import check_random_state, check_scalar, column_or_1d
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor

from skdeep._compat import fit_context
from skdeep.base import image_shape_of
from skdeep.cluster._base import (
    BaseDeepClusterer,
    inverse_transform,
    require_decoder,
)
from skdeep.cluster._runs import fit_best_run
from skdeep.cluster._steps import (
    DEEP_STAGE_CONSTRAINTS,
    augmentation,
    guarded,
    start,
)
from skdeep.cluster._vade_model import VaDEModel, clustering_of
from skdeep.representation._pretraining import PRETRAINED
from skdeep.scaling import in_units
from skdeep.training import (
    Adam,
    FitTask,
    OneCycle,
    descend,
    drawn_in_chunks,
    in_chunks,
)

N_STEPS = 2000
"""Gradient steps that max_iter="auto" aims at."""


class VaDEClusterer(BaseDeepClusterer):
    r"""Variational deep embedding: a Gaussian mixture that a network turns into rows.

    A row is made by drawing a cluster c, a code z of its Gaussian and, by the decoder,
    a row x of the code. The encoder tells which codes may have made a row,
    :math:`q(z \mid x) = N(\tilde\mu, \tilde\sigma^2)`, and all are trained towards the
    evidence lower bound, in nats:

    .. math::

        \log p(x) \ge \mathbb E_{q(z \mid x)} [\log p(x \mid z)]
        - KL \big( q(z, c \mid x) \,\|\, p(z, c) \big), \qquad
        p(z, c) = \pi_c N(z; \mu_c, \sigma_c^2), \qquad
        q(c \mid x) = p(c \mid z)

    An autoencoder is pretrained, and a Gaussian mixture fitted to its codes, to start
    from.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.

    autoencoder : estimator or None, default=None
        The autoencoder to pretrain: it is cloned, not changed. None means
        ``AutoencoderTransformer()``. A fitted one inside
        :class:`sklearn.frozen.FrozenEstimator` is copied and not pretrained. What it
        leaves open of `random_state`, `device` and `precision` it takes from here. Its
        `loss` tells the likelihood: Gaussian, with one variance for all columns, of
        ``"squared_error"``, and Bernoulli of ``"binary_cross_entropy"``.

    n_init : int, default=20
        k-means starts on the pretrained embedding; the mixture starts from the best.
        From 100 000 rows on, or 1000 for each cluster if these are more, both are
        fitted to a random sample of about half the rows at most.

    n_runs : int, default=1
        Whole fits, pretraining included, from different seeds; the one of which the
        labels have the largest modularity on the nearest-neighbour graph of the input,
        or cut less than half as many of its edges, is kept. Runs share the
        pretraining if the autoencoder is frozen or has a `random_state` of its own.

    max_iter : int or "auto", default="auto"
        Epochs of the deep stage. ``"auto"``: as many as make 2000 gradient steps,
        between 2 and 200.

    guard : bool, default=True
        Return the state before the deep stage if the labels after it cut the
        nearest-neighbour graph of the input worse, by more than 0.01 in modularity or
        at twice as many edges. False always returns the state after it. Take False for
        densities and samples: the state before has hardly learned them.

    augment : {"auto"}, callable, MarginalCorruption or None, default="auto"
        Changes each batch of scaled rows (or images) of the deep stage before a step,
        which rebuilds the changed rows. ``"auto"`` moves images a little, as the
        autoencoder's `augment` does, and nothing else. A callable takes a tensor and a
        `torch.Generator`: see :mod:`skdeep.nn.augmentation`.

    batch_size : int, default=256
        Rows of a gradient step.

    learning_rate : float, default=1e-3
        Largest step size of Adam; it warms up over a tenth of the steps and then
        anneals to zero.

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
        Seed of pretraining, k-means, shuffles and codes.

    verbose : int, default=0
        1 writes one line a phase.

    Attributes
    ----------
    encoder_ : torch.nn.Module
        Maps scaled rows to means and log-variances of their codes, side by side.

    autoencoder_ : AutoencoderTransformer
        Its encoder gives the means of the codes; its decoder is that of the model.
        `autoencoder_.history_` is that of the pretraining.

    cluster_centers_ : ndarray of shape (n_clusters, n_components), float32
        Means of the mixture, in the embedding.

    covariances_ : ndarray of shape (n_clusters, n_components), float32
        Variances of its components.

    weights_ : ndarray of shape (n_clusters,), float32
        Their weights, which sum to one.

    noise_variance_ : float or None
        Variance of the Gaussian likelihood, in scaled units. None if it is Bernoulli.

    constants_ : ndarray of shape (n_features,)
        Value of each column that does not vary, which densities leave out and
        samples repeat; NaN of all others, and of images that are convolved.

    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each training row, equal to `predict` on them.

    initial_labels_ : ndarray of shape (n_samples,), int64
        Clusters before the deep stage: those of the mixture that was fitted to the
        pretrained embedding.

    deep_stage_kept_ : bool
        False if the guard returned the state before the deep stage.

    initial_modularity_ : float
        Modularity of `initial_labels_` on the nearest-neighbour graph of the rows, as
        the autoencoder scales them. NaN without the guard.

    run_scores_ : ndarray of shape (n_runs,) or None
        Modularity of the labels of each run, if there were several.

    n_iter_ : int
        Epochs of the deep stage.

    history_ : dict of str to list of float
        One value an epoch of the deep stage: minus the bound (``"loss"``) and its terms
        (``"reconstruction_loss"``, ``"kl"``), in nats a row of scaled columns.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    IDECClusterer : No densities and no samples, and faster.
    skdeep.generative.VAESampler : One Gaussian as the prior, and tighter bounds.
    sklearn.mixture.GaussianMixture : On the input itself.

    Notes
    -----
    Deviations from the paper: the autoencoder is trained from end to end, has a
    neighbour-contrastive term and 512-256 hidden units; the variance of a Gaussian
    likelihood is that of the residuals of each batch, which is the best there is;
    `predict_proba` takes the responsibilities at the mean of the code; images are
    moved; the mixture starts from clusters of the codes that are chosen by modularity,
    which no parameter changes; the guard. Nearest to the paper is
    ``VaDEClusterer(autoencoder=AutoencoderTransformer(neighbor_weight=0,
    hidden_layer_sizes=(500, 500, 2000), loss="binary_cross_entropy"), augment=None,
    guard=False)``.

    References
    ----------
    .. [1] Z. Jiang, Y. Zheng, H. Tan, B. Tang, H. Zhou, "Variational Deep Embedding: An
       Unsupervised and Generative Approach to Clustering", IJCAI 2017,
       arXiv:1611.05148.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.cluster import VaDEClusterer
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=50)
    >>> vade = VaDEClusterer(3, autoencoder=autoencoder, max_iter=20, random_state=0)
    >>> vade.fit(X).sample(5, random_state=0).shape
    (5, 4)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseDeepClusterer._parameter_constraints,
        "autoencoder": PRETRAINED,
        **DEEP_STAGE_CONSTRAINTS,
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        autoencoder=None,
        n_init=20,
        n_runs=1,
        max_iter="auto",
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
        self.n_init = n_init
        self.n_runs = n_runs
        self.max_iter = max_iter
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

    constants_: np.ndarray

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        """Pretrain, start by a Gaussian mixture, train the whole model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W). At least `n_clusters` rows, and
            two.
        y : None
            Ignored.

        Returns
        -------
        self : VaDEClusterer

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
            end without rows.
        """
        require_decoder(self)
        if self.n_runs > 1:
            return fit_best_run(self, X, y)
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True, min_samples=max(2, self.n_clusters))
        with FitTask(self, X, y, max_subtasks=3) as task:
            *start_seeds, shuffle_seed, noise_seed, view_seed = task.seeds(self, 6)
            # Phase 1: pretrain the autoencoder, and fit the mixture to its codes.
            begin = start(self, X, image_shape, task, start_seeds, "auto")
            rows, decoder = begin.rows, begin.autoencoder.decoder_
            model = VaDEModel.started(X, begin, start_seeds[1])
            before = clustering_of(model, begin)

            # Phase 2: raise the bound of the whole model.
            batches = begin.batches(self.batch_size, shuffle_seed)
            max_iter = batches.epochs(self.max_iter, N_STEPS)
            optimizer = Adam(
                [model.encoder, decoder],
                model.mixture,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                precision=self.precision,
            )
            schedule = OneCycle(optimizer, max_iter * len(batches))
            view = augmentation(self.augment, begin, view_seed)
            noise = Generator(rows.device).manual_seed(noise_seed)

            def step(index: Tensor) -> dict[str, Tensor]:
                reconstruction, kl = model.loss_terms(view(rows[index]), noise)
                loss = reconstruction + kl
                schedule.advance()
                optimizer.step(loss)
                return {"loss": loss, "reconstruction_loss": reconstruction, "kl": kl}

            def snapshot() -> dict[str, Any]:
                found = clustering_of(model, begin).attributes
                return {**found, "history_": phase.history}

            phase = task.phase("cluster", max_iter, snapshot)
            phase.moves(optimizer, schedule, batches.rng, noise, *begin.moving)
            descend(optimizer, step, batches, phase)
            after = clustering_of(model, begin)
            fitted = guarded(self, before, after, begin.neighbors)
            self.__dict__.update(fitted)
            self.n_iter_, self.history_ = phase.n_iter, phase.history
        return self

    inverse_transform = inverse_transform

    def score_samples(self, X: Any) -> np.ndarray:
        """Evidence lower bound of the log-likelihood of each row.

        Its expectation over codes is estimated by 32, which a row draws by its content:
        its score depends on no other row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        bound : ndarray of shape (n_samples,), float32
            In nats, in the units of the input: the scaling counts. Of the Bernoulli
            likelihood, the expectation over binary rows with such means, and -inf of
            rows beyond the range of `fit`.
        """
        rows = self._rows(X)
        return -in_chunks(self._objective(), rows)

    def sample(
        self, n_samples: int = 1, *, y: Any = None, random_state: Any = None
    ) -> np.ndarray:
        """Draw rows from the model, or from some of its clusters.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        y : int, array-like of int of shape (n_samples,) or None, default=None
            Cluster of all rows or of each, as `predict` numbers them. None draws
            clusters by their weights.
        random_state : int, RandomState instance or None, default=None
            An int gives the same rows at each call.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Rows in the units of the input; images are flattened. Of images, and of the
            Bernoulli likelihood, they are means, without the noise of the likelihood.
            In float64 if that is too coarse for a column, or its unit too small.

        Raises
        ------
        ValueError
            If `n_samples` is less than 1, or y holds what is no cluster.
        """
        check_is_fitted(self)
        n_samples = int(check_scalar(n_samples, "n_samples", Integral, min_val=1))
        drawn = check_random_state(random_state)
        if y is None:
            weights = self.weights_.astype(np.float64)
            clusters = drawn.choice(len(weights), n_samples, p=weights / weights.sum())
        else:
            clusters = checked_clusters(y, n_samples, len(self.weights_))
        model, autoencoder = self._model(), self._placed()
        device = autoencoder._home()
        rng = Generator(device).manual_seed(int(drawn.randint(2**31 - 1)))
        noisy = autoencoder.image_shape_ is None

        def draw(part: slice) -> Tensor:
            chosen = torch.from_numpy(clusters[part]).to(device)
            return model.drawn(chosen, rng, noisy)

        X = drawn_in_chunks(draw, n_samples, self.n_features_in_, device)
        scaling = autoencoder.offset_, autoencoder.scale_, autoencoder.whitening_
        return in_units(X, *scaling, constants=self.constants_)

    def _model(self) -> VaDEModel:
        """Return what was fitted, on the device."""
        device = self._home()
        values = np.log(self.weights_), self.cluster_centers_, np.log(self.covariances_)
        mixture = [torch.tensor(value, device=device) for value in values]
        decoder = self.autoencoder_.decoder_.to(device)
        return VaDEModel(
            self.encoder_, decoder, mixture, self.noise_variance_, self.constants_
        )

    def _assignment(self) -> Callable[[Tensor], Tensor]:
        return self._model().responsibilities

    def _objective(self) -> Callable[[Tensor], Tensor]:
        model = self._model()
        log_scale = 0.0
        if self.noise_variance_ is not None:
            varies = np.isnan(self.constants_)
            log_scale = float(np.log(self.autoencoder_.scale_[varies]).sum())
            if self.autoencoder_.whitening_ is not None:
                whitening = self.autoencoder_.whitening_[np.ix_(varies, varies)]
                log_scale -= float(np.linalg.slogdet(whitening)[1])
        return lambda x: log_scale - model.elbo(x)


def checked_clusters(y: Any, n_rows: int, n_clusters: int) -> np.ndarray:
    """Cluster of each row, from that of all or of each."""
    y = np.full(n_rows, y) if np.ndim(y) == 0 else column_or_1d(y)
    if len(y) != n_rows:
        raise ValueError(f"y has {len(y)} clusters, but n_samples={n_rows}.")
    unknown = [label for label in y.tolist() if label not in range(n_clusters)]
    if unknown:
        raise ValueError(
            f"y holds {unknown[0]!r}, but clusters have the numbers from 0 to "
            f"{n_clusters - 1}."
        )
    return y.astype(np.int64)
