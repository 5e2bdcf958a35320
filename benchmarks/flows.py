"""Normalizing flows: skdeep beside nflows, zuko and a mixture of Gaussians.

    python -m benchmarks.flows [DATA_FOLDER ...] [--quick] [--cases ...] [--output FILE]

`speed`: gradient steps, rows scored and rows drawn a second, of six spline couplings of
8 columns, with 8 bins and two hidden layers of 64, in batches of 512 on one thread
(nflows: residual networks of one block of 64), in alternating repetitions.

`small`: default fits on scikit-learn's tables, 70 % of the rows for training, beside
one Gaussian of a full covariance. `moons` and `protein`: default fits beside a mixture
of 50 Gaussians, and the peers' spline couplings in as many steps. `patches`: a default
fit on BSDS300, beside one Gaussian. Mean log-likelihood of the rows held out, in nats.

Peers that are not installed are left out.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_linnerud,
    load_wine,
    make_moons,
)
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor, nn

from benchmarks.datasets import archive
from benchmarks.report import header, publish
from benchmarks.timing import alternated, seconds, spread, torch_threads
from skdeep.generative import FlowSampler
from skdeep.nn import Flow, initialized
from skdeep.training import Adam

try:
    from nflows import distributions, flows, transforms
    from nflows.nn.nets import ResidualNet
except ImportError:
    NFLOWS = None
else:
    NFLOWS = version("nflows")
"""Version of nflows, None if it cannot be imported."""

try:
    import zuko
except ImportError:
    ZUKO = None
else:
    ZUKO = version("zuko")
"""Version of zuko, None if it cannot be imported."""

N_COLUMNS, BATCH_SIZE, N_SCORED = 8, 512, 4096
N_COUPLINGS, N_HIDDEN, N_BINS = 6, 64, 8

Act = Callable[[], object]


def peer_step(
    model: nn.Module, log_density: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], None]:
    """Return the step that a user of torch would write."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        (-log_density(x).mean()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


def peer_fit(
    peer: tuple[nn.Module, Callable[[Tensor], Tensor], Callable[[int], Tensor]],
    train: np.ndarray,
    test: np.ndarray,
    quick: bool,
) -> tuple[float, float]:
    """Seconds of 2000 steps on standardised rows, and nats of the rows held out."""
    model, log_density, _ = peer
    offset, scale = train.mean(0), train.std(0)
    X, X_test = (torch.from_numpy((rows - offset) / scale) for rows in (train, test))
    step = peer_step(model, log_density)

    def fit() -> None:
        for _ in range(20 if quick else 2000):
            step(X[torch.randint(len(X), (BATCH_SIZE,))])

    took = seconds(fit)
    with torch.no_grad():
        found = torch.cat([log_density(part) for part in X_test.split(N_SCORED)])
    return took, float(found.mean() - np.log(scale).sum())


def ours() -> dict[str, Act]:
    """Step, score and draw as the estimator does."""
    flow = initialized(
        Flow,
        Generator().manual_seed(0),
        n_features=N_COLUMNS,
        n_couplings=N_COUPLINGS,
        hidden_layer_sizes=(N_HIDDEN, N_HIDDEN),
        n_bins=N_BINS,
    )
    optimizer = Adam(
        [flow], learning_rate=1e-3, max_gradient_norm=5.0, precision="float32"
    )
    x = torch.randn(BATCH_SIZE, N_COLUMNS)

    def step() -> None:
        with optimizer.training():
            optimizer.step(-flow.log_density(x).mean())

    return {
        "step": step,
        "score": lambda: flow.log_density(torch.randn(N_SCORED, N_COLUMNS)),
        "draw": lambda: flow.inverse(torch.randn(N_SCORED, N_COLUMNS)),
    }


def nflows_splines(n_columns: int) -> tuple[nn.Module, Any, Any]:
    """Model of nflows, its log-density and its draws."""

    def network(n_inputs: int, n_outputs: int) -> nn.Module:
        return ResidualNet(n_inputs, n_outputs, N_HIDDEN, num_blocks=1)

    couplings = [
        transforms.PiecewiseRationalQuadraticCouplingTransform(
            torch.arange(n_columns) % 2 == i % 2,
            network,
            num_bins=N_BINS,
            tails="linear",
            tail_bound=5.0,
        )
        for i in range(N_COUPLINGS)
    ]
    base = distributions.StandardNormal([n_columns])
    flow = flows.Flow(transforms.CompositeTransform(couplings), base)
    return flow, flow.log_prob, flow.sample


def zuko_splines(n_columns: int) -> tuple[nn.Module, Any, Any]:
    """Model of zuko, its log-density and its draws."""
    flow = zuko.flows.NSF(
        n_columns,
        transforms=N_COUPLINGS,
        hidden_features=(N_HIDDEN, N_HIDDEN),
        bins=N_BINS,
        passes=2,
    )
    return flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,))


PEERS: dict[str, Callable[[int], tuple[nn.Module, Any, Any]]] = {
    **({"nflows": nflows_splines} if NFLOWS else {}),
    **({"zuko": zuko_splines} if ZUKO else {}),
}


def of_peer(peer: Callable[[int], tuple[nn.Module, Any, Any]]) -> dict[str, Act]:
    """Step, score and draw by a peer."""
    model, log_density, draw = peer(N_COLUMNS)
    step, x = peer_step(model, log_density), torch.randn(BATCH_SIZE, N_COLUMNS)
    return {
        "step": lambda: step(x),
        "score": lambda: log_density(torch.randn(N_SCORED, N_COLUMNS)),
        "draw": lambda: draw(N_SCORED),
    }


def rate(act: Act, n_calls: int, trains: bool) -> float:
    """Return calls a second."""
    with torch.set_grad_enabled(trains), torch_threads(1):
        act()
        started = time.perf_counter()
        for _ in range(n_calls):
            act()
    return n_calls / (time.perf_counter() - started)


def speed_lines(_: list[Path], quick: bool) -> Iterator[str]:
    """Rates of all contestants, and their ratios to skdeep's."""
    peers = {name: of_peer(peer) for name, peer in PEERS.items()}
    contestants = {"skdeep": ours(), **peers}
    repetitions, n_calls = (2, 3) if quick else (7, 10)
    for name, n_rows in {"step": 1, "score": N_SCORED, "draw": N_SCORED}.items():
        acts = {peer: acts[name] for peer, acts in contestants.items()}
        rates = alternated(
            {
                peer: lambda _, act=act, trains=name == "step": rate(
                    act, n_calls, trains
                )
                for peer, act in acts.items()
            },
            repetitions,
        )
        unit = "steps" if name == "step" else "rows"
        yield f"{name}: {unit}/s, and how many times as many skdeep makes"
        for peer, found in rates.items():
            ratio = spread(np.divide(rates["skdeep"], found))
            yield f"  {peer:20s}{spread(np.multiply(found, n_rows)):30s}{ratio}"


def small_lines(_: list[Path], quick: bool) -> Iterator[str]:
    """Log-likelihoods beside those of one Gaussian, split by split."""
    linnerud = load_linnerud()
    tables = {
        "wine": load_wine().data,
        "breast cancer": load_breast_cancer().data,
        "iris": load_iris().data,
        "diabetes": load_diabetes().data,
        "linnerud": np.column_stack([linnerud.data, linnerud.target]),
    }
    yield f"{'':16s}{'rows':>6s}{'columns':>9s}{'Gaussian':>10s}{'skdeep':>9s}  gains"
    for name, X in tables.items():
        gaussian, flow = [], []
        for seed in range(1 if quick else 5):
            train, test = split(X, round(0.7 * len(X)), seed)
            gaussian.append(GaussianMixture(1).fit(train).score(test))
            flow.append(FlowSampler(random_state=seed).fit(train).score(test))
        gains = " ".join(f"{a - b:.2f}" for a, b in zip(flow, gaussian, strict=True))
        yield (
            f"{name:16s}{len(X):6d}{X.shape[1]:9d}{np.mean(gaussian):10.2f}"
            f"{np.mean(flow):9.2f}  {gains}"
        )


def split(X: np.ndarray, n_train: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the rows at random, and standardise them by those for training."""
    X = X[np.random.default_rng(seed).permutation(len(X))]
    train = X[:n_train]
    X = ((X - train.mean(0)) / train.std(0)).astype(np.float32)
    return X[:n_train], X[n_train:]


def moons(_: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Two moons, in their own units."""
    X = make_moons(25_000, noise=0.05, random_state=0)[0].astype(np.float32)
    return X[:20_000], X[20_000:]


def protein(folders: list[Path]) -> tuple[np.ndarray, np.ndarray] | None:
    """Standardised structures of proteins, without repeated rows and outliers."""
    data = archive("protein_casp.npz", folders)
    if data is None:
        return None
    X = data["X"].astype(np.float64)
    continuous = [len(np.unique(column)) > 1000 for column in X.T]
    X = np.unique(X[:, continuous], axis=0)
    X = X[(np.abs(X - X.mean(0)) < 10 * X.std(0)).all(1)]
    chosen = np.random.default_rng(0).permutation(len(X))[:25_000]
    return split(X[np.sort(chosen)], 20_000, 0)


def patches_lines(folders: list[Path], quick: bool) -> Iterator[str]:
    """Log-likelihoods of patches of photographs, beside one Gaussian's."""
    data, rng = archive("bsds300_patches.npz", folders), np.random.default_rng(0)
    if data is None:
        yield "BSDS300 patches: not found, left out"
        return

    def prepared(pixels: np.ndarray) -> np.ndarray:  # as Papamakarios et al. (2017)
        pixels = pixels[: 2000 if quick else None]
        X = (pixels + rng.random(pixels.shape)) / 256
        return (X - X.mean(1, keepdims=True))[:, :-1].astype(np.float32)

    train, test = prepared(data["train"]), prepared(data["test"])
    yield f"BSDS300 patches {train.shape}: nats of the patches held out, seconds"
    models: dict[str, Any] = {
        "Gaussian": GaussianMixture(1),
        "skdeep spline": FlowSampler(max_iter=1 if quick else "auto", random_state=0),
    }
    for name, model in models.items():
        took = seconds(model.fit, train)
        yield f"  {name:20s}{model.score(test):9.2f}{took:9.1f}"


def large_lines(
    read: Callable[[list[Path]], tuple[np.ndarray, np.ndarray] | None],
) -> Callable[[list[Path], bool], Iterator[str]]:
    """Log-likelihoods of default fits beside a mixture's."""

    def lines(folders: list[Path], quick: bool) -> Iterator[str]:
        found = read(folders)
        if found is None:
            yield f"{read.__name__}: not found, left out"
            return
        train, test = found
        yield f"{read.__name__} {train.shape}: nats of the rows held out, seconds"
        n_components = 5 if quick else 50
        models: dict[str, Any] = {
            f"{n_components} Gaussians": GaussianMixture(n_components, random_state=0),
            **{
                f"skdeep {coupling}": FlowSampler(
                    coupling, max_iter=1 if quick else "auto", random_state=0
                )
                for coupling in ("spline", "affine", "additive")
            },
        }
        for name, model in models.items():
            took = seconds(model.fit, train)
            yield f"  {name:20s}{model.score(test):9.3f}{took:9.1f}"
        for name, peer in PEERS.items():
            took, nats = peer_fit(peer(train.shape[1]), train, test, quick)
            yield f"  {name:20s}{nats:9.3f}{took:9.1f}"

    return lines


CASES: dict[str, Callable[[list[Path], bool], Iterator[str]]] = {
    "speed": speed_lines,
    "small": small_lines,
    "moons": large_lines(moons),
    "protein": large_lines(protein),
    "patches": patches_lines,
}


def results(options: argparse.Namespace) -> Iterator[str]:
    """Run the cases and yield the lines of the report."""
    peers = f"nflows {NFLOWS or 'not installed'}", f"zuko {ZUKO or 'not installed'}"
    yield from header(*peers)
    for name in options.cases:
        yield ""
        yield from CASES[name](options.folders, options.quick)


def main() -> None:
    """Run the benchmark and print its tables, also into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="DATA_FOLDER")
    parser.add_argument("--quick", action="store_true", help="a minute: does it work?")
    parser.add_argument("--cases", nargs="+", default=[*CASES], choices=CASES)
    parser.add_argument("--output", type=Path, help="a file that also gets the tables")
    options = parser.parse_args()
    publish(results(options), options.output)


if __name__ == "__main__":
    main()
