"""The rows of a data matrix, as scaled float32 tensors on the training device."""

import math

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from skdeep.training.graphs import depends_on_host

RESIDENT_BYTES = 64 * 2**20
"""On a CPU, a scaled copy up to this size is made once; larger data are scaled batch by
batch.
"""

LARGE_OFFSET = 1e30
"""Offset up to which its difference from any number of float32 is one, too."""

READ_ROWS = 4096
"""Rows that are scaled at once when such a copy is made."""


class Rows:
    """Rows of a dense, memory-mapped or CSR matrix, scaled as they are read.

    ``rows[index]`` gives the rows of a tensor of row numbers or of a slice as one
    float32 tensor on the device. A matrix that will be read many times, dense, sparse
    or on disk, is scaled once and stays on the device as a dense one, if there is room.
    Of any other only the rows asked for are ever converted.

    Parameters
    ----------
    X : ndarray, memmap or CSR matrix of shape (n_samples, n_features)
    offset, scale : ndarray of shape (n_features,)
        A row x is read as ``(x - offset) / scale``.
    device : torch.device
    resident : bool
        Whether the rows will be read many times, so that a copy pays: one of up to
        64 MiB on a CPU, or half of the free memory of a GPU.
    whitening : ndarray of shape (n_features, n_features) or None
        Matrix by which scaled rows are multiplied.
    farthest : float
        Largest size of a scaled number: larger ones are taken for this.
    constants : ndarray of shape (n_features,) or None
        Value that a column is read with, whatever it holds; NaN: as it is.
    """

    def __init__(
        self,
        X: np.ndarray | sparse.csr_matrix,
        offset: np.ndarray,
        scale: np.ndarray,
        device: torch.device,
        resident: bool = False,
        whitening: np.ndarray | None = None,
        farthest: float = math.inf,
        constants: np.ndarray | None = None,
    ) -> None:
        self.X = X
        self.offset = offset
        self.scale = scale
        self.device = device
        self.farthest = farthest
        self.dtype = scaling_type(X.dtype, offset, scale)
        self._held: tuple[np.ndarray, np.ndarray] | None = None
        if constants is not None and not np.isnan(constants).all():
            values = self._scaled(constants)
            varies = np.isnan(values)
            self._held = varies.astype(self.dtype), np.where(varies, 0, values)
        self.whitening = None
        if whitening is not None:
            self.whitening = torch.tensor(whitening, dtype=torch.float32, device=device)
        self._resident: Tensor | None = None
        if resident and 4 * X.shape[0] * X.shape[1] <= self._capacity():
            self._resident = torch.empty(X.shape, dtype=torch.float32, device=device)
            for start in range(0, len(self), READ_ROWS):
                part = slice(start, start + READ_ROWS)
                self._resident[part] = self._read(part)

    def __len__(self) -> int:
        return self.X.shape[0]

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.X.shape[1]

    @property
    def are_as_given(self) -> bool:
        """Whether no column is read with another value than it holds."""
        return self._held is None

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """Rows of a slice or of a tensor of row numbers, ``(n, n_features)``."""
        if self._resident is not None:
            if isinstance(index, slice):
                return self._resident[index]
            return self._resident.index_select(0, index.to(self.device))
        depends_on_host()
        return self._read(index.cpu().numpy() if isinstance(index, Tensor) else index)

    def _read(self, index: slice | np.ndarray) -> Tensor:
        x = self._scaled(self.X[index])
        if self.farthest < math.inf:
            np.clip(x, -self.farthest, self.farthest, out=x)
        if self._held is not None:
            varies, values = self._held
            x *= varies  # faster by far than to write some columns of each row
            x += values
        scaled = torch.from_numpy(x).to(self.device, torch.float32)
        return scaled if self.whitening is None else scaled @ self.whitening

    def _scaled(self, x: np.ndarray | sparse.csr_matrix) -> np.ndarray:
        dtype = self.dtype
        with np.errstate(over="ignore"):
            if isinstance(x, np.ndarray):
                x = np.subtract(x, self.offset.astype(dtype), dtype=dtype)
            else:
                x = x.toarray().astype(dtype, copy=False)
                x -= self.offset.astype(dtype)
            x /= self.scale.astype(dtype)
        return x

    def _capacity(self) -> int:
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            # What torch holds back of what it once used is free, too.
            free += torch.cuda.memory_reserved(self.device)
            free -= torch.cuda.memory_allocated(self.device)
            return free // 2
        return RESIDENT_BYTES


def scaling_type(dtype: np.dtype, offset: np.ndarray, scale: np.ndarray) -> np.dtype:
    """Type in which rows are scaled: that of the input, and float32 at least.

    So a column of large numbers that differ little, such as time stamps, keeps its
    differences. And float64 where float32 cannot hold the scale, or a number less the
    offset.
    """
    normal = np.finfo(np.float32).tiny
    fits = np.min(scale) >= normal and np.max(np.abs(offset)) <= LARGE_OFFSET
    return np.result_type(dtype, np.float32 if fits else np.float64)
