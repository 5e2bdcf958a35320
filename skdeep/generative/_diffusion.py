"""Diffusion model: rows from noise, by a network that takes noise away."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import image_shape_of
from skdeep.fitting import Fitting, Validation
from skdeep.generative._base import BaseSampler, Classes, fit_transform, score
from skdeep.generative._diffusion_model import DiffusionModel
from skdeep.generative._diffusion_training import (
    Denoising,
    new_denoiser,
    require_guidable,
)
from skdeep.objectives.diffusion import DENOISING_LOSSES, SCHEDULES
from skdeep.parameters import ImageShape
from skdeep.training import AveragedWeights, FitTask

N_STEPS, MOST_EPOCHS = 8000, 1000
"""Gradient steps and epochs of max_iter="auto"."""

AVERAGE_DECAY = 0.999
"""Of the running average of the weights."""


class DiffusionSampler(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseSampler):
    r"""Learn to take noise away from rows, and make rows of noise alone.

    Rows are mixed with more and more noise, over times t = 1 to T, until nothing else
    is left:

    .. math:: x_t = a_t x_0 + s_t \epsilon, \qquad \epsilon \sim N(0, I), \qquad
              a_t^2 + s_t^2 = 1

    A network learns to tell, from the mixture and its time, how it changes with a
    little more noise, its velocity v:

    .. math:: L = \mathbb E \, \frac1D \| a_t \epsilon - s_t x_0 - v(x_t, t) \|^2

    To draw a row, noise is drawn and followed back along the velocity, in steps with
    new noise (DDPM) or without (DDIM, probability flow). Without, each row has one
    noise that leads to it: its code.

    Parameters
    ----------
    hidden_layer_sizes : "auto" or tuple of int, default="auto"
        Units of the residual blocks of the network; for images, the channels of its
        maps, of which all but the first halve the sides. ``"auto"`` is (128, 128, 128)
        for tables and (32, 64) for images.

    image_shape : (int, int, int) or None, default=None
        Channels, height and width. With it, rows are read as images and the network is
        a U-Net. Taken from X if X has shape (n, C, H, W).

    scale : {"auto", "standard", "minmax"} or None, default="auto"
        How columns are scaled before training; undone by all that returns rows, and
        counted by densities. See :class:`skdeep.representation.AutoencoderTransformer`.
        The noise has variance 1: rows should have about that, too.

    schedule : {"cosine", "linear"}, default="cosine"
        How the noise grows. ``"linear"`` is DDPM's, which makes rows all but noise
        early.

    prediction : {"v", "epsilon"}, default="v"
        Whose error is trained on: the velocity, or the noise that it implies, as in
        DDPM, which gives less weight to mixtures that are noise for the most part.

    n_timesteps : int, default=1000
        T.

    sampler : {"ode", "ddim", "ddpm"}, default="ode"
        How rows are drawn. ``"ode"``: in `n_steps` steps of second order along the
        probability flow, each of the cost of two; 10 are often enough. ``"ddim"``: in
        `n_steps` steps of first order along it, which end too near to the mean: columns
        have 6 % less variance after 50 steps, and 28 % after 10. ``"ddpm"``: in all T
        steps, with new noise in each.

    n_steps : int, default=50
        Steps of ``"ode"`` and ``"ddim"``, and of codes and densities.

    conditional : bool, default=False
        Whether `fit` takes classes y, on which the network then depends.

    guidance_weight : float, at least 0, default=0.0
        With ``conditional=True``: how far `sample` goes beyond what the class makes of
        a row, away from what no class makes of it. Rows are then more typical of their
        class and less diverse; above 0 each step costs twice as much, and
        `class_dropout` has to be above 0 in `fit`.

    class_dropout : float in [0, 1), default=0.1
        With ``conditional=True``: share of the rows that are trained on as rows of no
        known class, which guidance needs.

    max_iter : int or "auto", default="auto"
        Epochs, at most. ``"auto"``: as many as make 8000 gradient steps, between 2 and
        1000.

    batch_size : int, default=256
        Rows of a gradient step.

    learning_rate : float, default=2e-3
        Largest step size of Adam; it warms up over a tenth of the steps and then
        anneals to zero.

    weight_decay : float, default=0.0
        Decoupled decay of the weights per unit of step size.

    early_stopping : bool, default=True
        Whether to hold rows out, to stop when their loss does not fall, and to keep
        the averaged weights that were best on them. Without it, small tables are
        learned by heart.

    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that is held out.

    n_iter_no_change : int, default=100
        Epochs without a better loss after which training stops.

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
    denoiser_ : torch.nn.Module
        Maps scaled mixtures (n, n_features), times t / T and, if `conditional`, classes
        (n, n_classes), one column each, to velocities (n, n_features). Its weights are
        a running average over the steps of training.

    betas_ : ndarray of shape (n_timesteps,)
        Variances that the steps of the noise add, from which the rates of row and noise
        follow: :math:`a_t^2 = (1 - \beta_1) \cdots (1 - \beta_t)`.

    constants_ : ndarray of shape (n_features,)
        Value of each column that does not vary, NaN of all others, and of pixels. They
        are not modelled: samples have their value, codes 0, and densities leave them
        out.

    offset_, scale_ : ndarray of shape (n_features,)
        Scaled rows are ``(X - offset_) / scale_``.

    image_shape_ : (int, int, int) or None
        Shape of an image, if rows are images.

    classes_ : ndarray of shape (n_classes,)
        Classes seen in `fit`, if `conditional`.

    class_log_prior_ : ndarray of shape (n_classes,)
        Logarithm of their frequencies, if `conditional`.

    n_iter_ : int
        Epochs trained.

    history_ : dict of str to list of float
        ``"loss"``; ``"validation_loss"`` with `early_stopping`: one value an epoch.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    VAESampler : Codes of few dimensions, and one step from code to row.
    FlowSampler : An exact density, and one step too.
    GANSampler : One step, and no density.
    sklearn.mixture.GaussianMixture : Rows from a mixture, with an exact density.

    Notes
    -----
    Deviations from the papers: the network always gives the velocity, and the losses
    differ in their weights alone; the times of a batch are spread evenly; steps are
    denser at small times, t / T being the square of the share of steps; the U-Net has
    no attention, and rows wider than the first blocks pass by them, too, each column
    times a number that depends on the time.

    The same `random_state` gives the same bits on the CPU of one machine at one number
    of threads.

    References
    ----------
    .. [1] J. Ho, A. Jain, P. Abbeel, "Denoising Diffusion Probabilistic Models",
       NeurIPS 2020, arXiv:2006.11239.
    .. [2] A. Nichol, P. Dhariwal, "Improved Denoising Diffusion Probabilistic Models",
       ICML 2021, arXiv:2102.09672.
    .. [3] J. Song, C. Meng, S. Ermon, "Denoising Diffusion Implicit Models", ICLR 2021,
       arXiv:2010.02502.
    .. [4] Y. Song et al., "Score-Based Generative Modeling through Stochastic
       Differential Equations", ICLR 2021, arXiv:2011.13456.
    .. [5] T. Salimans, J. Ho, "Progressive Distillation for Fast Sampling of Diffusion
       Models", ICLR 2022, arXiv:2202.00512.
    .. [6] J. Ho, T. Salimans, "Classifier-Free Diffusion Guidance", arXiv:2207.12598.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skdeep.generative import DiffusionSampler
    >>> X, _ = make_moons(300, noise=0.1, random_state=0)
    >>> diffusion = DiffusionSampler(max_iter=100, random_state=0).fit(X)
    >>> diffusion.sample(3, random_state=0).shape
    (3, 2)
    >>> diffusion.score(X) > -2
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseSampler._parameter_constraints,
        **BaseSampler._early_stopping_constraints,
        "schedule": [StrOptions(set(SCHEDULES))],
        "prediction": [StrOptions(set(DENOISING_LOSSES))],
        "n_timesteps": [Interval(Integral, 2, None, closed="left")],
        "sampler": [StrOptions({"ode", "ddim", "ddpm"})],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "guidance_weight": [Interval(Real, 0, None, closed="left")],
        "class_dropout": [Interval(Real, 0, 1, closed="left")],
    }

    _read_in_use = ("sampler", "n_steps", "guidance_weight")

    def __init__(
        self,
        hidden_layer_sizes="auto",
        *,
        image_shape=None,
        scale="auto",
        schedule="cosine",
        prediction="v",
        n_timesteps=1000,
        sampler="ode",
        n_steps=50,
        conditional=False,
        guidance_weight=0.0,
        class_dropout=0.1,
        max_iter="auto",
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=0.0,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=100,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.scale = scale
        self.schedule = schedule
        self.prediction = prediction
        self.n_timesteps = n_timesteps
        self.sampler = sampler
        self.n_steps = n_steps
        self.conditional = conditional
        self.guidance_weight = guidance_weight
        self.class_dropout = class_dropout
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
        """Train the denoiser.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : array-like of shape (n_samples,) or None, default=None
            Class of each row with ``conditional=True``, else ignored.

        Returns
        -------
        self : DiffusionSampler

        Raises
        ------
        ValueError
            If X does not suit the parameters, or ``conditional=True`` and y is missing.
            Also with `guidance_weight` and no class left out in training.
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.
        """
        require_guidable(self, self.conditional)
        image_shape, classes = image_shape_of(X), self._checked_classes(X, y)
        X = self._validated(X, reset=True)
        with FitTask(self, X, y, max_subtasks=1) as task:
            self._train(X, classes, image_shape, task)
        return self

    fit_transform = fit_transform

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Code of each row: the noise that the probability flow carries it to.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : class, array-like of shape (n_samples,) or None, default=None
            Class of all rows or of each: needed with ``conditional=True``, refused
            without.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_features), float32
            About standard normal for rows like those of `fit`.

        Raises
        ------
        ValueError
            If classes are needed and y is None, or one was not seen in `fit`; or if y
            is given and none are known.
        """
        self._check_usable()
        return self._mapped(X, y, self._model().codes(self.n_steps))

    def inverse_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Rows that the probability flow makes of codes, in the units of the input.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Codes.
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
        rows = self._model().rows(self.n_steps)
        return self._decoded(X, y, rows, self.n_features_in_)

    def score_samples(
        self, X: Any, y: Any = None, *, method: str = "ode", random_state: Any = 0
    ) -> np.ndarray:
        """Estimate of the log-density of each row, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : class, array-like of shape (n_samples,) or None, default=None
            With ``conditional=True``: the class of each row, given which it is scored.
            None scores the mixture of all classes. Ignored without.
        method : {"ode", "elbo"}, default="ode"
            ``"ode"``: by the change of volume along the probability flow, in `n_steps`
            steps; exact but for their width with up to 16 columns, and with an unbiased
            estimate of that change with more. ``"elbo"``: the variational bound of
            DDPM in 200 steps, which is a lower bound in expectation over its noise and
            needs no gradients.
        random_state : int, RandomState instance or None, default=0
            Seed of the estimate and of the noise. Each row tells its own by its
            content: its score depends on no other row, and the mean of many scores
            hardly on the seed.

        Returns
        -------
        log_density : ndarray of shape (n_samples,), float32
            In units of the input: the scaling counts. Columns that do not vary do not.

        Raises
        ------
        ValueError
            If there is no such `method`, or y holds a class that `fit` did not see.
        """
        self._check_usable()
        if method not in ("ode", "elbo"):
            raise ValueError(
                "The 'method' parameter of score_samples must be 'ode' or 'elbo'. Got "
                f"{method!r} instead."
            )
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        model = self._model()
        if method == "ode":
            log_density = model.log_density(self.n_steps, seed)
        else:
            log_density = model.lower_bound(seed)
        return self._log_densities(X, y, log_density)

    score = score

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

    # training

    def _train(
        self,
        X: np.ndarray | csr_matrix,
        given_classes: Classes | None,
        image_shape: ImageShape | None,
        task: FitTask,
    ) -> None:
        """Train on checked X as a phase of `task`."""
        classes, context = self._fitted_classes(given_classes)
        fitting = Fitting(
            self,
            X,
            image_shape,
            task.seeds(self, 3),
            N_STEPS,
            most_epochs=MOST_EPOCHS,
            holds_out=self.early_stopping,
        )
        rows, noise = fitting.rows, fitting.noise

        # Build the denoiser, its loss and its optimiser.
        constants = fitting.constants
        varies = torch.from_numpy(np.float32(np.isnan(constants))).to(rows.device)
        betas = SCHEDULES[self.schedule](self.n_timesteps)
        denoiser = new_denoiser(self, fitting, len(classes.get("classes_", ())))
        denoising = Denoising(denoiser, varies, betas, self.prediction)
        optimizer, schedule = fitting.optimizer([denoiser])
        averaged = AveragedWeights(optimizer, AVERAGE_DECAY)
        fitting.moves(averaged)

        def given(index: Tensor) -> tuple[Tensor, Tensor | None]:
            return rows[index], None if context is None else context[index]

        def step(index: Tensor) -> dict[str, Tensor]:
            loss = denoising.drawn_loss(*given(index), noise, self.class_dropout)
            schedule.advance()
            optimizer.step(loss)
            averaged.update()
            return {"loss": loss}

        validation = None
        if self.early_stopping:
            validation = Validation(
                fitting,
                optimizer,
                denoising.fixed_loss(given, noise.initial_seed()),
                averaged,
            )
        kept = {
            "denoiser_": denoiser,
            "betas_": betas.numpy(),
            "constants_": constants,
            **classes,
        }
        fitting.train(
            task,
            "train",
            step,
            [optimizer],
            kept,
            validation=validation,
            averaged=averaged if validation is None else None,
        )

    # use

    def _check_usable(self) -> None:
        super()._check_usable()
        require_guidable(self, self._knows_classes)

    def _draw(self, n_rows: int, context: Tensor | None, rng: Generator) -> Tensor:
        return self._model().drawn(
            n_rows,
            context,
            rng,
            sampler=self.sampler,
            n_steps=self.n_steps,
            guidance=self.guidance_weight,
        )

    def _model(self) -> DiffusionModel:
        """Return what was fitted, on the device."""
        return DiffusionModel(
            self.denoiser_, self.betas_, self.constants_, self._home()
        )
