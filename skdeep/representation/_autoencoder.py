"""Autoencoder, with a neighbour-contrastive term."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import BaseDeepEstimator, image_shape_of, network_copy
from skdeep.nn import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    Network,
    chained,
    initialized,
)
from skdeep.nn.corruption import masked
from skdeep.objectives.contrastive import neighbor_contrastive_loss
from skdeep.objectives.reconstruction import RECONSTRUCTIONS
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.scaling import fitted_scaling, fitted_unit_scaling
from skdeep.training import (
    Adam,
    FitTask,
    OneCycle,
    Rows,
    epochs_for,
    in_chunks,
    n_batches,
    train,
)

N_STEPS = 1500
"""Gradient steps that max_iter="auto" aims at."""


class AutoencoderTransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseDeepEstimator
):
    r"""Learn a low-dimensional code from which each row can be rebuilt.

    An encoder maps each row to a code and a decoder maps the code back. Beside the
    reconstruction, a contrastive term draws the code of each row to the codes of its
    nearest neighbours in the input, so that groups of similar rows become compact and
    apart: the shape that clustering needs. With :math:`z_i = f(x_i)` the code of row i
    and :math:`z'_i` that of one of its neighbours, drawn anew at each step, the
    objective is

    .. math::

        \frac1n \sum_i \frac1D \|x_i - g(z_i)\|^2 \; - \;
        \texttt{neighbor\_weight} \; \frac1n \sum_i \log
        \frac{s(z_i, z'_i)}{\sum_j s(z_i, z'_j)},
        \qquad s(a, b) = \frac{1}{1 + \|a - b\|^2}

    where j runs over the rows of a batch and D is the number of features.

    Parameters
    ----------
    n_components : int, default=10
        Width of the code.

    hidden_layer_sizes : "auto" or tuple of int, default="auto"
        Widths of the encoder's hidden layers, from the input on; the decoder mirrors
        them. For images, the channels of its convolutions, each of which halves the
        sides. ``"auto"`` is (512, 256) for tables and (16, 32, 64) for images.

    image_shape : (int, int, int) or None, default=None
        Channels, height and width. With it, rows are read as images and the networks
        are convolutional. Taken from X if X has shape (n, C, H, W).

    scale : {"auto", "standard", "minmax"} or None, default="auto"
        How columns are scaled before training; undone by `inverse_transform`.
        ``"auto"`` maps all entries alike if the columns share a range, as pixels and
        word weights do, and standardises each column otherwise; ``"standard"`` and
        ``"minmax"`` scale each column.

    loss : {"squared_error", "binary_cross_entropy"}, default="squared_error"
        Reconstruction loss, averaged over the features. The cross-entropy needs values
        in [0, 1]: with it, ``scale="auto"`` keeps such values and maps others by their
        common range.

    corruption : float in [0, 1), default=0.0
        Fraction of the (scaled) input set to zero before encoding; the clean input is
        rebuilt. Above 0 this is a denoising autoencoder.

    neighbor_weight : float, default=1.0
        Weight of the neighbour-contrastive term. 0 gives the plain autoencoder of the
        papers, for example to reconstruct or to detect anomalies.

    n_neighbors : int, default=15
        Nearest neighbours of each row from which its partner is drawn.

    max_iter : int or "auto", default="auto"
        Epochs. ``"auto"``: as many as make 1500 gradient steps, between 2 and 200.

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
        large networks on hardware that multiplies it natively. Weights, losses and all
        that is returned are float32.

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
        Rows are encoded as ``(X - offset_) / scale_``.

    image_shape_ : (int, int, int) or None
        Shape of an image, if rows are images.

    n_iter_ : int
        Epochs trained.

    history_ : dict of str to list of float
        ``"loss"``, ``"reconstruction_loss"`` and, with the contrastive term,
        ``"neighbor_loss"``: one value an epoch.

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

    Dense input of any real type is read as it is, CSR and memory-mapped input batch by
    batch. The same `random_state` gives the same bits on one machine at one number of
    threads. Weights are drawn as torch draws them.

    References
    ----------
    .. [1] P. Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010.
    .. [2] S. Damrich et al., "From t-SNE to UMAP with contrastive learning", ICLR 2023,
       arXiv:2206.01816.

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
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [StrOptions({"auto"}), tuple, list],
        "image_shape": [tuple, list, None],
        "scale": [StrOptions({"auto", "standard", "minmax"}), None],
        "loss": [StrOptions(set(RECONSTRUCTIONS))],
        "corruption": [Interval(Real, 0, 1, closed="left")],
        "neighbor_weight": [Interval(Real, 0, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=10,
        *,
        hidden_layer_sizes="auto",
        image_shape=None,
        scale="auto",
        loss="squared_error",
        corruption=0.0,
        neighbor_weight=1.0,
        n_neighbors=15,
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
        self.image_shape = image_shape
        self.scale = scale
        self.loss = loss
        self.corruption = corruption
        self.neighbor_weight = neighbor_weight
        self.n_neighbors = n_neighbors
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

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
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.
        """
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True)
        with FitTask(self, X, y, max_subtasks=1) as task:
            self._train(X, image_shape, task, "train")
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Code of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), float32
        """
        check_is_fitted(self)
        return self._encode(self._scaled_rows(self._validated(X, reset=False)))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows that the decoder makes of codes, in the units of the input.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features), float32
        """
        check_is_fitted(self)
        Z = check_array(X, dtype=np.float32)
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {Z.shape[1]} columns, but the codes of this "
                f"{type(self).__name__} have {self._n_features_out} components."
            )
        codes = Rows(Z, np.zeros(Z.shape[1]), np.ones(Z.shape[1]), self._home())
        output_map = RECONSTRUCTIONS[self.loss].output_map
        decoded = in_chunks(lambda z: output_map(self.decoder_(z)), codes)
        decoded *= self.scale_
        decoded += self.offset_
        return decoded

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the reconstruction loss of each row: low for unusual rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples,), float32
            Minus the squared error (or cross-entropy) of each scaled row, averaged over
            the features.
        """
        check_is_fitted(self)
        rows = self._scaled_rows(self._validated(X, reset=False))
        loss = RECONSTRUCTIONS[self.loss].per_sample
        return -in_chunks(lambda x: loss(self.decoder_(self.encoder_(x)), x), rows)

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

    @property
    def _n_features_out(self) -> int:
        return self.encoder_.n_outputs

    def _encode(self, rows: Rows) -> np.ndarray:
        return in_chunks(self.encoder_, rows)

    def _train(
        self,
        X: np.ndarray | csr_matrix,
        image_shape: tuple[int, int, int] | None,
        task: FitTask,
        phase_name: str,
    ) -> np.ndarray | None:
        """Train on checked X as a phase of `task`, and return the neighbours used."""
        device = self._device()
        weight_seed, shuffle_seed, noise_seed, neighbor_seed = self._seeds(4)
        image_shape = self._checked_image_shape(image_shape, X.shape[1])

        # Scale the rows and find the neighbours of each.
        offset, scale = self._fitted_scaling(X, image_shape)
        rows = Rows(X, offset, scale, device, resident=True)
        neighbors = None
        if self.neighbor_weight:
            neighbors = nearest_neighbors(rows, self.n_neighbors, neighbor_seed)
        paired = neighbors is not None and neighbors.shape[1] > 0
        partners = torch.from_numpy(neighbors) if paired else None

        # Build the networks and their optimiser.
        weight_rng = Generator().manual_seed(weight_seed)
        encoder, decoder = self._networks(X.shape[1], image_shape, weight_rng)
        networks = [encoder.to(device), decoder.to(device)]
        max_iter = self.max_iter
        if max_iter == "auto":
            max_iter = epochs_for(N_STEPS, len(rows), self.batch_size)
        optimizer = Adam(
            networks,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            precision=self.precision,
        )
        n_steps = max_iter * n_batches(len(rows), self.batch_size)
        schedule = OneCycle(optimizer, self.learning_rate, n_steps)
        reconstruction_loss = RECONSTRUCTIONS[self.loss].loss
        shuffle = Generator().manual_seed(shuffle_seed)
        noise = Generator(device).manual_seed(noise_seed)

        def step(index: Tensor) -> dict[str, Tensor]:
            losses = {}
            if partners is None:
                x = rows[index]
                _, output = chained(masked(x, self.corruption, noise), *networks)
            else:
                drawn = torch.randint(partners.shape[1], index.shape, generator=shuffle)
                pairs = rows[torch.cat([index, partners[index, drawn]])]
                x = pairs[: len(index)]
                z, z_partner = encoder(masked(pairs, self.corruption, noise)).chunk(2)
                losses["neighbor_loss"] = neighbor_contrastive_loss(z, z_partner)
                output = decoder(z)
            losses["reconstruction_loss"] = reconstruction_loss(output, x)
            loss = losses["reconstruction_loss"]
            if partners is not None:
                loss = loss + self.neighbor_weight * losses["neighbor_loss"]
            schedule.advance()
            optimizer.step(loss)
            return {"loss": loss, **losses}

        # Copies do not share a vector with each other, as what an optimiser moves does.
        def fitted() -> dict[str, Any]:
            return {
                "encoder_": network_copy(encoder),
                "decoder_": network_copy(decoder),
                "offset_": offset,
                "scale_": scale,
                "image_shape_": image_shape,
                "n_features_in_": X.shape[1],
                "n_iter_": phase.n_iter,
                "history_": phase.history,
            }

        # A callback of this estimator may ask for a copy that predicts; one of a
        # clusterer that pretrains may not, since there are no clusters yet.
        own = task.estimator is self
        phase = task.phase(phase_name, max_iter, fitted if own else None)
        with optimizer.training():
            train(step, len(rows), phase, batch_size=self.batch_size, rng=shuffle)
        phase.check_weights(networks)
        for name, value in fitted().items():
            setattr(self, name, value)
        return neighbors

    def _fitted_scaling(
        self, X: np.ndarray | csr_matrix, image_shape: tuple[int, int, int] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.loss == "binary_cross_entropy":
            return fitted_unit_scaling(X, self.scale)
        return fitted_scaling(X, self.scale, is_image=image_shape is not None)

    def _checked_image_shape(
        self, image_shape: tuple[int, int, int] | None, n_features: int
    ) -> tuple[int, int, int] | None:
        """Shape of an image: the parameter, else that of X; None for a table."""
        if self.image_shape is None:
            return image_shape
        shape = self.image_shape
        if len(shape) != 3 or not positive_integers(shape):
            raise ValueError(
                f"The 'image_shape' parameter of {type(self).__name__} must be three "
                f"positive integers (channels, height, width). Got {shape!r} instead."
            )
        if math.prod(shape) != n_features:
            raise ValueError(
                f"image_shape={tuple(shape)} has {math.prod(shape)} pixels, but X has "
                f"{n_features} features."
            )
        channels, height, width = map(int, shape)
        return channels, height, width

    def _networks(
        self,
        n_features: int,
        image_shape: tuple[int, int, int] | None,
        rng: Generator,
    ) -> tuple[Network, Network]:
        sizes = self.hidden_layer_sizes
        if sizes == "auto":
            sizes = (512, 256) if image_shape is None else (16, 32, 64)
        if not positive_integers(sizes):
            raise ValueError(
                f"The 'hidden_layer_sizes' parameter of {type(self).__name__} must "
                f"hold positive integers. Got {sizes!r} instead."
            )
        if image_shape is None:
            widths = [n_features, *map(int, sizes), int(self.n_components)]
            encoder = initialized(MLP, rng, sizes=widths)
            decoder = initialized(MLP, rng, sizes=widths[::-1])
            return encoder, decoder
        shape = {
            "image_shape": image_shape,
            "channels": [int(size) for size in sizes],
            "n_components": int(self.n_components),
        }
        encoder = initialized(ConvEncoder, rng, **shape)
        return encoder, initialized(ConvDecoder, rng, **shape)


def positive_integers(values: Iterable[Any]) -> bool:
    """Whether all values are whole numbers above zero."""
    return all(isinstance(v, int | np.integer) and v > 0 for v in values)
