"""Complete fits: what a cache and parallel searches save, and the time to a quality."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from joblib.externals.loky import get_reusable_executor
from sklearn.base import ClusterMixin
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV

from benchmarks.datasets import images
from benchmarks.epochs import PAPER
from benchmarks.peers import CLUSTPY, clustpy_clusterer
from benchmarks.timing import alternated, seconds, spread
from skdeep.cluster import AEKMeans, DECClusterer, IDECClusterer
from skdeep.metrics import clustering_accuracy_score, neighbor_modularity_scorer
from skdeep.representation import AutoencoderTransformer

PRETRAINING = (5, 10, 20, 50, "auto")
"""Epochs of pretraining in the search for the shortest fit of a given quality."""

MEASURES = ("seconds", "ACC", "NMI", "ARI")


def kept_pretraining(folders: list[Path], repetitions: int) -> Iterator[str]:
    """Compare a hit of `memory` with the pretraining that it saves."""
    name, X = images(folders, 60_000)
    autoencoder = AutoencoderTransformer(PAPER[-1], hidden_layer_sizes=PAPER[1:-1])

    def once(_: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as memory:
            parameters = {"n_init": 1, "random_state": 0, "memory": memory}
            model = AEKMeans(10, autoencoder=autoencoder, **parameters)
            first, second = seconds(model.fit, X), seconds(model.fit, X)
            frozen = FrozenEstimator(model.autoencoder_)
            rest = seconds(AEKMeans(10, autoencoder=frozen, **parameters).fit, X)
            return first - rest, second - rest

    runs = np.array([once(repetition) for repetition in range(repetitions)])
    yield f"AEKMeans(memory=...), default pretraining of the paper network: {name}"
    yield f"{X.shape}; seconds beyond those of a fit from a frozen autoencoder"
    yield f"{'pretraining and keeping it':31s}{spread(runs[:, 0])}"
    yield f"{'a hit':31s}{spread(runs[:, 1])}"
    yield f"{'a hit / pretraining':31s}{spread(runs[:, 1] / runs[:, 0])}"


def parallel_search(repetitions: int) -> Iterator[str]:
    """Time one search in one process and in two, the start of these included."""
    X = load_digits().data.astype(np.float32)

    def search(n_jobs: int, _: int) -> float:
        get_reusable_executor().shutdown(wait=True)
        model = DECClusterer(
            10, autoencoder=AutoencoderTransformer(max_iter=20), random_state=0
        )
        grid = GridSearchCV(
            model,
            {"alpha": [0.5, 1, 2, 4]},
            scoring=neighbor_modularity_scorer,
            cv=2,
            n_jobs=n_jobs,
            refit=False,
        )
        return seconds(grid.fit, X)

    counts = {f"n_jobs={n_jobs}": partial(search, n_jobs) for n_jobs in (1, 2)}
    times = alternated(counts, repetitions)
    yield "GridSearchCV of DECClusterer on digits: 4 candidates, 2 folds; seconds"
    for name, own in times.items():
        yield f"{name:31s}{spread(own)}"
    ratios = np.divide(times["n_jobs=2"], times["n_jobs=1"])
    yield f"{'n_jobs=2 / n_jobs=1':31s}{spread(ratios)}"


def search_lines(folders: list[Path], repetitions: int) -> Iterator[str]:
    """Measure what searches reuse and what they gain from a second process."""
    yield from kept_pretraining(folders, repetitions)
    yield ""
    yield from parallel_search(repetitions)
    yield ""


def digits_lines(n_seeds: int) -> Iterator[str]:
    """Time and quality of complete fits on digits, and the time to ClustPy's quality.

    The seed is the number of the repetition.
    """
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)

    def scored(fit, seed: int) -> tuple[float, ...]:
        models: list[ClusterMixin] = []
        took = seconds(lambda: models.append(fit(seed)))
        labels = models[0].labels_
        nmi = normalized_mutual_info_score(y, labels, average_method="geometric")
        accuracy = clustering_accuracy_score(y, labels)
        return took, accuracy, nmi, adjusted_rand_score(y, labels)

    def ours(clusterer: type, max_iter: int | str, seed: int) -> ClusterMixin:
        autoencoder = AutoencoderTransformer(max_iter=max_iter)
        return clusterer(10, autoencoder=autoencoder, random_state=seed).fit(X)

    def theirs(method: str, seed: int) -> ClusterMixin:
        return clustpy_clusterer(method, X, n_clusters=10, random_state=seed)

    for method, clusterer in (("DEC", DECClusterer), ("IDEC", IDECClusterer)):
        fits = {
            f"skdeep, max_iter={max_iter}": partial(ours, clusterer, max_iter)
            for max_iter in PRETRAINING
        }
        if CLUSTPY:
            fits["ClustPy, defaults"] = partial(theirs, method)
        runs = alternated(
            {name: partial(scored, fit) for name, fit in fits.items()}, n_seeds
        )
        yield f"{method}, complete fits on digits {X.shape}: means of {n_seeds} seeds"
        yield "max_iter: epochs of pretraining, 'auto' in the defaults"
        yield f"{'':31s}" + "".join(f"{name:>10s}" for name in MEASURES)
        means = {name: np.mean(own, axis=0) for name, own in runs.items()}
        for name, own in means.items():
            yield f"{name:31s}{own[0]:10.2f}" + "".join(f"{v:10.3f}" for v in own[1:])
        if CLUSTPY:
            yield first_to_reach(means)
        yield ""


def first_to_reach(means: dict[str, np.ndarray]) -> str:
    """Name the shortest pretraining with at least ClustPy's ACC and NMI."""
    theirs = means["ClustPy, defaults"]
    for name, own in means.items():
        if name.startswith("skdeep") and (own[1:3] >= theirs[1:3]).all():
            ratio = theirs[0] / own[0]
            return (
                f"ClustPy's ACC and NMI are reached by {name}; "
                f"ClustPy takes {ratio:.3g} times as long"
            )
    return "ClustPy's ACC and NMI are not reached"
