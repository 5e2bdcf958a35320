"""Nearest neighbours of the rows of a data set, in memory or not."""

import math

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from skdeep.nn.noise import normal
from skdeep.training import Rows, in_chunks
from skdeep.training.inference import chunks

N_PROJECTED = 50
N_ROUNDS = 4
MAX_FEATURES = 100
EXACT = 50_000
BLOCK = 10_000


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
        directions = principal_directions(rows, N_PROJECTED, seed)
        points = in_chunks(lambda x: x @ directions, rows)
    else:
        points = in_chunks(lambda x: x, rows)
    n = len(points)
    blocks = row_blocks(n)
    # scikit-learn would take a tree up to 15 features: slower from 6 on, at this size.
    algorithm = "kd_tree" if points.shape[1] <= 5 else "brute"
    k = min(n_neighbors, min(map(len, blocks)) - 1)
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
def principal_directions(rows: Rows, n_components: int, seed: int) -> Tensor:
    """Span of the leading principal components, by subspace iteration.

    Reads the rows chunk by chunk, so that sparse and memory-mapped data are never
    held in memory as scikit-learn's PCA would hold them.

    Returns
    -------
    Tensor of shape (n_features, n_components), orthonormal columns
    """
    rng = torch.Generator().manual_seed(seed)
    n_components = min(n_components, rows.n_features)
    basis = normal((rows.n_features, n_components), rng).to(rows.device)
    mean = sum(rows[chunk].sum(0) for chunk in chunks(rows)) / len(rows)
    for _ in range(N_ROUNDS):
        image = torch.zeros_like(basis)
        for chunk in chunks(rows):
            centered = rows[chunk] - mean
            image += centered.T @ (centered @ basis)
        basis = torch.linalg.qr(image)[0]
    return basis
