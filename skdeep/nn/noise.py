"""Noise of a generator of one's own: on its device, in float32."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def normal(shape: Sequence[int], rng: Generator) -> Tensor:
    """Draw from a standard normal distribution."""
    return torch.randn(shape, generator=rng, device=rng.device, dtype=torch.float32)


def uniform(shape: Sequence[int], rng: Generator) -> Tensor:
    """Draw from [0, 1)."""
    return torch.rand(shape, generator=rng, device=rng.device, dtype=torch.float32)
