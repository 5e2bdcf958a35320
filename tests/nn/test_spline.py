import math

import pytest
import torch
from torch import Generator
from zuko.transforms import MonotonicRQSTransform

from skdeep.nn.spline import (
    BOUND,
    DAMPING,
    inverse_rational_quadratic,
    rational_quadratic,
)


def drawn(n_bins=5, n=60, seed=0, dtype=torch.float64, spread=2.0):
    rng = Generator().manual_seed(seed)
    x = torch.empty(n, dtype=dtype).uniform_(-1.5 * BOUND, 1.5 * BOUND, generator=rng)
    u = torch.randn(3 * n_bins - 1, n, generator=rng, dtype=dtype) * spread
    return x, u


def naive_spline(x, u):
    """Equations 4 and 5 of the paper for one number, bin by bin."""
    if abs(x) >= BOUND:
        return x, 0.0
    e = [math.exp(v / (1 + abs(v) / DAMPING)) for v in u]
    n_bins = (len(e) + 1) // 3
    widths, heights = e[:n_bins], e[n_bins : 2 * n_bins]
    slopes = [1.0, *e[2 * n_bins :], 1.0]
    widths = [2 * BOUND * w / sum(widths) for w in widths]
    heights = [2 * BOUND * h / sum(heights) for h in heights]
    x_0 = y_0 = -BOUND
    for k, (w, h) in enumerate(zip(widths, heights, strict=True)):
        if x < x_0 + w or k == n_bins - 1:
            s, d_0, d_1 = h / w, slopes[k], slopes[k + 1]
            xi = (x - x_0) / w
            q = xi * (1 - xi)
            beta = s + (d_1 + d_0 - 2 * s) * q
            y = y_0 + h * (s * xi**2 + d_0 * q) / beta
            rise = d_1 * xi**2 + 2 * s * q + d_0 * (1 - xi) ** 2
            return y, math.log(s**2 * rise / beta**2)
        x_0, y_0 = x_0 + w, y_0 + h
    raise AssertionError


def test_splines_are_those_of_zuko():
    x, u = drawn(8, 200)
    widths, heights, slopes = u.T.split([8, 8, 7], 1)
    # zuko dampens the slopes half as much.
    damped = slopes / (1 + slopes.abs() / DAMPING)
    slopes = damped / (1 - damped.abs() / (2 * DAMPING))
    theirs = MonotonicRQSTransform(
        widths, heights, slopes, bound=BOUND, slope=math.exp(-2 * DAMPING)
    )
    expected, expected_log_derivative = theirs.call_and_ladj(x)
    y, log_derivative = rational_quadratic(x, u)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(log_derivative, expected_log_derivative)
    torch.testing.assert_close(inverse_rational_quadratic(y, u), theirs.inv(y))


def test_parameters_of_zero_give_the_identity():
    x, u = drawn()
    y, log_derivative = rational_quadratic(x, torch.zeros_like(u))
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(log_derivative, torch.zeros_like(x))


@pytest.mark.parametrize("n_bins", [2, 3, 8])
def test_values_are_those_of_the_formula(n_bins):
    x, u = drawn(n_bins)
    expected = [
        naive_spline(v, p) for v, p in zip(x.tolist(), u.T.tolist(), strict=True)
    ]
    y, log_derivative = rational_quadratic(x, u)
    torch.testing.assert_close(y, torch.tensor([e[0] for e in expected]).double())
    expected = torch.tensor([e[1] for e in expected], dtype=torch.float64)
    torch.testing.assert_close(log_derivative, expected)


def test_derivative_is_that_of_autograd():
    x, u = drawn()
    x.requires_grad_()
    y, log_derivative = rational_quadratic(x, u)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_derivative.detach().exp(), slope)


def test_gradients_are_those_of_finite_differences():
    x, u = drawn(n=12)
    assert torch.autograd.gradcheck(
        rational_quadratic, (x.requires_grad_(), u.requires_grad_())
    )


def test_inverse_gives_back_the_input():
    x, u = drawn(n_bins=8, n=500, dtype=torch.float32, spread=1.0)
    y, _ = rational_quadratic(x, u)
    back = inverse_rational_quadratic(y, u)
    torch.testing.assert_close(back, x, atol=1e-4, rtol=1e-4)


def test_splines_rise_however_extreme_their_parameters_are():
    x, u = drawn(n_bins=8, n=300, dtype=torch.float32, spread=100.0)
    x = x.sort().values
    one = u[:, :1].expand_as(u)
    y, log_derivative = rational_quadratic(x, one)
    assert torch.isfinite(y).all()
    assert torch.isfinite(log_derivative).all()
    assert (y.diff() >= 0).all()


def test_the_shape_of_the_input_is_kept():
    x, u = drawn(n=24)
    flat = rational_quadratic(x, u)
    shaped = rational_quadratic(x.view(2, 3, 4), u.view(-1, 2, 3, 4))
    for a, b in zip(flat, shaped, strict=True):
        assert torch.equal(a.view(2, 3, 4), b)
