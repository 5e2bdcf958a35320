"""Refusal of shapes that would be broadcast, or cut, without a word."""

from torch import Tensor


def check_equal_shapes(names: str, a: Tensor, b: Tensor) -> None:
    """Refuse two arguments, named in words, of unequal shapes."""
    if a.shape != b.shape:
        raise ValueError(
            f"{names} must have the same shape. Got {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )


def check_square(scores: Tensor) -> None:
    """Refuse scores that are not of all pairs of as many x and y."""
    if scores.ndim < 2 or scores.shape[-2] != scores.shape[-1]:
        raise ValueError(
            f"scores must have shape (..., n, n). Got {tuple(scores.shape)}."
        )
