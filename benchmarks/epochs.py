"""Seconds an epoch: skdeep, its peers and the floors on the same rows and networks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator

from benchmarks.datasets import images, planted
from benchmarks.floors import by_hand, mirrored, products, torch_loop
from benchmarks.peers import CLUSTPY, clustpy_autoencoder, clustpy_clusterer
from benchmarks.precisions import TYPES
from benchmarks.timing import Fit, alternated, on_threads, seconds_an_epoch, table
from skdeep.cluster import DCNClusterer, DECClusterer, IDECClusterer, VaDEClusterer
from skdeep.nn.products import OneDNNProducts, Products, onednn_is_faster
from skdeep.representation import AutoencoderTransformer

PAPER = (784, 500, 500, 2000, 10)
"""The encoder of the DEC and IDEC papers."""

SKDEEP = {"skdeep": "auto", "skdeep float32": "float32"}
"""Our contestants and their precision; ratios are taken to both."""

CLUSTERERS = {
    "DEC": DECClusterer(),
    "IDEC": IDECClusterer(reconstruction_weight=10),
    "DCN": DCNClusterer(),
}

NO_REFRESH = 1_000
"""An `update_interval` beyond all epochs: the targets stay."""

QUICK_ROWS = 256
"""Rows of a quick run: one batch, since building the networks takes long enough."""


@dataclass(frozen=True)
class EpochCase:
    """What is trained, by whom, and how long.

    Parameters
    ----------
    title : str
    contestants : dict of str to Fit
    n_epochs : int
        Epochs that are timed.
    n_set_up : int
        Epochs of the fit that is subtracted. Clusterers refresh their targets after the
        first and the last one: both fits do so if it has two.
    """

    title: str
    contestants: dict[str, Fit]
    n_epochs: int
    n_set_up: int

    def lines(self, repetitions: int) -> list[str]:
        """Run the case and return its table."""
        for fit in self.contestants.values():  # warms libraries and caches up
            fit(self.n_set_up)
        measures = {
            name: lambda _, fit=fit: seconds_an_epoch(fit, self.n_set_up, self.n_epochs)
            for name, fit in self.contestants.items()
        }
        times = alternated(measures, repetitions)
        peers = [name for name in times if name.startswith("ClustPy")]
        if len(peers) > 1:
            fastest = min(peers, key=lambda name: np.median(times[name]))
            times["ClustPy, faster of these"] = times[fastest]
        title = f"{self.title}; {self.n_epochs} epochs"
        return [title, *table(times, list(SKDEEP), "s/epoch")]


def named(name: str, n_threads: int | None) -> str:
    """Name of a contestant whose threads are bounded."""
    return name if n_threads is None else f"{name}, {n_threads} thread"


def products_alone(
    n_rows: int, widths: Sequence[int], batch_size: int, n_refreshed: int = 0
) -> dict[str, Fit]:
    """Floors of nothing but products and Adam, by each type and library."""
    libraries: dict[str, tuple[torch.dtype, Products | None]] = {
        name: (dtype, None) for name, dtype in TYPES.items()
    }
    if onednn_is_faster(torch.float32):
        libraries["float32, oneDNN"] = torch.float32, OneDNNProducts
    return {
        f"products {name}": partial(
            products,
            n_rows,
            widths,
            batch_size,
            dtype,
            library=library,
            n_refreshed=n_refreshed,
        )
        for name, (dtype, library) in libraries.items()
    }


def autoencoder_case(
    title: str,
    X: np.ndarray,
    widths: Sequence[int],
    *,
    batch_size: int = 256,
    n_epochs: int,
    peer_threads: Sequence[int | None] = (None,),
    floor_threads: Sequence[int | None] = (None,),
) -> EpochCase:
    """Epochs of a plain autoencoder; threads are bounded to each of the counts."""
    rows = torch.from_numpy(X)

    def ours(precision: str, n_epochs: int) -> None:
        AutoencoderTransformer(
            widths[-1],
            hidden_layer_sizes=tuple(widths[1:-1]),
            neighbor_weight=0,
            max_iter=n_epochs,
            batch_size=batch_size,
            precision=precision,
            random_state=0,
        ).fit(X)

    peers: dict[str, Fit] = {}
    if CLUSTPY:
        peers["ClustPy"] = partial(clustpy_autoencoder, X, widths, batch_size)
    floors: dict[str, Fit] = {}
    for name, dtype in TYPES.items():
        floors[f"torch loop {name}"] = partial(
            torch_loop, rows, widths, batch_size, dtype
        )
    floors |= products_alone(len(X), mirrored(widths), batch_size)
    floors["by hand float32"] = partial(by_hand, rows, widths, batch_size)
    contestants: dict[str, Fit] = {
        name: partial(ours, precision) for name, precision in SKDEEP.items()
    }
    for group, counts in ((peers, peer_threads), (floors, floor_threads)):
        for name, fit in group.items():
            for count in counts:
                contestants[named(name, count)] = on_threads(fit, count)
    return EpochCase(title, contestants, n_epochs, n_set_up=1)


def clustering_case(
    title: str, method: str, X: np.ndarray, *, n_epochs: int, refreshes: bool
) -> EpochCase:
    """Epochs of the deep stage of DEC, IDEC or DCN, from a fitted autoencoder.

    Rows are not augmented, as they are not by the peer and in the floors.
    """
    batch_size = 256
    rows = torch.from_numpy(X)
    fitted = AutoencoderTransformer(
        PAPER[-1],
        hidden_layer_sizes=PAPER[1:-1],
        neighbor_weight=0,
        max_iter=1,
        random_state=0,
    ).fit(X)
    shared = {
        "n_clusters": 10,
        "autoencoder": FrozenEstimator(fitted),
        "n_init": 1,
        "tol": 0,
        "guard": False,
        "augment": None,
        "update_interval": 1 if refreshes else NO_REFRESH,
        "batch_size": batch_size,
        "random_state": 0,
    }

    def ours(precision: str, n_epochs: int) -> None:
        clone(CLUSTERERS[method]).set_params(
            **shared, max_iter=n_epochs, precision=precision
        ).fit(X)

    contestants: dict[str, Fit] = {
        name: partial(ours, precision) for name, precision in SKDEEP.items()
    }
    if CLUSTPY:
        network = clustpy_autoencoder(X, PAPER, batch_size, 1)

        def theirs(n_epochs: int) -> None:
            clustpy_clusterer(
                method,
                X,
                n_clusters=10,
                neural_network=network,
                clustering_epochs=n_epochs,
                batch_size=batch_size,
                random_state=0,
            )

        contestants["ClustPy"] = theirs
    widths = PAPER if method == "DEC" else mirrored(PAPER)
    for name, dtype in TYPES.items():
        contestants[f"torch loop {name}"] = partial(
            torch_loop,
            rows,
            PAPER,
            batch_size,
            dtype,
            method=method,
            refreshes=refreshes,
        )
    n_refreshed = len(PAPER) - 1 if refreshes else 0
    contestants |= products_alone(len(X), widths, batch_size, n_refreshed)
    return EpochCase(title, contestants, n_epochs, n_set_up=2)


def paper_network(folders: list[Path], quick: bool) -> Iterator[EpochCase]:
    """Epochs of the papers' autoencoder on images."""
    name, X = images(folders, QUICK_ROWS if quick else 10_000)
    yield autoencoder_case(
        f"autoencoder, paper network: {name} {X.shape}",
        X,
        PAPER,
        n_epochs=1 if quick else 4,
    )


def late_epochs(folders: list[Path], quick: bool) -> Iterator[EpochCase]:
    """Epochs of the papers' autoencoder after others, in which some units have died."""
    name, X = images(folders, QUICK_ROWS if quick else 5_000)
    n_set_up = 2 if quick else 20
    case = autoencoder_case(
        f"autoencoder, paper network, after {n_set_up} epochs: {name} {X.shape}",
        X,
        PAPER,
        n_epochs=1 if quick else 4,
    )
    trained = {
        name: fit
        for name, fit in case.contestants.items()
        if name in SKDEEP or name.startswith("torch loop")
    }
    yield replace(case, contestants=trained, n_set_up=n_set_up)


def deep_stage(method: str, folders: list[Path], quick: bool) -> Iterator[EpochCase]:
    """Epochs of the deep stage between refreshes, and with one after each."""
    name, X = images(folders, QUICK_ROWS if quick else 10_000)
    for refreshes in (False, True):
        form = "a refresh an epoch" if refreshes else "between refreshes"
        yield clustering_case(
            f"{method} clustering, {form}, paper network: {name} {X.shape}",
            method,
            X,
            n_epochs=1 if quick else 4,
            refreshes=refreshes,
        )


def vade(folders: list[Path], quick: bool) -> Iterator[EpochCase]:
    """Epochs of VaDE with the Bernoulli likelihood, the peer's default.

    Rows are not augmented, as they are not by the peer.
    """
    name, X = images(folders, QUICK_ROWS if quick else 10_000)
    fitted = AutoencoderTransformer(
        PAPER[-1],
        hidden_layer_sizes=PAPER[1:-1],
        neighbor_weight=0,
        loss="binary_cross_entropy",
        max_iter=1,
        random_state=0,
    ).fit(X)
    shared = {"n_clusters": 10, "batch_size": 256, "random_state": 0}

    def ours(precision: str, n_epochs: int) -> None:
        VaDEClusterer(
            autoencoder=FrozenEstimator(fitted),
            n_init=1,
            guard=False,
            augment=None,
            max_iter=n_epochs,
            precision=precision,
            **shared,
        ).fit(X)

    contestants: dict[str, Fit] = {
        name: partial(ours, precision) for name, precision in SKDEEP.items()
    }
    if CLUSTPY:

        def theirs(n_epochs: int) -> None:
            clustpy_clusterer(
                "VaDE",
                X,
                pretrain_epochs=1,
                clustering_epochs=n_epochs,
                initial_clustering_params={"n_init": 1, "covariance_type": "diag"},
                **shared,
            )

        contestants["ClustPy"] = theirs
    contestants |= products_alone(len(X), mirrored(PAPER), shared["batch_size"])
    yield EpochCase(
        f"VaDE clustering, paper network: {name} {X.shape}",
        contestants,
        n_epochs=1 if quick else 4,
        n_set_up=2,
    )


def small_table(_: list[Path], quick: bool) -> Iterator[EpochCase]:
    """Epochs of a network so small that overhead takes most of the time."""
    yield autoencoder_case(
        "small table: planted clusters (500, 10), 10-32-16-4, batch 64",
        planted(500, 10),
        (10, 32, 16, 4),
        batch_size=64,
        n_epochs=5 if quick else 300,
        peer_threads=(None, 1),
        floor_threads=(1,),
    )


def default_network(_: list[Path], quick: bool) -> Iterator[EpochCase]:
    """Epochs of the default network on digits."""
    X = (load_digits().data / 16).astype(np.float32)[: QUICK_ROWS if quick else None]
    yield autoencoder_case(
        f"default network 64-512-256-10: digits {X.shape}",
        X,
        (64, 512, 256, 10),
        n_epochs=2 if quick else 30,
        peer_threads=(None, 1),
        floor_threads=(None, 1),
    )
