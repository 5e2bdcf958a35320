"""SimCLR: representations in which two views of a row find each other."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.fitting import Fitting
from skdeep.nn import MLP, ImageEncoder, Network, initialized
from skdeep.nn.augmentation import MarginalCorruption
from skdeep.objectives.contrastive import nt_xent_loss
from skdeep.parameters import ImageShape, checked_sizes
from skdeep.representation._base import BaseRepresentation, image_encoder
from skdeep.representation._collapse import checked_rank
from skdeep.representation._views import default_views, on_rows
from skdeep.training import FitTask

N_STEPS = 800
"""Gradient steps that max_iter="auto" aims at."""

HEAD = (128, 64)
"""Widths of the projection head, which is dropped after training."""


class SimCLRTransformer(BaseRepresentation):
    r"""Learn codes in which two views of a row are told from all other rows.

    Each row of a batch is changed at random twice. An encoder maps both views to codes
    h, a head maps these to projections z, and each projection has to find its partner
    among those of all 2n views of the batch:

    .. math::

        L &= - \frac{1}{2n} \sum_{i=1}^{2n} \log
        \frac{\exp (s_{i, i'} / \tau)}{\sum_{j \ne i} \exp (s_{ij} / \tau)}, \\
        s_{ij} &= \frac{z_i^\top z_j}{\|z_i\| \|z_j\|}

    with :math:`i'` the other view of the row of view i and :math:`\tau` the temperature
    (NT-Xent). What the views do not share, the codes need not keep. On images the views
    are shifted, turned and scaled; of tables, a part of the cells is replaced by those
    of other rows (SCARF).

    Parameters
    ----------
    n_components : int, default=64
        Width of the code h.

    hidden_layer_sizes : "auto" or tuple of int, default="auto"
        For images, the channels of three convolutions and the width of a dense layer:
        ``"auto"`` is (32, 64, 128, 256). For tables, the widths of the dense layers:
        ``"auto"`` is (256, 256).

    image_shape : (int, int, int) or None, default=None
        Channels, height and width. With it, rows are read as images. Taken from X if X
        has shape (n, C, H, W).

    scale : {"auto", "standard", "minmax"} or None, default="auto"
        How columns are scaled before training: see
        :class:`skdeep.representation.AutoencoderTransformer`.

    augment : "auto", callable or MarginalCorruption, default="auto"
        Views. ``"auto"``: ``ImageAugmentation()`` on images and
        ``MarginalCorruption(0.3)`` on tables. A callable maps a batch of scaled rows
        (or images) and a `torch.Generator` to such a batch: see
        :mod:`skdeep.nn.augmentation`.

    temperature : float, default=0.5
        Smaller values weigh the hardest other rows more.

    layer : {"code", "hidden"}, default="code"
        What `transform` returns: the code, or the wider layer before it. Clusterers
        start from the code, whatever it says.

    max_iter : int or "auto", default="auto"
        Epochs. ``"auto"``: as many as make 800 gradient steps, between 2 and 200. 0
        leaves the encoder as it was drawn.

    batch_size : int, default=128
        Rows of a gradient step, among which each is told apart: at least 2.

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

    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, shuffles and views.

    verbose : int, default=0
        1 writes one line when training ends.

    Attributes
    ----------
    encoder_ : torch.nn.Module
        Maps scaled rows (n, n_features) to codes (n, n_components).

    embedding_rank_ : float
        Effective rank of the codes of the training rows: the number of dimensions that
        they spread over.

    offset_, scale_ : ndarray of shape (n_features,)
        Rows are encoded as ``(X - offset_) / scale_``.

    constants_ : ndarray of shape (n_features,)
        Value of each column that does not vary, with which rows are encoded, whatever
        they hold there; NaN of all others, and of pixels.

    image_shape_ : (int, int, int) or None
        Shape of an image, if rows are images.

    n_iter_ : int
        Epochs trained.

    history_ : dict of str to list of float
        ``"loss"``: one value an epoch.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    DeepInfoMaxTransformer : Compares codes with local features.
    AutoencoderTransformer : Rebuilds the row, and can be inverted.

    Notes
    -----
    Deviations from the papers: Adam instead of LARS; a small encoder; for tables,
    a narrow code with a head of its own, 30 % of the cells and temperature 0.5 instead
    of 60 % and 1, with which a narrow code loses dimensions, and both views changed.

    References
    ----------
    .. [1] T. Chen et al., "A Simple Framework for Contrastive Learning of Visual
       Representations", ICML 2020, arXiv:2002.05709.
    .. [2] D. Bahri et al., "SCARF: Self-Supervised Contrastive Learning using Random
       Feature Corruption", ICLR 2022, arXiv:2106.15147.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdeep.representation import SimCLRTransformer
    >>> X = load_digits().data[:200].reshape(-1, 1, 8, 8)
    >>> simclr = SimCLRTransformer(16, max_iter=2, random_state=0).fit(X)
    >>> simclr.transform(X).shape
    (200, 16)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseRepresentation._parameter_constraints,
        "augment": [StrOptions({"auto"}), callable, MarginalCorruption],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "layer": [StrOptions({"code", "hidden"})],
    }

    def __init__(
        self,
        n_components=64,
        *,
        hidden_layer_sizes="auto",
        image_shape=None,
        scale="auto",
        augment="auto",
        temperature=0.5,
        layer="code",
        max_iter="auto",
        batch_size=128,
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
        self.augment = augment
        self.temperature = temperature
        self.layer = layer
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
        """Train the encoder and its head.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : None
            Ignored.

        Returns
        -------
        self : SimCLRTransformer

        Raises
        ------
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.

        Warns
        -----
        ConvergenceWarning
            If the codes spread over few of their dimensions.
        """
        image_shape = image_shape_of(X)
        X = self._validated(X, reset=True)
        with FitTask(self, X, y, max_subtasks=1) as task:
            self._train(X, image_shape, task, "train")
        return self

    def _train(
        self,
        X: np.ndarray | csr_matrix,
        image_shape: ImageShape | None,
        task: FitTask,
        phase_name: str,
    ) -> None:
        """Train on checked X as a phase of `task`."""
        fitting = Fitting(
            self, X, image_shape, task.seeds(self, 3), N_STEPS, has_codes=True
        )
        rows, noise = fitting.rows, fitting.noise

        # Build the encoder and its head.
        encoder: ImageEncoder | MLP
        if fitting.image_shape is not None:
            encoder = image_encoder(self, fitting)
        else:
            sizes = [X.shape[1], *checked_sizes(self, (256, 256)), self.n_components]
            encoder = initialized(MLP, fitting.weight_rng, sizes=list(map(int, sizes)))
        sizes = [encoder.n_outputs, *HEAD]
        head = initialized(MLP, fitting.weight_rng, sizes=sizes)
        networks: list[Network] = [encoder.to(rows.device), head.to(rows.device)]
        optimizer, schedule = fitting.optimizer(networks)
        views = default_views(self.augment, fitting.image_shape)
        view = on_rows(views, fitting.image_shape, rows, fitting.shuffle)

        def step(index: Tensor) -> dict[str, Tensor]:
            x = rows[index]
            h = encoder(torch.cat([view(x, noise), view(x, noise)]))
            z = head(h.relu())
            first, second = z.chunk(2)
            loss = nt_xent_loss(first, second, self.temperature)
            schedule.advance()
            optimizer.step(loss)
            return {"loss": loss}

        kept = {"encoder_": encoder, "constants_": fitting.constants}
        fitting.train(task, phase_name, step, [optimizer], kept)
        self.embedding_rank_ = checked_rank(self, encoder, fitting)
