"""Passing all rows through a network, or drawing rows from it, a chunk at a time."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from skdeep.training.modes import inferring
from skdeep.training.rows import Rows

CHUNK_ROWS = 1024
CHUNK_NUMBERS = 2**20
"""Rows, and numbers in them, that pass at once: bounds the memory of wide layers."""

DRAWN_ROWS = 4096
"""Rows that are drawn at once."""

ON_GPU, NUMBERS_ON_GPU = 16, 4
"""Times as many rows, and numbers in them, on a GPU, which waits after each part."""


def at_once(n_rows: int, n_features: int, device: torch.device) -> int:
    """Rows that pass a GPU at once, where a CPU takes `n_rows`: more if narrow."""
    if device.type == "cpu":
        return n_rows
    most = NUMBERS_ON_GPU * CHUNK_NUMBERS // max(1, n_features)
    return max(1, min(ON_GPU * n_rows, most))


def chunks(rows: Rows) -> Iterator[slice]:
    """Cut `rows` into slices, always at the same places for the same shape."""
    size = max(1, min(CHUNK_ROWS, CHUNK_NUMBERS // rows.n_features))
    size = at_once(size, rows.n_features, rows.device)
    for start in range(0, len(rows), size):
        yield slice(start, min(start + size, len(rows)))


def in_chunks(
    function: Callable[..., Tensor], rows: Rows, *others: Tensor | Rows
) -> np.ndarray:
    """Apply `function` to `rows`, chunk by chunk, and gather what it returns.

    Parameters
    ----------
    function : callable
    rows : Rows
    *others : Tensor or Rows of shape (len(rows), ...)
        Further arguments of the function, cut alike.

    Returns
    -------
    ndarray of shape (len(rows), ...)
    """
    result: np.ndarray | None = None
    with inferring(rows.device):
        for chunk in chunks(rows):
            given = (other[chunk] for other in others)
            part = function(rows[chunk], *given).cpu().numpy()
            if result is None:
                result = np.empty((len(rows), *part.shape[1:]), dtype=part.dtype)
            result[chunk] = part
    assert result is not None, "Rows are never empty: validation refuses no samples."
    return result


def drawn_in_chunks(
    draw: Callable[[slice], Tensor],
    n_rows: int,
    n_features: int,
    device: torch.device,
) -> np.ndarray:
    """Rows ``(n_rows, n_features)``, of which `draw` makes those of a slice each."""
    X = np.empty((n_rows, n_features), dtype=np.float32)
    size = at_once(DRAWN_ROWS, n_features, device)
    for start in range(0, n_rows, size):
        part = slice(start, min(start + size, n_rows))
        with inferring(device):
            X[part] = draw(part).cpu().numpy()
    return X
