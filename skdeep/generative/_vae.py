"""Variational autoencoder."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state, check_scalar
from torch import Generator, Tensor

from skdeep._compat import Interval, StrOptions, fit_context
from skdeep.base import image_shape_of, network_copy
from skdeep.fitting import Fitting, Validation
from skdeep.generative._base import BaseSampler, Classes, fit_transform, score
from skdeep.generative._vae_likelihood import fitted_likelihood
from skdeep.generative._vae_model import VariationalModel, n_places
from skdeep.generative._vae_training import (
    draws_noise,
    new_model,
    rising_weight,
    settled,
    standardize_codes,
    validation_loss,
    warn_if_collapsed,
)
from skdeep.nn.noise import normal
from skdeep.nn.row_noise import noise_parts
from skdeep.parameters import ImageShape
from skdeep.training import FitTask, changing

N_STEPS = 2000
"""Gradient steps that max_iter="auto" aims at."""


class VAESampler(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseSampler):
    r"""Learn a probabilistic code, from whose prior rows are drawn and decoded.

    An encoder gives each row a Gaussian :math:`q(z \mid x)` over codes, a decoder each
    code a distribution :math:`p(x \mid z)` over rows. Both are trained to raise a lower
    bound of the log-likelihood of the rows (ELBO), with :math:`\beta = 1`:

    .. math::

        \log p(x) &\ge \mathbb E_{q(z \mid x)}[\log p(x \mid z)]
        - \beta \, KL(q(z \mid x) \,\|\, p(z)), \\
        p(z) &= N(0, I)

    The divergence keeps the codes near the prior, so that codes drawn from it decode to
    rows like those of the data; it also prunes dimensions that are not worth it.

    Parameters
    ----------
    n_components : int, default=10
        Width of the code. Dimensions too many are left unused: see `kl_`.

    hidden_layer_sizes : "auto" or tuple of int, default="auto"
        Widths of the encoder's hidden layers, from the input on; the decoder mirrors
        them. For images, the channels of its convolutions, each of which halves the
        sides. ``"auto"`` is (256, 256) for tables and (32, 64) for images.

    image_shape : (int, int, int) or None, default=None
        Channels, height and width. With it, rows are read as images and the networks
        are convolutional. Taken from X if X has shape (n, C, H, W).

    scale : {"auto", "standard", "minmax"} or None, default="auto"
        How columns are scaled before training; undone by all that returns rows, and
        counted by densities. See :class:`skdeep.representation.AutoencoderTransformer`.

    likelihood : {"gaussian", "bernoulli"}, default="gaussian"
        Distribution of the entries of a row, given its code. ``"bernoulli"`` is for
        binary rows; values between 0 and 1 are read as probabilities of a one, and
        ``scale="auto"`` maps others there by their common range.

    binarize : bool, default=False
        Whether binary rows are drawn anew at each step, with the values in [0, 1] as
        probabilities, instead of rebuilding these. Only with the Bernoulli likelihood:
        scores of binary rows are what papers give for MNIST.

    variance : {"shared", "learned"} or float, default="shared"
        Of the Gaussian noise, in scaled rows. ``"shared"``: one for each column, the
        same for all rows; of images, one for all pixels. ``"learned"``: the decoder
        gives one for each row and column. A number is fixed.

    beta : float, default=1.0
        Weight of the divergence. Above 1, codes are rougher and their dimensions more
        independent (beta-VAE [2]_).

    warm_up : float in [0, 1] or "auto", default="auto"
        Share of the gradient steps over which the weight of the divergence rises to
        `beta`. At once (0, as in [1]_), it prunes codes not yet of use. ``"auto"``:
        a quarter; 0 for images or <= 100 rows.

    conditional : bool, default=False
        Whether `fit` takes classes y, on which the encoder and the decoder then depend.

    sample_noise : bool or "auto", default="auto"
        Whether `sample` draws from the likelihood (True), or returns its mean. Only
        rows with their noise have the distribution of the model; of images, and of
        values that the Bernoulli likelihood reads as probabilities, one shows the
        means. ``"auto"``: False for these, True for all others.

    max_iter : int or "auto", default="auto"
        Epochs, at most. ``"auto"``: as many as make 2000 gradient steps, between 2 and
        200.

    batch_size : int, default=128
        Rows of a gradient step.

    learning_rate : float, default=3e-3
        Largest step size of Adam: it warms up over a tenth of the steps, then anneals.

    weight_decay : float, default=0.0
        Decoupled decay of the weights per unit of step size.

    early_stopping : bool, default=True
        Whether to hold rows out, to stop when their bound does not grow, and to keep
        their best weights. A shared variance is then that of the rows held out; if few,
        or if they lack rare values, that of the training rows times a ratio. Without
        it, small tables are learned by heart.

    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that is held out.

    n_iter_no_change : int, default=50
        Epochs without a better bound after which training stops.

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
    encoder_ : torch.nn.Module
        Maps scaled rows (n, n_features) to means and log-variances of codes
        (n, 2 n_components); the columns of the class follow those of the row.

    decoder_ : torch.nn.Module
        Maps codes, and the columns of the class, to scaled rows; to logits with the
        Bernoulli likelihood; with ``variance="learned"``, to means and numbers f of
        which log-variances are :math:`\ln 10^{-4} + \ln 10^5 \, \sigma(f + \ln 4)`.

    noise_variance_ : ndarray of shape (n_features,) or None
        Mean square of what the code leaves of each column, in scaled rows: a shared or
        fixed variance itself. 0 in columns that do not vary. None with the Bernoulli
        likelihood.

    constants_ : ndarray of shape (n_features,)
        Value of each column that does not vary, which samples repeat; NaN of all
        others, of pixels, and with the Bernoulli likelihood.

    sample_noise_ : bool
        What ``sample_noise="auto"`` means for the rows of `fit`.

    kl_ : ndarray of shape (n_components,)
        Mean divergence of each dimension of the code from the prior, in nats: what it
        tells of a row. Dimensions near 0 are unused.

    offset_, scale_ : ndarray of shape (n_features,)
        Rows are encoded as ``(X - offset_) / scale_``.

    image_shape_ : (int, int, int) or None
        Shape of an image, if rows are images.

    classes_ : ndarray of shape (n_classes,)
        Classes seen in `fit`, if `conditional`.

    class_log_prior_ : ndarray of shape (n_classes,)
        Logarithm of their frequencies, if `conditional`.

    n_iter_ : int
        Epochs trained.

    history_ : dict of str to list of float
        ``"loss"`` in nats of scaled rows, which is the negative bound if `beta` is 1,
        and its parts ``"reconstruction_loss"`` and ``"kl"``; ``"validation_loss"`` with
        `early_stopping`: one value an epoch.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had string names.

    See Also
    --------
    FlowSampler : An exact density in place of bounds.
    DiffusionSampler, GANSampler : Often better samples.
    skdeep.representation.AutoencoderTransformer : Codes without a prior.
    sklearn.decomposition.FactorAnalysis : What a linear one with a shared variance is.
    sklearn.mixture.GaussianMixture : Rows from a mixture, with an exact density.

    Notes
    -----
    A shared variance is not a weight: that of largest likelihood is the mean squared
    residual, which training follows over the last 50 batches. After it each dimension
    of the code gets the mean and variance of the prior; rows are decoded as before.

    Densities leave columns out that do not vary in `fit`. Shared variances are at least
    0.0001 in scaled rows, or 0.01 times that of the column if that is less, and learned
    ones between 0.0001 and 10, since the density of a column that is told exactly by
    others has no bound.

    The same `random_state` gives the same bits on the CPU of one machine at one number
    of threads.

    References
    ----------
    .. [1] D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014,
       arXiv:1312.6114.
    .. [2] I. Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a
       Constrained Variational Framework", ICLR 2017.
    .. [3] O. Rybkin, K. Daniilidis, S. Levine, "Simple and Effective VAE Training with
       Calibrated Decoders", ICML 2021, arXiv:2006.13202.
    .. [4] Y. Burda, R. Grosse, R. Salakhutdinov, "Importance Weighted Autoencoders",
       ICLR 2016, arXiv:1509.00519.
    .. [5] Y. Wu et al., "On the Quantitative Analysis of Decoder-Based Generative
       Models", ICLR 2017, arXiv:1611.04273.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdeep.generative import VAESampler
    >>> X = load_iris().data
    >>> vae = VAESampler(2, max_iter=50, random_state=0).fit(X)
    >>> vae.sample(3, random_state=0).shape
    (3, 4)
    >>> vae.score(X) > -4
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseSampler._parameter_constraints,
        **BaseSampler._early_stopping_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "likelihood": [StrOptions({"gaussian", "bernoulli"})],
        "binarize": ["boolean"],
        "variance": [
            StrOptions({"shared", "learned"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "beta": [Interval(Real, 0, None, closed="left")],
        "warm_up": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "sample_noise": ["boolean", StrOptions({"auto"})],
    }

    _read_in_use = ("sample_noise",)

    def __init__(
        self,
        n_components=10,
        *,
        hidden_layer_sizes="auto",
        image_shape=None,
        scale="auto",
        likelihood="gaussian",
        binarize=False,
        variance="shared",
        beta=1.0,
        warm_up="auto",
        conditional=False,
        sample_noise="auto",
        max_iter="auto",
        batch_size=128,
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
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.scale = scale
        self.likelihood = likelihood
        self.binarize = binarize
        self.variance = variance
        self.beta = beta
        self.warm_up = warm_up
        self.conditional = conditional
        self.sample_noise = sample_noise
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
        """Train the encoder and the decoder.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : array-like of shape (n_samples,) or None, default=None
            Class of each row with ``conditional=True``, else ignored.

        Returns
        -------
        self : VAESampler

        Raises
        ------
        ValueError
            If X does not suit the parameters, or ``conditional=True`` and y is missing.
        FloatingPointError
            If a loss turns infinite or NaN; the estimator is then unfitted.

        Warns
        -----
        ConvergenceWarning
            If the codes have collapsed: none of their dimensions tells rows apart.
        """
        image_shape, classes = image_shape_of(X), self._checked_classes(X, y)
        X = self._validated(X, reset=True)
        with FitTask(self, X, y, max_subtasks=1) as task:
            self._train(X, classes, image_shape, task)
        return self

    fit_transform = fit_transform

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Code of each row: the mean of its posterior.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Or images of shape (n_samples, C, H, W).
        y : class, array-like of shape (n_samples,) or None, default=None
            Class of all rows or of each: needed with ``conditional=True``, refused
            without.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), float32

        Raises
        ------
        ValueError
            If classes are needed and y is None, or one was not seen in `fit`; or if y
            is given and none are known.
        """
        self._check_usable()
        model = self._model()

        def means(x: Tensor, c: Tensor | None = None) -> Tensor:
            return model.posterior(x, c)[0]

        return self._mapped(X, y, means)

    def inverse_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Mean of the rows that codes decode to, in the units of the input.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
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
        model = self._model()

        def decoded(z: Tensor, c: Tensor | None = None) -> Tensor:
            return model.likelihood.mean(model.decoded(z, c))

        return self._decoded(X, y, decoded, self._n_features_out)

    def score_samples(
        self,
        X: Any,
        y: Any = None,
        *,
        method: str = "elbo",
        n_importance: int = 32,
        n_temperatures: int = 100,
        return_std: bool = False,
        random_state: Any = 0,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Estimate of the log-likelihood of each row, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            With the Bernoulli likelihood, rows of zeros and ones; of values between,
            the expectation over rows with such means.
        y : class, array-like of shape (n_samples,) or None, default=None
            With ``conditional=True``: the class of each row, given which it is scored.
            None scores the mixture of all classes. Ignored without.
        method : {"elbo", "iwae", "ais"}, default="elbo"
            ``"elbo"``: the bound that `fit` raises. ``"iwae"``: the importance-weighted
            bound, which approaches the log-likelihood as `n_importance` grows.
            ``"ais"``: annealed importance sampling, which approaches it soonest where
            codes are many, at the cost of 500 passes for each of `n_importance` codes:
            minutes for 1000 rows. Where ``"iwae"`` of 1000 codes and of 100 agree, it
            is not needed. All are lower bounds in expectation, ``"ais"`` up to the
            adaptation of the step size of its chains.
        n_importance : int, default=32
            Codes that are drawn for each row; chains with ``method="ais"``.
        n_temperatures : int, default=100
            Steps of each chain with ``method="ais"``.
        return_std : bool, default=False
            With ``method="ais"``: whether to return the errors of the estimates, too.
        random_state : int, RandomState instance or None, default=0
            Seed of the codes. Except with ``method="ais"``, a row draws them by its
            content: its score depends on no other row.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,), float32
            In units of the input: the scaling counts. Columns that do not vary do not.
            -inf, with the Bernoulli likelihood, of rows beyond the range of `fit`.
        std : ndarray of shape (n_samples,), float32
            With ``return_std=True``: standard errors, by the spread of the chains of
            each row. NaN where the log-likelihood is -inf.

        Raises
        ------
        ValueError
            If there is no such `method`, or y holds a class that `fit` did not see. If
            errors are asked for, but not ``method="ais"``, or those of a mixture.
        """
        self._check_usable()
        if method not in ("elbo", "iwae", "ais"):
            raise ValueError(
                "The 'method' parameter of score_samples must be 'elbo', 'iwae' or "
                f"'ais'. Got {method!r} instead."
            )
        at_least = 2 if method == "ais" else 1
        check_scalar(n_importance, "n_importance", Integral, min_val=at_least)
        check_scalar(n_temperatures, "n_temperatures", Integral, min_val=1)
        if return_std and (method != "ais" or (self._knows_classes and y is None)):
            raise ValueError(
                "return_std=True gives errors of method='ais' alone and, of a "
                "conditional sampler, of rows whose class y says."
            )
        n_codes, n_temperatures = int(n_importance), int(n_temperatures)
        model = self._model()
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        rng = Generator(self._home()).manual_seed(seed)

        errors: list[Tensor] = []

        def log_density(x: Tensor, c: Tensor | None = None) -> Tensor:
            if method == "ais":
                found, error = model.annealed(x, c, rng, n_codes, n_temperatures)
                errors.append(error)
                return found
            bound = model.elbo if method == "elbo" else model.importance_weighted
            width, size = self._n_features_out, model.codes_at_once(len(x))
            return bound(x, c, noise_parts(x, n_codes, width, seed, size))

        found = self._log_densities(X, y, log_density)
        return (found, torch.cat(errors).cpu().numpy()) if return_std else found

    score = score

    @property
    def _n_features_out(self) -> int:
        return self.encoder_.n_outputs // 2

    def _has_density(self) -> np.ndarray:
        return super()._has_density() & (self.noise_variance_ is not None)

    def _draw(self, n_rows: int, context: Tensor | None, rng: Generator) -> Tensor:
        model = self._model()
        shape = (n_rows, self._n_features_out)
        z = normal(shape, rng)
        output = model.decoded(z, context)
        is_noisy = self.sample_noise
        if is_noisy == "auto":
            is_noisy = self.sample_noise_
        likelihood = model.likelihood
        return likelihood.draw(output, rng) if is_noisy else likelihood.mean(output)

    def _model(self) -> VariationalModel:
        """Return what was fitted, on the device."""
        device = self._home()
        is_of_row = self.decoder_.n_outputs > self.n_features_in_
        likelihood = fitted_likelihood(self.noise_variance_, is_of_row, device)
        places = n_places(self.image_shape_)
        return VariationalModel(self.encoder_, self.decoder_, likelihood, places)

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
        unit = self.likelihood == "bernoulli"
        fitting = Fitting(
            self,
            X,
            image_shape,
            task.seeds(self, 3),
            N_STEPS,
            unit=unit,
            holds_out=self.early_stopping,
        )
        rows, noise = fitting.rows, fitting.noise

        # Build the model and its optimiser.
        model = new_model(self, fitting, 0 if context is None else context.shape[1])
        encoder, decoder, likelihood = model.encoder, model.decoder, model.likelihood
        optimizer, schedule = fitting.optimizer([encoder, decoder])
        kl_weight = rising_weight(self, fitting, schedule)

        def given(index: Tensor, rng: Generator) -> tuple[Tensor, Tensor | None]:
            x = rows[index]
            if self.binarize:
                x = torch.bernoulli(x, generator=rng)
            return x, None if context is None else context[index]

        def step(index: Tensor) -> dict[str, Tensor]:
            reconstruction, kl = model.loss_terms(*given(index, noise), noise)
            schedule.advance()
            optimizer.step(reconstruction + changing(kl_weight) * kl)
            loss = reconstruction.detach() + self.beta * kl.detach()
            return {"loss": loss, "reconstruction_loss": reconstruction, "kl": kl}

        validation = None
        if self.early_stopping:
            held_out_loss = validation_loss(self, model, given, fitting)
            validation = Validation(fitting, optimizer, held_out_loss)
        constants = fitting.constants
        if unit:  # tells them by probabilities, as all other columns
            constants = np.full_like(constants, np.nan)
        kept = {
            "encoder_": encoder,
            "decoder_": decoder,
            "noise_variance_": likelihood.variance,
            "constants_": constants,
            "sample_noise_": draws_noise(self, fitting),
            **classes,
        }
        fitting.train(task, "train", step, [optimizer], kept, validation=validation)

        standardize_codes(model, given, fitting)
        self.encoder_, self.decoder_ = network_copy(encoder), network_copy(decoder)
        self.kl_ = settled(self, model, given, fitting)
        if likelihood.variance is not None:
            self.noise_variance_ = likelihood.variance.cpu().numpy()
        warn_if_collapsed(self, schedule.step_number)
