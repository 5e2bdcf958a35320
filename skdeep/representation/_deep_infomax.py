"""Deep InfoMax: representations that know the local features of their rows."""

import math
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.fitting import Fitting
from skdeep.nn import (
    MLP,
    ColumnEncoder,
    ConcatenateCritic,
    DotCritic,
    ImageEncoder,
    LocalEncoder,
    Network,
    initialized,
)
from skdeep.nn.augmentation import (
    Augmentation,
    ImageAugmentation,
    MarginalCorruption,
)
from skdeep.nn.noise import uniform
from skdeep.objectives.mutual_information import (
    MUTUAL_INFORMATION_BOUNDS,
    infonce_all_locations_score,
)
from skdeep.parameters import ImageShape, checked_sizes
from skdeep.representation._base import (
    BaseRepresentation,
    TensorMap,
    image_encoder,
)
from skdeep.representation._collapse import checked_rank
from skdeep.representation._prior import PriorMatch
from skdeep.representation._views import default_views, on_rows
from skdeep.training import FitTask, n_batches

N_STEPS = 700
"""Gradient steps that max_iter="auto" aims at, at least."""

N_IMAGE_EPOCHS, MOST_STEPS = 40, 3000
"""How often each of many images is seen as well, until so many steps were made."""

MAX_PLACES = 64
"""Local features of a row that a step compares, drawn anew: bounds its cost."""

N_VIEWS, VIEW_RATE = 3, 0.6
"""Views of a row with local="views", and the share of their cells that is replaced."""

COLUMN_WIDTH, COLUMN_RATE = 16, 0.3
"""Width of the embedding of a column with local="columns", and the share of the cells
that the code does not see."""

N_ESTIMATES = 16
"""Batches over which the final estimate is averaged."""

ALL_PLACES = "InfoNCE score against all places of other images, no bound"
"""What estimator="infonce" estimates on images."""

OCCLUSION = ImageAugmentation(shift=0, rotation=0, scale=0, erase=0.5)
"""What augment="occlude" does to images: a hole of at most half the side."""


Pairs = tuple[Tensor, Tensor]
"""Local features (n_views, n, n_places, n_local), and codes of the same rows."""


class Term(NamedTuple):
    """A term of the objective: what its critic compares codes with, and its weight."""

    features: str
    """``"local"``: each place by itself; ``"global"``: all of them as one feature."""
    weight: float
    critic: Network


class DeepInfoMaxTransformer(BaseRepresentation):
    r"""Learn codes that share much information with the local features of their rows.

    An encoder makes local features on the way to the code: channels at the places of an
    image, or a small embedding of each column of a table. A critic scores how well a
    local feature and a code fit together, and both are trained so that those of the
    same row score high and those of different rows low, which raises an estimate,
    mostly a lower bound, of their mutual information:

    .. math::

        \max \; \beta \, \frac1m \sum_{k=1}^m
        \hat I \big( l_k(x); z(x) \big) + \alpha \, \hat I \big( l(x); z(x) \big)
        - \gamma \, D_{\text{prior}}(z)

    with :math:`l_k(x)` local feature k of row x, l all of them, z the code,
    :math:`\alpha, \beta, \gamma` the weights of the global, the local and the prior
    term, and :math:`\hat I` the estimate that `estimator` names. Local features and
    code come from different views of the row: what the two views share is what the
    code keeps.

    Parameters
    ----------
    n_components : int, default=64
        Width of the code.

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

    augment : {"auto", "occlude"}, callable, MarginalCorruption or None, default="auto"
        Views. ``"auto"``: images are shifted, turned and scaled, the one that gives the
        local features and the one that gives the code differently; of tables, cells are
        replaced by those of other rows, 60 % of each view or, with
        ``local="columns"``, 30 % of those that the code sees. ``"occlude"``: the code
        of an image does not see one square of it. A callable maps a batch of scaled
        rows (or images) and a `torch.Generator` to such a batch: see
        :mod:`skdeep.nn.augmentation`. None compares local features and code of the same
        row, as in the paper.

    local : {"views", "columns"}, default="views"
        Local features of a table. ``"views"``: the codes of three views of the row.
        ``"columns"``: an embedding of each column, told from that of the same column in
        other rows; several times slower on tables of many columns, and no better on
        those that we measured.

    estimator : {"jsd", "infonce", "dv", "nwj"}, default="jsd"
        Estimate of the mutual information: Jensen-Shannon, InfoNCE, Donsker-Varadhan or
        Nguyen-Wainwright-Jordan.

    critic : {"dot", "concatenate"}, default="dot"
        Dot product of a map of each, or dense layers on both side by side (dearer).

    n_units : int, default=128
        Width of the critic.

    local_weight : float, default=1.0
        Weight :math:`\beta` of the local term.

    global_weight : float, default=0.0
        Weight :math:`\alpha` of the global term.

    prior_weight : float, default=0.0
        Weight :math:`\gamma` of the prior term. It lowers the rank of the codes.

    prior : {"uniform", "normal"}, default="uniform"
        Distribution that a discriminator tells the codes from, after a sigmoid for
        ``"uniform"``.

    layer : {"code", "hidden"}, default="code"
        What `transform` returns: the code, or the wider layer before it, often the
        better one with few labels. Clusterers start from the code, whatever it says.

    max_iter : int or "auto", default="auto"
        Epochs. ``"auto"``: as many as make 700 gradient steps, between 2 and 200; of
        images at least 40, until 3000 steps are made. 0 leaves the encoder as it was
        drawn.

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

    mi_estimate_ : dict
        ``"value"`` of the estimate after training, on training rows, of the local term
        if it has a weight, else of the global one; ``"quantity"``, what it is and
        whether it bounds the mutual information; ``"limit"``, the largest value it can
        take in batches of this size.

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
        ``"loss"`` and, of the terms with a weight, ``"local_loss"``, ``"global_loss"``,
        ``"prior_loss"`` and ``"discriminator_loss"``: one value an epoch.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    SimCLRTransformer : Tells whole views apart, without local features.
    AutoencoderTransformer : Rebuilds the row, and can be inverted.

    Notes
    -----
    With all labels at hand, no code of a table is much better than its principal
    components; the gain is on images and with few labels. Deviations from the paper:
    two views instead of one; batch normalisation in the encoder and layer normalisation
    in the critic; scores are divided by :math:`\sqrt{U}` for U units; of more than 64
    local features, the local term compares 64 a step. ``augment=None`` with
    ``prior_weight=0.1`` and ``learning_rate=1e-4`` is nearest to the paper's DIM(L).
    The prior is matched by an adversary with its own optimiser, non-saturating for the
    encoder.

    References
    ----------
    .. [1] R. D. Hjelm et al., "Learning Deep Representations by Mutual Information
       Estimation and Maximization", ICLR 2019, arXiv:1808.06670.
    .. [2] P. Bachman, R. D. Hjelm, W. Buchwalter, "Learning Representations by
       Maximizing Mutual Information Across Views", NeurIPS 2019, arXiv:1906.00910.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdeep.representation import DeepInfoMaxTransformer
    >>> X = load_digits().data[:60].reshape(-1, 1, 8, 8)
    >>> infomax = DeepInfoMaxTransformer(16, max_iter=2, random_state=0).fit(X)
    >>> infomax.transform(X).shape
    (60, 16)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseRepresentation._parameter_constraints,
        "augment": [
            StrOptions({"auto", "occlude"}),
            callable,
            MarginalCorruption,
            None,
        ],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "local": [StrOptions({"columns", "views"})],
        "estimator": [StrOptions(set(MUTUAL_INFORMATION_BOUNDS))],
        "critic": [StrOptions({"dot", "concatenate"})],
        "n_units": [Interval(Integral, 1, None, closed="left")],
        "local_weight": [Interval(Real, 0, None, closed="left")],
        "global_weight": [Interval(Real, 0, None, closed="left")],
        "prior_weight": [Interval(Real, 0, None, closed="left")],
        "prior": [StrOptions({"uniform", "normal"})],
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
        local="views",
        estimator="jsd",
        critic="dot",
        n_units=128,
        local_weight=1.0,
        global_weight=0.0,
        prior_weight=0.0,
        prior="uniform",
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
        self.local = local
        self.estimator = estimator
        self.critic = critic
        self.n_units = n_units
        self.local_weight = local_weight
        self.global_weight = global_weight
        self.prior_weight = prior_weight
        self.prior = prior
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
        """Train the encoder against its critics.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : None
            Ignored.

        Returns
        -------
        self : DeepInfoMaxTransformer

        Raises
        ------
        ValueError
            If both terms have weight 0, or squares of flat rows are to be occluded.
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
        is_image = self.image_shape is not None or image_shape is not None
        n_steps = steps_for(X.shape[0], self.batch_size, is_image)
        fitting = Fitting(
            self, X, image_shape, task.seeds(self, 3), n_steps, has_codes=True
        )
        rows, noise, device = fitting.rows, fitting.noise, fitting.rows.device

        # Build the encoder, its critics, and the adversary of a prior with a weight.
        encoder = self._encoder(fitting).to(device)
        terms = self._terms(encoder, fitting.weight_rng)
        networks = [encoder, *(term.critic.to(device) for term in terms)]
        pairs_of = self._views(encoder, fitting)
        estimate, quantity = MUTUAL_INFORMATION_BOUNDS[self.estimator]
        n_locations = 1
        all_places = self.estimator == "infonce" and self.local_weight > 0
        if all_places and isinstance(encoder, ImageEncoder):
            estimate, quantity = infonce_all_locations_score, ALL_PLACES
            n_locations = min(encoder.n_places, MAX_PLACES)

        optimizer, schedule = fitting.optimizer(networks)
        optimizers, prior = [optimizer], None
        if self.prior_weight:
            prior = PriorMatch(self.prior, encoder.n_outputs, fitting)
            optimizers.append(prior.adversary)

        def step(index: Tensor) -> dict[str, Tensor]:
            pairs = pairs_of(rows[index], noise)
            losses = {
                f"{term.features}_loss": -mean_over(pairs, term, estimate, noise)
                for term in terms
            }
            loss: Any = sum(t.weight * losses[f"{t.features}_loss"] for t in terms)
            if prior is not None:
                losses |= prior.losses(pairs[1].flatten(0, 1))
                loss = loss + self.prior_weight * losses["prior_loss"]
            schedule.advance()
            optimizer.step(loss)
            return {"loss": loss, **losses}

        kept = {"encoder_": encoder, "constants_": fitting.constants}
        fitting.train(task, phase_name, step, optimizers, kept)

        # Read the estimate off, and look whether the codes use their dimensions.
        def estimate_of(index: Tensor) -> Tensor:
            return mean_over(pairs_of(rows[index], noise), terms[0], estimate, noise)

        n = min(len(rows), int(self.batch_size))
        value = mean_of_batches(estimate_of, len(rows), n, fitting.shuffle)
        self.embedding_rank_ = checked_rank(self, encoder, fitting)
        self.mi_estimate_ = {
            "value": value,
            "quantity": quantity,
            "limit": limit_of(self.estimator, n, n_locations),
        }

    def _encoder(self, fitting: Fitting) -> LocalEncoder | MLP:
        if fitting.image_shape is not None:
            return image_encoder(self, fitting)
        rng, n_features = fitting.weight_rng, fitting.n_features
        sizes, n_components = checked_sizes(self, (256, 256)), int(self.n_components)
        if self.local == "views":
            return initialized(MLP, rng, sizes=[n_features, *sizes, n_components])
        return initialized(
            ColumnEncoder,
            rng,
            n_features=n_features,
            n_local=COLUMN_WIDTH,
            hidden_layer_sizes=sizes,
            n_components=n_components,
        )

    def _terms(self, encoder: LocalEncoder | MLP, rng: Generator) -> list[Term]:
        """Terms that have a weight, with their critics."""
        kind = DotCritic if self.critic == "dot" else ConcatenateCritic
        n_global = encoder.n_outputs
        if isinstance(encoder, MLP):
            n_places, n_local = N_VIEWS, n_global
        else:
            n_places, n_local = encoder.n_places, encoder.n_local
        asked = [
            ("local", self.local_weight, n_local),
            ("global", self.global_weight, n_places * n_local),
        ]
        if not any(weight for _, weight, _ in asked):
            raise ValueError(
                "One of the 'local_weight' and 'global_weight' parameters of "
                f"{type(self).__name__} must be above 0. Got 0 for both."
            )
        sizes = {"n_global": n_global, "n_units": int(self.n_units)}
        return [
            Term(features, weight, initialized(kind, rng, n_local=width, **sizes))
            for features, weight, width in asked
            if weight
        ]

    def _views(
        self, encoder: LocalEncoder | MLP, fitting: Fitting
    ) -> Callable[[Tensor, Generator], Pairs]:
        """Make a function of a batch that returns local features and codes of it."""
        image_shape = fitting.image_shape
        occludes = isinstance(self.augment, str) and self.augment == "occlude"
        if occludes and image_shape is None:
            raise ValueError(
                "augment='occlude' hides a square of images, but X has flat rows. "
                "Pass images of shape (n, channels, height, width), or say what "
                "the rows are: image_shape=(channels, height, width)."
            )
        rate = VIEW_RATE if self.local == "views" else COLUMN_RATE
        asked = OCCLUSION if occludes else self.augment
        augment = default_views(asked, image_shape, rate)
        view = on_rows(augment, image_shape, fitting.rows, fitting.shuffle)
        if isinstance(encoder, MLP):
            return partial(views_of_rows, encoder, view)
        if augment is None:
            return partial(same_view, encoder)
        if isinstance(augment, MarginalCorruption) or occludes:
            return partial(clean_and_altered, encoder, view)
        return partial(two_views, encoder, view)


def two_views(
    encoder: LocalEncoder, view: Augmentation, x: Tensor, rng: Generator
) -> Pairs:
    """Local features of each of two views, with the code of the other."""
    both = torch.cat([view(x, rng), view(x, rng)])
    local, z = encoder.local_and_code(both)
    return local.unflatten(0, (2, -1)), z.unflatten(0, (2, -1)).flip(0)


def clean_and_altered(
    encoder: LocalEncoder, view: Augmentation, x: Tensor, rng: Generator
) -> Pairs:
    """Local features of the row, with the code of a view that lacks a part of it."""
    local, z = encoder.local_features(x), encoder(view(x, rng))
    return local.unsqueeze(0), z.unsqueeze(0)


def same_view(encoder: LocalEncoder, x: Tensor, _: Generator) -> Pairs:
    """Local features and code of the same row, as in the paper."""
    local, z = encoder.local_and_code(x)
    return local.unsqueeze(0), z.unsqueeze(0)


def views_of_rows(encoder: MLP, view: Augmentation, x: Tensor, rng: Generator) -> Pairs:
    """Codes of views of the row, with the code of the row itself."""
    views = [view(x, rng) for _ in range(N_VIEWS)]
    z, *local = encoder(torch.cat([x, *views])).chunk(1 + N_VIEWS)
    return torch.stack(local, dim=1).unsqueeze(0), z.unsqueeze(0)


def some(local: Tensor, rng: Generator) -> Tensor:
    """Local features at `MAX_PLACES` places that are drawn, if there are more."""
    n_places = local.shape[2]
    if n_places <= MAX_PLACES:
        return local
    scores = uniform((n_places,), rng)
    return local[:, :, scores.argsort()[:MAX_PLACES]]


def mean_over(pairs: Pairs, term: Term, estimate: TensorMap, rng: Generator) -> Tensor:
    """Estimate of the information between features and codes, over the views."""
    local, z = pairs
    if term.features == "local":
        features = some(local, rng)
    else:
        features = local.flatten(2).unsqueeze(2)
    return torch.stack([estimate(s) for s in term.critic(features, z)]).mean()


@torch.inference_mode()
def mean_of_batches(
    estimate_of: TensorMap, n_rows: int, n: int, rng: Generator
) -> float:
    """Mean of an estimate over some batches of n row numbers each."""
    batches = torch.randperm(n_rows, generator=rng).split(n)[:N_ESTIMATES]
    return float(np.mean([float(estimate_of(b)) for b in batches if len(b) == n]))


def limit_of(estimator: str, n_rows: int, n_locations: int) -> float:
    """Largest value of an estimate, by the candidates that each code is given."""
    n_candidates = 1 + n_locations * (n_rows - 1)
    return {"jsd": 0.0, "infonce": math.log(n_candidates)}.get(estimator, math.inf)


def steps_for(n_samples: int, batch_size: int, is_image: bool) -> int:
    """Gradient steps that ``max_iter="auto"`` aims at."""
    if not is_image:
        return N_STEPS
    seen = N_IMAGE_EPOCHS * n_batches(n_samples, batch_size)
    return max(N_STEPS, min(seen, MOST_STEPS))
