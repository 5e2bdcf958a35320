"""Variational autoencoders: skdeep beside floors and pythae.

    python -m benchmarks.vae [DATA_FOLDER ...] [--quick] [--nll] [--output FILE]

All train 784-400-20-400-784 with the Bernoulli likelihood on the same 10 000 images, in
batches of 256, in one process and in alternating repetitions. Seconds an epoch are the
difference of a longer and a shorter fit: set-up cancels. Then the bound that each
reaches on 1000 rows held out, after 10 epochs.

`--nll` instead trains on the 60 000 images of MNIST, binarised anew at each step, and
prints the importance-weighted bound of 1000 binarised test images by 5000 codes each,
as in Burda, Grosse and Salakhutdinov (2016), whose network it has: 784-200-200-50.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.datasets import archive, images
from benchmarks.floors import dense, products
from benchmarks.peers import undisturbed
from benchmarks.precisions import TYPES
from benchmarks.report import header, publish
from benchmarks.timing import Fit, alternated, on_threads, seconds_an_epoch, table
from skdeep.generative import VAESampler
from skdeep.objectives.variational import (
    bernoulli_log_likelihood,
    elbo_per_sample,
    importance_weighted_bound,
    log_importance_weight,
    reparametrised,
)

try:
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
except ImportError:
    PYTHAE = None
else:
    PYTHAE = version("pythae")
"""Version of pythae, None if it cannot be imported."""

N_HIDDEN, N_COMPONENTS, BATCH_SIZE = 400, 20, 256
WIDTHS = (784, N_HIDDEN, N_COMPONENTS, N_HIDDEN, 784)


def ours(X: np.ndarray, precision: str, n_epochs: int) -> VAESampler:
    """Fit the estimator, without rows held out."""
    return VAESampler(
        N_COMPONENTS,
        hidden_layer_sizes=(N_HIDDEN,),
        likelihood="bernoulli",
        early_stopping=False,
        max_iter=n_epochs,
        batch_size=BATCH_SIZE,
        precision=precision,
        random_state=0,
    ).fit(X)


def torch_loop(
    X: Tensor, dtype: torch.dtype, n_epochs: int
) -> tuple[nn.Module, nn.Module]:
    """Train by the shortest loop that a user of torch would write."""
    encoder = dense((784, N_HIDDEN, 2 * N_COMPONENTS))
    decoder = dense((N_COMPONENTS, N_HIDDEN, 784))
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights, lr=1e-3, fused=True)
    for _ in range(n_epochs):
        for index in torch.randperm(len(X)).split(BATCH_SIZE):
            x = X[index]
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                mean, log_var = encoder(x).float().chunk(2, 1)
                z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
                logits = decoder(z).float()
            reconstruction = binary_cross_entropy_with_logits(
                logits, x, reduction="sum"
            )
            kl = (mean.square() + log_var.exp() - log_var - 1).sum() / 2
            loss = (reconstruction + kl) / len(x)
            loss.backward()
            optimizer.step()
    return encoder, decoder


if PYTHAE:

    class Encoder(BaseEncoder):
        """The encoder as pythae wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = dense((784, N_HIDDEN, 2 * N_COMPONENTS))

        def forward(self, x: Tensor) -> ModelOutput:
            """Mean and log-variance."""
            mean, log_var = self.layers(x).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        """The decoder as pythae wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = dense((N_COMPONENTS, N_HIDDEN, 784))

        def forward(self, z: Tensor) -> ModelOutput:
            """Probabilities."""
            return ModelOutput(reconstruction=self.layers(z).sigmoid())


def pythae_fit(X: np.ndarray, n_epochs: int) -> tuple[nn.Module, nn.Module]:
    """Train by pythae's pipeline, with its checkpoints as they are by default."""
    logging.disable(logging.CRITICAL)
    with undisturbed(), tempfile.TemporaryDirectory() as folder:
        config = VAEConfig(
            input_dim=(784,), latent_dim=N_COMPONENTS, reconstruction_loss="bce"
        )
        model = VAE(config, encoder=Encoder(), decoder=Decoder())
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=n_epochs,
            learning_rate=1e-3,
            per_device_train_batch_size=BATCH_SIZE,
            no_cuda=True,
        )
        TrainingPipeline(training_config=training, model=model)(train_data=X)
    logging.disable(logging.NOTSET)
    return model.encoder.layers, model.decoder.layers


def speed_lines(X: np.ndarray, quick: bool, repetitions: int) -> Iterator[str]:
    """Seconds an epoch of all contestants."""
    n_epochs = 2 if quick else 4
    contestants: dict[str, Fit] = {
        f"skdeep {name}": partial(ours, X, name) for name in TYPES
    }
    for name, dtype in TYPES.items():
        loop = partial(torch_loop, torch.from_numpy(X), dtype)
        contestants[f"torch loop {name}"] = loop
        floor = partial(products, len(X), WIDTHS, BATCH_SIZE, dtype)
        contestants[f"products {name}"] = floor
    if PYTHAE:
        contestants["pythae"] = partial(pythae_fit, X)
        contestants["pythae, 1 thread"] = on_threads(contestants["pythae"], 1)
    for fit in contestants.values():
        fit(1)
    times = alternated(
        {
            name: lambda _, fit=fit: seconds_an_epoch(fit, 1, n_epochs)
            for name, fit in contestants.items()
        },
        repetitions,
    )
    yield f"{n_epochs} epochs; {repetitions} repetitions: median [quartiles]"
    yield from table(times, [f"skdeep {name}" for name in TYPES], "s/epoch")


@torch.inference_mode()
def bounds(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> tuple[float, float]:
    """Evidence lower bound, and importance-weighted one by 100 codes."""
    mean, log_var = encoder(x).chunk(2, 1)
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn((100, *mean.shape), generator=rng)
    z = reparametrised(mean, log_var, noise)
    found = torch.stack([bernoulli_log_likelihood(x, decoder(code)) for code in z])
    log_weight = log_importance_weight(found, z, noise, log_var)
    return (
        float(elbo_per_sample(found, mean, log_var).mean()),
        float(importance_weighted_bound(log_weight).mean()),
    )


def quality_lines(X: np.ndarray, test: np.ndarray, quick: bool) -> Iterator[str]:
    """Bounds of rows held out, by the same code for all."""
    n_epochs = 2 if quick else 10
    x = torch.from_numpy(test)
    yield f"{n_epochs} epochs: bound, importance-weighted bound of rows held out"
    for name, dtype in TYPES.items():
        model = ours(X, name, n_epochs)
        found = {f"skdeep {name}": (model.encoder_, model.decoder_)}
        loop = torch_loop(torch.from_numpy(X), dtype, n_epochs)
        found[f"torch loop {name}"] = loop
        for contestant, networks in found.items():
            elbo, weighted = bounds(*networks, x)
            yield f"{contestant:31s}{elbo:9.2f} {weighted:9.2f}"
    if PYTHAE:
        elbo, weighted = bounds(*pythae_fit(X, n_epochs), x)
        yield f"{'pythae':31s}{elbo:9.2f} {weighted:9.2f}"


def binarised(pixels: np.ndarray) -> np.ndarray:
    """Black and white pixels, drawn with the grey values as probabilities."""
    rng = np.random.default_rng(0)
    draws = rng.random(pixels.shape, dtype=np.float32)
    return np.where(255 * draws < pixels, 255, 0).astype(np.uint8)


def nll_lines(folders: list[Path], quick: bool) -> Iterator[str]:
    """Negative log-likelihood of binarised MNIST."""
    data = archive("mnist.npz", folders)
    if data is None:
        yield "MNIST: not found, left out"
        return
    train, test = (data[f"x_{part}"].reshape(-1, 784) for part in ("train", "test"))
    n_rows, n_epochs, n_test = (2000, 5, 100) if quick else (60_000, 100, 1000)
    X, X_test = train[:n_rows], binarised(test[:n_test])
    model = VAESampler(
        50,
        hidden_layer_sizes=(200, 200),
        likelihood="bernoulli",
        binarize=True,
        early_stopping=False,
        max_iter=n_epochs,
        learning_rate=1e-3,
        random_state=0,
    )
    started = time.perf_counter(), time.process_time()
    model.fit(X)
    yield (
        f"MNIST {X.shape}, binarised, 784-200-200-50: {n_epochs} epochs in "
        f"{time.perf_counter() - started[0]:.0f} s "
        f"({time.process_time() - started[1]:.0f} s of the processor)"
    )
    for method, n_codes in (("elbo", 100), ("iwae", 5000)):
        rows = model.score_samples(X_test, method=method, n_importance=n_codes)
        error = rows.std() / np.sqrt(len(rows))
        yield f"{method:6s}{n_codes:6d} codes: {-rows.mean():7.2f} +- {error:.2f} nats"
    yield f"{(model.kl_ > 0.01).sum()} of 50 dimensions used"


def results(options: argparse.Namespace) -> Iterator[str]:
    """Run the cases and yield the lines of the report."""
    yield from header(f"pythae {PYTHAE or 'not installed'}")
    yield ""
    if options.nll:
        yield from nll_lines(options.folders, options.quick)
        return
    n_rows = 1000 if options.quick else 11_000
    name, X = images(options.folders, n_rows)
    n_test = len(X) // 11
    X, test = X[n_test:], X[:n_test]
    yield f"{name} {X.shape}, 784-400-20-400-784, batches of {BATCH_SIZE}"
    yield from speed_lines(X, options.quick, 2 if options.quick else 5)
    yield ""
    yield from quality_lines(X, test, options.quick)


def main() -> None:
    """Run the benchmark and print its tables, also into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="DATA_FOLDER")
    parser.add_argument("--quick", action="store_true", help="a minute: does it work?")
    parser.add_argument("--nll", action="store_true", help="binarised MNIST instead")
    parser.add_argument("--threads", type=int, help="of torch, if not its own choice")
    parser.add_argument("--output", type=Path, help="a file that also gets the tables")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    publish(results(options), options.output)


if __name__ == "__main__":
    main()
