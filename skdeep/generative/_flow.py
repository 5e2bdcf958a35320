"""Normalizing flows: an exact density, and rows drawn from it."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.stats import t as student_t
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import image_shape_of, network_copy, varying_columns
from skdeep.fitting import CHUNK_ROWS, Fitting, Validation
from skdeep.generative._base import BaseSampler, Classes, fit_transform, score, widths
from skdeep.generative._gaussian import (
    fitted_gaussian,
    shrunken_means,
    smallest_variances,
)
from skdeep.nn import Flow, initialized
from skdeep.nn.noise import normal
from skdeep.parameters import ImageShape
from skdeep.training import FitTask, Rows, changing

N_STEPS = 2000
"""Gradient steps that max_iter="auto" aims at."""

MAX_GRADIENT_NORM = 5.0
"""Length to which longer gradients are shortened: rows far out make long ones."""

MOST_NOISE, NOISY_ROWS = 0.5, 500
"""What noise="auto" adds to the rows of tables of so many at most."""

COOLING = 3
"""Power of the share of steps that are left by which added noise fades."""

SURE = 0.99
"""Confidence that a flow is better than the Gaussian, without which that is kept."""

SHARED = 0.1
"""Share of the rows with one value of a column, from which splines have more bins."""


class FlowSampler(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseSampler):
    r"""Learn a density by maps that can be inverted, and draw from it.

    A chain of invertible maps f takes each row to a standard normal z. The density of a
    row follows by the change of variables, exactly, and training raises its mean over
    the rows:

    .. math::

        &\max \; \frac1n \sum_i \log p(x_i), \\
        &\log p(x) = \log N(f(x); 0, I)
        + \log \Big| \det \frac{\partial f}{\partial x} \Big|

    f starts as the map that whitens the Gaussian of the rows, with a covariance shrunk
    by cross-validation; of rows of classes, those about the means of the classes, of
    one covariance. Then come couplings: one half of the columns is moved, entry
    by entry, by increasing functions whose parameters a network reads off the other
    half. Samples are normal noise, taken through the inverse.

    Parameters
    ----------
    coupling : {"spline", "affine", "additive"}, default="spline"
        How a coupling moves an entry: by a monotone rational-quadratic spline (neural
        spline flow), by scale and shift (RealNVP) or by a shift (NICE).

    mixing : {"linear", "permutation"}, default="linear"
        What follows each coupling: an invertible linear map of the columns, of images
        of the channels (Glow), or a fixed permutation with a scale and a shift of each
        column (Glow's actnorm).

    n_couplings : int, default=6
        Couplings, of images those of each level.

    hidden_layer_sizes : "auto" or tuple of int, default="auto"
        Widths of the networks of the couplings; for images, their channels. ``"auto"``
        is (64, 64).

    n_bins : int or "auto", default="auto"
        Bins of a spline. More of them make sharper densities. ``"auto"`` is 8, or 16
        for tables of which a tenth of the rows share a value of a column, as those of
        categories and counts do.

    image_shape : (int, int, int) or None, default=None
        Channels, height and width. With it, rows are read as images: couplings are
        convolutional, on up to three levels. Taken from X if X has shape (n, C, H, W).

    scale : {"auto", "standard", "minmax"} or None, default="auto"
        How columns are scaled before training: see
        :class:`skdeep.representation.AutoencoderTransformer`. Densities are in units of
        the input all the same.

    conditional : bool, default=False
        Whether the density depends on the class of a row: `fit` then needs y, and
        `sample` takes it.

    noise : float or "auto", default="auto"
        Normal noise that is added to the rows of a step, in deviations of the starting
        Gaussian; it fades to nothing while training goes on. It keeps flows of small
        tables from learning their rows by heart: the weights that are best on rows held
        out are those of the noise that the table needs. ``"auto"`` is 0.5 for up to 500
        rows that are not held out, and 250 / n for n such rows beyond.

    max_iter : int or "auto", default="auto"
        Epochs, at most. ``"auto"``: as many as make 2000 gradient steps, between 2 and
        200.

    batch_size : int, default=512
        Rows of a gradient step.

    learning_rate : float, default=3e-3
        Largest step size of Adam; it warms up over a tenth of the steps and then
        anneals to zero.

    weight_decay : float, default=0.0
        Decoupled decay of the weights per unit of step size.

    early_stopping : bool, default=True
        Whether rows are held out, the weights that are best on them kept, and the
        Gaussian of all rows (with ``conditional=True`` the Gaussians of the classes)
        returned where the flow is not surely better on them than that of the other
        rows (Student's t, one-sided, 99 %).

    validation_fraction : float in (0, 1), default=0.1
        Share of the rows held out.

    n_iter_no_change : int, default=50
        Epochs without a new best that stop the training.

    device : str, default="auto"
        Torch device. ``"auto"``: the GPU if there is one.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Without effect so far: flows are trained in float32.

    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, permutations, shuffles and held-out rows.

    verbose : int, default=0
        1 writes one line when training ends.

    Attributes
    ----------
    flow_ : torch.nn.Module
        Maps scaled rows, without the columns that do not vary, to the base
        distribution.

    constants_ : ndarray of shape (n_features,)
        Value of each column that does not vary, NaN of the others, and of pixels.

    offset_, scale_ : ndarray of shape (n_features,)
        Rows are read as ``(X - offset_) / scale_``.

    image_shape_ : (int, int, int) or None
        Shape of an image, if rows are images.

    classes_ : ndarray of shape (n_classes,)
        Classes seen in `fit`, if conditional.

    class_log_prior_ : ndarray of shape (n_classes,)
        Logarithms of their frequencies, if conditional.

    n_iter_ : int
        Epochs trained.

    history_ : dict of str to list of float
        ``"loss"`` and, with early stopping, ``"validation_loss"``, in nats a row of
        scaled columns: one value an epoch.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    VAESampler : A narrow code, and bounds instead of a density.
    DiffusionSampler : Often better samples, and slower ones.
    GANSampler : Samples alone.
    sklearn.mixture.GaussianMixture : The rival; hard to beat on small tables.

    Notes
    -----
    `score_samples` is exact. Columns that do not vary have no density: they are left
    out of it, and samples repeat them. Columns of few values make a density as large
    as it is trained for: do not compare likelihoods of them. Log-scales of affine
    couplings are bounded by 3, alike for both signs. Deviations from the papers: the
    starting Gaussian, and linear maps in place of permutations by default.

    References
    ----------
    .. [1] C. Durkan et al., "Neural Spline Flows", NeurIPS 2019, arXiv:1906.04032.
    .. [2] L. Dinh, J. Sohl-Dickstein, S. Bengio, "Density Estimation Using Real NVP",
       ICLR 2017, arXiv:1605.08803.
    .. [3] L. Dinh, D. Krueger, Y. Bengio, "NICE: Non-linear Independent Components
       Estimation", ICLR 2015 workshop, arXiv:1410.8516.
    .. [4] D. P. Kingma, P. Dhariwal, "Glow: Generative Flow with Invertible 1x1
       Convolutions", NeurIPS 2018, arXiv:1807.03039.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skdeep.generative import FlowSampler
    >>> X, _ = make_moons(500, noise=0.1, random_state=0)
    >>> flow = FlowSampler(n_couplings=2, max_iter=20, random_state=0).fit(X)
    >>> flow.sample(3, random_state=0).shape
    (3, 2)
    >>> flow.score_samples(X).shape
    (500,)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseSampler._parameter_constraints,
        **BaseSampler._early_stopping_constraints,
        "coupling": [StrOptions({"spline", "affine", "additive"})],
        "mixing": [StrOptions({"linear", "permutation"})],
        "n_couplings": [Interval(Integral, 1, None, closed="left")],
        "n_bins": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "noise": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        coupling="spline",
        *,
        mixing="linear",
        n_couplings=6,
        hidden_layer_sizes="auto",
        n_bins="auto",
        image_shape=None,
        scale="auto",
        conditional=False,
        noise="auto",
        max_iter="auto",
        batch_size=512,
        learning_rate=3e-3,
        weight_decay=0.0,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=50,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.coupling = coupling
        self.mixing = mixing
        self.n_couplings = n_couplings
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_bins = n_bins
        self.image_shape = image_shape
        self.scale = scale
        self.conditional = conditional
        self.noise = noise
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "density_estimator"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @fit_context
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit a Gaussian, and train the flow that starts from it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W). At least two rows.
        y : array-like of shape (n_samples,) or None, default=None
            Class of each row, with ``conditional=True``; else ignored.

        Returns
        -------
        self : FlowSampler

        Raises
        ------
        ValueError
            If X does not suit the parameters, or ``conditional=True`` and y is missing.
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.
        """
        image_shape, classes = image_shape_of(X), self._checked_classes(X, y)
        X = self._validated(X, reset=True, min_samples=2)
        with FitTask(self, X, y, max_subtasks=1) as task:
            self._train(X, classes, image_shape, task)
        return self

    fit_transform = fit_transform

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Point of the base distribution of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : class, array-like of shape (n_samples,) or None, default=None
            Class of all rows or of each: needed with ``conditional=True``, refused
            without.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_varying), float32
            Standard normal, if the rows are distributed as the model says: one number
            for each column that varies in `fit`.

        Raises
        ------
        ValueError
            If classes are needed and y is None, or one was not seen in `fit`; or if y
            is given and none are known.
        """
        self._check_usable()
        flow, columns = self.flow_, self._columns()

        def base(x: Tensor, *context: Tensor) -> Tensor:
            return flow(x[:, columns], *context)[0]

        return self._mapped(X, y, base)

    def inverse_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Rows of points of the base distribution, in the units of the input.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_varying)
            Points, for example of `transform`.
        y : class, array-like of shape (n_samples,) or None, default=None
            Class of all rows or of each: needed with ``conditional=True``, refused
            without.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features), float32
            In float64 if that is too coarse for a column, or its unit too small.

        Raises
        ------
        ValueError
            If X has more or fewer columns than a code, if classes are needed and y is
            None, one was not seen in `fit`, or y is given and none are known.
        """
        self._check_usable()
        return self._decoded(X, y, self._rows_of, self._n_features_out)

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """Logarithm of the density of each row, exactly.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : class, array-like of shape (n_samples,) or None, default=None
            With ``conditional=True``: the class in which each row is scored. None
            scores it in the mixture of all classes. Ignored without.

        Returns
        -------
        log_density : ndarray of shape (n_samples,), float32
            In nats, in the units of the input.

        Raises
        ------
        ValueError
            If y holds a class that `fit` did not see.
        """
        self._check_usable()
        flow, columns = self.flow_, self._columns()
        varies = self._has_density().any()

        def log_density(x: Tensor, *context: Tensor) -> Tensor:
            if not varies:
                return x.new_zeros(len(x))
            return flow.log_density(x[:, columns], *context)

        return self._log_densities(X, y, log_density)

    score = score

    flow_: Flow

    @property
    def _n_features_out(self) -> int:
        return self.flow_.n_outputs

    def _columns(self) -> Tensor | slice:
        return varying_columns(some_free(self.constants_), self._home())

    def _rows_of(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        x = z.new_zeros(len(z), self.n_features_in_)
        x[:, self._columns()] = self.flow_.inverse(z, context)
        return x

    def _draw(self, n_rows: int, context: Tensor | None, rng: Generator) -> Tensor:
        shape = (n_rows, self._n_features_out)
        return self._rows_of(normal(shape, rng), context)

    def _train(
        self,
        X: np.ndarray | csr_matrix,
        given_classes: Classes | None,
        image_shape: ImageShape | None,
        task: FitTask,
    ) -> None:
        """Train on checked X as the only phase of `task`."""
        classes, context = self._fitted_classes(given_classes)
        fitting = Fitting(
            self,
            X,
            image_shape,
            task.seeds(self, 3),
            N_STEPS,
            holds_out=self.early_stopping,
        )
        rows, noise = fitting.rows, fitting.noise
        constants = fitting.constants
        columns = varying_columns(some_free(constants), rows.device)

        # Build the flow, which starts as the Gaussian of the rows that train it.
        flow = self._flow(fitting, constants, context).to(rows.device)
        everything = torch.arange(len(rows), device=rows.device)
        seen = fitting.training if fitting.n_training > 1 else everything
        become_gaussian(flow, rows, seen, columns, context)
        gaussian: Any = None
        if self.early_stopping:
            gaussian = network_copy(flow).to(rows.device)
        # Determinants and sums over bins need the digits of float32.
        optimizer, schedule = fitting.optimizer(
            [flow], max_gradient_norm=MAX_GRADIENT_NORM, precision="float32"
        )

        most_noise = self.noise
        if most_noise == "auto":
            most_noise = MOST_NOISE * min(1.0, NOISY_ROWS / fitting.n_training)

        def scatter_now() -> float:
            left = 1 - schedule.step_number / schedule.n_steps
            return most_noise * left**COOLING

        def log_density(network: Any, index: Tensor, scatter: Any = None) -> Tensor:
            x = rows[index][:, columns]
            if scatter is not None:
                white = normal(x.shape, noise)
                x = x + scatter * network.colored(white)
            return network.log_density(x, None if context is None else context[index])

        def step(index: Tensor) -> dict[str, Tensor]:
            scatter = changing(scatter_now) if most_noise else None
            loss = -log_density(flow, index, scatter).mean()
            schedule.advance()
            optimizer.step(loss)
            return {"loss": loss}

        validation = None
        if self.early_stopping:
            validation = Validation(
                fitting,
                optimizer,
                lambda index: -log_density(flow, index).mean(),
            )
        kept = {"flow_": flow, "constants_": constants, **classes}
        fitting.train(task, "train", step, [optimizer], kept, validation=validation)

        if gaussian is not None and not is_better(
            partial(log_density, flow), partial(log_density, gaussian), fitting.held_out
        ):
            become_gaussian(gaussian, rows, everything, columns, context)
            self.flow_ = gaussian

    def _flow(
        self, fitting: Fitting, constants: np.ndarray, context: Tensor | None
    ) -> Flow:
        n_bins = self.n_bins
        if n_bins == "auto":
            columns = varying_columns(some_free(constants), fitting.rows.device)
            is_table = fitting.image_shape is None
            n_bins = 16 if is_table and share_values(fitting.rows, columns) else 8
        return initialized(
            Flow,
            fitting.weight_rng,
            n_features=int(np.isnan(some_free(constants)).sum()),
            coupling=self.coupling,
            mixing=self.mixing,
            n_couplings=int(self.n_couplings),
            hidden_layer_sizes=widths(self, (64, 64)),
            n_bins=int(n_bins),
            n_context=0 if context is None else context.shape[1],
            image_shape=fitting.image_shape,
        )


def become_gaussian(
    flow: Flow,
    rows: Rows,
    seen: Tensor,
    columns: Tensor | slice,
    context: Tensor | None,
) -> None:
    """Make a flow that is not trained yet the Gaussian of rows of given numbers.

    Of rows of classes it becomes one Gaussian a class, all of the same covariance, with
    `shrunken_means`.
    """

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for index in seen.split(CHUNK_ROWS):
            x = rows[index][:, columns].unflatten(1, flow.shape)
            one = x.new_ones(len(index), 1) if context is None else context[index]
            # Pixels are rows of their channels.
            pixels = x.transpose(1, -1).flatten(0, -2).double()
            yield pixels, one.repeat_interleave(len(pixels) // len(x), 0).double()

    parts = [
        (one.t() @ x, one.sum(0)[:, None], x.square().sum(0)) for x, one in batches()
    ]
    sums, counts, total = (torch.stack(p).sum(0) for p in zip(*parts, strict=True))
    smallest = smallest_variances(sums.sum(0), total, counts.sum())
    means = sums / counts.clamp_min(1)
    if context is not None:
        squares = [(x - one @ means).square().sum(0) for x, one in batches()]
        means = shrunken_means(means, counts, torch.stack(squares).sum(0))
    mean, covariance = fitted_gaussian(
        (x - one @ means for x, one in batches()), smallest
    )
    means += torch.from_numpy(mean).to(means)
    flow.whitening.set(means.t(), torch.from_numpy(covariance))


def share_values(rows: Rows, columns: Tensor | slice) -> bool:
    """Whether many rows, of a sample of them, share a value of a column."""
    n = min(len(rows), CHUNK_ROWS)
    index = torch.linspace(0, len(rows) - 1, n, dtype=torch.float64).long()
    ordered = rows[index.to(rows.device)][:, columns].sort(0).values
    n_others = max(1, math.ceil(SHARED * n) - 1)
    return bool((ordered[n_others:] == ordered[:-n_others]).any())


def some_free(constants: np.ndarray) -> np.ndarray:
    """Free the first column of a table of constants: a flow has to move one."""
    if np.isnan(constants).any():
        return constants
    return np.concatenate([[np.nan], constants[1:]])


@torch.inference_mode()
def is_better(
    log_density: Callable[[Tensor], Tensor],
    other: Callable[[Tensor], Tensor],
    held_out: Tensor,
) -> bool:
    """Whether rows of given numbers surely have the larger mean by one log-density.

    By Student's t of what each gains.
    """
    if len(held_out) < 2:
        return False
    parts = held_out.split(CHUNK_ROWS)
    gains = torch.cat([log_density(part) - other(part) for part in parts])
    error = gains.std() / len(gains) ** 0.5
    return bool(gains.mean() > float(student_t.ppf(SURE, len(gains) - 1)) * error)
