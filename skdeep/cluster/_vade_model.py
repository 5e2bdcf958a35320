"""The generative model of VaDE: its bound, its clusters and its rows."""

import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor

from skdeep._compat import one_thread
from skdeep.base import network_copy, varying_columns
from skdeep.cluster._starts import least_variance
from skdeep.cluster._steps import Clustering, Start
from skdeep.nn import Network
from skdeep.nn.noise import normal
from skdeep.nn.posterior import means_alone, with_variances
from skdeep.nn.row_noise import noise_parts
from skdeep.objectives.mixture import kl_to_mixture, log_responsibilities
from skdeep.objectives.reconstruction import squared_error, squared_error_per_sample
from skdeep.objectives.variational import (
    bernoulli_log_likelihood,
    bernoulli_loss,
    code_distribution,
    gaussian_log_likelihood,
    gaussian_loss_of_best_variance,
    reparametrised,
)
from skdeep.representation import AutoencoderTransformer
from skdeep.scaling import column_statistics, constants_of
from skdeep.training import in_chunks

N_CODES, N_CODES_OF_VARIANCE = 32, 8
"""Codes of each row by which its bound, and the variance of all rows, are estimated."""

MIXTURE_NUMBERS, LEAST_OF_CLUSTER = 2**20, 50
"""Probabilities of which the start of the mixture keeps tables, which bounds their
memory, and rows for each cluster that it sees even so.
"""

START_VARIANCE = 0.1
"""Of a code, as a share of the mean variance inside of a cluster."""

SMALLEST_VARIANCE = 1e-8
"""Of the Gaussian likelihood, in scaled units."""


class VaDEModel:
    """Networks and mixture, on one device.

    Parameters
    ----------
    encoder : Network
        Maps rows ``(n, n_features)`` to means and log-variances ``(n, 2 d)``.
    decoder : Network
        Maps codes ``(n, d)`` to means, or logits, of rows.
    mixture : list of Tensor
        Logarithms of the weights, up to a common constant, of shape (n_clusters,), and
        means and log-variances of shape (n_clusters, d).
    noise_variance : float or None
        Of the Gaussian likelihood; None means the Bernoulli one.
    constants : ndarray of shape (n_features,)
        Value of the columns that do not vary, NaN of others: the likelihood leaves
        them out.
    """

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        mixture: list[Tensor],
        noise_variance: float | None,
        constants: np.ndarray,
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.mixture = mixture
        self.noise_variance = noise_variance
        self.constants = constants
        self.columns = varying_columns(constants, mixture[0].device)

    @classmethod
    def started(
        cls, X: np.ndarray | csr_matrix, begin: Start, seed: int
    ) -> "VaDEModel":
        """Build the model that training moves, from a mixture of pretrained codes."""
        autoencoder, device = begin.autoencoder, begin.rows.device
        mixture = fitted_mixture(begin, seed)
        spread = START_VARIANCE * float(mixture.weights_ @ mixture.covariances_.mean(1))
        encoder = with_variances(autoencoder.encoder_, math.log(spread))
        values = np.log(mixture.weights_), mixture.means_, np.log(mixture.covariances_)
        moved = [
            torch.tensor(value, dtype=torch.float32, device=device, requires_grad=True)
            for value in values
        ]
        noise_variance = None if autoencoder.loss == "binary_cross_entropy" else 1.0
        constants = constants_under(X, autoencoder)
        return cls(encoder, autoencoder.decoder_, moved, noise_variance, constants)

    def varying(self, x: Tensor) -> Tensor:
        """Columns of which there is a likelihood."""
        return x[:, self.columns]

    def prior(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights that sum to one, means and log-variances of the mixture."""
        log_weights, means, log_vars = self.mixture
        return log_weights.log_softmax(0), means, log_vars

    def exact_prior(self) -> list[Tensor]:
        """`prior` in float64."""
        return [tensor.double() for tensor in self.prior()]

    def loss_terms(self, x: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Minus the mean log-likelihood of rows, and the mean divergence of codes."""
        mean, log_var = code_distribution(self.encoder(x))
        noise = normal(mean.shape, rng)
        z = reparametrised(mean, log_var, noise)
        log_gamma = log_responsibilities(z, *self.prior())
        kl = kl_to_mixture(mean, log_var, log_gamma, *self.prior()).mean()
        x, output = self.varying(x), self.varying(self.decoder(z))
        if self.noise_variance is None:
            return bernoulli_loss(x, output), kl
        squares = squared_error(output, x).clamp_min(SMALLEST_VARIANCE)
        return gaussian_loss_of_best_variance(squares, x.shape[1]), kl

    def elbo(self, x: Tensor) -> Tensor:
        """Evidence lower bound of each row, ``(n,)``, by codes that it draws itself.

        All but the networks in float64: see `responsibilities`.
        """
        mean, log_var = code_distribution(self.encoder(x).double())
        prior = self.exact_prior()
        bounds = []
        for z in drawn_codes(x, mean, log_var, N_CODES):
            log_gamma = log_responsibilities(z, *prior)
            kl = kl_to_mixture(mean, log_var, log_gamma, *prior)
            output = self.decoder(z.float()).double()
            bounds.append(self.log_likelihood(x.double(), output) - kl)
        return torch.stack(bounds).mean(0).float()

    def log_likelihood(self, x: Tensor, output: Tensor) -> Tensor:
        """Log-likelihood of each row, given what the decoder says."""
        x, output = self.varying(x), self.varying(output)
        if self.noise_variance is None:
            return bernoulli_log_likelihood(x, output)
        return gaussian_log_likelihood(
            x, output, x.new_tensor(self.noise_variance).log()
        )

    def responsibilities(self, x: Tensor) -> Tensor:
        """Probability of each cluster for each row, at the mean of its code.

        In float64: in float32 the last bits depend on where in a batch a row is.
        """
        mean, _ = code_distribution(self.encoder(x).double())
        return log_responsibilities(mean, *self.exact_prior()).exp()

    def drawn(self, clusters: Tensor, rng: Generator, noisy: bool) -> Tensor:
        """Draw a scaled row of each cluster of a list."""
        _, means, log_vars = self.mixture
        noise = normal((len(clusters), means.shape[1]), rng)
        z = reparametrised(means[clusters], log_vars[clusters], noise)
        output = self.decoder(z)
        if self.noise_variance is None:
            output = output.sigmoid()
        elif noisy:
            noise = normal(output.shape, rng)
            output = output + self.noise_variance**0.5 * noise
        return output


def fitted_mixture(begin: Start, seed: int) -> GaussianMixture:
    """Fit a mixture to the pretrained codes, from the clusters of the start."""
    codes = begin.autoencoder._encode(begin.rows)
    floor = least_variance(codes)
    centers, labels = begin.centroids.cpu().numpy(), begin.labels.cpu().numpy()
    sizes = np.bincount(labels, minlength=len(centers)).clip(1)
    squares = np.square(codes - centers[labels])
    variances = [squares[labels == c].sum(0) / n for c, n in enumerate(sizes)]
    mixture = GaussianMixture(
        len(centers),
        covariance_type="diag",
        weights_init=sizes / sizes.sum(),
        means_init=centers,
        precisions_init=1 / (np.array(variances) + floor),
        reg_covar=floor,
        random_state=0,
    )
    most = max(MIXTURE_NUMBERS // len(centers), LEAST_OF_CLUSTER * len(centers))
    sample = np.sort(np.random.RandomState(seed).permutation(len(codes))[:most])
    with one_thread(), config_context(array_api_dispatch=False):
        return mixture.fit(codes[sample].astype(np.float64))


def constants_under(
    X: np.ndarray | csr_matrix, autoencoder: AutoencoderTransformer
) -> np.ndarray:
    """Value of each column that does not vary under a scaling, NaN of all others.

    Or that the autoencoder reads as if it did not. Pixels have the noise of their
    image. Nor are all columns constants.
    """
    constants = constants_of(column_statistics(X), autoencoder.whitening_)
    if autoencoder.constants_ is not None:
        held = ~np.isnan(autoencoder.constants_)
        both = np.where(held, autoencoder.constants_, constants)
        constants = both if np.isnan(both).any() else constants
    if autoencoder.image_shape_ is not None or not np.isnan(constants).any():
        return np.full_like(constants, np.nan)
    return constants


def drawn_codes(
    x: Tensor, mean: Tensor, log_var: Tensor, n_codes: int
) -> Iterator[Tensor]:
    """Codes of each row, ``(n, d)`` at a time: always the same, in any company."""
    for noise in noise_parts(x, n_codes, mean.shape[1], seed=0, size=1):
        yield reparametrised(mean, log_var, noise[0])


@torch.no_grad()
def clustering_of(model: VaDEModel, begin: Start) -> Clustering:
    """Copy the state that training has reached."""
    encoder = network_copy(model.encoder)
    autoencoder = copy.deepcopy(begin.autoencoder)
    autoencoder.encoder_ = means_alone(encoder)
    log_weights, means, log_vars = model.prior()
    labels = in_chunks(lambda x: model.responsibilities(x).argmax(1), begin.rows)
    attributes = {
        "encoder_": encoder,
        "autoencoder_": autoencoder,
        "cluster_centers_": means.cpu().numpy().copy(),
        "covariances_": log_vars.exp().cpu().numpy(),
        "weights_": log_weights.exp().cpu().numpy(),
        "noise_variance_": residual_variance(model, begin),
        "constants_": model.constants,
    }
    return Clustering(labels, attributes)


def residual_variance(model: VaDEModel, begin: Start) -> float | None:
    """Variance under which the rows are most likely; None of a Bernoulli likelihood."""
    if model.noise_variance is None:
        return None

    def squares(x: Tensor) -> Tensor:
        mean, log_var = code_distribution(model.encoder(x))
        codes = drawn_codes(x, mean, log_var, N_CODES_OF_VARIANCE)
        means = [model.varying(model.decoder(z)) for z in codes]
        found = [squared_error_per_sample(m, model.varying(x)) for m in means]
        return torch.stack(found).mean(0)

    return max(float(in_chunks(squares, begin.rows).mean()), SMALLEST_VARIANCE)
