"""Nearest neighbours of the rows of a data set, in memory or not."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from torch import Generator, Tensor

from skdeep.nn.noise import normal
from skdeep.training import Rows, in_chunks
from skdeep.training.inference import chunks

Map = Callable[[Tensor], Tensor]

MAX_FEATURES, N_PROJECTED = 100, 50
"""Columns up to which distances are those of the rows, and principal components of
which they are beyond.
"""

N_ROUNDS = 4
"""Of the subspace iteration that finds these components."""

EXACT, BLOCK = 50_000, 10_000
"""Rows up to which all are searched, and rows of a block, at most, beyond."""


def drawn_neighbors(neighbors: Tensor, index: Tensor, rng: Generator) -> Tensor:
    """Draw one neighbour of each row of `index`, ``(n,)``, from their numbers."""
    n_neighbors, device = neighbors.shape[1], neighbors.device
    drawn = torch.randint(n_neighbors, index.shape, generator=rng, device=device)
    return neighbors[index, drawn]


def nearest_neighbors(rows: Rows, n_neighbors: int, seed: int) -> np.ndarray:
    """Row numbers of the nearest other rows of each row, in Euclidean distance.

    Above 100 features the distances are those of 50 principal components. Above 50 000
    rows they are sought inside random blocks of at most 10 000: the neighbours are then
    a little farther, and the cost grows linearly.

    Returns
    -------
    ndarray of shape (n_samples, n_neighbors), int64
        Fewer columns where a block has no `n_neighbors` other rows, none for one row.
    """
    if rows.n_features > MAX_FEATURES:
        points = principal_points(rows, N_PROJECTED, seed)
    else:
        points = in_chunks(lambda x: x, rows)
    n = len(points)
    blocks = row_blocks(n)
    # scikit-learn would take a tree up to 15 features: slower from 6 on, at this size.
    algorithm = "kd_tree" if points.shape[1] <= 5 else "brute"
    k = min(int(n_neighbors), min(map(len, blocks)) - 1)
    neighbors = np.empty((n, k), dtype=np.int64)
    if k:
        for block in blocks:
            search = NearestNeighbors(n_neighbors=k, algorithm=algorithm)
            found = search.fit(points[block]).kneighbors(return_distance=False)
            neighbors[block] = block[found]
    return neighbors


def row_blocks(n_rows: int) -> list[np.ndarray]:
    """Row numbers of each block inside of which neighbours are sought.

    Drawn at random, but always alike for as many rows: whoever has the neighbours can
    find rows that have all of theirs among them.
    """
    if n_rows <= EXACT:
        return [np.arange(n_rows)]
    order = np.random.RandomState(0).permutation(n_rows)
    return np.array_split(order, math.ceil(n_rows / BLOCK))


@torch.inference_mode()
def principal_points(rows: Rows, n_components: int, seed: int) -> np.ndarray:
    """Coordinates of all rows in their leading principal components.

    By subspace iteration, which reads memory-mapped rows chunk by chunk and multiplies
    sparse ones as they are: neither is ever held in memory as scikit-learn's PCA would
    hold it.

    Returns
    -------
    ndarray of shape (n_samples, n_components)
    """
    rng = Generator().manual_seed(seed)
    n_components = min(n_components, rows.n_features)
    basis = normal((rows.n_features, n_components), rng)
    if sparse.issparse(rows.X) and rows.whitening is None:
        scatter, project = sparse_products(rows)
    else:
        scatter, project = products(rows)
        basis = basis.to(rows.device)
    for _ in range(N_ROUNDS):
        basis = torch.linalg.qr(scatter(basis))[0]
    return project(basis)


def products(rows: Rows) -> tuple[Map, Callable[[Tensor], np.ndarray]]:
    """Products of a basis with the scatter matrix of the rows, and with the rows."""
    mean = sum(rows[chunk].sum(0) for chunk in chunks(rows)) / len(rows)

    def scatter(basis: Tensor) -> Tensor:
        image = torch.zeros_like(basis)
        for chunk in chunks(rows):
            centered = rows[chunk] - mean
            image += centered.T @ (centered @ basis)
        return image

    return scatter, lambda basis: in_chunks(lambda x: x @ basis, rows)


def sparse_products(rows: Rows) -> tuple[Map, Callable[[Tensor], np.ndarray]]:
    """Multiply as `products` does, by a CSR matrix, whose zeros take no part.

    Offsets move all rows alike, and drop out.
    """
    X: Any = rows.X
    values = np.empty(len(X.data), dtype=np.float32)
    np.divide(X.data, rows.scale[X.indices], out=values, casting="same_kind")
    scaled = sparse.csr_matrix((values, X.indices, X.indptr), shape=X.shape)
    mean = np.asarray(scaled.mean(0), dtype=np.float32)

    def scatter(basis: Tensor) -> Tensor:
        image = scaled @ basis.numpy() - mean @ basis.numpy()
        return torch.from_numpy(scaled.T @ image - mean.T @ image.sum(0, keepdims=True))

    return scatter, lambda basis: scaled @ basis.numpy()
