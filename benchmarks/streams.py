"""Clusters of a stream of images beside those of one fit on all of them.

    python -m benchmarks.streams DATA_FOLDER [DATA_FOLDER ...] [--parts 4] [--seeds 3]

The 10 000 test images of MNIST come a part at a time through `partial_fit` of DEC and
IDEC, once shuffled and once sorted by class. ACC / NMI of the labels of all rows by the
model at the end.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.base import clone

from benchmarks.datasets import first_found, mnist
from benchmarks.quality import scores
from benchmarks.report import header, publish
from skdeep.cluster import DECClusterer, IDECClusterer


def results(options: argparse.Namespace) -> Iterator[str]:
    """Fit every stream and yield the lines of the report."""
    data = first_found(mnist, options.folders)
    if data is None:
        raise SystemExit("mnist.npz is in none of the folders.")
    X, y = data
    yield from header()
    yield (
        f"mnist test images in {options.parts} parts, ACC / NMI, mean over "
        f"{options.seeds} seeds (lowest ACC)"
    )
    for method in (DECClusterer(10), IDECClusterer(10)):
        found = defaultdict(list)
        for seed in range(options.seeds):
            shuffled = np.random.RandomState(seed).permutation(len(X))
            orders = {"shuffled": shuffled, "sorted": np.argsort(y, kind="stable")}
            model = clone(method).set_params(random_state=seed)
            found["fit"].append(scores(y, clone(model).fit(X).labels_))
            for name, order in orders.items():
                stream = clone(model)
                for part in np.array_split(order, options.parts):
                    stream.partial_fit(X[part])
                found[name].append(scores(y, stream.predict(X)))
        for name, values in found.items():
            acc, nmi = np.mean(values, axis=0)
            yield (
                f"{type(method).__name__:14s} {name:9s} {acc:.3f} / {nmi:.3f}  "
                f"({min(values)[0]:.3f})"
            )


def main() -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    publish(results(options), options.output)


if __name__ == "__main__":
    main()
