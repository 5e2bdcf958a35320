"""Corruption of the input, for denoising."""

import torch
from torch import Generator, Tensor


def masked(x: Tensor, fraction: float, rng: Generator) -> Tensor:
    """Set each entry of `x` to zero with probability `fraction`."""
    if fraction == 0:
        return x
    return x * (torch.rand(x.shape, generator=rng, device=x.device) >= fraction)
