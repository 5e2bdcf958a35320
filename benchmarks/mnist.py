"""Clusterers on all 70 000 images of MNIST, trained for longer than by default.

    python -m benchmarks.mnist DATA_FOLDER [DATA_FOLDER ...] [--methods ...] [--seed 0]

Settings that the user guide names: 60 epochs of pretraining and 30 of the deep stage.
All but the convolutional IDEC share one pretraining. "sure labels": images are moved
more, and sure ones are their own labels (`pseudo_label_weight=1`). One line a fit.
"""

import argparse
import tempfile
import time
from pathlib import Path

from sklearn.base import clone

from benchmarks.datasets import all_of_mnist, first_found
from benchmarks.quality import scores
from benchmarks.report import header
from skdeep.cluster import (
    AEKMeans,
    DCNClusterer,
    DECClusterer,
    IDECClusterer,
    VaDEClusterer,
)
from skdeep.nn.augmentation import ImageAugmentation
from skdeep.representation import AutoencoderTransformer

PRETRAINED = AutoencoderTransformer(max_iter=60)

CONVOLUTIONAL = AutoencoderTransformer(image_shape=(1, 28, 28), max_iter=15)

LONG = {"autoencoder": PRETRAINED, "max_iter": 30}

METHODS = {
    "AEKMeans": AEKMeans(10, autoencoder=PRETRAINED),
    "DEC": DECClusterer(10, **LONG),
    "IDEC": IDECClusterer(10, **LONG),
    "DCN": DCNClusterer(10, **LONG),
    "VaDE": VaDEClusterer(10, **LONG),
    "IDEC, sure labels": IDECClusterer(
        10,
        augment=ImageAugmentation(shift=0.1, rotation=10, scale=0.1),
        pseudo_label_weight=1,
        **LONG,
    ),
    "DCEC": IDECClusterer(10, autoencoder=CONVOLUTIONAL, max_iter=5),
}


def main() -> None:
    """Fit the methods and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = first_found(all_of_mnist, options.folders)
    if data is None:
        raise SystemExit("mnist.npz is in none of the folders.")
    X, y = data
    print("\n".join(header()))
    print("ACC / NMI before and after the deep stage")
    with tempfile.TemporaryDirectory() as memory:
        for name in options.methods:
            model = clone(METHODS[name])
            model.set_params(random_state=options.seed, memory=memory)
            started = time.perf_counter()
            model.fit(X)
            seconds = time.perf_counter() - started
            before, after = scores(y, model.initial_labels_), scores(y, model.labels_)
            print(
                f"{name:18s} {before[0]:.3f} / {before[1]:.3f}   "
                f"{after[0]:.3f} / {after[1]:.3f}   {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
