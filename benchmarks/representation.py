"""Quality of the representations: probes over real data sets and seeds.

    python -m benchmarks.representation DATA_FOLDER [DATA_FOLDER ...] [--sets ...]
        [--methods ...] [--seeds 3] [--output FILE]

Encoders are fitted on all rows without labels, with the same settings on all sets. A
logistic regression then tells the classes from the codes: accuracy on the quarter of
the rows that is held out, with all labels of the others and with 5 a class, averaged
over 10 draws. Beside them: the raw features, principal components and the same encoder
untrained.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.frozen import FrozenEstimator

from benchmarks.datasets import (
    Dataset,
    all_of_mnist,
    digits,
    first_found,
    mnist,
    table,
)
from benchmarks.report import header, publish
from skdeep.metrics import linear_probe
from skdeep.nn.augmentation import PHOTOGRAPHS
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    SimCLRTransformer,
)


def cifar(folder: Path) -> Dataset:
    """Read the 10 000 training images of the CIFAR-10 subset."""
    data = np.load(folder / "cifar10_12k.npz")
    return data["x_train"].transpose(0, 3, 1, 2), data["y_train"]


def as_images(load: Callable[[Path], Dataset], side: int) -> Callable[[Path], Dataset]:
    """Read flat grey images as images."""

    def loaded(folder: Path) -> Dataset:
        X, y = load(folder)
        return X.reshape(-1, 1, side, side), y

    return loaded


# Name -> (loader, width of the code).
IMAGES = {
    "digits images": (as_images(digits, 8), 32),
    "mnist": (as_images(mnist, 28), 64),
    "mnist 70k": (as_images(all_of_mnist, 28), 64),
    "cifar10": (cifar, 64),
}
TABLES = {
    "digits columns": (digits, 32),
    "segment": (table("segment"), 12),
    "satimage": (table("satimage"), 16),
    "breast cancer": (lambda _: load_breast_cancer(return_X_y=True), 16),
    "wine": (lambda _: load_wine(return_X_y=True), 8),
}
SETS = {**IMAGES, **TABLES}

METHODS = {
    "autoencoder": AutoencoderTransformer(neighbor_weight=0),
    "neighbour autoencoder": AutoencoderTransformer(),
    "VIME": AutoencoderTransformer(corruption=0.3, mask_weight=0.5, neighbor_weight=0),
    "Deep InfoMax": DeepInfoMaxTransformer(),
    "Deep InfoMax, columns": DeepInfoMaxTransformer(local="columns"),
    "SimCLR": SimCLRTransformer(),
}
TABLES_ONLY = {"VIME", "Deep InfoMax, columns"}


def methods_for(name: str) -> dict[str, object]:
    """Return the methods that a set is coded by; photographs have their own views."""
    if name in TABLES:
        return METHODS
    methods = {m: METHODS[m] for m in METHODS if m not in TABLES_ONLY}
    if name == "cifar10":
        for method in ("Deep InfoMax", "SimCLR"):
            methods[method] = clone(methods[method]).set_params(augment=PHOTOGRAPHS)
    return methods


def probed(encoder: object, X: np.ndarray, y: np.ndarray, seed: int, **options):
    """Accuracy with 5 labels a class and with all."""
    scores = linear_probe(
        encoder, X, y, n_labels=(5, "all"), random_state=seed, **options
    )
    return {name: (score[5], score["all"]) for name, score in scores.items()}


def run(name: str, X: np.ndarray, y: np.ndarray, seed: int, options):
    """Fit every method; yield the name of a row of the table, accuracies and time."""
    n_components = SETS[name][1]
    rivals = probed(None, X, y, seed, baselines=("raw",))
    yield "raw features", next(iter(rivals.values())), 0.0
    baselines = ("pca",)
    for method, estimator in methods_for(name).items():
        if method not in options.methods:
            continue
        model = clone(estimator).set_params(
            n_components=n_components, random_state=seed
        )
        untrained = clone(model).set_params(max_iter=0).fit(X)
        started = time.perf_counter()
        model.fit(X)
        seconds = time.perf_counter() - started
        scores = probed(FrozenEstimator(model), X, y, seed, baselines=baselines)
        if "pca" in scores:
            yield "PCA", scores["pca"], 0.0
        baselines = ()
        yield method, scores["encoder"], seconds
        random = probed(FrozenEstimator(untrained), X, y, seed, baselines=())
        yield f"{method}, untrained", random["encoder"], 0.0
        if "layer" in model.get_params():
            for part, fitted in (("", model), (", untrained", untrained)):
                fitted.set_params(layer="hidden")
                scores = probed(FrozenEstimator(fitted), X, y, seed, baselines=())
                yield f"{method}, hidden layer{part}", scores["encoder"], seconds


def results(options: argparse.Namespace) -> Iterator[str]:
    """Run all sets and yield the lines of the report, a set at a time."""
    yield from header()
    yield (
        f"accuracy with 5 labels a class / all labels, mean over {options.seeds} seeds "
        "(standard deviation), seconds a fit"
    )
    yield ""
    for name in options.sets:
        found = first_found(SETS[name][0], options.folders)
        if found is None:
            print(f"{name}: not found, left out", file=sys.stderr)
            continue
        X, y = found
        figures: dict[str, list] = defaultdict(list)
        for seed in range(options.seeds):
            for method, (few, full), seconds in run(name, X, y, seed, options):
                figures[method].append((few, full, seconds))
                print(
                    f"{name:15s} {seed} {method:36s} {few:.3f} {full:.3f} "
                    f"{seconds:5.1f} s",
                    file=sys.stderr,
                    flush=True,
                )
        for method, values in figures.items():
            few, full, seconds = np.mean(values, axis=0)
            deviation = np.std(values, axis=0)
            yield (
                f"{name:15s} {method:36s} {few:.3f} ({deviation[0]:.3f}) / "
                f"{full:.3f} ({deviation[1]:.3f})  {seconds:5.1f} s"
            )


def main() -> None:
    """Run the benchmark and print its table, also into a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--output", type=Path, help="a file that also gets the table")
    options = parser.parse_args()
    publish(results(options), options.output)


if __name__ == "__main__":
    main()
