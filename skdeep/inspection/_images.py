"""Rows drawn as images, many in one picture."""

from typing import Any

import numpy as np

from skdeep.base import image_shape_of
from skdeep.inspection._tables import dense_rows
from skdeep.parameters import ImageShape

GAP = 1
"""Pixels between images."""


def known_image_shape(
    image_shape: ImageShape | None, X: Any, model: Any = None
) -> ImageShape | None:
    """Shape given, or that of X, or that of the images that a model was fitted on.

    None of images that have no colours, such as those of four channels.
    """
    if image_shape is not None:
        return image_shape
    found = image_shape_of(X)
    if found is None:
        inner = getattr(model, "clusterer_", model)
        inner = getattr(inner, "autoencoder_", inner)
        found = getattr(inner, "image_shape_", None)
    return found if found is None or found[0] in (1, 3) else None


def images_of(X: Any, image_shape: ImageShape) -> np.ndarray:
    """Rows as images of shape (n, H, W, C).

    Raises
    ------
    ValueError
        If the rows have not as many numbers as an image.
    """
    rows = dense_rows(X).astype(float)
    channels, height, width = image_shape
    if channels not in (1, 3) or rows.shape[1] != channels * height * width:
        raise ValueError(
            "The 'image_shape' parameter must be (C, H, W) with C of 1 or 3 and "
            f"C * H * W = {rows.shape[1]}, the number of features. Got {image_shape}."
        )
    return rows.reshape(-1, *image_shape).transpose(0, 2, 3, 1)


def mosaic(images: np.ndarray, n_columns: int) -> np.ndarray:
    """Lay images out row by row, ``(n, H, W, C)`` to one image; gaps are NaN."""
    n, height, width, channels = images.shape
    n_rows = -(-n // n_columns)
    step_down, step_right = height + GAP, width + GAP
    whole = np.full(
        (n_rows * step_down - GAP, n_columns * step_right - GAP, channels), np.nan
    )
    for i, image in enumerate(images):
        top, left = i // n_columns * step_down, i % n_columns * step_right
        whole[top : top + height, left : left + width] = image
    return whole


def draw_images(
    ax: Any, images: np.ndarray, n_columns: int, cmap: str, limits: tuple[float, float]
) -> Any:
    """Draw a mosaic, whose darkest and lightest values are the limits."""
    whole = mosaic(images, n_columns)
    low, high = limits
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.8")
    if whole.shape[2] == 1:
        return ax.imshow(whole[:, :, 0], cmap=cmap, vmin=low, vmax=high)
    shown = np.clip((whole - low) / max(high - low, 1e-12), 0, 1)
    return ax.imshow(np.nan_to_num(shown, nan=1.0))


def limits_of(images: np.ndarray) -> tuple[float, float]:
    """Smallest and largest value."""
    return float(images.min()), float(images.max())
