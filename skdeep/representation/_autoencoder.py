"""Autoencoder, with a neighbour-contrastive term."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.fitting import Fitting
from skdeep.nn.corruption import corrupted, masked
from skdeep.objectives.reconstruction import RECONSTRUCTIONS
from skdeep.parameters import ImageShape
from skdeep.representation._autoencoder_networks import new_mask_head, new_networks
from skdeep.representation._autoencoder_objective import AutoencoderObjective
from skdeep.representation._base import BaseRepresentation
from skdeep.representation._neighbors import drawn_neighbors, nearest_neighbors
from skdeep.representation._pixels import square_image_shape
from skdeep.representation._views import donors_of, on_rows, resolved_augment
from skdeep.scaling import MOST_WHITENED, in_units, mixes_categories
from skdeep.training import FitTask, Rows, in_chunks

N_STEPS = 1500
"""Gradient steps that max_iter="auto" aims at."""

EXAGGERATION = 4.0
"""That of rows that nothing changes; others move enough to find together."""


class AutoencoderTransformer(BaseRepresentation):
    r"""Learn a low-dimensional code from which each row can be rebuilt.

    An encoder maps each row to a code and a decoder maps the code back. Beside the
    reconstruction, a contrastive term draws the code of each row to the codes of its
    nearest neighbours in the input, so that groups of similar rows become compact and
    apart: the shape that clustering needs. With :math:`z_i = f(x_i)` the code of row i
    and :math:`z'_i` that of one of its neighbours, drawn anew at each step, the
    objective is

    .. math::

        &\frac1n \sum_i \frac1D \|x_i - g(z_i)\|^2 \; - \;
        \texttt{neighbor\_weight} \; \frac1n \sum_i \log
        \frac{s(z_i, z'_i)}{\sum_j s(z_i, z'_j)}, \\
        &s(a, b) = \frac{1}{1 + \|a - b\|^2}

    where j runs over the rows of a batch and D is the number of features.

    Parameters
    ----------
    n_components : int, default=10
        Width of the code.

    hidden_layer_sizes : "auto" or tuple of int, default="auto"
        Widths of the encoder's hidden layers, from the input on; the decoder mirrors
        them. For images, the channels of its convolutions, each of which halves the
        sides. ``"auto"`` is (512, 256) for tables and (16, 32, 64) for images.

    network : {"dense", "attention"}, default="dense"
        Encoder of tables. With ``"attention"`` each column is a token, and tokens read
        each other [4]_: one layer of attention for each of `hidden_layer_sizes`, the
        width of its dense part, of which ``"auto"`` has (128, 128). Its cost grows with
        the square of the number of columns: for up to some fifty. The decoder is dense.
        Images are convolved instead.

    image_shape : (int, int, int) or None, default=None
        Channels, height and width. With it, rows are read as images and the networks
        are convolutional. Taken from X if X has shape (n, C, H, W).

    scale : {"auto", "standard", "minmax", "half_whiten"} or None, default="auto"
        How columns are scaled before training; undone by `inverse_transform`.
        ``"auto"`` maps all entries alike if they are zeros and ones, if 32 columns or
        more share a range, as pixels and word weights do, if columns are centred
        already and spread comparably, as principal components do, or if all rows have
        one length. Otherwise it standardises each column, but those of two values (in
        samplers: of zeros and ones) are divided by their range, and, with a
        `neighbor_weight` and up to 500 columns, brings the spreads of the first 20
        principal components closer, each to its square root, so that a few columns that
        say the same do not decide who is near.
        ``"standard"`` and ``"minmax"`` scale each column.
        ``"half_whiten"`` standardises and brings the spreads closer for any number of
        columns, at a cost in memory and time that grows with its square and cube.

    augment : {"auto"}, callable, MarginalCorruption or None, default="auto"
        Changes each batch of scaled rows (or images) before it is encoded; what it
        makes is rebuilt. ``"auto"``: with a `neighbor_weight`, images of at least 16 x
        16 pixels are moved, turned and resized a little, also those whose pixels are
        recognised in flat rows (`pixel_shape_`); all else is left as it is. A callable
        takes a tensor and a `torch.Generator`: see :mod:`skdeep.nn.augmentation`.

    loss : {"squared_error", "binary_cross_entropy"}, default="squared_error"
        Reconstruction loss, averaged over the features. The cross-entropy needs values
        in [0, 1]: with it, ``scale="auto"`` keeps such values and maps others by their
        common range.

    corruption : float in [0, 1), default=0.0
        Fraction of the (scaled) input set to zero before encoding; the clean input is
        rebuilt. Above 0 this is a denoising autoencoder.

    mask_weight : float, default=0.0
        Weight of a second task: tell from the code which cells were corrupted. Above 0,
        `corruption` draws the cells that it replaces from other rows instead of setting
        them to zero. With ``corruption=0.3, mask_weight=0.5, neighbor_weight=0`` this
        is the masked pretraining of VIME [3]_.

    neighbor_weight : float or "auto", default="auto"
        Weight of the neighbour-contrastive term. 0 gives the plain autoencoder of the
        papers, for example to reconstruct or to detect anomalies. ``"auto"`` is 1, or 0
        for tables of encoded categories, or of other columns of two values, beside
        measurements, of up to 500 columns, whose nearest rows are those of the same
        categories.

    n_neighbors : int, default=15
        Nearest neighbours of each row from which its partner is drawn. Where groups
        are of fewer rows, take fewer: others would be drawn to them.

    early_exaggeration : float or "auto", default="auto"
        Power of :math:`s(z_i, z'_i)` in the contrastive term while the step size warms
        up. Above 1, groups of rows contract before they separate, so that few of them
        are split, whatever the seed [5]_. ``"auto"`` is 4, or 1 where `augment` changes
        the batches.

    max_iter : int or "auto", default="auto"
        Epochs. ``"auto"``: as many as make 1500 gradient steps, between 2 and 200. 0
        leaves the networks as they were drawn.

    batch_size : int, default=256
        Rows of a gradient step, and the rows among which a neighbour is told apart.

    learning_rate : float, default=1e-3
        Largest step size of Adam; it warms up over a tenth of the steps and then
        anneals to zero.

    weight_decay : float, default=0.0
        Decoupled decay of the weights per unit of step size.

    device : str, default="auto"
        Torch device. ``"auto"``: the GPU if there is one.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number type of the matrix products in training. ``"auto"`` takes bfloat16 for
        networks of 500 000 weights or more, and for those that convolve, on hardware
        that multiplies it natively. Weights, losses and all that is returned are
        float32.

    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, shuffles, partners and corruption.

    verbose : int, default=0
        1 writes one line when training ends.

    Attributes
    ----------
    encoder_ : torch.nn.Module
        Maps scaled rows (n, n_features) to codes (n, n_components).

    decoder_ : torch.nn.Module
        Maps codes to scaled rows; to their logits with the cross-entropy.

    offset_, scale_ : ndarray of shape (n_features,)
        Rows are encoded as ``(X - offset_) / scale_``, times `whitening_` if there is
        one.

    whitening_ : ndarray of shape (n_features, n_features) or None
        Of half-whitened rows.

    constants_ : ndarray of shape (n_features,)
        Value of each column that does not vary, with which rows are encoded, whatever
        they hold there; NaN of all others, and of pixels.

    image_shape_ : (int, int, int) or None
        Shape of an image, if rows are read as images and convolved.

    pixel_shape_ : (int, int, int) or None
        The same, or the shape of a square image of one channel, of 16 x 16 pixels or
        more, if flat rows are such: pixels are alike that lie side by side or one above
        the other, and less so half a row away.

    neighbor_weight_ : float
        Weight of the neighbour-contrastive term.

    n_iter_ : int
        Epochs trained.

    history_ : dict of str to list of float
        ``"loss"``, ``"reconstruction_loss"`` and, of the terms with a weight,
        ``"neighbor_loss"``, exaggerated early on, and ``"mask_loss"``: one value an
        epoch.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    sklearn.decomposition.PCA : Linear code; what a linear autoencoder converges to.
    skdeep.cluster.DECClusterer : Clusters in the code of such an autoencoder.

    Notes
    -----
    The contrastive term is that of t-SNE-like contrastive embeddings [2]_ with a
    parametric encoder; it needs the nearest neighbours of all rows, found exactly up to
    50 000 rows (on 50 principal components above 100 features) and within random blocks
    of 10 000 beyond.

    Input of any real type, dense, CSR or memory-mapped, is read as it is: at once if
    its scaled rows take at most 64 MiB, else batch by batch. The same `random_state`
    gives the same bits on the CPU of one machine at one number of threads. Weights are
    drawn as torch draws them.

    References
    ----------
    .. [1] P. Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010.
    .. [2] S. Damrich et al., "From t-SNE to UMAP with contrastive learning", ICLR 2023,
       arXiv:2206.01816.
    .. [3] J. Yoon et al., "VIME: Extending the Success of Self- and Semi-supervised
       Learning to Tabular Domain", NeurIPS 2020.
    .. [4] Y. Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data",
       NeurIPS 2021, arXiv:2106.11959.
    .. [5] L. van der Maaten, G. Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008,
       section 3.4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.representation import AutoencoderTransformer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=20, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (150, 2)
    >>> autoencoder.inverse_transform(autoencoder.transform(X)).shape
    (150, 4)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseRepresentation._parameter_constraints,
        "scale": [StrOptions({"auto", "standard", "minmax", "half_whiten"}), None],
        "network": [StrOptions({"dense", "attention"})],
        "loss": [StrOptions(set(RECONSTRUCTIONS))],
        "corruption": [Interval(Real, 0, 1, closed="left")],
        "mask_weight": [Interval(Real, 0, None, closed="left")],
        "neighbor_weight": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "early_exaggeration": [
            Interval(Real, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
    }

    def __init__(
        self,
        n_components=10,
        *,
        hidden_layer_sizes="auto",
        network="dense",
        image_shape=None,
        scale="auto",
        augment="auto",
        loss="squared_error",
        corruption=0.0,
        mask_weight=0.0,
        neighbor_weight="auto",
        n_neighbors=15,
        early_exaggeration="auto",
        max_iter="auto",
        batch_size=256,
        learning_rate=1e-3,
        weight_decay=0.0,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.network = network
        self.image_shape = image_shape
        self.scale = scale
        self.augment = augment
        self.loss = loss
        self.corruption = corruption
        self.mask_weight = mask_weight
        self.neighbor_weight = neighbor_weight
        self.n_neighbors = n_neighbors
        self.early_exaggeration = early_exaggeration
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the encoder and the decoder.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : None
            Ignored.

        Returns
        -------
        self : AutoencoderTransformer

        Raises
        ------
        ValueError
            If parameters do not fit each other or the rows: a `mask_weight` without
            `corruption`, the cross-entropy of values that `scale` leaves outside of
            [0, 1], or attention on images.
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.
        """
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True)
        with FitTask(self, X, y, max_subtasks=1) as task:
            self._train(X, image_shape, task, "train")
        return self

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows that the decoder makes of codes, in the units of the input.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features), float32
            In float64 if that is too coarse for a column, or its unit too small.

        Raises
        ------
        ValueError
            If X has more or fewer columns than a code.
        """
        check_is_fitted(self)
        codes = self._code_rows(X, self._n_features_out)
        output_map = RECONSTRUCTIONS[self.loss].output_map
        decoded = in_chunks(lambda z: output_map(self.decoder_(z)), codes)
        scaling = self.offset_, self.scale_, self.whitening_
        return in_units(decoded, *scaling, constants=self.constants_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the reconstruction loss of each row: low for unusual rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples,), float32
            Minus the squared error (or cross-entropy) of each scaled row, averaged over
            the features: also over those that did not vary in `fit`. A rare one of two
            values weighs little with ``scale="auto"``, and much with ``"standard"``.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        rows = self._scaled_rows(X)
        given = [] if rows.are_as_given else [self._scaled_rows(X, as_in_fit=False)]
        loss = RECONSTRUCTIONS[self.loss].per_sample

        def losses(x: Tensor, *given: Tensor) -> Tensor:
            return loss(self.decoder_(self.encoder_(x)), given[0] if given else x)

        return -in_chunks(losses, rows, *given)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`: larger is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        return float(self.score_samples(X).mean())

    def _train(
        self,
        X: np.ndarray | csr_matrix,
        image_shape: ImageShape | None,
        task: FitTask,
        phase_name: str,
    ) -> np.ndarray | None:
        """Train on checked X as a phase of `task`, and return the neighbours used."""
        *seeds, neighbor_seed = task.seeds(self, 4)
        unit = self.loss == "binary_cross_entropy"
        weight = self._resolved_neighbor_weight(X, image_shape)
        fitting = Fitting(
            self,
            X,
            image_shape,
            seeds,
            N_STEPS,
            unit=unit,
            has_codes=True,
            whitens=weight > 0 and not unit,
        )
        rows, shuffle, noise = fitting.rows, fitting.shuffle, fitting.noise
        device = rows.device

        # Find the neighbours of each row.
        neighbors = partners = None
        if weight:
            neighbors = nearest_neighbors(rows, self.n_neighbors, neighbor_seed)
            if neighbors.shape[1] > 0:
                partners = torch.from_numpy(neighbors).to(device)
        pixel_shape = fitting.image_shape or square_image_shape(rows)

        # Build the networks and their optimiser.
        encoder, decoder = new_networks(self, fitting)
        objective = AutoencoderObjective(
            encoder,
            decoder,
            RECONSTRUCTIONS[self.loss].loss,
            weight,
            self._corruption(rows, shuffle),
            new_mask_head(self, fitting) if self.mask_weight else None,
            self.mask_weight,
        )
        optimizer, schedule = fitting.optimizer(objective.networks)
        change, shape = resolved_augment(
            self._augment, fitting.image_shape, pixel_shape
        )
        augment = on_rows(change, shape, rows, shuffle)
        exaggeration = self._resolved_exaggeration(fitting.image_shape, pixel_shape)

        def step(index: Tensor) -> dict[str, Tensor]:
            n, power = len(index), 1.0
            if partners is not None:
                index = torch.cat([index, drawn_neighbors(partners, index, noise)])
                if exaggeration > 1 and schedule.warms_up:
                    power = exaggeration
            losses = objective.losses(augment(rows[index], noise), n, noise, power)
            schedule.advance()
            optimizer.step(losses["loss"])
            return losses

        kept = {
            "encoder_": encoder,
            "decoder_": decoder,
            "whitening_": fitting.whitening,
            "constants_": np.where(pixel_shape is None, fitting.constants, np.nan),
            "pixel_shape_": pixel_shape,
            "neighbor_weight_": weight,
        }
        fitting.train(task, phase_name, step, [optimizer], kept)
        return neighbors

    @property
    def _augment(self) -> Any:
        """What `augment` asks for: of a plain autoencoder, nothing by default."""
        return (
            None
            if self.augment == "auto" and not self.neighbor_weight
            else self.augment
        )

    def _resolved_neighbor_weight(
        self, X: np.ndarray | csr_matrix, image_shape: ImageShape | None
    ) -> float:
        """Weight of the contrastive term: of most data 1, unless it was given."""
        if self.neighbor_weight != "auto":
            return float(self.neighbor_weight)
        is_table = self.image_shape is None and image_shape is None
        is_narrow = X.shape[1] <= MOST_WHITENED
        return 0.0 if is_table and is_narrow and mixes_categories(X) else 1.0

    def _resolved_exaggeration(
        self, image_shape: ImageShape | None, pixel_shape: ImageShape | None
    ) -> float:
        """Power of the contrastive term's attraction while the step size warms up."""
        if self.early_exaggeration != "auto":
            return float(self.early_exaggeration)
        change, _ = resolved_augment(self._augment, image_shape, pixel_shape)
        return EXAGGERATION if change is None else 1.0

    def _corruption(
        self, rows: Rows, order: Generator
    ) -> Callable[[Tensor, Generator], Tensor]:
        """How to spoil cells: swapped where it is told which were, else set to zero."""
        if not self.mask_weight:
            return lambda x, rng: masked(x, self.corruption, rng)
        donors = donors_of(rows, order)
        return lambda x, rng: corrupted(x, donors, self.corruption, rng)
