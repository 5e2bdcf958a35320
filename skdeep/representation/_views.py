"""Views of rows: what the parameter `augment` stands for, on flat rows as well."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from skdeep.nn.augmentation import Augmentation, ImageAugmentation, MarginalCorruption
from skdeep.parameters import ImageShape
from skdeep.representation._pixels import SMALLEST_SIDE
from skdeep.training import Rows, depends_on_host

Views = Augmentation | MarginalCorruption | None
"""What `augment` is where it is no word; None leaves rows as they are."""

SMALL_MOVES = ImageAugmentation(shift=0.036, rotation=10.0, scale=0.1)
"""What ``augment="auto"`` does to images: digits and clothes stay what they are."""

N_DONORS, DONOR_NUMBERS = 4096, 2**22
"""Rows of which corruption takes values, and numbers in them: bounds their memory."""


def resolved_augment(
    augment: str | Views,
    image_shape: ImageShape | None,
    pixel_shape: ImageShape | None,
) -> tuple[Views, ImageShape | None]:
    """Find what the parameter `augment` asks for, and the shape that it changes.

    Changes of images, ours by default among them, find the pixels of flat rows.
    """
    shape = pixel_shape or image_shape
    if isinstance(augment, str):
        is_large = shape is not None and min(shape[1:]) >= SMALLEST_SIDE
        return SMALL_MOVES if is_large else None, shape
    is_of_images = isinstance(augment, ImageAugmentation)
    return augment, shape if is_of_images else image_shape


def default_views(
    augment: str | Views, image_shape: ImageShape | None, rate: float = 0.3
) -> Views:
    """Find what `augment` asks for where ``"auto"`` are views that differ much.

    Images are moved; of tables, cells are swapped at a rate.
    """
    if not isinstance(augment, str):
        return augment
    return MarginalCorruption(rate) if image_shape is None else ImageAugmentation()


def donors_of(rows: Rows, rng: Generator) -> Tensor:
    """Rows drawn from all of them, whose values stand for the marginals."""
    n_donors = max(1, min(N_DONORS, DONOR_NUMBERS // rows.n_features))
    return rows[torch.randperm(len(rows), generator=rng)[:n_donors]]


def on_rows(
    augment: Views,
    image_shape: ImageShape | None,
    rows: Rows,
    rng: Generator,
) -> Augmentation:
    """Turn the parameter `augment` into an augmentation of flat rows."""
    if augment is None:
        return lambda x, rng: x  # noqa: ARG005
    if isinstance(augment, ImageAugmentation) and image_shape is None:
        raise ValueError(
            "The 'augment' parameter is an ImageAugmentation, but X has flat rows. "
            "Pass images of shape (n, channels, height, width), or say what the rows "
            "are: image_shape=(channels, height, width)."
        )
    if isinstance(augment, MarginalCorruption):
        return augment.on(donors_of(rows, rng))
    own = type(augment) is ImageAugmentation
    change = augment if own else checked_function(augment)

    def augmented(x: Tensor, rng: Generator) -> Tensor:
        shaped = x if image_shape is None else x.unflatten(1, image_shape)
        return change(shaped, rng).flatten(1)

    return augmented


def checked_function(augment: Augmentation) -> Augmentation:
    """Let a function do as it likes with its batch, and look at what it returns."""
    if isinstance(augment, type):
        raise ValueError(
            f"The 'augment' parameter is the class {augment.__name__}. Pass an "
            f"instance of it: augment={augment.__name__}()."
        )
    if not takes_two(augment):
        raise ValueError(
            "The 'augment' parameter must take two arguments, a tensor and a "
            f"torch.Generator. Got one that takes {inspect.signature(augment)}."
        )

    def checked(x: Tensor, rng: Generator) -> Tensor:
        depends_on_host()
        # A copy, since it may work in place, and others see the same batch.
        result = augment(x.clone(), rng)
        if not isinstance(result, Tensor) or result.shape != x.shape:
            is_tensor = isinstance(result, Tensor)
            got = tuple(result.shape) if is_tensor else type(result).__name__
            raise ValueError(
                "The 'augment' parameter must map a tensor and a torch.Generator to a "
                f"tensor of the same shape. Got {got} for {tuple(x.shape)}."
            )
        return result.to(x.dtype)

    return checked


def takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with two arguments, as far as it tells."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # it is compiled
        return True
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True
