"""Generative adversarial networks: rows from noise, made to pass for real ones."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.fitting import Fitting
from skdeep.generative._base import BaseSampler, Classes, joined
from skdeep.generative._coverage import Coverage, warn_of_collapse
from skdeep.generative._gan_training import (
    BETAS,
    CLIPPED_BETAS,
    LOSSES,
    MOST_EPOCHS,
    N_IMAGE_STEPS,
    N_STEPS,
    Game,
    discriminator_rate,
    n_steps_ahead,
    new_networks,
    slope_penalty,
)
from skdeep.nn.noise import normal, uniform
from skdeep.parameters import ImageShape
from skdeep.scaling import in_units
from skdeep.training import FitTask, depends_on_host


class GANSampler(BaseSampler):
    r"""Draw rows that a discriminator cannot tell from real ones.

    A generator G turns noise z into rows, and a discriminator D learns to tell them
    from the rows of the data. Each is trained against the other:

    .. math::

        &\max_D \; \mathbb E_x [\log \sigma(D(x))]
        + \mathbb E_z [\log (1 - \sigma(D(G(z))))] - \frac{\gamma}{2}
        \mathbb E_x \|\nabla_x D(x)\|^2, \\
        &\max_G \; \mathbb E_z [\log \sigma(D(G(z)))]

    with :math:`\sigma` the logistic function. The generator's objective is the
    non-saturating one; the penalty on the slope at real rows keeps the two from
    circling. The Wasserstein losses compare the scores themselves,
    :math:`\mathbb E_x[D(x)] - \mathbb E_z[D(G(z))]`, of a critic whose slope is
    bounded.

    Parameters
    ----------
    n_components : int, default=32
        Width of the noise.

    hidden_layer_sizes : "auto" or tuple of int, default="auto"
        Widths of the discriminator's hidden layers, and of the generator's. For images,
        the channels of the discriminator's convolutions, each of which halves the
        sides as long as they are 7 or longer; the generator mirrors them. ``"auto"`` is
        (128, 128) for tables and, for images, the first of (32, 64, 128, 256), two or
        as many as can halve.

    image_shape : (int, int, int) or None, default=None
        Channels, height and width. With it, rows are read as images and the networks
        are convolutional (DCGAN). Taken from X if X has shape (n, C, H, W).

    scale : {"auto", "standard", "minmax"} or None, default="auto"
        How columns are scaled before training: see
        :class:`skdeep.representation.AutoencoderTransformer`.

    loss : {"non_saturating", "minimax", "wasserstein", "wasserstein_gp"}, default="non_saturating"
        What the two play for. ``"minimax"`` is that of the first paper, with which the
        generator's gradient vanishes where the discriminator is sure.
        ``"wasserstein"`` clips the weights of the critic and, as its paper, trains
        without momentum; ``"wasserstein_gp"`` penalises slopes that are not 1.

    noise : {"normal", "uniform"}, default="normal"
        Distribution of the noise; uniform between -1 and 1.

    n_discriminator_steps : int or "auto", default="auto"
        Steps of the discriminator for each one of the generator. ``"auto"`` is 5 for
        the Wasserstein losses; for the others, 2 on tables and 1 on images.

    discriminator_learning_rate : float or None, default=None
        Step size of the discriminator's Adam. None takes `learning_rate`, and with
        ``loss="wasserstein"`` 0.03 `clip` if that is less.

    clip : float, default=0.01
        Largest weight of the critic, with ``loss="wasserstein"``.

    gradient_penalty : float or "auto", default="auto"
        Weight of the penalty on the discriminator's slope: :math:`\gamma`, or
        :math:`\lambda` of WGAN-GP. ``"auto"`` is 0.5 a column of tables, 1 for images
        and 10 for WGAN-GP. Larger ones are calmer and blur more.

    conditional : bool, default=False
        Whether rows depend on their class: `fit` then needs y, and `sample` takes it.

    max_iter : int or "auto", default="auto"
        Epochs. ``"auto"``: as many as make 3000 steps of the generator, of images 1500,
        between 2 and 2000.

    batch_size : int, default=128
        Rows of a gradient step.

    learning_rate : float, default=3e-3
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
        Seed of the initial weights, shuffles and noise.

    verbose : int, default=0
        1 writes one line when training ends.

    Attributes
    ----------
    generator_ : torch.nn.Module
        Maps noise, and the class as one column a class, to scaled rows.

    discriminator_ : torch.nn.Module
        Maps scaled rows, and the class, to a score: the larger, the more real.

    minimum_, maximum_ : ndarray of shape (n_features,)
        Range of each column in `fit`, in which samples are kept.

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
        ``"loss"`` of the generator, ``"discriminator_loss"`` and ``"coverage"``, the
        share of real rows that are nearest to a generated one: one value an epoch.
        About 0.8 is all of them.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    DiffusionSampler : Slower, and covers the data.
    FlowSampler : Has a density.

    Notes
    -----
    There is no density: compare samples, for example by
    :func:`skdeep.metrics.manifold_precision_recall`. Deviations from the papers: the
    penalty on the slope at real rows in the logistic losses (R1), the generator steps
    on the noise that the discriminator has just seen, and samples are cut to the range
    of the data.

    References
    ----------
    .. [1] I. Goodfellow et al., "Generative Adversarial Networks", NeurIPS 2014,
       arXiv:1406.2661.
    .. [2] A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with
       Deep Convolutional GANs", ICLR 2016, arXiv:1511.06434.
    .. [3] M. Arjovsky, S. Chintala, L. Bottou, "Wasserstein GAN", ICML 2017,
       arXiv:1701.07875.
    .. [4] I. Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017,
       arXiv:1704.00028.
    .. [5] L. Mescheder, A. Geiger, S. Nowozin, "Which Training Methods for GANs do
       actually Converge?", ICML 2018, arXiv:1801.04406.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.generative import GANSampler
    >>> X = load_iris().data
    >>> gan = GANSampler(4, max_iter=50, random_state=0).fit(X)
    >>> gan.sample(3, random_state=0).shape
    (3, 4)
    """  # noqa: E501

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseSampler._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions(set(LOSSES))],
        "noise": [StrOptions({"normal", "uniform"})],
        "n_discriminator_steps": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "discriminator_learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            None,
        ],
        "clip": [Interval(Real, 0, None, closed="neither")],
        "gradient_penalty": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"auto"}),
        ],
    }

    _read_in_use = ("noise",)

    def __init__(
        self,
        n_components=32,
        *,
        hidden_layer_sizes="auto",
        image_shape=None,
        scale="auto",
        loss="non_saturating",
        noise="normal",
        n_discriminator_steps="auto",
        discriminator_learning_rate=None,
        clip=0.01,
        gradient_penalty="auto",
        conditional=False,
        max_iter="auto",
        batch_size=128,
        learning_rate=3e-3,
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
        self.noise = noise
        self.n_discriminator_steps = n_discriminator_steps
        self.discriminator_learning_rate = discriminator_learning_rate
        self.clip = clip
        self.gradient_penalty = gradient_penalty
        self.conditional = conditional
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
        """Train the generator and its discriminator against each other.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : array-like of shape (n_samples,) or None, default=None
            Class of each row, with ``conditional=True``; else ignored.

        Returns
        -------
        self : GANSampler

        Raises
        ------
        ValueError
            If X does not suit the parameters, or ``conditional=True`` and y is missing.
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.

        Warns
        -----
        ConvergenceWarning
            If the generated rows lie near few of the training rows.
        """
        image_shape, classes = image_shape_of(X), self._checked_classes(X, y)
        X = self._validated(X, reset=True)
        with FitTask(self, X, y, max_subtasks=1) as task:
            self._train(X, classes, image_shape, task)
            warn_of_collapse(self.history_["coverage"][-1], type(self).__name__)
        return self

    def _train(
        self,
        X: np.ndarray | csr_matrix,
        given_classes: Classes | None,
        image_shape: ImageShape | None,
        task: FitTask,
    ) -> None:
        """Train on checked X as a phase of `task`."""
        classes, context = self._fitted_classes(given_classes)
        is_image = image_shape is not None or self.image_shape is not None
        n_ahead = n_steps_ahead(self, is_image)
        fitting = Fitting(
            self,
            X,
            image_shape,
            task.seeds(self, 3),
            n_ahead * (N_IMAGE_STEPS if is_image else N_STEPS),
            most_epochs=MOST_EPOCHS,
        )
        rows, noise = fitting.rows, fitting.noise

        # Build the two networks, each with an optimiser of its own.
        n_classes = 0 if context is None else context.shape[1]
        generator, discriminator = new_networks(self, fitting, n_classes)
        clips = self.loss == "wasserstein"
        betas = CLIPPED_BETAS if clips else BETAS
        optimizer, schedule = fitting.optimizer([generator], betas=betas)
        adversary, its_schedule = fitting.optimizer(
            [discriminator], learning_rate=discriminator_rate(self), betas=betas
        )
        game = Game(
            discriminator,
            optimizer,
            adversary,
            *LOSSES[self.loss],
            slope_penalty(self, fitting),
            self.clip if clips else None,
        )
        n_components = int(self.n_components)
        last_loss = rows[:1].new_zeros(())  # of the generator
        fitting.moves(last_loss)

        def given(index: Tensor) -> Tensor | None:
            return None if context is None else context[index]

        def generate(index: Tensor) -> Tensor:
            z = self._codes((len(index), n_components), noise)
            return generator(joined(z, given(index)))

        def step(index: Tensor) -> dict[str, Tensor]:
            if n_ahead > 1:  # not each step does the same
                depends_on_host()
            # The generator learns in the first of so many steps.
            is_turn = its_schedule.step_number % n_ahead == 0
            with torch.set_grad_enabled(is_turn):
                fake = generate(index)
            its_schedule.advance()
            its_loss = game.tell_apart(rows[index], fake.detach(), given(index))
            schedule.advance()
            if is_turn:
                last_loss.copy_(game.pass_off(fake, given(index)))
            return {"loss": last_loss, "discriminator_loss": its_loss}

        kept = {
            "generator_": generator,
            "discriminator_": discriminator,
            "minimum_": fitting.columns.minimum,
            "maximum_": fitting.columns.maximum,
            **classes,
        }
        fitting.train(
            task,
            "train",
            step,
            [optimizer, adversary],
            kept,
            after_epoch=Coverage(fitting, generate).after_epoch,
        )

    def inverse_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Generate the rows of codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, in training drawn from the `noise`.
        y : class, array-like of shape (n_samples,) or None, default=None
            Class of all rows or of each: needed with ``conditional=True``, refused
            without.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features), float32
            Rows in the units of the input; images are flattened. In float64 if that is
            too coarse for a column, or its unit too small.

        Raises
        ------
        ValueError
            If X has more or fewer columns than a code, if classes are needed and y is
            None, one was not seen in `fit`, or y is given and none are known.
        """
        self._check_usable()
        return self._decoded(X, y, self._generated, self._n_codes())

    def _n_codes(self) -> int:
        """Width of the codes in `fit`; the generator sees classes beside them."""
        n_classes = len(self.classes_) if self._knows_classes else 0
        return self.generator_.layers[0].in_features - n_classes

    def _draw(self, n_rows: int, context: Tensor | None, rng: Generator) -> Tensor:
        return self._generated(self._codes((n_rows, self._n_codes()), rng), context)

    def _codes(self, shape: tuple[int, int], rng: Generator) -> Tensor:
        """Draw codes from the noise, ``(n_rows, n_components)``."""
        if self.noise == "normal":
            return normal(shape, rng)
        return uniform(shape, rng).mul_(2).sub_(1)

    def _generated(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Scaled rows of codes, kept inside the range of each column in `fit`."""
        bounds = [
            torch.from_numpy((bound - self.offset_) / self.scale_).to(z)
            for bound in (self.minimum_, self.maximum_)
        ]
        return self.generator_(joined(z, context)).clamp_(*bounds)

    def _in_units(self, X: np.ndarray) -> np.ndarray:
        # Again, since the way back rounds: no row shall have less than nothing.
        X = in_units(X, self.offset_, self.scale_)
        bounds = (self.minimum_.astype(X.dtype), self.maximum_.astype(X.dtype))
        return np.clip(X, *bounds, out=X)
