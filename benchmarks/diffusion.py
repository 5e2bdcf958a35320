"""Diffusion models: skdeep beside denoising-diffusion-pytorch, and what they draw.

    python -m benchmarks.diffusion [--quick] [--cases ...] [--threads N] [--output FILE]

`step`: seconds of a training step and of 64 drawn images (DDIM, 50 steps) of U-Nets on
28 x 28 pixels, in batches of 64: 32 and 64 channels in both, but the peer attends.

`moons`: default fit on 20 000 points. How well boosted trees tell 5000 drawn ones from
5000 held out (area under the curve: 0.5 is not at all), and the seconds of the draw, of
each way to draw. `digits`: default fit on 8 x 8 images, as tables and as images:
precision and recall of the drawn ones, beside those of images held out.

The peer is left out if it is not installed.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits, make_moons

from benchmarks.peers import undisturbed
from benchmarks.precisions import TYPES
from benchmarks.report import header, publish
from benchmarks.timing import alternated, seconds, seconds_an_epoch, table
from skdeep.generative import DiffusionSampler
from skdeep.metrics import classifier_two_sample_score, manifold_precision_recall

try:
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
except ImportError:
    PEER = None
else:
    PEER = version("denoising-diffusion-pytorch")
"""Version of denoising-diffusion-pytorch, None if it cannot be imported."""

SIDE, BATCH_SIZE, N_BATCHES = 28, 64, 4
CHANNELS = (32, 64)


def ours(X: np.ndarray, precision: str, n_epochs: int) -> DiffusionSampler:
    """Fit the estimator, without rows held out."""
    return DiffusionSampler(
        CHANNELS,
        early_stopping=False,
        max_iter=n_epochs,
        batch_size=BATCH_SIZE,
        precision=precision,
        random_state=0,
    ).fit(X)


def peer_fit(X: np.ndarray, n_epochs: int) -> "GaussianDiffusion":
    """Train the peer as a user of torch would."""
    with undisturbed():
        network = Unet(dim=CHANNELS[0], dim_mults=(1, 2), channels=1)
        model = GaussianDiffusion(network, image_size=SIDE, sampling_timesteps=50)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
        rows = torch.from_numpy(X)
        for _ in range(n_epochs):
            for index in torch.randperm(len(rows)).split(BATCH_SIZE):
                optimizer.zero_grad()
                model(rows[index]).backward()
                optimizer.step()
    return model


def step_lines(quick: bool) -> Iterator[str]:
    """Seconds of steps and draws, and their ratios."""
    n_rows, n_images = (BATCH_SIZE, 2) if quick else (N_BATCHES * BATCH_SIZE, 64)
    repetitions = 1 if quick else 3
    X = np.random.default_rng(0).random((n_rows, 1, SIDE, SIDE), dtype=np.float32)
    fits: dict[str, Callable[[int], object]] = {
        f"skdeep {precision}": partial(ours, X, precision) for precision in TYPES
    }
    if PEER:
        fits["peer"] = partial(peer_fit, X)
    references = [name for name in fits if name.startswith("skdeep")]

    n_batches = n_rows // BATCH_SIZE
    times = alternated(
        {
            name: lambda _, fit=fit: seconds_an_epoch(fit, 1, 2) / n_batches
            for name, fit in fits.items()
        },
        repetitions,
    )
    yield f"training step, batches of {BATCH_SIZE}, {repetitions} repetitions"
    yield from table(times, references, "s/step")

    sampler = ours(X, "float32", 1).set_params(sampler="ddim")
    draws: dict[str, Callable[[], object]] = {
        "skdeep": partial(sampler.sample, n_images, random_state=0)
    }
    if PEER:
        peer = peer_fit(X, 1)
        draws["peer"] = undisturbed()(partial(peer.sample, batch_size=n_images))
    times = alternated(
        {name: lambda _, draw=draw: seconds(draw) for name, draw in draws.items()},
        repetitions,
    )
    yield f"{n_images} images drawn by DDIM in 50 steps"
    yield from table(times, ["skdeep"], "s")


def moons_lines(quick: bool) -> Iterator[str]:
    """How well draws are told from points held out."""
    n_train, n_test = (500, 200) if quick else (20_000, 5000)
    X = make_moons(n_train + n_test, noise=0.05, random_state=0)[0].astype(np.float32)
    train, test = X[:n_train], X[n_train:]
    model = DiffusionSampler(max_iter=20 if quick else "auto", random_state=0)
    took = seconds(model.fit, train)
    yield f"moons {train.shape}: fit {took:.1f} s, {model.score(test):.3f} nats"
    yield f"{'':20s}{'AUC':>6s}{'s':>8s}"
    for sampler, n_steps in (("ddim", 50), ("ddim", 10), ("ode", 25), ("ddpm", 1000)):
        model.set_params(sampler=sampler, n_steps=n_steps)
        took = seconds(partial(model.sample, n_test, random_state=0))
        drawn = model.sample(n_test, random_state=0)
        auc = classifier_two_sample_score(test, drawn, random_state=0)
        yield f"{f'{sampler}, {n_steps} steps':20s}{auc:6.3f}{took:8.2f}"
    fresh = make_moons(n_test, noise=0.05, random_state=1)[0].astype(np.float32)
    auc = classifier_two_sample_score(test, fresh, random_state=0)
    yield f"{'other points':20s}{auc:6.3f}"


def digits_lines(quick: bool) -> Iterator[str]:
    """Precision and recall of drawn digits."""
    X = np.random.default_rng(0).permutation(load_digits().data.astype(np.float32))
    train, test = X[:1200], X[1200:]
    yield f"digits {train.shape}{'precision':>20s}{'recall':>9s}{'fit s':>9s}"
    found = manifold_precision_recall(train, test)
    yield f"{'held out':20s}{found.precision:17.3f}{found.recall:9.3f}"
    for name, shape in {"table": None, "images": (1, 8, 8)}.items():
        model = DiffusionSampler(
            image_shape=shape, max_iter=2 if quick else "auto", random_state=0
        )
        took = seconds(model.fit, train)
        drawn = model.sample(len(test), random_state=0)
        found = manifold_precision_recall(train, drawn)
        yield (
            f"{name:20s}{found.precision:17.3f}{found.recall:9.3f}{took:9.1f}"
            f"  {model.n_iter_} epochs"
        )


CASES: dict[str, Callable[[bool], Iterator[str]]] = {
    "step": step_lines,
    "moons": moons_lines,
    "digits": digits_lines,
}


def results(options: argparse.Namespace) -> Iterator[str]:
    """Run the cases and yield the lines of the report."""
    yield from header(f"denoising-diffusion-pytorch {PEER or 'not installed'}")
    for name in options.cases:
        yield ""
        yield from CASES[name](options.quick)


def main() -> None:
    """Run the benchmark and print its tables, also into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", help="accepted, but nothing is read")
    parser.add_argument("--quick", action="store_true", help="a minute: does it work?")
    parser.add_argument("--cases", nargs="+", default=[*CASES], choices=CASES)
    parser.add_argument("--threads", type=int, help="of torch, if not its own choice")
    parser.add_argument("--output", type=Path, help="a file that also gets the tables")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    publish(results(options), options.output)


if __name__ == "__main__":
    main()
