"""Columns that vary: samples repeat all others, and densities leave them out."""

import numpy as np
import torch
from torch import Tensor


def varying_columns(constants: np.ndarray, device: torch.device) -> Tensor | slice:
    """Index of the columns that vary; of all as a slice, which copies nothing."""
    varies = np.isnan(constants)
    if varies.all():
        return slice(None)
    return torch.from_numpy(np.flatnonzero(varies)).to(device)
