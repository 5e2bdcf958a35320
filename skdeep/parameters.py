"""Checks of parameters that depend on each other or on the data."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from skdeep.warning import warn

ImageShape = tuple[int, int, int]
"""Channels, height and width."""


def checked_image_shape(
    estimator: Any, image_shape: ImageShape | None, n_features: int
) -> ImageShape | None:
    """Shape of an image: the parameter, else that of X; None for a table."""
    if estimator.image_shape is None:
        return image_shape
    shape = estimator.image_shape
    if len(shape) != 3 or not positive_integers(shape):
        raise ValueError(
            f"The 'image_shape' parameter of {type(estimator).__name__} must be three "
            f"positive integers (channels, height, width). Got {shape!r} instead."
        )
    channels, height, width = map(int, shape)
    n_pixels = channels * height * width
    if n_pixels != n_features:
        raise ValueError(
            f"image_shape={channels, height, width} has {n_pixels} pixels, but X has "
            f"{n_features} features."
        )
    parameter = f"the 'image_shape' parameter of {type(estimator).__name__} is"
    require_same_image_shape(image_shape, (channels, height, width), parameter)
    return channels, height, width


def warn_of_channels_last(shape: Any, source: str) -> None:
    """Warn if a shape of images seems to be (height, width, channels)."""
    if not positive_integers(shape) or len(shape) != 3:
        return
    if min(shape[:2]) > 4 and shape[2] in (1, 3, 4):
        warn(
            f"{source}{tuple(map(int, shape))} is read as (channels, height, width). "
            "If channels come last, move them: np.moveaxis(X, -1, 1).",
            UserWarning,
        )


def require_same_image_shape(
    found: ImageShape | None, known: ImageShape | None, source: str
) -> None:
    """Raise if the images of X have another shape than some source says."""
    if found is not None and known is not None and found != known:
        raise ValueError(
            f"X holds images of shape (channels, height, width) = {found}, but "
            f"{source} {known}."
        )


def checked_sizes(estimator: Any, default: Iterable[int]) -> list[int]:
    """Widths of the hidden layers: the parameter, or the default."""
    sizes = estimator.hidden_layer_sizes
    if isinstance(sizes, str):
        sizes = default
    if not positive_integers(sizes):
        raise ValueError(
            f"The 'hidden_layer_sizes' parameter of {type(estimator).__name__} must "
            f"hold positive integers. Got {sizes!r} instead."
        )
    return [int(size) for size in sizes]


def positive_integers(values: Any) -> bool:
    """Whether these are values, all of them whole numbers above zero."""
    if not isinstance(values, Iterable):
        return False
    return all(isinstance(v, int | np.integer) and v > 0 for v in values)
