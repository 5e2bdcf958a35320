"""What the training of a variational autoencoder starts from, and looks at."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Generator, Tensor

from skdeep.fitting import CHUNK_ROWS, Fitting, draws_of_each
from skdeep.generative._vae_likelihood import (
    LEAST_VARIANCE,
    Bernoulli,
    Gaussian,
    Likelihood,
    RowGaussian,
    SharedGaussian,
    least_variances,
)
from skdeep.generative._vae_model import VariationalModel, n_places
from skdeep.nn import MLP, ConvDecoder, ConvEncoder, Network, initialized
from skdeep.nn.noise import normal
from skdeep.parameters import checked_sizes
from skdeep.training import OneCycle
from skdeep.warning import warn

COLLAPSED = 0.01
"""Nats below which a dimension of the code tells nothing of a row."""

EARLIEST = 100
"""Gradient steps before which codes may not have begun to."""

WARM_UP, FEW_ROWS = 0.25, 100
"""Share of the steps over which the divergence gains its weight, and rows up to which
it has it at once: by their few held out, what is learned by heart may seem good.
"""

SHRINKING_ROWS = 50
"""Rows held out that tell as much of the noise of a column as the training rows do."""

RowsOf = Callable[[Tensor, Generator], tuple[Tensor, Tensor | None]]
"""Rows of given numbers, drawn from them if need be, and their contexts."""


def new_likelihood(estimator: Any, varies: np.ndarray, fitting: Fitting) -> Likelihood:
    """Build the likelihood of rows, whose density is in the columns that vary."""
    if estimator.likelihood == "bernoulli":
        return Bernoulli()
    if estimator.binarize:
        raise ValueError(
            f"{type(estimator).__name__} draws binary rows for the Bernoulli "
            "likelihood alone: binarize=True needs likelihood='bernoulli'."
        )
    given = 1.0 if isinstance(estimator.variance, str) else float(estimator.variance)
    variance = torch.from_numpy(np.float32(given * varies)).to(fitting.rows.device)
    pooled = fitting.image_shape is not None
    spread = fitting.columns.variance / fitting.scale**2
    least = least_variances(spread.mean() if pooled else spread)
    if estimator.variance == "learned":
        warn_of_narrow_columns(spread[varies], type(estimator).__name__)
        return RowGaussian(variance, pooled, torch.from_numpy(least))
    learned = estimator.variance == "shared"
    noise = SharedGaussian(variance, pooled, torch.from_numpy(least), learned)
    fitting.moves(noise)
    return noise


def new_networks(
    estimator: Any, fitting: Fitting, n_classes: int, likelihood: Likelihood
) -> tuple[Network, Network]:
    """Build the encoder and the decoder, on the device of the rows."""
    rng, n_features = fitting.weight_rng, fitting.n_features
    n_components, n_outputs = int(estimator.n_components), likelihood.n_outputs
    encoder: Network
    decoder: Network
    if fitting.image_shape is None:
        sizes = checked_sizes(estimator, (256, 256))
        widths = [n_features + n_classes, *sizes, 2 * n_components]
        encoder = initialized(MLP, rng, sizes=widths)
        widths = [n_components + n_classes, *sizes[::-1], n_outputs * n_features]
        decoder = initialized(MLP, rng, sizes=widths)
    else:
        channels = checked_sizes(estimator, (32, 64))
        n_channels, *sides = fitting.image_shape
        encoder = initialized(
            ConvEncoder,
            rng,
            image_shape=[n_channels + n_classes, *sides],
            channels=channels,
            n_components=2 * n_components,
        )
        decoder = initialized(
            ConvDecoder,
            rng,
            image_shape=[n_outputs * n_channels, *sides],
            channels=channels,
            n_components=n_components + n_classes,
        )
    device = fitting.rows.device
    return encoder.to(device), decoder.to(device)


def new_model(estimator: Any, fitting: Fitting, n_classes: int) -> VariationalModel:
    """Build the likelihood, the encoder and the decoder."""
    likelihood = new_likelihood(estimator, np.isnan(fitting.constants), fitting)
    encoder, decoder = new_networks(estimator, fitting, n_classes, likelihood)
    places = n_places(fitting.image_shape)
    return VariationalModel(encoder, decoder, likelihood, places)


def rising_weight(
    estimator: Any, fitting: Fitting, schedule: OneCycle
) -> Callable[[], float]:
    """Return what gives the weight of the divergence in the next step."""
    warm_up = estimator.warm_up
    if warm_up == "auto":
        is_small = fitting.n_training <= FEW_ROWS
        warm_up = 0.0 if is_small or fitting.image_shape is not None else WARM_UP
    n_rising = max(warm_up * schedule.n_steps, 1.0)
    return lambda: estimator.beta * min(1.0, schedule.step_number / n_rising)


def validation_loss(
    estimator: Any, model: VariationalModel, rows_of: RowsOf, fitting: Fitting
) -> Callable[[Tensor], Tensor]:
    """Negative bound of rows of given numbers, by the same noise at each call."""
    device, seed = fitting.rows.device, fitting.noise.initial_seed()

    def loss(index: Tensor) -> Tensor:
        n_rows = len(index)
        shape = (draws_of_each(n_rows), n_rows, int(estimator.n_components))
        rng = Generator(device).manual_seed(seed)
        noise = normal(shape, rng)
        return -model.elbo(*rows_of(index, rng), [noise], estimator.beta).mean()

    return loss


def are_binary(fitting: Fitting) -> bool:
    """Whether the rows, scaled to [0, 1], hold zeros and ones alone."""
    mean = (fitting.columns.mean - fitting.offset) / fitting.scale
    # x^2 = x for these, so that the variance is mean (1 - mean), and less for others.
    variance = fitting.columns.variance / fitting.scale**2
    return np.allclose(variance, mean * (1 - mean), atol=1e-7)


def draws_noise(estimator: Any, fitting: Fitting) -> bool:
    """Whether rows are drawn from the likelihood, or their means are.

    Noise of pixels is no picture, and entries between zero and one are no bits.
    """
    is_bits = estimator.binarize or are_binary(fitting)
    is_table = fitting.image_shape is None
    return is_table and (estimator.likelihood != "bernoulli" or is_bits)


@torch.no_grad()
def means_over(
    index: Tensor, function: Callable[[Tensor], tuple[Tensor, ...]]
) -> list[Tensor]:
    """Means over the rows of given numbers, from those over parts of them."""
    totals: list[Tensor] = []
    for part in index.split(CHUNK_ROWS):
        values = [value * (len(part) / len(index)) for value in function(part)]
        if totals:
            values = [a + b for a, b in zip(totals, values, strict=True)]
        totals = values
    return totals


@torch.no_grad()
def standardize_codes(
    model: VariationalModel, rows_of: RowsOf, fitting: Fitting
) -> None:
    r"""Give the codes of the training rows the mean and the variance of the prior.

    .. math:: z \to (z - m) / c

    with m and :math:`c^2` the moments of each dimension over the rows. The encoder's
    last layer takes it on, the decoder's first undoes it: rows are rebuilt as before,
    at the least divergence of all such maps. Gradients hardly see it beside the errors
    of many columns, and rows drawn from the prior would vary less than real ones.
    """

    def posterior(part: Tensor) -> tuple[Tensor, Tensor]:
        return model.posterior(*rows_of(part, fitting.noise))

    (center,) = means_over(fitting.training, lambda part: (posterior(part)[0].mean(0),))

    def spread(part: Tensor) -> tuple[Tensor]:
        mean, log_var = posterior(part)
        return (((mean - center).square() + log_var.exp()).mean(0),)

    (variance,) = means_over(fitting.training, spread)
    scale, n_codes = variance.sqrt(), len(variance)
    encoding: Any = model.encoder.layers
    decoding: Any = model.decoder.layers
    to_codes, from_codes = encoding[-1], decoding[0]
    to_codes.bias[:n_codes] -= center
    to_codes.bias[n_codes:] -= variance.log()
    to_codes.weight[:n_codes] /= scale[:, None]
    to_codes.bias[:n_codes] /= scale
    from_codes.bias += from_codes.weight[:, :n_codes] @ center
    from_codes.weight[:, :n_codes] *= scale


def settled(
    estimator: Any, model: VariationalModel, rows_of: RowsOf, fitting: Fitting
) -> np.ndarray:
    """Give the likelihood the variance of what codes leave of rows held out.

    Return what each dimension of the code tells of them, in nats.
    """
    noise, likelihood = fitting.noise, model.likelihood

    def left_over(index: Tensor) -> list[Tensor]:
        return means_over(
            index, lambda part: model.left_over(*rows_of(part, noise), noise)
        )

    squares, kl = left_over(fitting.held_out)
    if isinstance(likelihood, Gaussian) and isinstance(estimator.variance, str):
        if estimator.early_stopping:
            trained, _ = left_over(fitting.training[:CHUNK_ROWS])
            squares = shrunken_squares(
                squares * likelihood.varies,
                trained * likelihood.varies,
                len(fitting.held_out),
                likelihood.least.min(),
                kurtosis_of(fitting.rows[fitting.training[:CHUNK_ROWS]]),
            )
        likelihood.follow(squares)
    return kl.cpu().numpy()


def shrunken_squares(
    held_out: Tensor,
    training: Tensor,
    n_held_out: int,
    least: Tensor | float = LEAST_VARIANCE,
    kurtosis: Tensor | float = 3.0,
) -> Tensor:
    r"""Mean squares h of n rows held out, shrunk where these are few.

    .. math:: \frac{n h + m r t}{n + m}, \qquad
              r = \max\left(1, \frac{\sum_j h_j}{\sum_j t_j}\right)

    with t the mean squares of training rows: these tell the columns apart, the rows
    held out how much is learned by heart, and m = 50 rows held out tell as much of a
    column. Where the sum of t falls short of the least variance, that is in its place.

    Where :math:`h < r t`, the rows held out may lack rare values. Mean squares err by
    :math:`\sqrt{(\kappa - 1) / n}` of themselves, with :math:`\kappa` the kurtosis, so
    that m is :math:`50 \, (\kappa - 1) / 2` there, and 50 at least.
    """
    ratio = (held_out.sum() / training.sum().clamp_min(least)).clamp_min(1.0)
    expected = ratio * training
    rarity = torch.as_tensor((kurtosis - 1) / 2).clamp_min(1.0)
    m = SHRINKING_ROWS * torch.where(held_out < expected, rarity, 1.0)
    return torch.lerp(expected, held_out, n_held_out / (n_held_out + m))


def kurtosis_of(x: Tensor) -> Tensor:
    """Fourth moment of each column of rows, in units of its variance; 0 of constants.

    3 of normal values, and 1 / p of ones that are a small share p among zeros.
    """
    deviation = x - x.mean(0)
    spread = deviation.square().mean(0).sqrt()
    return (deviation / spread.where(spread > 0, 1.0)).pow(4).mean(0)


def warn_of_narrow_columns(variance: np.ndarray, name: str) -> None:
    """Warn of columns that vary less than their noise does, be it learned for rows."""
    if variance.size and variance.min() < LEAST_VARIANCE:
        warn(
            f"{name}: scaled rows have a column of variance {variance.min():.2g}, and "
            f"variance='learned' is {LEAST_VARIANCE} at least, so that rows are drawn "
            "too wide. Use another scale, or variance='shared'.",
            UserWarning,
        )


def warn_if_collapsed(estimator: Any, n_steps: int) -> None:
    """Warn if, after so many steps, no dimension of the code tells rows apart."""
    has_begun = n_steps >= EARLIEST and np.isnan(estimator.constants_).any()
    if not has_begun or estimator.kl_.max() >= COLLAPSED:
        return
    warn(
        f"{type(estimator).__name__}: the posterior has collapsed. Each dimension of "
        f"the code tells less than {COLLAPSED} nats of a row, and all codes decode to "
        "much the same row. Unless the columns have nothing in common, try warm_up="
        "0.5, a smaller beta, more epochs (max_iter) or another scale. Beside "
        "indicators of rare categories, which rows held out judge by a few, try scale="
        "'standard' with early_stopping=False.",
        ConvergenceWarning,
    )
