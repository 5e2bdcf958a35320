"""Refusal of shapes that would be broadcast, or cut, without a word."""

from torch import Tensor


def check_equal_shapes(names: str, a: Tensor, b: Tensor) -> None:
    """Refuse two arguments, named in words, of unequal shapes."""
    if a.shape != b.shape:
        raise ValueError(
            f"{names} must have the same shape. Got {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )
