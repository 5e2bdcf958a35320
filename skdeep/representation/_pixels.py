"""Images among flat rows: what tells the pixels of one from other columns."""

import math

import torch
from torch import Tensor

from skdeep.parameters import ImageShape
from skdeep.training import Rows

SMALLEST_SIDE = 16
"""Of an image that may be moved unasked: of smaller ones, a pixel is too much."""

N_ROWS = 1000
"""Rows of which the correlations are taken."""

ALIKE = 0.3
"""Mean correlation of neighbouring pixels, at least."""

RIDGE = 0.1
"""By how much more a pixel is like the one above it than like one half a row away."""


def square_image_shape(rows: Rows) -> ImageShape | None:
    r"""Shape (1, s, s) of flat rows that are square images of one channel, else None.

    With :math:`r_k` the mean correlation of columns i and i + k, rows of
    :math:`s^2 \ge 256` columns are images if

    .. math:: r_1 > 0.3, \qquad r_s > 0.3, \qquad r_s > r_{s/2} + 0.1

    A pixel is like those beside it and above it, but less like the one half a row away:
    so are no words, genes, or measurements that drift along the row.
    """
    side = math.isqrt(rows.n_features)
    if side < SMALLEST_SIDE or side * side != rows.n_features:
        return None
    x = rows[slice(0, None, max(1, len(rows) // N_ROWS))]
    beside, above, between = (correlation(x, lag) for lag in (1, side, side // 2))
    is_image = min(beside, above) > ALIKE and above > between + RIDGE
    return (1, side, side) if is_image else None


def correlation(x: Tensor, lag: int) -> float:
    """Mean correlation of columns so far apart, of those that vary."""
    deviation, mean = torch.std_mean(x, 0, correction=0)
    z = (x - mean) / deviation.clamp_min(1e-12)
    vary = (deviation[:-lag] > 0) & (deviation[lag:] > 0)
    found = (z[:, :-lag] * z[:, lag:]).mean(0)[vary]
    return float(found.mean()) if len(found) else 0.0
