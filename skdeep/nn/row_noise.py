"""Noise that a row draws for itself, so that its score depends on no other row."""

from collections.abc import Iterator

import torch
from torch import Tensor

STEPS = 256
"""Steps of a deviation in which rows are told apart: rounding changes few of them."""

FARTHEST = 1e12
"""Entries beyond this are cut, so that they fit into whole numbers."""

FRACTION_BITS = 23
"""Bits of a uniform number: with a half added, as many as float32 has."""


def noise_parts(
    x: Tensor, n_codes: int, n_components: int, seed: int, size: int
) -> Iterator[Tensor]:
    """Draw standard normal noise for each row, told by its content and a seed.

    Equal rows get equal noise, in any order and company; others independent noise.

    Parameters
    ----------
    x : Tensor of shape (n, n_features)
    n_codes, n_components : int
        Codes of a row, and their width.
    seed : int
    size : int
        Codes of a part, at most.

    Yields
    ------
    Tensor of shape (size, n, n_components)
    """
    yield from map(
        torch.special.ndtri, uniform_parts(x, n_codes, n_components, seed, size)
    )


def uniform_parts(
    x: Tensor, n_codes: int, n_components: int, seed: int, size: int
) -> Iterator[Tensor]:
    """Draw numbers between 0 and 1, exclusively, as `noise_parts` draws normal ones."""
    entries = (x.clamp(-FARTHEST, FARTHEST) * STEPS).round().long()
    columns = torch.arange(x.shape[1], device=x.device)
    rows = mixed((entries * mixed(columns + seed)).sum(1) + seed)
    components = torch.arange(n_components, device=x.device)
    for part in torch.arange(n_codes, device=x.device).split(size):
        counts = part[:, None, None] * n_components + components
        bits = mixed(rows[:, None] + mixed(counts)) & (2**FRACTION_BITS - 1)
        yield (bits.float() + 0.5) / 2**FRACTION_BITS


def mixed(numbers: Tensor) -> Tensor:
    """Spread whole numbers over all 64 bits, as SplitMix64 does.

    Torch has signed numbers alone, and shifts copies of the sign in: these are masked.
    """
    numbers = numbers - 0x61C8864680B583EB
    for shift, factor in (
        (30, -0x40A7B892E31B1A47),
        (27, -0x6B2FB644ECCEEE15),
        (31, 1),
    ):
        numbers = (numbers ^ ((numbers >> shift) & (2 ** (64 - shift) - 1))) * factor
    return numbers
