"""Corruption of the input, for denoising."""

from torch import Generator, Tensor

from skdeep.nn.noise import uniform


def masked(x: Tensor, fraction: float, rng: Generator) -> Tensor:
    """Set each entry of `x` to zero with probability `fraction`."""
    if fraction == 0:
        return x
    return x * (uniform(x.shape, rng) >= fraction)
