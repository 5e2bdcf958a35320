"""Columns that do not vary: samples repeat them, and densities leave them out."""

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from skdeep.fitting import Fitting
from skdeep.scaling import column_statistics


def scaled_constants(X: np.ndarray | csr_matrix, fitting: Fitting) -> np.ndarray:
    """Scaled value of each column that does not vary, NaN of all others.

    Pixels share their scale and their noise: none of an image's counts as constant.
    """
    if fitting.image_shape is not None:
        return np.full(X.shape[1], np.nan)
    columns = column_statistics(X)
    value = (columns.minimum - fitting.offset) / fitting.scale
    return np.where(columns.minimum < columns.maximum, np.nan, value)


def varying_columns(constants: np.ndarray, device: torch.device) -> Tensor | slice:
    """Index of the columns that vary; of all as a slice, which copies nothing."""
    varies = np.isnan(constants)
    if varies.all():
        return slice(None)
    return torch.from_numpy(np.flatnonzero(varies)).to(device)
