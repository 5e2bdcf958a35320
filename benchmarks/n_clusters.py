"""Which criterion finds the number of clusters? On codes of one default autoencoder.

    python -m benchmarks.n_clusters FOLDER ... [--sets NAME ...] [--max-clusters 32]

Every criterion judges k-means with 2 to 32 clusters. "raw silhouette" is that of
k-means on the input, what one would do without skdeep; all others see the codes, and
modularity the labels on the nearest-neighbour graph of the input: its peak, also at a
resolution of 0.5, and "skdeep", the fewest clusters about as good as the peak, which is
what `NClustersSearch` takes. Beside whole sets come rows of some of their classes,
drawn at random: other true numbers on like data.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import (
    adjusted_rand_score,
    davies_bouldin_score,
    silhouette_score,
)
from sklearn.mixture import GaussianMixture

from benchmarks.datasets import DATASETS, load_dataset
from benchmarks.report import header, publish
from skdeep import NClustersSearch
from skdeep.cluster._graph_kmeans import N_NEIGHBORS
from skdeep.cluster._n_clusters_search import curve, fewest_clusters
from skdeep.representation import AutoencoderTransformer
from skdeep.representation._neighbors import nearest_neighbors

MAX_ROWS = 2000
"""Rows of the criteria that take distances of all pairs, or many fits."""

PLANTED = {6: 10, 8: 8, 9: 20, 12: 30, 15: 10, 18: 12, 20: 30}
"""Clusters and columns of planted sets of 2000 rows."""

PARTS = {
    "digits": (6, 7),
    "mnist": (6, 7),
    "fashion": (6, 7),
    "letter": (8, 14, 19),
    "worm": (7,),
    "newsgroups20": (6, 8, 13),
}
"""Numbers of classes of which parts of a set are made."""


def part_of(X: np.ndarray, y: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of k classes."""
    drawn = np.random.RandomState(k).choice(np.unique(y), k, replace=False)
    rows = np.isin(y, drawn)
    return X[rows], y[rows]


def labels_of(Z: np.ndarray, k: int, n_init: int = 3, seed: int = 0) -> np.ndarray:
    """Labels of k-means."""
    return KMeans(k, n_init=n_init, random_state=seed).fit(Z).labels_


def gap(Z: np.ndarray, k: int) -> float:
    """Logarithm of the inertia of uniform rows in the principal box, less that of Z."""
    Z = PCA().fit_transform(Z)
    uniform = np.random.RandomState(0).uniform(Z.min(0), Z.max(0), Z.shape)
    inertia = [
        KMeans(k, n_init=2, random_state=0).fit(A).inertia_ for A in (uniform, Z)
    ]
    return float(np.log(inertia[0] / inertia[1]))


def stability(Z: np.ndarray, k: int) -> float:
    """Agreement of k-means on two halves, about all rows."""
    halves = np.array_split(np.random.RandomState(0).permutation(len(Z)), 2)
    found = [KMeans(k, n_init=2, random_state=0).fit(Z[half]) for half in halves]
    return adjusted_rand_score(*(kmeans.predict(Z) for kmeans in found))


def chosen(X: np.ndarray, candidates: range) -> dict[str, int]:
    """Let each criterion choose the number of clusters."""
    autoencoder = AutoencoderTransformer(random_state=0).fit(X)
    rows = autoencoder._scaled_rows(X)
    neighbors = nearest_neighbors(rows, N_NEIGHBORS, 0)
    Z = autoencoder._encode(rows)
    part = np.random.RandomState(0).permutation(len(X))[:MAX_ROWS]
    z, x = Z[part], (X[part] - autoencoder.offset_) / autoencoder.scale_
    if x.shape[1] > 100:
        x = PCA(50, random_state=0).fit_transform(x)
    search = NClustersSearch()
    results = curve(Z, neighbors, np.array(candidates), search.n_init, 0)
    modularity = results["score"]
    coarser = modularity + 0.5 * (1 - results["cut"] - modularity)
    found = {
        "skdeep": fewest_clusters(results, search.tolerance),
        "modularity": candidates[int(modularity.argmax())],
        "modularity 0.5": candidates[int(coarser.argmax())],
    }
    curves: dict[str, list[float]] = {}
    for k in candidates:
        labels = labels_of(Z, k)
        floor = 1e-3 * float(Z.var())
        mixture = GaussianMixture(k, reg_covar=floor, max_iter=50, random_state=0)
        scores = {
            "raw silhouette": silhouette_score(x, labels_of(x, k)),
            "silhouette": silhouette_score(z, labels[part]),
            "Davies-Bouldin": -davies_bouldin_score(z, labels[part]),
            "gap": gap(z, k),
            "stability": stability(z, k),
            "BIC": -mixture.fit(z).bic(z),
        }
        for name, score in scores.items():
            curves.setdefault(name, []).append(score)
    return found | {name: candidates[int(np.argmax(s))] for name, s in curves.items()}


def sets_of(options: argparse.Namespace) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Whole sets that are found, parts of them, and planted ones."""
    found = {name: load_dataset(name, options.folders) for name in options.sets}
    whole = {name: data for name, data in found.items() if data is not None}
    parts = {
        f"{name}, {k}": part_of(*whole[name], k)
        for name, numbers in PARTS.items()
        if name in whole
        for k in numbers
    }
    planted = {
        f"blobs {k}": make_blobs(
            2000, n_features, centers=k, cluster_std=2.5, random_state=k
        )
        for k, n_features in PLANTED.items()
    }
    return whole | parts | planted


def report(options: argparse.Namespace):
    """Yield the lines of the table."""
    yield from header()
    yield "number of clusters chosen; * within 20 % of the number of classes"
    right: Counter[str] = Counter()
    sets = sets_of(options)
    for name in options.sets:
        if name not in sets:
            yield f"{name}: not found, left out"
    for name, (X, y) in sets.items():
        n_classes = len(np.unique(y))
        cells = []
        for criterion, k in chosen(X, range(2, options.max_clusters + 1)).items():
            near = abs(k - n_classes) <= 0.2 * n_classes
            right[criterion] += near
            cells.append(f"{criterion} {k}{'*' if near else ''}")
        yield f"{name:16s} {n_classes:2d} classes: {', '.join(cells)}"
    yield f"near the truth: {dict(right)}"


def main() -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--max-clusters", type=int, default=32)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    publish(report(options), options.output)


if __name__ == "__main__":
    main()
