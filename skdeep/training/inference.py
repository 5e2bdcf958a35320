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

ON_GPU = 16
"""Times as many of them on a GPU, which has more memory and waits after each part."""


def at_once(n: int, device: torch.device) -> int:
    """Rows or numbers that pass at once, of which a CPU takes `n`."""
    return n if device.type == "cpu" else ON_GPU * n


def chunks(rows: Rows) -> Iterator[slice]:
    """Cut `rows` into slices, always at the same places for the same shape."""
    most = min(CHUNK_ROWS, CHUNK_NUMBERS // rows.n_features)
    size = at_once(max(1, most), rows.device)
    for start in range(0, len(rows), size):
        yield slice(start, min(start + size, len(rows)))


def in_chunks(
    function: Callable[..., Tensor], rows: Rows, *others: Tensor
) -> np.ndarray:
    """Apply `function` to `rows`, chunk by chunk, and gather what it returns.

    Parameters
    ----------
    function : callable
    rows : Rows
    *others : Tensor of shape (len(rows), ...)
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
    size = at_once(DRAWN_ROWS, device)
    for start in range(0, n_rows, size):
        part = slice(start, min(start + size, n_rows))
        with inferring(device):
            X[part] = draw(part).cpu().numpy()
    return X
