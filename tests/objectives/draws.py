"""Numbers that every test of an objective may draw."""

import torch


def normal(*shape, seed=0, dtype=torch.float64):
    """Draw from a standard normal distribution."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=dtype)
