"""Real data sets for the benchmarks, prepared as their users would.

All but digits are read from a folder given by the caller; a set whose file is missing
is skipped. Sets with more rows than `MAX_ROWS` are cut to a fixed random part.
"""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler, normalize

MAX_ROWS = 10_000

Dataset = tuple[np.ndarray, np.ndarray]

Loaded = TypeVar("Loaded")


def digits(_: Path) -> Dataset:
    """Return scikit-learn's digits."""
    return load_digits(return_X_y=True)


def mnist(folder: Path) -> Dataset:
    """Read the 10 000 test images of MNIST."""
    data = np.load(folder / "mnist.npz")
    return data["x_test"].reshape(-1, 784), data["y_test"]


def all_of_mnist(folder: Path) -> Dataset:
    """Read the 70 000 images of MNIST."""
    data = np.load(folder / "mnist.npz")
    X = np.concatenate([data["x_train"], data["x_test"]])
    return X.reshape(-1, 784), np.concatenate([data["y_train"], data["y_test"]])


def mnist_training_images(folder: Path) -> np.ndarray:
    """Read the 60 000 training images of MNIST."""
    return np.load(folder / "mnist.npz")["x_train"].reshape(-1, 784)


def fashion_training_images(folder: Path) -> np.ndarray:
    """Read the 60 000 training images of Fashion-MNIST, as published."""
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)


def fashion(folder: Path) -> Dataset:
    """Read the first 10 000 training images of Fashion-MNIST and their classes."""
    X = fashion_training_images(folder)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        y = np.frombuffer(file.read(), np.uint8, offset=8)
    return X[:MAX_ROWS], y[:MAX_ROWS]


def table(name: str) -> Callable[[Path], Dataset]:
    """Read a table of measurements, as it is."""

    def load(folder: Path) -> Dataset:
        data = np.load(folder / f"{name}.npz")
        return data["X"], data["y"]

    return load


def worm(folder: Path) -> Dataset:
    """Worm neurons: log-normalised counts, 2000 most variable genes, 50 components."""
    data = np.load(folder / "sc_worm_neuron.npz")
    parts = data["data"].astype(np.float32), data["indices"], data["indptr"]
    counts = sparse.csr_matrix(parts, shape=tuple(data["shape"]))
    X = counts.multiply(1e4 / counts.sum(axis=1)).tocsr()
    X.data = np.log1p(X.data)
    X = X.toarray()
    X = StandardScaler().fit_transform(X[:, np.argsort(X.var(axis=0))[-2000:]])
    return PCA(50, random_state=0).fit_transform(X), data["y"]


def text(name: str) -> Callable[[Path], Dataset]:
    """Documents: TF-IDF of 2000 words, 50 components, rows of unit length."""

    def load(folder: Path) -> Dataset:
        frame = pd.read_csv(folder / f"{name}.csv.gz")
        if len(frame) > MAX_ROWS:
            frame = frame.sample(MAX_ROWS, random_state=0)
        words = TfidfVectorizer(
            max_features=2000, stop_words="english", sublinear_tf=True
        ).fit_transform(frame.text.fillna(""))
        X = PCA(50, random_state=0).fit_transform(words.toarray().astype(np.float32))
        return normalize(X), frame.label.to_numpy()

    return load


def keel(name: str) -> Callable[[Path], Dataset]:
    """Read a table of KEEL: rows of numbers, each with its class at the end."""

    def load(folder: Path) -> Dataset:
        frame = pd.read_csv(folder / f"{name}.dat", header=None, na_values=["?"])
        frame = frame.dropna()
        return frame.iloc[:, :-1].to_numpy(np.float64), frame.iloc[:, -1].to_numpy()

    return load


KEEL = (
    "contraceptive",
    "hayes-roth",
    "iris",
    "led7digit",
    "marketing",
    "movement_libras",
    "optdigits",
    "penbased",
    "tae",
    "texture",
    "vehicle",
    "vowel",
    "wine",
)
"""All tables of numbers there with three classes or more, none below 20 rows.

But for those that are above already. No setting was chosen on them, but that columns of
0 and 1 alone are left unscaled: on led7digit.
"""

DATASETS: dict[str, Callable[[Path], Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion": fashion,
    "letter": table("letter"),
    "satimage": table("satimage"),
    "segment": table("segment"),
    "worm": worm,
    "reuters_r8": text("reuters_r8"),
    "newsgroups20": text("newsgroups20"),
    **{name: keel(name) for name in KEEL},
}


def first_found(load: Callable[[Path], Loaded], folders: list[Path]) -> Loaded | None:
    """Load from the first folder that has the file, None if none has."""
    for folder in folders:
        try:
            return load(folder)
        except FileNotFoundError:
            continue
    return None


def archive(name: str, folders: list[Path]) -> Any:
    """Arrays of the first file of that name, None if it is in none of the folders."""
    return first_found(lambda folder: np.load(folder / name), folders)


def load_dataset(name: str, folders: list[Path]) -> Dataset | None:
    """Rows and classes of a set, None if its file is in none of the folders."""
    found = first_found(DATASETS[name], folders)
    if found is None:
        return None
    X, y = found
    if len(X) > MAX_ROWS:
        part = np.random.default_rng(0).permutation(len(X))[:MAX_ROWS]
        X, y = X[part], y[part]
    return X, np.unique(y, return_inverse=True)[1]


def images(folders: list[Path], n_rows: int) -> tuple[str, np.ndarray]:
    """Name and first rows of 60 000 images of 784 pixels in [0, 1], as float32.

    Planted clusters stand in for them if no folder has Fashion-MNIST or MNIST: times
    and memory depend on the shape alone.
    """
    readers = {
        "Fashion-MNIST": fashion_training_images,
        "MNIST": mnist_training_images,
    }
    for name, read in readers.items():
        X = first_found(read, folders)
        if X is not None:
            return name, X[:n_rows].astype(np.float32) / np.float32(255)
    return "planted clusters", planted(n_rows, 784)


def planted(n_rows: int, n_features: int) -> np.ndarray:
    """Ten Gaussian clusters in [0, 1], as float32."""
    X, _ = make_blobs(n_rows, n_features, centers=10, random_state=0)
    return ((X - X.min()) / np.ptp(X)).astype(np.float32)
